"""What is interrupted ends quietly, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.eventually import HANG_SECONDS, eventually

from cuhlm.errors import LinkError
from cuhlm.link.grpc import GrpcLink
from cuhlm.messages import Block, Opening, Sampling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started() -> Generator[Start, None, None]:
    """Starts cuhlm with arguments; a test that fails leaves nothing running."""
    with ExitStack() as stack:

        def start(*arguments: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "cuhlm", *arguments]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, said = process.communicate(timeout=HANG_SECONDS)
    return process.returncode, said


@pytest.mark.parametrize(("name", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_verifier_that_is_interrupted_while_it_loads_says_nothing(
    started: Start, tmp_path: Path, name: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as hub:  # of a model that never comes
        hub.settimeout(HANG_SECONDS)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.getsockname()[1]}")
        process = started("verifier", "--model", "hf:owner/repo/slow.gguf", "--listen", "127.0.0.1:0")
        asked, _ = hub.accept()
        with asked:
            process.send_signal(name)
            assert ended(process) == (code, "")


def test_a_pipe_is_no_model_and_is_not_waited_for(started: Start, tmp_path: Path) -> None:
    model = tmp_path / "slow.gguf"
    os.mkfifo(model)
    code, said = ended(started("verifier", "--model", str(model), "--listen", "127.0.0.1:0"))
    assert code == 2
    assert f"the model {model} is no file; expected a GGUF file" in said


def test_a_verifier_that_is_ended_tells_its_devices_and_no_traceback(started: Start) -> None:
    process = started("verifier", "--model", "smollm2-135m", "--listen", "127.0.0.1:0", "--threads", "1")
    assert process.stdout is not None
    address = process.stdout.readline().partition("listening on ")[2].split()[0]
    with closing(GrpcLink(address, deadline_seconds=HANG_SECONDS)) as link:
        session = link.open(Opening((1, 2, 3), Sampling(), 0, link.describe().vocab_size))
        session.ready()
        session.send(Block(3, (), generate=500))
        assert session.receive(None) is not None
        process.terminate()
        with pytest.raises(LinkError, match="the verifier is shutting down"):
            while True:
                session.receive(None)
    assert ended(process) == (0, "")


def test_a_verifier_that_is_ended_while_it_reads_a_long_prompt_does_not_read_on(started: Start) -> None:
    process = started(
        "verifier", "--model", "smollm2-135m", "--listen", "127.0.0.1:0", "--threads", "1", "--context", "8192"
    )
    assert process.stdout is not None
    address = process.stdout.readline().partition("listening on ")[2].split()[0]
    with closing(GrpcLink(address, deadline_seconds=20)) as link:
        session = link.open(Opening((1, 2, 3, 4) * 2000, Sampling(), 0, link.describe().vocab_size))
        session.ready()
        process.terminate()
        with pytest.raises(LinkError, match="the verifier is shutting down"):
            session.receive(None)
        session.close()
    assert ended(process) == (0, "")  # the prompt would take minutes


SPEC = """
title = "a test"
draft = "smollm2-draft"
target = "smollm2-135m"
prompts.few = { file = "few.jsonl" }
calibration = { prompts = "few", max_tokens = 128 }
billing = { channels = ["lte"] }
grid = [{ prompts = ["few"], temperatures = [1.0], max_tokens = 8, methods = [{ method = "remote" }] }]
"""


@pytest.mark.parametrize(("name", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_experiment_that_is_interrupted_ends_after_the_answer_under_way_also_while_it_calibrates(
    started: Start, tmp_path: Path, name: signal.Signals, code: int
) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "few.jsonl").write_text('{"prompt": "Tell me a long story."}\n' * 20)
    out = tmp_path / "out"
    process = started("experiment", str(tmp_path / "spec.toml"), "--out", str(out), "--processes", "1")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("calibrating")
    process.send_signal(name)
    assert ended(process) == (code, "")
    assert not [*out.rglob("*.partial*"), *(out / "profiles").iterdir()]


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_ended_takes_its_verifier_with_it(started: Start, name: signal.Signals) -> None:
    process = started("demo", "--json")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def its_verifier() -> Path:
        (child,) = children.read_text().split()
        return Path(f"/proc/{child}")

    verifier = eventually(its_verifier, ValueError)
    process.send_signal(name)
    code, said = ended(process)
    assert code == (143 if name is signal.SIGTERM else -name)
    assert "Traceback" not in said

    def it_is_gone() -> None:  # a moment later: a parent that was killed cannot wait for it
        assert not verifier.exists()

    eventually(it_is_gone)
