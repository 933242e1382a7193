"""What `import cuhlm` offers."""

import subprocess
import sys

import pytest

import cuhlm

NAMES = [
    *("Answer", "CuhlmError", "Device", "Fate", "GrpcLink", "InProcessLink", "Limits", "LlamaCppEngine", "METHODS"),
    *("Method", "Profile", "Request", "Sampling", "Security", "Settings", "TokenRecord", "Verifier"),
    *("collect", "find_method", "load_profile", "settings_for"),
]


def test_the_public_names_are_these() -> None:
    assert sorted(cuhlm.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(cuhlm, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        cuhlm.nonsense  # noqa: B018


def test_importing_cuhlm_and_its_command_line_loads_neither_numpy_nor_grpc() -> None:
    code = "import sys, cuhlm.cli; sys.exit(bool({'numpy', 'grpc', 'jinja2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
