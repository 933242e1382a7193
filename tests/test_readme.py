"""Every command and snippet of the README does what it says."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cuhlm.data import DRAFT_PROFILE
from cuhlm.engines.locate import locate
from cuhlm.verifier.process import VerifierProcess, verifier_process

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (cuhlm .*)$", README, re.MULTILINE)
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
    environment = {"CUHLM_TOKEN": verifier.token, "PATH": str(Path(sys.executable).parent)}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, f"{command}: {result.stderr}"
    return result.stdout


def test_there_is_something_to_test() -> None:
    assert len(COMMANDS) >= 6
    assert len(SNIPPETS) == 1


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


def test_what_the_readme_gives_the_demo_it_takes(folder: Path, verifier: VerifierProcess) -> None:
    given = re.findall(r"`make demo DEMO=\"?([^\"`]*)\"?`", README)
    assert len(given) == 2
    for options in given:
        assert run(
            [sys.executable, "-m", "cuhlm", "demo", *shlex.split(options), "--max-tokens", "1"], folder, verifier
        )


def test_the_python_snippet_of_the_readme_works(folder: Path, verifier: VerifierProcess) -> None:
    (code,) = SNIPPETS
    assert 'GrpcLink("127.0.0.1:50051")' in code
    link = f'GrpcLink("{verifier.address}", security=cuhlm.Security("{verifier.token}"))'
    assert run([sys.executable, "-c", code.replace('GrpcLink("127.0.0.1:50051")', link)], folder, verifier).strip()
