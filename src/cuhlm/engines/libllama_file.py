"""The file that llama.cpp is loaded from: where it is, whether it loads, and what to do if it does not (design 3).

It is the extension module of the package `xllamacpp`. ``CUHLM_LIBLLAMA`` names another library file of the same
llama.cpp version, one built for CUDA or Metal, say.
"""

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from cuhlm.errors import LibraryError
from cuhlm.installing import how_to_install

VERSION = "2026.10.11549"
"""The `xllamacpp` release whose C API is declared here; pyproject.toml pins the same."""

LIBRARY_VARIABLE = "CUHLM_LIBLLAMA"

_SPIN_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_SPIN_COUNT = "1000"


def library_file() -> Path:
    """Where the library is: what the variable names, else in the package xllamacpp, which is not imported.

    Raises:
        LibraryError: it is not there, or the package has another version.
    """
    if named := os.environ.get(LIBRARY_VARIABLE):
        if not Path(named).is_file():
            raise LibraryError(
                f"{LIBRARY_VARIABLE} names {named}, which is no file; expected a llama.cpp library; correct or unset it"
            )
        return Path(named).resolve()
    _check_version()
    spec = importlib.util.find_spec("xllamacpp")  # finds the package without running it
    folders = spec.submodule_search_locations if spec else None
    found = [file for folder in folders or () for file in sorted(Path(folder).glob("xllamacpp*.so"))]
    if not found:
        raise LibraryError(
            f"the package xllamacpp holds no library for {platform.system()}; expected Linux or macOS (Windows is not "
            f"supported); use one of them, or let {LIBRARY_VARIABLE} name a llama.cpp library"
        )
    return found[0]


def _check_version() -> None:
    remedy = f"run: {how_to_install(f'xllamacpp=={VERSION}')}"
    try:
        installed = importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        raise LibraryError(f"the package xllamacpp is not installed; expected version {VERSION}; {remedy}") from None
    if installed != VERSION:
        raise LibraryError(
            f"xllamacpp is version {installed}; expected {VERSION}, whose C API cuhlm declares; {remedy}"
        )


def open_library(path: Path) -> ctypes.CDLL:
    """Load the library at `path`.

    Raises:
        LibraryError: it does not load; the message says what is missing.
    """
    if not _has_avx2():
        raise LibraryError(
            "this processor lacks AVX2; expected one that has it, which the llama.cpp of xllamacpp needs; use another "
            f"machine, or let {LIBRARY_VARIABLE} name a llama.cpp library built for this one"
        )
    try:
        with _short_spin():
            return ctypes.CDLL(str(path))
    except OSError as error:
        raise LibraryError(f"{path} does not load ({error}); {load_remedy(str(error))}") from error


@contextlib.contextmanager
def _short_spin() -> Iterator[None]:
    """Let OpenMP's threads wait actively for microseconds, not milliseconds, unless the user has chosen otherwise.

    The threads of a forward pass meet some hundred times per token. As long as every thread has a core to itself, how
    they wait makes no odds. When another program, or the other half of a pair, wants the core too, threads that spin
    away their time slices come almost to a halt: two processes with two threads each on two cores then made 0 to 2
    tokens/s, and 60 each like this. The OpenMP runtime reads the variable once, when it is loaded.
    """
    if any(variable in os.environ for variable in _SPIN_VARIABLES):
        yield
        return
    os.environ[_SPIN_VARIABLES[0]] = _SPIN_COUNT
    try:
        yield
    finally:
        del os.environ[_SPIN_VARIABLES[0]]


def _has_avx2() -> bool:
    """Whether the processor has AVX2, or need not; without it the library dies of an illegal instruction."""
    cpuinfo = Path("/proc/cpuinfo")
    if LIBRARY_VARIABLE in os.environ or platform.machine() != "x86_64" or not cpuinfo.is_file():
        return True
    with cpuinfo.open(encoding="ascii", errors="replace") as lines:
        return any(" avx2 " in f"{line.strip()} " for line in lines if line.startswith("flags"))


def load_remedy(loader_message: str) -> str:
    """What was expected and what to do, for what the system's loader says of a library that does not load."""
    packages = {"libgomp": "libgomp1", "libstdc++": "libstdc++6", "libgcc_s": "libgcc-s1"}
    missing = re.search(r"(lib[\w+.-]+?)\.so[.\d]*: cannot open", loader_message)
    if missing and missing[1] in packages:
        package = packages[missing[1]]
        return f"expected the system library {missing[1]}; run: apt-get install {package} (or your system's like)"
    if "GLIBC" in loader_message:
        return "expected a newer C library; use a newer Linux (glibc 2.17 or later)"
    return f"expected a library for this system and processor; reinstall xllamacpp=={VERSION}"


def reinstall_remedy() -> str:
    """What to do about a library that is another than expected."""
    if LIBRARY_VARIABLE in os.environ:
        return f"unset {LIBRARY_VARIABLE}, or let it name a library of that version"
    return f"run: {how_to_install(f'xllamacpp=={VERSION}', options='--force-reinstall')}"
