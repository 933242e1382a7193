"""One token's path, as `cuhlm/__init__.py` draws it, with the real draft and the real target."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.data import DRAFT_PROFILE
from cuhlm.device.device import Device, Request
from cuhlm.device.drafting import Drafting
from cuhlm.device.gate import make_gate
from cuhlm.device.offering import Offering
from cuhlm.device.stopwatch import Stopwatch
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.link.grpc import checked_verdict
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import Block, Fate, Opening, Sampling
from cuhlm.methods import find_method
from cuhlm.profiles import load_profile
from cuhlm.records import TokenRecord
from cuhlm.settings import Settings, settings_for
from cuhlm.theory.distributions import distribution
from cuhlm.theory.rejection import rejection_probability
from cuhlm.theory.truncation import top_k
from cuhlm.verifier.host import Verifier
from cuhlm.verifier.session import Session, Work
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.convert import block_from_wire, block_to_wire, verdict_from_wire, verdict_to_wire


@pytest.mark.parametrize("fate", [Fate.ACCEPTED, Fate.RESAMPLED])
def test_one_token_goes_from_the_draft_model_to_the_targets_verdict_and_back(
    fate: Fate, draft_engine: LlamaCppEngine, target_engine: LlamaCppEngine
) -> None:
    profile = load_profile(DRAFT_PROFILE)
    settings = settings_for(find_method("cu-hlm"), profile, threshold=0.0)  # u is never 0: the token is transmitted
    sampling, vocab_size = Sampling(temperature=0.7), draft_engine.card.vocab_size
    prompt = encode_prompt(draft_engine.tokenizer, draft_engine.card.chat, "Give me three tips for packing a suitcase.")
    watch, codec = Stopwatch(lambda: 0.0), FixedWidthCodec()

    # The device itself over the in-process link; what follows must end at the same token and the same record.
    seed, record = _seed_of(fate, draft_engine, target_engine, settings, Request(prompt, sampling))

    # engine → drafting: logits, x, and d drawn from it
    drafting = Drafting(draft_engine.open(), sampling, seed, vocab_size)
    drafting.prefill(prompt)
    proposal = drafting.propose(prompt, watch)
    assert proposal.position == len(prompt)
    assert proposal.row.logits.shape == proposal.law.shape == (vocab_size,)
    assert proposal.law[proposal.token] > 0

    # → gate: u, and the decision to ask
    gate = make_gate(settings, seed)
    u = gate.uncertainty(proposal.row, proposal.token, proposal.position)
    assert u is not None
    assert 0 < u <= 1
    assert not gate.keeps(u, proposal.position)

    # → truncation → codec: the k largest entries, as bytes
    offer = Offering(settings, codec, seed, vocab_size).offer(proposal, u, watch)
    assert offer.drafted == (proposal.token,)
    assert 1 <= offer.k < vocab_size
    assert len(offer.payloads[0].data) == (offer.k * (8 + 16) + 7) // 8

    # → wire: protobuf there
    sent = Block(proposal.position, (), offer.drafted, offer.payloads)
    message = pb.Block.FromString(block_to_wire(sent).SerializeToString())
    received = block_from_wire(message)
    assert received == sent

    # → session: the target reads what it has not read, and judges against x̂
    session = Session(
        Opening(prompt, sampling, seed, vocab_size, codec=codec.name),
        vocab_size=target_engine.card.vocab_size,
        context_length=target_engine.card.context_length,
        max_block=64,
    )
    target = target_engine.open()
    target.append(session.prefill().tokens, rows=0)
    work = session.plan(received, len(target))
    assert work == Work(keep=len(prompt) - 1, tokens=prompt[-1:], rows=1)
    logits = target.append(work.tokens, work.rows)
    verdict = session.judge(received, logits)
    rebuilt = codec.decode(received.payloads[0], vocab_size).rebuilt()
    y = distribution(logits[0], sampling)
    indices, kept = top_k(proposal.law, offer.k)
    assert np.abs(rebuilt[indices] - kept).sum() < 0.03
    assert verdict.betas == (rejection_probability(rebuilt, y, proposal.token),)

    # → wire → device: the token that stands
    returned = verdict_from_wire(pb.Verdict.FromString(verdict_to_wire(verdict).SerializeToString()))
    assert (returned.position, returned.accepted, returned.token) == (len(prompt), verdict.accepted, verdict.token)
    assert returned.betas == tuple(map(float, np.float32(verdict.betas)))
    assert checked_verdict(returned, sent, 0, vocab_size) is returned
    stands = proposal.token if returned.token is None else returned.token
    assert session.length == len(prompt) + 1
    assert y[stands] > 0

    drafting.close()
    target.close()
    assert (record.position, record.token, record.draft_token) == (len(prompt), stands, proposal.token)
    assert record.fate is (Fate.ACCEPTED if returned.token is None else Fate.RESAMPLED)
    assert (record.u, record.k, record.payload_bits) == (u, offer.k, offer.bits)
    assert (record.beta, record.transmitted, record.target_passes) == (verdict.betas[0], True, 1)


def _seed_of(
    fate: Fate, draft: LlamaCppEngine, target: LlamaCppEngine, settings: Settings, request: Request
) -> tuple[int, TokenRecord]:
    """The first seed with which the answer's first token meets this fate, and its record."""
    for seed in range(50):
        record = _first_record(draft, target, settings, replace(request, seed=seed))
        if record.fate is fate:
            return seed, record
    raise AssertionError(f"no token of 50 was {fate}")


def _first_record(draft: LlamaCppEngine, target: LlamaCppEngine, settings: Settings, request: Request) -> TokenRecord:
    with closing(Verifier(target)) as verifier:
        generation = Device(draft, InProcessLink(verifier)).generate(settings, request)
        record = next(generation).record
        generation.close()
    return record
