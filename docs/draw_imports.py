"""Draws the map of the packages in docs/architecture.md from the code: what each is, and which imports which.

    python docs/draw_imports.py            writes it
    python docs/draw_imports.py --check    writes nothing; exit code 1 where it is not what the code says

`LAYERS` and `STRANGERS` are the rules that `tests/test_layers.py` enforces.
"""

import ast
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "cuhlm"
PAGE = Path(__file__).parent / "architecture.md"
BEGIN = "<!-- drawn by docs/draw_imports.py: `make docs` -->\n"
END = "<!-- end of what is drawn -->\n"

# Each layer may import from itself and from those below, top to bottom.
LAYERS = (
    ("testing",),
    ("cli",),
    ("experiments", "distill"),
    ("measuring",),
    ("pair",),
    ("device", "verifier"),
    ("link",),
    ("wire", "channel", "engines", "codec"),
    ("methods", "profiles", "records", "risk_scores", "settings", "data", "readable", "writable"),
    ("theory", "messages"),
    ("given", "closing"),
    ("errors", "installing"),
)
# And these never import each other.
STRANGERS = (
    frozenset({"experiments", "distill"}),
    frozenset({"device", "verifier"}),
    frozenset({"engines", "codec"}),
    frozenset({"channel", "codec"}),
)
PARTS = tuple(part for layer in LAYERS for part in layer)


def part_of(file: Path) -> str:
    """The package or module at the top of cuhlm that a file belongs to; that of `__main__.py` is `cli`."""
    name = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    return "cli" if name == "__main__" else name


def files() -> list[Path]:
    """Every file of a part, that is, all but `cuhlm/__init__.py`."""
    return [file for file in sorted(SOURCE.rglob("*.py")) if file != SOURCE / "__init__.py"]


def imports(file: Path) -> set[str]:
    """The other parts of cuhlm that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "cuhlm" else [f"cuhlm.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("cuhlm.")}
    return found - {part_of(file)}


def drawn() -> str:
    """The map, as Markdown: a line per part, and the imports between them."""
    return f"{_lines()}\n{_imports()}"


def redrawn(page: str) -> str:
    """`page` with the map drawn anew between its two markers.

    Raises:
        ValueError: a marker is not there.
    """
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE} has no place for the map; expected the lines {BEGIN!r} and {END!r} in it")
    return f"{before}{BEGIN}\n{drawn()}\n{END}{after}"


def _lines() -> str:
    """A table of the parts, each with the first line of its docstring."""
    rows = [f"| {_shown(part)} | {_first_line(part)} |\n" for part in PARTS]
    return "".join(["| in `src/cuhlm` | |\n", "| --- | --- |\n", *rows])


def _shown(part: str) -> str:
    return f"`{part}/`" if (SOURCE / part).is_dir() else f"`{part}.py`"


def _first_line(part: str) -> str:
    file = SOURCE / part / "__init__.py" if (SOURCE / part).is_dir() else SOURCE / f"{part}.py"
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def _imports() -> str:
    """A matrix of the parts: rows import the columns that are marked."""
    imported: dict[str, set[str]] = {part: set() for part in PARTS}
    for file in files():
        if part_of(file) not in imported:
            raise ValueError(f"{part_of(file)!r} of {file} is in no layer; give it a place in LAYERS")
        imported[part_of(file)] |= imports(file)
    width = max(map(len, PARTS)) + 2
    heads = _row(" " * width, {part: part[:3] for part in PARTS})
    body = "\n".join(
        "".join(_row(part.ljust(width), dict.fromkeys(imported[part], " ● ")) for part in layer) for layer in LAYERS
    )
    return f"```text\n{heads}\n{body}```\n"


def _row(name: str, cells: dict[str, str]) -> str:
    """One line: cells under one another by part, with a gap between layers. Nothing imports the first layer."""
    columns = ("".join(cells.get(part, "").ljust(4) for part in layer) for layer in LAYERS[1:])
    return f"{name}{' '.join(columns)}".rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Draw, or check; returns the exit code."""
    page = PAGE.read_text(encoding="utf-8")
    fresh = redrawn(page)
    if arguments == ["--check"]:
        if page != fresh:
            print(f"{PAGE.name} does not draw the imports as they are; run `make docs`, and look at what changed")
        return int(page != fresh)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
