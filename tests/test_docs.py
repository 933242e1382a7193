"""What the guides for developers name is there, what they show works, and what is drawn in them is as the code is."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.draw_imports import BEGIN, LAYERS, PAGE, SOURCE, drawn, main, redrawn

ROOT = Path(__file__).parent.parent
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("docs/architecture.md", "CONTRIBUTING.md")}
TEXT = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)  # what is not text: blocks of code
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGES["CONTRIBUTING.md"], re.DOTALL)
SUFFIX = re.compile(r"[\w./-]+(/|\.(py|md|txt|toml|yml))")

MAKE = re.compile(r"(?:^    |`)(make [^`\n]+)(?:`|$)", re.MULTILINE)
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in PAGE.parent.glob("*.md"))]
MAKES = sorted({command for name in DOCUMENTS for command in MAKE.findall((ROOT / name).read_text(encoding="utf-8"))})


def quoted(page: str) -> set[str]:
    """What stands between backticks in a page's text."""
    return set(re.findall(r"`([^`\n]+)`", TEXT.sub("", PAGES[page])))


def test_there_is_something_to_test() -> None:
    assert len(SNIPPETS) == 4
    assert len(MAKES) >= 12
    assert len([name for name in quoted("docs/architecture.md") if SUFFIX.fullmatch(name)]) >= 40


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_guide_names_exists(page: str) -> None:
    named = {name for name in quoted(page) if SUFFIX.fullmatch(name)}
    assert {name for name in named if not (SOURCE / name).exists() and not (ROOT / name).exists()} == set()
    linked = re.findall(r"\]\((?!http)([^)]+)\)", PAGES[page])
    assert [link for link in linked if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_name_of_code_in_a_guide_stands_in_the_code(page: str) -> None:
    code = "\n".join(file.read_text(encoding="utf-8") for file in [*SOURCE.rglob("*.py"), ROOT / "Makefile"])
    names = {name for name in quoted(page) if re.fullmatch(r"[\w-]*[A-Z_-][\w-]*", name)}
    assert names
    assert {name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", code)} == set()


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_of_the_guide_works(code: str) -> None:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr


def test_the_request_that_is_followed_is_one_of_the_readme() -> None:
    (command,) = re.findall(r"^    (cuhlm .*)$", PAGES["docs/architecture.md"], re.MULTILINE)
    assert f"\n    {command}\n" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", MAKES)
def test_make_knows_what_the_documents_ask_of_it(command: str) -> None:
    assert shutil.which("make"), "make is one of the few things that the README asks for"
    arguments = shlex.split(command, comments=True)
    dry = subprocess.run([*arguments, "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert dry.returncode == 0, dry.stderr
    given = [part.removeprefix("TEST=").split() for part in arguments if part.startswith("TEST=")]
    assert all((ROOT / part).exists() for parts in given for part in parts if part.startswith("tests/"))


def test_pre_commit_runs_the_linters_of_make_lint() -> None:
    recipe = re.search(r"^lint: setup\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None
    hooks = re.findall(r"entry: (.*)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [f"\t{hook}" for hook in hooks] == recipe[1].replace("$(BIN)", ".venv/bin").splitlines()


def test_the_map_in_the_guide_is_what_the_code_says() -> None:
    assert main(["--check"]) == 0, "run `make docs`"
    page = drawn()
    assert all(f"| `{part}" in page for layer in LAYERS for part in layer)


def test_a_map_that_is_stale_is_noticed_and_drawn_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8").replace(" ● ", " ○ ", 1), encoding="utf-8")
    monkeypatch.setattr("docs.draw_imports.PAGE", page)
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")


def test_a_page_without_a_place_for_the_map_is_refused() -> None:
    with pytest.raises(ValueError, match="has no place for the map"):
        redrawn(BEGIN)
