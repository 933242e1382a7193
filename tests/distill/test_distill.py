"""The whole command, on a tiny target."""

import contextlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cuhlm.cli import app
from cuhlm.distill.gguf_weights import layer_name, read_shape, read_weights
from cuhlm.distill.plan import Training
from cuhlm.distill.recipe import Recipe, distill
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.locate import BUILT_IN_TARGET
from cuhlm.errors import ConfigurationError, CuhlmError, ModelError
from cuhlm.measuring.prompts import read_prompts

DOCS = (Path(__file__).parents[2] / "docs" / "distill.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    cuhlm (distill .*)$", DOCS, re.MULTILINE)
SMALL = ["--length", "96", "--rows", "8", "--batch", "4", "--held-out", "2", "--passes", "1", "--threads", "1"]
ROUND_TOKENS = 8 * 96


def distil(command: str | list[str], *extra: str) -> dict[str, object]:
    """What the command prints; of an option that is given twice, the second counts."""
    arguments = shlex.split(command) if isinstance(command, str) else command
    result = CliRunner().invoke(app, [*arguments, *SMALL, "--json", *extra])
    if isinstance(result.exception, CuhlmError):
        raise result.exception
    assert result.exit_code == 0, result.output
    numbers: dict[str, object] = json.loads(result.stdout)
    return numbers


@pytest.fixture(scope="module")
def folder(tiny_target: Path, prompt_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the names in docs/distill.md mean something."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "large.gguf").symlink_to(tiny_target)
    (folder / "prompts.jsonl").symlink_to(prompt_file)
    with contextlib.chdir(folder):
        yield folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """The folder of the first command of the docs, done with two rounds of two layers."""
    numbers = distil(COMMANDS[0], "--layers", "2", "--tokens", str(2 * ROUND_TOKENS))
    assert set(numbers) >= {"agreements", "tokens_per_second", "one_minus_tv_by_type"}
    return folder / "draft"


def test_it_leaves_a_draft_that_llama_cpp_runs(run: Path, tiny_target: Path) -> None:
    files = sorted(path.name for path in run.glob("*.gguf"))
    assert files[0] == "draft-f16.gguf"
    assert re.fullmatch(r"draft-q4_[01]\.gguf", files[1])
    assert len(files) == 2
    target = LlamaCppEngine.load(tiny_target, context_length=64, threads=1)
    draft = LlamaCppEngine.load(run / files[1], context_length=64, threads=1)
    assert draft.card.name == "draft"
    assert draft.card.vocab_fingerprint == target.card.vocab_fingerprint
    assert draft.card.chat == target.card.chat
    draft.close()
    target.close()


def test_the_card_says_what_was_measured(run: Path) -> None:
    card = (run / "README.md").read_text(encoding="utf-8")
    assert "# draft-q4_" in card
    assert "| T | 1 − TV | keyed | same argmax | n |" in card
    assert f"\n{2 * ROUND_TOKENS} tokens" in card
    layers = json.loads((run / "layers.json").read_text())
    assert f"the target's layers {layers[0]}, {layers[1]} (counted from 0), fitted" in card


def test_the_same_command_with_more_tokens_trains_on(run: Path) -> None:
    history = run / "history.jsonl"
    tokens = [json.loads(line)["tokens"] for line in history.read_text().splitlines()]
    assert tokens == [0, ROUND_TOKENS, 2 * ROUND_TOKENS]
    distil(COMMANDS[2], "--layers", "2", "--tokens", str(3 * ROUND_TOKENS))
    assert [json.loads(line)["tokens"] for line in history.read_text().splitlines()] == [*tokens, 3 * ROUND_TOKENS]


def test_whole_layers_are_fitted_too(run: Path) -> None:
    target = read_weights(run.parent / "large.gguf").arrays
    layers = json.loads((run / "layers.json").read_text())
    with np.load(run / "fitted.npz") as fitted:
        for index, layer in enumerate(layers):
            after, before = fitted[layer_name(index, "ffn_down")], target[layer_name(layer, "ffn_down")]
            assert after.shape == before.shape
            assert not np.array_equal(after, before)


def test_it_narrows_every_layer_once(run: Path) -> None:
    narrow = run.parent / "narrow"
    arguments = ["--layers", "3", "--neurons", "64", "--tokens"]
    distil(COMMANDS[1], *arguments, str(ROUND_TOKENS))
    written = (narrow / "fitted.npz").stat().st_mtime_ns
    distil(COMMANDS[1], *arguments, str(2 * ROUND_TOKENS))
    assert (narrow / "fitted.npz").stat().st_mtime_ns == written
    assert read_shape(narrow / "draft-f16.gguf").neurons == 64
    assert "with 64 of 96 neurons each" in (narrow / "README.md").read_text(encoding="utf-8")


class Interrupts:
    """Ends a sitting as Ctrl-C does, when the target has written the held-out answers."""

    def begins(self, work: str, _: int) -> None:
        if work != "writing held-out answers":
            raise KeyboardInterrupt

    def done(self, units: int) -> None:
        pass


def test_hours_of_a_sitting_that_ended_before_it_measured_anything_are_on_the_card(folder: Path) -> None:
    out = Path("interrupted")
    training = Training(
        layers=2, tokens=ROUND_TOKENS, length=96, rows_per_text=8, rows_per_step=4, held_out=2, learning_rate=6e-4
    )
    prompts = [prompt.text for prompt in read_prompts(Path("prompts.jsonl"))]
    recipe = Recipe(Path("large.gguf"), None, prompts, "prompts.jsonl", "draft", training)
    with pytest.raises(KeyboardInterrupt):
        distill(recipe, out, Interrupts(), threads=1)
    assert json.loads((out / "seconds.json").read_text()) > 0
    (out / "seconds.json").write_text("7200.0")  # as if it had taken two hours
    distil(COMMANDS[0], "--layers", "2", "--tokens", str(ROUND_TOKENS), "--out", str(out))
    assert re.search(r"in 2\.0\d hours", (out / "README.md").read_text(encoding="utf-8"))


def test_another_run_in_the_same_folder_is_refused(run: Path) -> None:
    with pytest.raises(ConfigurationError, match="layers 2, not 3"):
        distil(COMMANDS[0], "--layers", "3", "--tokens", str(3 * ROUND_TOKENS))


def test_it_goes_on_from_a_draft(run: Path) -> None:
    start = ["--start", str(run / "draft-f16.gguf"), "--target", "large.gguf", "--layers", "2"]
    distil(COMMANDS[3], *start, "--tokens", str(ROUND_TOKENS))
    assert "begun from `draft-f16.gguf`" in (run.parent / "better" / "README.md").read_text(encoding="utf-8")
    assert not (run.parent / "better" / "layers.json").exists()


def test_all_commands_of_the_docs_were_run() -> None:
    assert len(COMMANDS) == 4


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--layers", "9"], "at most the target's 4"),
        (["--loss", "l2"], "--loss is 'l2'"),
        (["--name", "../x"], "cannot name a file"),
        (["--tokens", "100", "--held-out", "4"], "to be held out"),
        (["--length", "20"], "make rows longer"),
        (["--batch", "3"], "divisor of 8"),
        (["--batch", "0"], "divisor of 8"),
        (["--rows", "0"], "rows: 0; expected 1 or more"),
        (["--start", BUILT_IN_TARGET], "30 layers, and --layers says 2"),
        (["--neurons", "128"], "at most the target's 96"),
        (["--neurons", "50"], "neurons: 50; expected 32, 64, 96"),
        (["--threads", "0"], "threads is 0"),
        (["--length", "4096"], "context_length is 4160; expected 1 to 2048"),
    ],
)
def test_mistakes_are_told_in_one_line(folder: Path, extra: list[str], message: str) -> None:
    with pytest.raises(CuhlmError) as error:
        distil(COMMANDS[0], "--layers", "2", "--out", "mistaken", *extra)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_draft_of_another_target_is_refused(folder: Path, other_rotation: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"rope_base 500\.0, and the target 10000\.0"):
        distil(COMMANDS[0], "--layers", "4", "--out", "mistaken", "--start", str(other_rotation))


def test_a_target_with_scaled_positions_is_refused(folder: Path, scaled_rotation: Path) -> None:
    with pytest.raises(ModelError, match=r"scales its rotary positions \(by 4\)"):
        distil(COMMANDS[0], "--layers", "2", "--out", "mistaken", "--target", str(scaled_rotation))


@pytest.mark.parametrize("length", [4, 2000])
def test_a_file_that_ends_too_soon_is_refused(folder: Path, tiny_target: Path, tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_target.read_bytes()[:length])
    with pytest.raises(ModelError, match="no readable GGUF file"):
        distil(COMMANDS[0], "--layers", "2", "--out", "mistaken", "--target", str(cut))


def test_equal_prompts_are_held_out_together(folder: Path) -> None:
    Path("twice.jsonl").write_text('{"prompt": "Name a fruit."}\n' * 3 + '{"prompt": "Name a tree."}\n')
    with pytest.raises(ConfigurationError, match="2 different prompts are given"):
        distil(COMMANDS[0], "--layers", "2", "--out", "mistaken", "--prompts", "twice.jsonl")
