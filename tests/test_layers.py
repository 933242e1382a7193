"""Imports point one way (design 3); `docs/draw_imports.py` has the layers, and draws what is imported."""

from pathlib import Path

import pytest
from docs.draw_imports import LAYERS, SOURCE, STRANGERS, files, imports, part_of

LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_point_down_the_layers(file: Path) -> None:
    part = part_of(file)
    for imported in imports(file):
        assert LEVEL[imported] >= LEVEL[part], f"{part} imports {imported}, which lies above it"
        assert not any({part, imported} <= pair for pair in STRANGERS), f"{part} and {imported} are to be strangers"


def test_the_rule_would_notice_an_import_that_points_up() -> None:
    assert LEVEL["device"] < LEVEL["link"] < LEVEL["codec"] < LEVEL["methods"] < LEVEL["theory"] < LEVEL["errors"]
    assert imports(SOURCE / "device" / "loop.py") >= {"messages", "records"}


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_no_module_is_named_like_one_of_the_standard_library(file: Path) -> None:
    import sys  # noqa: PLC0415

    inside_a_package_of_ours = file.stem in {"__init__", "__main__", "grpc"}  # imported by its full name only
    assert inside_a_package_of_ours or file.stem not in sys.stdlib_module_names
