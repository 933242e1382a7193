"""`lossless` gives the tokens of `remote` with the same seed, whatever comes when (design 2.10, law 1).

Equality to the bit, on targets that are batch-invariant: no error rate. Negative controls: an answer that is not the
target's is told from it, and so is a verifier that trusts drafts. CUHLM_LAW_TOKENS=100000 is the nightly size.
"""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.toy_pair import PROMPT, settings
from tests.unsteady_link import Unsteady

from cuhlm.device.device import Answer, Device, Request, collect
from cuhlm.device.ending import Limits
from cuhlm.device.steps import Reason
from cuhlm.engines.base import Engine
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.link.base import Link
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import Block, Fate, Sampling, Verdict
from cuhlm.testing import PaddedEngine, ToyEngine
from cuhlm.theory.pacing import PassTime
from cuhlm.verifier.host import Verifier
from cuhlm.verifier.session import Session

TOKENS = int(os.environ.get("CUHLM_LAW_TOKENS", "3000"))
VOCAB = 24
END = 7
LOSSLESS, REMOTE = settings("lossless"), settings("remote")
SAMPLINGS = (
    Sampling(0),
    Sampling(0.7),
    Sampling(1),
    Sampling(1, top_p=0.8),
    Sampling(1, top_k=5),
    Sampling(1.3, min_p=0.1),
    Sampling(0.7, top_k=9, top_p=0.9, min_p=0.02),
)
FLAT = PassTime(0.001, 0.0)
"""Passes that cost the same with any number of drafts, so that all that come are taken."""


def toy(noise: float = 0.0, *, seed: int = 5, context_length: int = 512, sequences: int = 8) -> ToyEngine:
    return ToyEngine(
        vocab_size=VOCAB, seed=seed, noise=noise, end_token=END, context_length=context_length, sequences=sequences
    )


DRAFTS = {"the target itself": toy(), "a good draft": toy(0.3), "a poor one": toy(1.5), "another model": toy(seed=99)}


@contextmanager
def served(target: Engine, *, sessions: int = 8) -> Iterator[Link]:
    with closing(Verifier(PaddedEngine(target, FLAT), max_sessions=sessions)) as verifier:
        yield InProcessLink(verifier)


def answered(device: Device, request: Request, patience: float = 0.0) -> Answer:
    return collect(device.generate(replace(LOSSLESS, patience_seconds=patience), request))


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    with served(toy()) as link:
        yield link


@pytest.mark.parametrize("patience", [0.0, 0.002, math.inf])
@pytest.mark.parametrize("draft", DRAFTS)
def test_its_tokens_are_those_of_remote(link: Link, draft: str, patience: float) -> None:
    made, seed, taken = 0, 0, 0
    with closing(Device(DRAFTS[draft], link)) as device:
        while made < TOKENS / 12:
            request = Request(PROMPT, SAMPLINGS[seed % len(SAMPLINGS)], seed, Limits(60))
            one, other = answered(device, request, patience), collect(device.generate(REMOTE, request))
            assert (one.tokens, one.text, one.reason) == (other.tokens, other.text, other.reason)
            passes = sum(record.target_passes for record in one.records)
            assert passes <= len(one.tokens), "at most one pass a token"
            made, seed = made + len(one.tokens), seed + 1
            taken += sum(record.fate is Fate.ACCEPTED for record in one.records)
    if draft == "the target itself" and patience:
        assert taken, "the law is tested where drafts are taken"


@pytest.mark.parametrize("patience", [0.0, math.inf])
def test_it_ends_where_remote_ends(patience: float) -> None:
    reasons = set()
    with served(toy(context_length=40)) as link, closing(Device(toy(0.3, context_length=40), link)) as device:
        for seed in range(60):
            limits = Limits(max_tokens=1 + seed % 50, stop_strings=("b", "cd") if seed % 3 == 0 else ())
            request = Request(PROMPT, Sampling(1), seed, limits)
            one, other = answered(device, request, patience), collect(device.generate(REMOTE, request))
            assert (one.tokens, one.text, one.reason) == (other.tokens, other.text, other.reason)
            reasons.add(one.reason)
    assert reasons == set(Reason)


@pytest.mark.parametrize(
    ("draft_context", "prompt"), [(24, PROMPT), (24, (1, 2, 3) * 10)], ids=["long answer", "long prompt"]
)
def test_a_draft_model_that_holds_less_than_the_target_shortens_no_answer(
    draft_context: int, prompt: tuple[int, ...]
) -> None:
    with (
        served(toy(context_length=80)) as link,
        closing(Device(toy(0.3, context_length=draft_context), link)) as device,
    ):
        lengths = set()
        for seed in range(12):
            request = Request(prompt, Sampling(1), seed, Limits(200))
            one, other = answered(device, request), collect(device.generate(REMOTE, request))
            assert (one.tokens, one.text, one.reason) == (other.tokens, other.text, other.reason)
            lengths.add(len(prompt) + len(one.tokens))
    assert max(lengths) > draft_context


def test_tied_tokens_are_decided_alike_by_draft_and_target() -> None:
    """Logits of few values: top-k and top-p cut within ties, and the race meets equal probabilities."""
    with served(_Rounded(toy())) as link, closing(Device(_Rounded(toy(0.3)), link)) as device:
        for seed, sampling in enumerate(SAMPLINGS * 4):
            request = Request(PROMPT, sampling, seed, Limits(50))
            assert answered(device, request).tokens == collect(device.generate(REMOTE, request)).tokens


class _Rounded:
    """An engine whose logits are whole numbers."""

    def __init__(self, engine: Engine) -> None:
        self.card, self.tokenizer = engine.card, engine.tokenizer
        self.open, self.close, self._engine = engine.open, engine.close, engine

    def advance(self, batch: Sequence[object]) -> list[np.ndarray]:
        return [np.round(rows) for rows in self._engine.advance(batch)]  # type: ignore[arg-type]


def test_sessions_beside_each_other_do_not_mix() -> None:
    with served(toy()) as link, closing(Device(toy(0.3), link)) as device, ThreadPoolExecutor(8) as threads:
        requests = [
            Request((1 + seed % 4, 2, 3), SAMPLINGS[seed % len(SAMPLINGS)], seed, Limits(60)) for seed in range(24)
        ]
        alone = [collect(device.generate(REMOTE, request)).tokens for request in requests]
        # Good drafts, and behind the same verifier those of another model.
        with closing(Device(DRAFTS["another model"], link)) as careless:
            devices = [device, careless]
            together = threads.map(
                lambda numbered: answered(devices[numbered[0] % 2], numbered[1]).tokens, enumerate(requests)
            )
            assert list(together) == alone


def test_an_answer_that_is_continued_in_a_new_session_is_the_same(link: Link) -> None:
    with closing(Device(toy(0.3), link)) as device:
        whole = answered(device, Request(PROMPT, Sampling(0.7), 4, Limits(30))).tokens
        for cut in range(1, len(whole)):
            rest = Request((*PROMPT, *whole[:cut]), Sampling(0.7), 4, Limits(30 - cut))
            assert answered(device, rest).tokens == whole[cut:]


@given(st.data())
@hypothesis_settings(max_examples=60, deadline=None)
def test_no_schedule_of_delays_drops_and_cuts_changes_a_token(link: Link, data: st.DataObject) -> None:
    draft = data.draw(st.sampled_from(sorted(DRAFTS)))
    request = Request(PROMPT, data.draw(st.sampled_from(SAMPLINGS)), data.draw(st.integers(0, 2**64 - 1)), Limits(40))
    fates = data.draw(st.lists(st.sampled_from(["now", "late", "lost", "cut"]), min_size=1, max_size=12))
    delays = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=12))
    patience = data.draw(st.sampled_from([0.0, 0.002]))
    with closing(Device(DRAFTS[draft], Unsteady(link, fates, delays))) as device:
        one = answered(device, request, patience)
    with closing(Device(DRAFTS[draft], link)) as device:
        assert one.tokens == collect(device.generate(REMOTE, request)).tokens


@pytest.mark.parametrize("patience", [0.0, 0.004])
def test_drafts_behind_some_that_were_lost_or_overtaken_change_no_token(
    link: Link, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict counts the device's own drafts: those that the verifier holds must be the same ones."""
    monkeypatch.setattr("cuhlm.device.ahead.CHUNK_SECONDS", 0.0)
    unsteady = Device(DRAFTS["a poor one"], Unsteady(link, ["lost", "late"], [1]))
    with closing(unsteady), closing(Device(DRAFTS["a poor one"], link)) as steady:
        for seed in range(25):
            request = Request(PROMPT, Sampling(0.5), seed, Limits(60))
            assert answered(unsteady, request, patience).tokens == collect(steady.generate(REMOTE, request)).tokens


def test_a_verifier_that_trusts_its_drafts_is_told_from_the_target(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: drafts that are let stand unjudged give other tokens, and the test sees it."""

    def trusting(self: Session, block: Block, logits: np.ndarray) -> Verdict:
        drafts = len(block.drafted)
        token = self._target_token(logits[drafts], block.position + drafts)
        return Verdict(block.position, drafts, token, judged=drafts)

    with closing(Device(DRAFTS["a poor one"], link)) as device:
        requests = [Request(PROMPT, Sampling(1), seed, Limits(60)) for seed in range(10)]
        right = [collect(device.generate(REMOTE, request)).tokens for request in requests]
        monkeypatch.setattr(Session, "_compared", trusting)
        assert [answered(device, request, math.inf).tokens for request in requests] != right


@pytest.mark.parametrize("temperature", [0, 0.7, 1])
def test_the_real_pair_gives_the_tokens_of_remote(
    draft_engine: LlamaCppEngine, target_engine: LlamaCppEngine, temperature: float
) -> None:
    prompt = encode_prompt(draft_engine.tokenizer, draft_engine.card.chat, "Give me three tips for packing a suitcase.")
    taken = 0
    with (
        closing(Verifier(PaddedEngine(target_engine, PassTime(0.02, 0.0)), max_sessions=2)) as verifier,
        closing(Device(draft_engine, InProcessLink(verifier))) as device,
    ):
        for sampling in (Sampling(temperature), Sampling(temperature, top_p=0.95)):
            request = Request(prompt, sampling, 3, Limits(24))
            one, other = answered(device, request, math.inf), collect(device.generate(REMOTE, request))
            assert (one.tokens, one.text) == (other.tokens, other.text)
            taken += sum(record.fate is Fate.ACCEPTED for record in one.records)
    assert taken, "some drafts were taken, so that blocks of several rows are under test"
