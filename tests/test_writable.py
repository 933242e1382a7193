"""Whether a result can be written, asked before the work."""

from pathlib import Path

import pytest

from cuhlm.errors import ConfigurationError
from cuhlm.writable import check_writable


def test_asking_leaves_everything_as_it_was(tmp_path: Path) -> None:
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_text("kept")
    link.symlink_to(tmp_path / "nowhere")
    for path in (there, link, tmp_path / "new"):
        check_writable(path, "the file")
    assert there.read_text() == "kept"
    assert link.is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "there"]


def test_a_path_that_takes_nothing_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "file"):
        with pytest.raises(ConfigurationError, match=r"the file .* cannot be written"):
            check_writable(path, "the file")
