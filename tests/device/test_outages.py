"""Where the verifier is lost in the middle of an answer `opportunistic` goes on, and is judged once it is back."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from tests.relay import Relay, relay
from tests.toy_pair import PROMPT, settings
from tests.toy_server import serving

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.device.keeping import Keeping
from cuhlm.device.steps import Emit, Finish
from cuhlm.errors import LinkError
from cuhlm.link.grpc import GrpcLink
from cuhlm.messages import Fate, Sampling
from cuhlm.testing import PaddedEngine, ToyEngine
from cuhlm.theory.pacing import PassTime
from cuhlm.theory.score import RiskScore

VOCAB = 24
TARGET = ToyEngine(vocab_size=VOCAB, seed=5, context_length=2048, sequences=8)
DRAFT = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6, context_length=2048, sequences=8)
SLOW, QUICK = PassTime(0.01, 0.0), PassTime(0.001, 0.0)
"""Of a draft, so that an answer lasts seconds, or much is drafted in one."""


@contextmanager
def behind_a_relay(deadline: float = 60, pace: PassTime = SLOW) -> Iterator[tuple[Device, Relay]]:
    with (
        serving(TARGET) as address,
        relay(address) as between,
        closing(GrpcLink(between.address, deadline_seconds=deadline)) as link,
        closing(Device(PaddedEngine(DRAFT, pace), link)) as device,
    ):
        yield device, between


def answered(device: Device, keeping: Keeping, tokens: int, at: dict[int, object]) -> tuple[list[Emit], Finish]:
    """An answer; `at` has what is to happen behind so many tokens."""
    chosen = replace(settings("opportunistic"), risk=keeping.settings)
    generation = device.generate(chosen, Request(PROMPT, Sampling(1), 3, Limits(tokens)), keeping=keeping)
    emits: list[Emit] = []
    while True:
        try:
            emits.append(next(generation))
        except StopIteration as end:
            return emits, end.value
        if (happens := at.pop(len(emits), None)) is not None:
            happens()  # type: ignore[operator]


def account() -> Keeping:
    chosen = settings("opportunistic").risk
    assert chosen is not None
    return Keeping(chosen)


def test_an_answer_outlives_a_cut_and_all_of_it_is_judged_in_the_end() -> None:
    keeping = account()

    def outage() -> None:
        between.hold()
        between.cut()
        threading.Timer(1.0, between.release).start()

    with behind_a_relay() as (device, between):
        emits, finish = answered(device, keeping, 400, {60: outage})
    records = [emit.record for emit in emits]
    assert [record.position for record in records] == list(range(3, 403)), "none is lost, none comes twice"
    forced = [record for record in records if record.fate is Fate.LOCAL]
    assert 5 < len(forced) < 300
    assert {record.fate for record in records[-40:]} >= {Fate.ACCEPTED}, "it asks again"
    report = finish.risk
    assert report is not None
    assert (report.outages.kept, report.outages.judged) == (len(forced), len(forced))
    assert (report.produced + report.outages.kept, report.audited) == (400, report.kept)
    assert report.wrong <= report.risk * report.produced + report.slack
    assert report.outages.wrong > 0, "what it would have asked for is worse than what it keeps"


def test_more_than_a_verifier_holds_is_judged_piece_by_piece() -> None:
    keeping = account()

    def outage() -> None:
        between.hold()
        between.cut()
        threading.Timer(1.5, between.release).start()

    with behind_a_relay(pace=QUICK) as (device, between):
        emits, finish = answered(device, keeping, 1800, {60: outage})
    report = finish.risk
    assert report is not None
    assert [emit.record.position for emit in emits] == list(range(3, 1803))
    assert report.outages.kept > 150
    if emits[-1].record.fate is not Fate.LOCAL:  # else the answer ended before the verifier was back
        assert report.outages.judged == report.outages.kept
        assert report.audited == report.kept


def test_a_verifier_that_never_comes_back_ends_no_answer() -> None:
    keeping = account()
    with behind_a_relay() as (device, between):
        emits, finish = answered(device, keeping, 150, {40: between.close})
    assert len(emits) == 150
    report = finish.risk
    assert report is not None
    assert report.outages.kept > 0
    assert report.outages.judged == 0
    assert report.audited < report.kept, "and it says that they are not audited"


def test_one_that_falls_silent_is_taken_for_lost_after_the_deadline() -> None:
    with behind_a_relay(deadline=0.5) as (device, between):
        emits, _ = answered(device, account(), 200, {40: between.hold, 120: between.release})
    assert [emit.record.position for emit in emits] == list(range(3, 203))
    assert Fate.LOCAL in {emit.record.fate for emit in emits}


def test_what_outages_force_moves_no_threshold() -> None:
    """All that is forced is wrong by a score that likes nothing, and τ only rises by what was asked before."""
    keeping = account()
    keeping.settings = replace(keeping.settings, score=RiskScore(9.0, (0.0,) * 4))
    with behind_a_relay() as (device, between):
        _, finish = answered(device, keeping, 120, {30: between.close})
    report = finish.risk
    assert report is not None
    assert report.kept == 0
    assert report.outages.kept == 120 - report.produced > 50
    assert report.threshold == pytest.approx(min(1, 0.2 + 0.05 * 0.05 * report.produced))


def test_a_verifier_that_is_not_there_at_the_beginning_is_an_error() -> None:
    with behind_a_relay() as (device, between):
        between.close()
        with pytest.raises(LinkError):
            answered(device, account(), 10, {})
