"""Imports point one way (design 3)."""

import ast
from pathlib import Path

import pytest

import cuhlm

ROOT = Path(cuhlm.__file__).parent

# Each layer may import from itself and from those below. `cli → … → errors`, top to bottom.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"cli", "__main__"}),
    frozenset({"experiments", "distill"}),
    frozenset({"measuring"}),
    frozenset({"pair"}),
    frozenset({"device", "verifier"}),
    frozenset({"link"}),
    frozenset({"wire", "channel", "engines", "codec"}),
    frozenset({"methods", "profiles", "records", "settings", "data", "readable", "writable"}),
    frozenset({"theory", "messages"}),
    frozenset({"errors"}),
)
STRANGERS = (
    frozenset({"experiments", "distill"}),
    frozenset({"device", "verifier"}),
    frozenset({"engines", "codec"}),
    frozenset({"channel", "codec"}),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}


def imports(file: Path) -> set[str]:
    """The parts of cuhlm that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "cuhlm" else [f"cuhlm.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("cuhlm.")}
    return found


def part_of(file: Path) -> str:
    """The package or module at the top of cuhlm that a file belongs to."""
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = [file for file in sorted(ROOT.rglob("*.py")) if part_of(file) not in ("__init__", "testing")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down_the_layers(file: Path) -> None:
    part = part_of(file)
    for imported in imports(file) - {part}:
        assert LEVEL[imported] >= LEVEL[part], f"{part} imports {imported}, which lies above it"
        assert not any({part, imported} <= pair for pair in STRANGERS), f"{part} and {imported} are to be strangers"


def test_the_rule_would_notice_an_import_that_points_up() -> None:
    assert LEVEL["device"] < LEVEL["link"] < LEVEL["codec"] < LEVEL["methods"] < LEVEL["theory"] < LEVEL["errors"]
    assert imports(ROOT / "device" / "loop.py") >= {"messages", "records"}


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_module_is_named_like_one_of_the_standard_library(file: Path) -> None:
    import sys  # noqa: PLC0415

    inside_a_package_of_ours = file.stem in {"__init__", "__main__", "grpc"}  # imported by its full name only
    assert inside_a_package_of_ours or file.stem not in sys.stdlib_module_names
