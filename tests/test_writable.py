"""Whether a result can be written, asked before the work; and that no half of one is left in its place."""

from pathlib import Path

import pytest

from cuhlm.errors import ConfigurationError
from cuhlm.writable import check_writable, written_whole


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


def test_an_interrupted_writing_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as partial:
        partial.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with written_whole(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
