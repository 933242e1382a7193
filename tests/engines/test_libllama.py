"""The library is found, checked and kept silent, and what is wrong with it is said."""

import ctypes
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.eventually import COMMAND_SECONDS

from cuhlm.engines import libllama, libllama_file
from cuhlm.errors import LibraryError


@pytest.fixture(autouse=True)
def library_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test opens the library anew, and leaves the one that others use."""
    monkeypatch.delenv(libllama_file.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(libllama, "library", libllama.library.__wrapped__)
    yield


def test_the_structs_have_the_sizes_of_the_header() -> None:
    sizes = [ctypes.sizeof(struct) for struct in (libllama.ModelParams, libllama.ContextParams, libllama.Batch)]
    assert sizes == [80, 168, 56]


def test_another_version_of_the_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2025.1.1")
    with pytest.raises(LibraryError, match=r"is version 2025.1.1; expected 2026.10.11549.*pip install xllamacpp==2026"):
        libllama.library()


def test_a_missing_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", not_found)
    with pytest.raises(LibraryError, match=r"not installed; .* run: pip install xllamacpp=="):
        libllama.library()


def test_the_variable_names_another_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "libllama.so"
    copy.symlink_to(libllama_file.library_file())
    monkeypatch.setenv(libllama_file.LIBRARY_VARIABLE, str(copy))
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2025.1.1")
    assert libllama.library().llama_context_default_params().n_batch == 2048


def test_a_library_that_is_not_there_or_is_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(libllama_file.LIBRARY_VARIABLE, str(tmp_path / "none.so"))
    with pytest.raises(LibraryError, match=r"which is no file; expected a llama.cpp library; correct or unset it"):
        libllama.library()
    (tmp_path / "text.so").write_text("not a library")
    monkeypatch.setenv(libllama_file.LIBRARY_VARIABLE, str(tmp_path / "text.so"))
    with pytest.raises(LibraryError, match="does not load"):
        libllama.library()
    monkeypatch.setenv(libllama_file.LIBRARY_VARIABLE, _some_other_library())
    with pytest.raises(LibraryError, match=r"lacks llama_log_set; expected the llama.cpp of xllamacpp"):
        libllama.library()


def _some_other_library() -> str:
    import _ctypes  # noqa: PLC0415 - an extension module that is a file of its own

    return str(_ctypes.__file__)


def test_another_layout_is_refused_with_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    class OlderParams(ctypes.Structure):
        _fields_ = [field for field in libllama.ContextParams._fields_ if field[0] != "n_rs_seq"]

    functions = {**libllama._FUNCTIONS, "llama_context_default_params": (OlderParams, ())}
    monkeypatch.setattr(libllama, "_FUNCTIONS", functions)
    with pytest.raises(LibraryError, match=r"rope_scaling_type is 0 instead of -1.*another layout.*--force-reinstall"):
        libllama.library()


@pytest.mark.parametrize(
    ("loader", "remedy"),
    [
        ("libgomp.so.1: cannot open shared object file: No such file or directory", "apt-get install libgomp1"),
        ("libstdc++.so.6: cannot open shared object file: No such file or directory", "apt-get install libstdc++6"),
        ("/lib/libc.so.6: version `GLIBC_2.17' not found (required by …)", "a newer Linux"),
        ("wrong ELF class: ELFCLASS32", "reinstall xllamacpp=="),
    ],
)
def test_a_library_that_does_not_load_says_what_is_missing(loader: str, remedy: str) -> None:
    assert remedy in libllama_file.load_remedy(loader)


def test_the_environment_is_left_as_it_was() -> None:
    before = dict(os.environ)
    libllama.library()
    assert dict(os.environ) == before


@pytest.mark.parametrize(("chosen", "expected"), [({}, "1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)])
def test_threads_spin_for_a_short_time_unless_the_user_chose_otherwise(
    monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str], expected: str | None
) -> None:
    for variable in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in chosen.items():
        monkeypatch.setenv(variable, value)
    with libllama_file._short_spin():
        assert os.environ.get("GOMP_SPINCOUNT") == expected
    assert "GOMP_SPINCOUNT" not in os.environ


def test_a_processor_without_avx2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libllama_file, "_has_avx2", lambda: False)
    with pytest.raises(LibraryError, match="lacks AVX2; expected one that has it"):
        libllama.library()


def test_a_package_without_a_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(LibraryError, match=r"holds no library for .*Windows is not supported"):
        libllama.library()


def test_llama_cpp_prints_nothing_and_xllamacpp_is_not_imported(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from cuhlm.engines.llama_cpp import LlamaCppEngine\n"
        "from cuhlm.engines.locate import locate\n"
        "from cuhlm.errors import ModelError\n"
        "assert 'xllamacpp' not in sys.modules and 'jinja2' not in sys.modules\n"
        "engine = LlamaCppEngine.load(locate('smollm2-draft'), context_length=64)\n"
        "engine.open().append([1, 2, 3])\n"
        "assert 'xllamacpp' not in sys.modules and 'jinja2' not in sys.modules\n"
        "open(sys.argv[1], 'wb').write(b'GGUF')\n"
        "try:\n    LlamaCppEngine.load(sys.argv[1])\n"
        "except ModelError as error:\n    print(error)\n"
    )  # ends with an open engine, on purpose
    command = [sys.executable, "-c", program, str(tmp_path / "no.gguf")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("\n") == 1
    assert "does not load" in ended.stdout
