"""Whether a result can be written, asked before the work; and that no half of one is left in its place."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cuhlm
from cuhlm.errors import ConfigurationError
from cuhlm.writable import check_component, check_writable, write_whole, written_whole


@pytest.mark.parametrize("name", ["a", "evaluation-2", "larger_3.b", "0", "x" * 100])
def test_a_plain_name_may_become_a_part_of_a_path(name: str, tmp_path: Path) -> None:
    check_component(name, "the set")
    (tmp_path / f"{name}.txt").touch()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "/a", "../a", "a\\b", "a b", "a\n", "a\0", "~", "x" * 101, "a:b", "ö"],
)
def test_a_name_that_says_more_than_a_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"the name '.*' of the set cannot name a file; expected up to 100"):
        check_component(name, "the set")


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


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(28, "No space left on device")])
@pytest.mark.parametrize("shared", [False, True])
def test_a_writing_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, error: BaseException | type[BaseException], shared: bool
) -> None:
    path = tmp_path / "numbers.json"
    path.write_text("old")
    told = ConfigurationError if isinstance(error, OSError) else error
    with pytest.raises(told), written_whole(path, "the numbers", shared=shared) as partial:
        partial.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_longer_than_allowed_leaves_the_one_before(tmp_path: Path) -> None:
    # `ulimit -f`, in a process of its own.
    path = tmp_path / "numbers.json"
    path.write_text("old")
    limited = (
        "import resource, signal; from pathlib import Path; from cuhlm.writable import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
        f"write_whole(Path({str(path)!r}), 'x' * 2000, 'the numbers')"
    )
    ended = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=False)
    assert f"the numbers {path} cannot be written: File too large; choose another path" in ended.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_for_which_there_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (("no", "No such file"), ("file", "Not a directory")):
        with pytest.raises(ConfigurationError, match=rf"the numbers .*n\.json cannot be written: {reason}"):
            write_whole(tmp_path / folder / "n.json", "", "the numbers")


def test_two_processes_never_write_to_one_partial_file(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a.parquet", shared=True) as partial:
        assert str(os.getpid()) in partial.name
        partial.touch()


def test_a_link_still_leads_to_the_file_that_was_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_whole(Path(os.devnull), "anything")
    assert Path(os.devnull).is_char_device()


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    path.write_text("old")
    path.chmod(0o600)
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_result_is_written_whole_but_for_the_trace_which_grows() -> None:
    source = Path(cuhlm.__file__).parent
    bare = re.compile(r"\.write_(?:text|bytes)\(|open\((?:[^)]*, )?\"[wax]b?\"")
    found = {file.relative_to(source).as_posix() for file in source.rglob("*.py") if bare.search(file.read_text())}
    assert found == {"writable.py", "records.py", "cli/terminal.py"}  # the last opens os.devnull
