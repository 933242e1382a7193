"""The whole command, on a tiny target."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cuhlm.cli import app
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.locate import BUILT_IN_TARGET
from cuhlm.errors import ConfigurationError, CuhlmError

SMALL = ["--length", "48", "--rows", "8", "--batch", "4", "--held-out", "2", "--passes", "1", "--threads", "1"]
ROUND_TOKENS = 8 * 48


def distil(*arguments: str | Path) -> dict[str, object]:
    result = CliRunner().invoke(app, ["distill", "--json", *map(str, arguments), *SMALL])
    if isinstance(result.exception, CuhlmError):
        raise result.exception
    assert result.exit_code == 0, result.output
    numbers: dict[str, object] = json.loads(result.stdout)
    return numbers


@pytest.fixture(scope="module")
def arguments(tiny_target: Path, prompt_file: Path) -> list[str | Path]:
    return ["--target", tiny_target, "--prompts", prompt_file, "--layers", "2", "--name", "small"]


@pytest.fixture(scope="module")
def folder(arguments: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two rounds."""
    folder = tmp_path_factory.mktemp("run")
    numbers = distil(*arguments, "--out", folder, "--tokens", str(2 * ROUND_TOKENS))
    assert set(numbers) >= {"agreements", "tokens_per_second", "one_minus_tv_by_type"}
    return folder


def test_it_leaves_a_draft_that_llama_cpp_runs(folder: Path, tiny_target: Path) -> None:
    files = sorted(path.name for path in folder.glob("*.gguf"))
    assert files[0] == "small-f16.gguf"
    assert re.fullmatch(r"small-q4_[01]\.gguf", files[1])
    assert len(files) == 2
    target = LlamaCppEngine.load(tiny_target, context_length=64, threads=1)
    draft = LlamaCppEngine.load(folder / files[1], context_length=64, threads=1)
    assert draft.card.name == "small"
    assert draft.card.vocab_fingerprint == target.card.vocab_fingerprint
    assert draft.tokenizer.render_chat([("user", "Hi")]) == target.tokenizer.render_chat([("user", "Hi")])
    draft.close()
    target.close()


def test_the_card_says_what_was_measured(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "# small-q4_" in card
    assert "| T | 1 − TV | keyed | same argmax | n |" in card
    assert f"\n{2 * ROUND_TOKENS} tokens" in card
    layers = json.loads((folder / "layers.json").read_text())
    assert f"the target's layers {layers[0]}, {layers[1]} (counted from 0)" in card


def test_the_same_command_goes_on_and_more_tokens_train_on(folder: Path, arguments: list[str | Path]) -> None:
    history = folder / "history.jsonl"
    tokens = [json.loads(line)["tokens"] for line in history.read_text().splitlines()]
    assert tokens == [0, ROUND_TOKENS, 2 * ROUND_TOKENS]
    distil(*arguments, "--out", folder, "--tokens", str(3 * ROUND_TOKENS))
    assert [json.loads(line)["tokens"] for line in history.read_text().splitlines()] == [*tokens, 3 * ROUND_TOKENS]


def test_another_run_in_the_same_folder_is_refused(folder: Path, arguments: list[str | Path]) -> None:
    with pytest.raises(ConfigurationError, match="layers 2, not 3"):
        distil(*arguments, "--out", folder, "--layers", "3", "--tokens", str(3 * ROUND_TOKENS))


def test_it_goes_on_from_a_draft(folder: Path, arguments: list[str | Path], tmp_path: Path) -> None:
    distil(*arguments, "--out", tmp_path, "--tokens", str(ROUND_TOKENS), "--start", folder / "small-f16.gguf")
    assert "begun from `small-f16.gguf`" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert not (tmp_path / "layers.json").exists()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--layers", "9"], "at most the target's 4"),
        (["--loss", "l2"], "--loss is 'l2'"),
        (["--name", "../x"], "cannot name a file"),
        (["--tokens", "100", "--held-out", "4"], "to be held out"),
        (["--batch", "3"], "divisor"),
        (["--start", BUILT_IN_TARGET], "30 layers, and --layers says 2"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str | Path], tmp_path: Path, extra: list[str], message: str
) -> None:
    result = CliRunner().invoke(app, ["distill", *map(str, arguments), "--out", str(tmp_path), *SMALL, *extra])
    assert isinstance(result.exception, CuhlmError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
