"""Every link keeps the contract of `cuhlm.testing.check_link`, and the contract notices one that does not."""

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace

import pytest
from tests.eventually import HANG_SECONDS
from tests.toy_server import serving

from cuhlm.channel.clock import VirtualClock
from cuhlm.channel.compute import COMPUTE_TABLES
from cuhlm.channel.presets import find_channel
from cuhlm.errors import LinkError, ProtocolError
from cuhlm.link.base import Link, LinkSession, Traffic, ignored
from cuhlm.link.grpc import GrpcLink
from cuhlm.link.in_process import InProcessLink
from cuhlm.link.simulated import SimulatedLink
from cuhlm.messages import Block, Chunk, ModelCard, Opening, Verdict, Verification
from cuhlm.testing import LINK_CHECKS, LinkCheck, ToyEngine, check_link, link_target
from cuhlm.testing.check_link import MIN_SESSIONS, check_ahead
from cuhlm.verifier.host import Verifier


def simulated(inner: Link) -> SimulatedLink:
    return SimulatedLink(inner, find_channel("lte"), COMPUTE_TABLES["phone-1b-server-7b"], VirtualClock())


@contextmanager
def in_process() -> Iterator[Link]:
    with closing(Verifier(link_target(), max_sessions=MIN_SESSIONS)) as verifier:
        yield InProcessLink(verifier)


@contextmanager
def over_grpc() -> Iterator[Link]:
    with serving(link_target(), sessions=MIN_SESSIONS) as address:
        yield GrpcLink(address, deadline_seconds=HANG_SECONDS)


@pytest.fixture(scope="module", params=[in_process, over_grpc], ids=["in process", "gRPC"])
def inner(request: pytest.FixtureRequest) -> Iterator[Link]:
    with request.param() as link, closing(link):
        yield link


@pytest.mark.parametrize("check", LINK_CHECKS, ids=lambda check: check.__name__)
def test_the_link_keeps_the_contract(check: LinkCheck, inner: Link) -> None:
    check(inner)


@pytest.mark.parametrize("check", LINK_CHECKS, ids=lambda check: check.__name__)
def test_a_simulated_link_around_it_keeps_the_contract(check: LinkCheck, inner: Link) -> None:
    check(simulated(inner))


@pytest.mark.parametrize("made", [in_process, over_grpc], ids=["in process", "gRPC"])
def test_links_keep_the_contract_until_they_are_closed_twice(made: Callable[[], AbstractContextManager[Link]]) -> None:
    with made() as link:
        check_link(lambda: link)


class _Wrong:
    """A link that hands everything on but for what a subclass does wrong."""

    def __init__(self, inner: Link) -> None:
        self.inner = inner

    def describe(self) -> ModelCard:
        return self.inner.describe()

    def vocabulary(self) -> Sequence[bytes]:
        return self.inner.vocabulary()

    def open(self, opening: Opening) -> LinkSession:
        return self.inner.open(opening)

    def close(self) -> None:
        self.inner.close()


class _WrongSession:
    def __init__(self, inner: LinkSession) -> None:
        self.inner = inner

    def send(self, block: Block) -> None:
        self.inner.send(block)

    def offer(self, chunk: Chunk) -> None:
        self.inner.offer(chunk)

    def wake(self) -> None:
        self.inner.wake()

    def receive(self, timeout_seconds: float | None) -> Verdict | None:
        return self.inner.receive(timeout_seconds)

    def ready(self, heard: Callable[[int], None] = ignored) -> None:
        self.inner.ready(heard)

    def traffic(self) -> Traffic | None:
        return self.inner.traffic()

    def close(self) -> None:
        self.inner.close()


class _ForgetsTheSeed(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        return self.inner.open(replace(opening, seed=0))


class _KeepsNothing(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def send(self, block: Block) -> None:
                self.inner.send(replace(block, kept=()))

        return Session(self.inner.open(opening))


class _ForgetsTheTemperature(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        return self.inner.open(replace(opening, sampling=replace(opening.sampling, temperature=1.0)))


class _ShortensTheVocabulary(_Wrong):
    def vocabulary(self) -> Sequence[bytes]:
        return self.inner.vocabulary()[:-1]


class _KeepsPlaces(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def close(self) -> None:
                pass

        return Session(self.inner.open(opening))


class _WaitsWhereItShouldLook(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def receive(self, timeout_seconds: float | None) -> Verdict | None:
                if timeout_seconds == 0:
                    time.sleep(0.01)
                return super().receive(timeout_seconds)

        return Session(self.inner.open(opening))


class _LosesSyncs(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def send(self, block: Block) -> None:
                super().send(replace(block, position=block.position - len(block.sync), sync=()))

        return Session(self.inner.open(opening))


class _LosesPartOfAStream(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def send(self, block: Block) -> None:
                super().send(replace(block, generate=min(block.generate, 5)))

        return Session(self.inner.open(opening))


class _AcceptsEverything(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def receive(self, timeout_seconds: float | None) -> Verdict | None:
                verdict = super().receive(timeout_seconds)
                return replace(verdict, accepted=1, token=None) if verdict and verdict.betas else verdict

        return Session(self.inner.open(opening))


class _CallsARefusalALostLink(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def receive(self, timeout_seconds: float | None) -> Verdict | None:
                try:
                    return super().receive(timeout_seconds)
                except ProtocolError as error:
                    raise LinkError(str(error)) from error

        return Session(self.inner.open(opening))


class _TrustsDrafts(_Wrong):
    """Says that one more draft stands than does."""

    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def receive(self, timeout_seconds: float | None) -> Verdict | None:
                verdict = super().receive(timeout_seconds)
                if verdict is None or verdict.accepted >= verdict.judged or verdict.betas:
                    return verdict
                return replace(verdict, accepted=verdict.accepted + 1)

        return Session(self.inner.open(opening))


class _TakesDraftsForVerdicts(_Wrong):
    """Says what was streamed ahead where the target says something else."""

    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def __init__(self, inner: LinkSession) -> None:
                super().__init__(inner)
                self.drafts: dict[int, int] = {}

            def offer(self, chunk: Chunk) -> None:
                self.drafts |= dict(enumerate(chunk.drafted, chunk.position))
                super().offer(chunk)

            def receive(self, timeout_seconds: float | None) -> Verdict | None:
                verdict = super().receive(timeout_seconds)
                if verdict is None or verdict.token is None:
                    return verdict
                return replace(verdict, token=self.drafts.get(verdict.position + verdict.accepted, verdict.token))

        return Session(self.inner.open(opening))


class _ShiftsAStream(_Wrong):
    """Tells the positions of a stream one late once drafts were sent."""

    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            shift = 0

            def offer(self, chunk: Chunk) -> None:
                self.shift = 1
                super().offer(chunk)

            def receive(self, timeout_seconds: float | None) -> Verdict | None:
                verdict = super().receive(timeout_seconds)
                return verdict and replace(verdict, position=verdict.position + self.shift)

        return Session(self.inner.open(opening))


class _SaysMoreThanWasAsked(_Wrong):
    """Asks for one token more where drafts may be streamed ahead."""

    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def send(self, block: Block) -> None:
                more = opening.verification is Verification.KEYED and block.generate > 1 and not block.drafted
                super().send(replace(block, generate=block.generate + more))

        return Session(self.inner.open(opening))


class _DropsTheBonus(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def send(self, block: Block) -> None:
                super().send(replace(block, generate=0) if block.drafted and block.generate == 1 else block)

        return Session(self.inner.open(opening))


class _LosesALaw(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def receive(self, timeout_seconds: float | None) -> Verdict | None:
                verdict = super().receive(timeout_seconds)
                return verdict and replace(verdict, law=None)

        return Session(self.inner.open(opening))


class _ForgetsHowMuchOfALaw(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        return self.inner.open(replace(opening, law_entries=min(2, opening.law_entries)))


class _ForgetsThePatience(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        return self.inner.open(replace(opening, patience_seconds=0.0))


class _NeverWakes(_Wrong):
    def open(self, opening: Opening) -> LinkSession:
        class Session(_WrongSession):
            def wake(self) -> None:
                self.woken = True

            def receive(self, timeout_seconds: float | None) -> Verdict | None:
                if getattr(self, "woken", False):
                    self.woken = False
                    return Verdict(0, 0, 0)
                return super().receive(timeout_seconds)

        return Session(self.inner.open(opening))


BROKEN = {
    _ForgetsTheSeed: "the token at position 7",
    _ForgetsTheTemperature: "the token at position 3",
    _ShortensTheVocabulary: "the vocabulary is the target's",
    _KeepsPlaces: "a session that is closed gives its place back",
    _WaitsWhereItShouldLook: "to look for a verdict does not wait",
    _LosesSyncs: "the verdict for position 6",
    _LosesPartOfAStream: "a block gets a verdict",
    _TrustsDrafts: "the drafts that stand are those that equal the target's",
    _DropsTheBonus: "the token behind them is the target's",
    _TakesDraftsForVerdicts: "the tokens of a stream are the target's, whatever was streamed ahead",
    _ShiftsAStream: "verdicts come in order",
    _SaysMoreThanWasAsked: "(a stream is as long as it was asked for|the tokens of a stream are the target's)",
    _LosesALaw: "y comes down where the draft falls",
    _ForgetsHowMuchOfALaw: "as many entries of y come down as were asked for",
    _KeepsNothing: "what is kept stands",
    _ForgetsThePatience: "a target of endless patience waits to be asked",
    _NeverWakes: "wake lets a receive return None",
    _AcceptsEverything: "some of the drafts stand and some fall",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_the_contract_notices(broken: type[_Wrong], monkeypatch: pytest.MonkeyPatch) -> None:
    checks = importlib.import_module("cuhlm.testing.check_link")
    if broken is _KeepsPlaces:
        monkeypatch.setattr(checks, "_PATIENCE_SECONDS", 0.0)  # a verifier in this process hears at once
    if broken is _WaitsWhereItShouldLook:
        monkeypatch.setattr(checks, "_LOOKS_SECONDS", 0.1)
    with in_process() as link, pytest.raises(AssertionError, match=f"not so: {BROKEN[broken]}"):
        check_link(lambda: broken(link))


def test_the_contract_notices_a_refusal_that_is_called_a_lost_link() -> None:
    with in_process() as link, pytest.raises(LinkError, match="the block begins at position"):
        check_link(lambda: _CallsARefusalALostLink(link))


def test_the_contract_notices_a_link_that_refuses_drafts_streamed_ahead() -> None:
    class Refuses(_Wrong):
        def open(self, opening: Opening) -> LinkSession:
            return self.inner.open(replace(opening, verification=Verification.TARGET))

    with in_process() as link, pytest.raises(ProtocolError, match="drafts are streamed ahead; expected none"):
        check_ahead(Refuses(link))


def test_the_contract_notices_another_target() -> None:
    with (
        closing(Verifier(ToyEngine(vocab_size=12, seed=6), max_sessions=MIN_SESSIONS)) as verifier,
        pytest.raises(AssertionError, match="the card tells the target's fingerprint"),
    ):
        check_link(lambda: InProcessLink(verifier))
