"""An answer on the terminal."""

import re
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.eventually import HANG_SECONDS
from tests.relay import relay
from tests.toy_pair import PROMPT, VOCAB, settings, toy_device
from tests.toy_server import serving

from cuhlm.cli import progress
from cuhlm.cli.show_answer import stream_answer
from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.engines.base import Advance
from cuhlm.errors import ContextOverflow, LinkError
from cuhlm.link import in_process
from cuhlm.link.grpc import GrpcLink
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import Array, Sampling
from cuhlm.records import read_trace
from cuhlm.testing import ToyEngine
from cuhlm.testing.toy_engine import ToyTokenizer
from cuhlm.verifier.host import Verifier


class SpeaksMarkup(ToyEngine):
    @property
    def tokenizer(self) -> ToyTokenizer:
        class Markup(ToyTokenizer):
            def piece(self, token: int) -> bytes:
                return b"[/]" if token >= 0 else b""

        return Markup(VOCAB, None)


class CutsTheLink(ToyEngine):
    passes, at_the_tenth_pass = 0, staticmethod(lambda: None)

    def advance(self, batch: Sequence[Advance]) -> list[Array]:
        self.passes += 1
        if self.passes == 10:
            self.at_the_tenth_pass()
        return super().advance(batch)


def test_text_that_looks_like_markup_is_shown_as_it_is_also_where_it_was_held_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    device = Device(SpeaksMarkup(vocab_size=VOCAB), None)
    request = Request(PROMPT, Sampling(), 0, Limits(3, ("[/]" * 3 + "!",)))
    stream_answer(device, settings("local"), request, notes=[], trace=None, fates=False)
    assert capsys.readouterr().out == "[/][/][/]\n"


def test_nothing_is_said_of_a_socket_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    request = Request(PROMPT, Sampling(), 0, Limits(3))
    with toy_device() as device:
        stream_answer(device, settings("hlm"), request, notes=[], trace=None, fates=True)
    said = capsys.readouterr().err
    assert "100% transmitted" in said
    assert "bytes" not in said


class StopsAtTheTenthPass(ToyEngine):
    passes = 0

    def advance(self, batch: Sequence[Advance]) -> list[Array]:
        self.passes += 1
        if self.passes == 10:
            raise KeyboardInterrupt
        return super().advance(batch)


def test_an_answer_that_is_interrupted_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    device = Device(StopsAtTheTenthPass(vocab_size=VOCAB, seed=5), None)
    with pytest.raises(KeyboardInterrupt):
        stream_answer(device, settings("local"), Request(PROMPT, Sampling(), 0), notes=[], trace=None, fates=False)
    said = capsys.readouterr().out
    assert said.endswith("\n")
    assert said.strip()


def test_an_answer_that_never_began_leaves_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with toy_device() as device, pytest.raises(ContextOverflow):
        request = Request(PROMPT * 1000, Sampling(), 0)
        stream_answer(device, settings("hlm"), request, notes=[], trace=None, fates=False)
    assert capsys.readouterr().out == ""


def test_a_lost_link_leaves_every_decided_token_on_the_screen_and_in_the_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = CutsTheLink(vocab_size=VOCAB, seed=5, noise=0.6, context_length=10**6)
    vocabulary, trace = draft.tokenizer.vocabulary(), tmp_path / "t.jsonl"
    held = tuple(f"{each.decode()}!" for each in vocabulary)  # the last character always waits
    with (
        serving(ToyEngine(vocab_size=VOCAB, seed=5, context_length=10**6)) as address,
        relay(address) as between,
        closing(GrpcLink(between.address, deadline_seconds=HANG_SECONDS)) as link,
    ):
        device = Device(draft, link)
        draft.at_the_tenth_pass = between.cut
        with pytest.raises(LinkError, match="cannot be reached"):
            stream_answer(
                device,
                settings("hlm"),
                Request(PROMPT, Sampling(), 0, Limits(10**6, held)),
                notes=[],
                trace=trace,
                fates=False,
            )
    tokens = [record.token for record in read_trace(trace)]
    assert len(tokens) in (7, 8, 9)
    assert capsys.readouterr().out == b"".join(vocabulary[token] for token in tokens).decode() + "\n"


class Slow(ToyEngine):
    def advance(self, batch: Sequence[Advance]) -> list[Array]:
        time.sleep(0.02)
        return super().advance(batch)


def test_a_prompt_that_takes_long_is_told_of_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_process, "HEARD_SECONDS", 0.05)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.1)
    request = Request((1,) * 640, limits=Limits(2))
    with Verifier(Slow(vocab_size=VOCAB, context_length=1000)) as verifier:
        device = Device(ToyEngine(vocab_size=VOCAB, context_length=1000), InProcessLink(verifier))
        stream_answer(device, settings("remote"), request, notes=[], trace=None, fates=False)
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) >= 2
    assert all(re.fullmatch(r"reading the prompt: \d+ of 640, \d+ s left", line) for line in lines)
    assert len(said.out.splitlines()) == 1
