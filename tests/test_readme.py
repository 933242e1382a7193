"""Every command and snippet of the README does what it says; answers are shorter here."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.eventually import COMMAND_SECONDS

from cuhlm.data import DRAFT_PROFILE
from cuhlm.engines.locate import locate
from cuhlm.methods import METHODS
from cuhlm.verifier.process import VerifierProcess, verifier_process

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (cuhlm .*)$", README, re.MULTILINE)
DEMOS = re.findall(r"`make demo DEMO=\"?([^\"`]*)\"?`", README)
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's file names mean something."""
    where = tmp_path_factory.mktemp("readme")
    (where / "small.gguf").symlink_to(locate("smollm2-draft"))
    (where / "large.gguf").symlink_to(locate("smollm2-135m"))
    (where / "pair.json").write_bytes(DRAFT_PROFILE.read_bytes())
    (where / "prompts.jsonl").write_text('{"prompt": "Name three fruits."}\n')
    return where


@pytest.fixture(scope="module")
def verifier() -> Iterator[VerifierProcess]:
    with verifier_process("smollm2-135m", threads=1) as running:
        yield running


def run(command: list[str], folder: Path, verifier: VerifierProcess) -> str:
    """Run a command of the README against our verifier, which listens elsewhere and asks for a token."""
    command = [part.replace("127.0.0.1:50051", verifier.address) for part in command]
    if "generate" in command:
        command += ["--max-tokens", "16"]
    environment = {"CUHLM_TOKEN": verifier.token, "PATH": str(Path(sys.executable).parent)}
    environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")  # the cuhlm under test, wherever it is
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    assert result.returncode == 0, f"{command}: {result.stderr}"
    return result.stdout


def test_there_is_something_to_test() -> None:
    assert len(COMMANDS) >= 6
    assert len(SNIPPETS) == 1
    assert len(DEMOS) == 2


ELSEWHERE = ("cuhlm verifier", "cuhlm experiment")  # the fixture's; run by tests/cli/test_experiment.py


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(ELSEWHERE)])
def test_a_command_of_the_readme_works(command: str, folder: Path, verifier: VerifierProcess) -> None:
    assert run([sys.executable, "-m", *shlex.split(command)], folder, verifier).strip()


def test_the_verifier_of_the_readme_listens(folder: Path) -> None:
    (command,) = [command for command in COMMANDS if command.startswith("cuhlm verifier")]
    assert command.endswith("127.0.0.1:50051")
    arguments = shlex.split(command.replace("50051", "0"))
    with subprocess.Popen([sys.executable, "-m", *arguments], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "listening on 127.0.0.1:" in process.stdout.readline()
        process.terminate()


def demo(options: str, tokens: int, folder: Path, verifier: VerifierProcess) -> str:
    command = [sys.executable, "-m", "cuhlm", "demo", *shlex.split(options), "--max-tokens", str(tokens)]
    return run(command, folder, verifier)


def test_the_demo_takes_what_the_readme_gives_it_for_another_channel(folder: Path, verifier: VerifierProcess) -> None:
    options = DEMOS[1]
    assert "--channel lte" in options
    shown = demo(options, 1, folder, verifier)
    assert "channel lte" in shown
    assert all(re.search(rf"^│ {method} ", shown, re.MULTILINE) for method in METHODS)


def test_the_demo_prints_one_json_object_with_every_method(folder: Path, verifier: VerifierProcess) -> None:
    assert DEMOS[0] == "--json"
    shown = json.loads(demo(DEMOS[0], 6, folder, verifier))
    assert set(shown) >= {"pair", "channel", "methods"}
    assert list(shown["methods"]) == list(METHODS)
    keys = """tokens_per_s_simulated tokens_per_s_wall transmitted_share mean_k vocabulary_compression
    uplink_bytes_per_token wire_bytes_per_token target_passes_per_token acceptance mean_tv agreement_with_remote"""
    assert all(set(numbers) >= set(keys.split()) for numbers in shown["methods"].values())
    hlm, cu_hlm = shown["methods"]["hlm"], shown["methods"]["cu-hlm"]
    assert hlm["uplink_bytes_per_token"] == 147_456
    assert cu_hlm["tokens_per_s_simulated"] > hlm["tokens_per_s_simulated"]
    assert shown["methods"]["remote"]["mean_tv"] == 0
    assert hlm["mean_tv"] < 0.02


def test_the_python_snippet_of_the_readme_works(folder: Path, verifier: VerifierProcess) -> None:
    (code,) = SNIPPETS
    assert 'GrpcLink("127.0.0.1:50051")' in code
    assert "seed=1)" in code
    link = f'GrpcLink("{verifier.address}", security=cuhlm.Security("{verifier.token}"))'
    code = code.replace('GrpcLink("127.0.0.1:50051")', link).replace("seed=1)", "seed=1, limits=cuhlm.Limits(16))")
    assert run([sys.executable, "-c", code], folder, verifier).strip()
