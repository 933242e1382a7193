"""What `import cuhlm` offers."""

import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

import cuhlm

ROOT = Path(__file__).parent.parent
NAMES = [
    *("METHODS", "Answer", "CuhlmError", "Device", "Drafted", "Emit", "Fate", "Finish", "GrpcLink", "InProcessLink"),
    *(
        "Keeping",
        "Limits",
        "LlamaCppEngine",
        "Method",
        "ModelCard",
        "Profile",
        "Reason",
        "Request",
        "Sampling",
        "Security",
    ),
    *("Settings", "TokenRecord", "Verifier", "collect", "find_method", "load_profile", "settings_for"),
]


def test_the_public_names_are_these() -> None:
    assert cuhlm.__all__ == NAMES
    assert dir(cuhlm) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(cuhlm, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        cuhlm.nonsense  # noqa: B018


def test_importing_cuhlm_and_its_command_line_loads_neither_numpy_nor_grpc() -> None:
    code = "import sys, cuhlm.cli; sys.exit(bool({'numpy', 'grpc', 'jinja2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python in which the built wheel is installed, with what it needs beside it."""
    where = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", where], cwd=ROOT, check=True)
    venv.create(where / "venv", symlinks=True)
    (packages,) = where.glob("venv/lib/python*/site-packages")
    with ZipFile(next(where.glob("*.whl"))) as wheel:
        wheel.extractall(packages)
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return where


def strictly_checked(site: Path, code: str) -> str:
    (site / "snippet.py").write_text(code)
    options = ["--strict", "--python-executable", site / "venv" / "bin" / "python", "--cache-dir", site / "cache"]
    found = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "snippet.py"], cwd=site, capture_output=True, text=True, check=False
    )
    return found.stdout


def test_the_snippet_of_the_readme_and_every_public_name_pass_a_strict_type_checker(site: Path) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    named = "\n".join(f"print(cuhlm.{name})" for name in NAMES)
    assert strictly_checked(site, f"{snippet}\n{named}\n").count("error:") == 0
    shown = strictly_checked(site, f"{snippet}\nreveal_type(emit)\nemit.text + 1\n")
    assert 'Revealed type is "cuhlm.device.steps.Emit"' in shown
    assert shown.count("error:") == 1, "what is wrong is seen"
