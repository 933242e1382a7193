"""The command line, as a person runs it: real processes, real models. The README's test runs more of it."""

import json
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.eventually import COMMAND_SECONDS

from cuhlm.cli import main
from cuhlm.engines.locate import locate
from cuhlm.records import read_trace


def cuhlm(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "cuhlm", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        cwd=cwd,
    )


def refused(*arguments: str) -> str:
    """The one line that a mistake gets, in a process of its own."""
    result = cuhlm(*arguments)
    assert result.returncode == 2, result.stderr
    return the_one_line(result.stdout, result.stderr)


def refused_here(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """The same line, in this process: a new one takes half a second to begin."""
    monkeypatch.setattr(sys, "argv", ["cuhlm", *arguments])
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")  # what main sets is undone
    ended_before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, ended_before)
    assert ended.value.code == 2
    return the_one_line(*capfd.readouterr())


def the_one_line(out: str, err: str) -> str:
    assert out.strip() == ""
    assert err.startswith("cuhlm: ")
    assert len(err.strip().splitlines()) == 1
    return err


PROMPTS = str(Path(__file__).parent / "prompts.jsonl")
DISTILL = ("distill", "--layers", "4", "--prompts", PROMPTS, "--out", "d")
CALIBRATE = ("calibrate", "--prompts", PROMPTS, "--out", "p.json")


@pytest.mark.parametrize(
    "command", ["", "demo", "generate", "verifier", "calibrate", "plan", "experiment", "distill", "describe"]
)
def test_every_command_has_help(command: str) -> None:
    result = cuhlm(*command.split(), "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout


def test_the_version_is_the_installed_one() -> None:
    assert cuhlm("--version").stdout == f"cuhlm {version('cuhlm')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("generate", "hi", "--method", "magic"),
            "the method 'magic' is unknown; expected one of local, remote, lossless",
        ),
        (("generate", "hi", "--draft", "nowhere.gguf", "--method", "local"), "nowhere.gguf"),
        (
            ("generate", "hi", "--draft", "small.gguf"),
            "needs a target, and none is named; give --verifier HOST:PORT or",
        ),
        (("generate", "hi", "--target", "smollm2-135m", "--patience", "-1"), "the patience is -1.0; expected 0 s or"),
        (("generate", "hi", "--target", "smollm2-135m", "--block", "2"), "2 drafted tokens per request for lossless"),
        (("generate", "hi", "--temperature", "-1"), "temperature is -1.0; expected"),
        (("generate", "hi", "--top-k", "4294967296"), "top_k is 4294967296; expected"),
        (("generate", "hi", "--verifier", "nowhere"), "expected HOST:PORT"),
        (("generate", "hi", "--verifier", "127.0.0.1:9", "--deadline", "5"), "cannot be reached"),
        (
            ("generate", "hi", "--target", "smollm2-135m", "-m", "u-hlm", "--threshold", "2"),
            "expected risk-averse, risk-prone, or",
        ),
        (("generate", "hi", "--target", "smollm2-135m", "--draft-from", "y"), "expected one of x, xhat"),
        (("generate", "hi", "--target", "a", "--verifier", "b:1"), "expected one"),
        (("verifier", "--model", "smollm2-135m", "--listen", "0.0.0.0:0"), "open to the network and no token is set"),
        (("verifier", "--model", "smollm2-135m", "--tls-cert", "a.pem"), "expected both or neither"),
        (
            ("generate", "hi", "--verifier", "192.0.2.1:1", "--token", "abc"),
            "the token would go to 192.0.2.1:1 in clear",
        ),
        (("generate", "caf\udce9"), "which is no character; expected Unicode; is it in another encoding than UTF-8?"),
        (("generate", "hi", "--target", "smollm2-135m", "--trace", "no/where"), "the trace no/where cannot be written"),
        (("verifier", "--model", "smollm2-135m", "--listen", "127.0.0.1:99999"), "with a port from 0 to 65535"),
        (("verifier", "--model", "smollm2-135m", "--listen", "127.0.0.1:abc"), "expected HOST:PORT"),
        (("distill", "--layers", "4", "--prompts", "nowhere.jsonl", "--out", "d"), "nowhere.jsonl cannot be read"),
        (("calibrate", "--prompts", "nowhere.jsonl", "--out", "p.json"), "nowhere.jsonl cannot be read"),
        ((*CALIBRATE, "--distortion", "-1"), "the distortion bound is -1.0; expected 0 or more"),
        ((*CALIBRATE, "--distortion", "nan"), "the distortion bound is nan; expected 0 or more"),
        ((*CALIBRATE, "--perturbations", "100000000"), "expected 1 to 1000"),
        ((*CALIBRATE, "--theta-max", "inf"), "are no range"),
        ((*CALIBRATE, "--max-tokens", "0"), "max tokens is 0; expected 1 or more"),
        (("calibrate", "--prompts", PROMPTS, "--out", "no/where.json"), "the profile no/where.json cannot be written"),
        (("demo", "--svg", "no/where.svg"), "the picture no/where.svg cannot be written"),
        (
            (*CALIBRATE, "--limit", "1", "-n", "9"),
            "9 calibration tokens are too few to fit a line; expected 10 or more",
        ),
        ((*CALIBRATE, "--draft", "smollm2-135m"), "draft and target are both SmolLM2-135M-Instruct.Q4_1.gguf"),
        ((*CALIBRATE, "--target", "nowhere.gguf"), "the target nowhere.gguf is not there"),
        ((*DISTILL, "--target", "nowhere.gguf"), "the target nowhere.gguf is not there"),
        ((*DISTILL, "--start", "nowhere.gguf"), "the start nowhere.gguf is not there"),
        ((*DISTILL, "--held-out", "4"), "2 different prompts are given, and 4 are to be held out"),
        (("demo", "--threshold", "2"), "the threshold '2' is unusable; expected risk-averse, risk-prone, or a number"),
        (("demo", "-n", "0"), "max tokens is 0; expected 1 or more"),
        (("demo", "--seed", "-1"), "the seed is -1; expected a whole number from 0 to 2^64"),
        (("demo", "-t", "200"), "temperature is 200"),
        (("demo", "--channel", "tin-can"), "the channel 'tin-can' is unknown"),
        (("demo", "--compute", "abacus"), "the compute table 'abacus' is unknown"),
    ],
)
def test_a_mistake_gets_one_line_that_says_what_to_do(
    arguments: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert message in refused_here(capfd, monkeypatch, *arguments)


def test_a_mistake_ends_a_process_with_one_line_and_exit_code_2() -> None:
    assert "the method 'magic' is unknown" in refused("generate", "hi", "--method", "magic")


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("not a model")
    assert "text.gguf" in refused("generate", "hi", "--draft", str(tmp_path / "text.gguf"), "--method", "local")


def test_generate_prints_the_answer_and_writes_the_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    arguments = ("generate", "Name three fruits.", "--target", "smollm2-135m", "--threads", "1", "-n", "12", "-t", "0")
    result = cuhlm(*arguments, "--method", "cu-hlm", "--threshold", "0.5", "--trace", str(trace))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert "12 tokens" in result.stderr
    records = list(read_trace(trace))
    assert len(records) == 12
    assert any(record.transmitted and record.k > 0 for record in records)


def test_generate_says_when_a_calibrated_threshold_never_skips() -> None:
    arguments = (
        "generate",
        "Hi",
        "--target",
        "smollm2-135m",
        "--threads",
        "1",
        "-n",
        "2",
        "--method",
        "cu-hlm",
        "--threshold",
        "risk-averse",
    )
    assert "every token is transmitted" in cuhlm(*arguments).stderr.replace("\n", " ")


def test_describe_shows_both_cards_and_the_profile() -> None:
    result = cuhlm("describe", "--target", "smollm2-135m", "--json")
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout)
    assert shown["shared_vocab_size"] == shown["draft"]["vocab_size"] == 49152
    assert shown["target"]["batch_invariant"] is True
    assert shown["profile"]["target_fingerprint"] == shown["target"]["fingerprint"]


def test_describe_lists_the_methods() -> None:
    listed = cuhlm("describe", "--methods").stdout
    assert all(name in listed for name in ("local", "remote", "hlm", "rand-hlm", "cu-hlm-offline", "route"))


def test_describe_lists_the_channels_with_their_rates_and_round_trips() -> None:
    rows = {line.split()[1]: line for line in cuhlm("describe", "--channels").stdout.splitlines() if line[:1] == "│"}
    assert set(rows) >= {"paper", "lan", "wifi", "lte", "3g", "satellite", "iot-64k", "trace:FILE.csv"}
    assert all(part in rows["lte"] for part in ("5 Mbit/s", "30 Mbit/s", "50 ms"))
    assert all(part in rows["iot-64k"] for part in ("64 kbit/s", "300 ms"))


def test_calibrate_writes_a_profile_that_generate_takes(tmp_path: Path) -> None:
    profile = tmp_path / "pair.json"
    result = cuhlm("calibrate", "--prompts", PROMPTS, "--out", str(profile), "-n", "12", "--threads", "1")
    assert result.returncode == 0, result.stderr
    assert "E[β | u]" in result.stdout
    arguments = ("generate", "Hi", "--target", "smollm2-135m", "-n", "3", "--threads", "1", "--threshold", "0.5")
    assert cuhlm(*arguments, "--profile", str(profile)).returncode == 0


def test_a_profile_of_another_pair_is_refused(tmp_path: Path) -> None:
    from cuhlm.data import DRAFT_PROFILE  # noqa: PLC0415

    target = str(locate("smollm2-135m"))
    arguments = ("generate", "hi", "--draft", target, "--target", target, "--profile", str(DRAFT_PROFILE))
    assert "was calibrated for the draft" in refused(*arguments)
