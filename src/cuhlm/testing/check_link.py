"""What every link must do (design 3), as plain functions.

Use it for a link of your own, with pytest or without. Behind the link is a verifier of `link_target()` with at least
`MIN_SESSIONS` places, so that every verdict can be compared with what that target says:

    check_link(lambda: MyLink(address))

or, to have one test per promise:

    @pytest.mark.parametrize("check", LINK_CHECKS, ids=lambda check: check.__name__)
    def test_my_link_keeps_the_contract(check, my_link):
        check(my_link)
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.codec.whole_law import decode_law
from cuhlm.errors import ProtocolError, VerifierBusy
from cuhlm.link.base import Link, LinkSession
from cuhlm.messages import Array, Block, Chunk, Opening, Payload, Sampling, Verdict, Verification
from cuhlm.testing.toy_engine import ToyEngine
from cuhlm.theory.distributions import distribution
from cuhlm.theory.race import race
from cuhlm.theory.score import plausibility
from cuhlm.theory.truncation import top_k

LinkCheck = Callable[[Link], None]

MIN_SESSIONS = 2
"""The checks open this many sessions at once."""

VOCAB_SIZE = 12
OPENING = Opening(prompt=(1, 2, 3), sampling=Sampling(temperature=0.8), seed=11, vocab_size=VOCAB_SIZE)
_KEYED = replace(OPENING, verification=Verification.KEYED)
_SPLIT = replace(OPENING, verification=Verification.SPLIT)
_AUDITED = replace(OPENING, verification=Verification.AUDITED)
_NEXT = len(OPENING.prompt)

_PATIENCE_SECONDS = 60.0
"""A verifier behind a network hears a moment later that a session was closed; later than this only if never."""

_LOOKS = 1000
_LOOKS_SECONDS = 60.0
"""So many looks for a verdict take no longer, on a busy machine either, unless each waits."""

_SETTLES_SECONDS = 0.1
"""By then a verdict that should not come has come."""


def link_target() -> ToyEngine:
    """The target that the verifier behind the link must have."""
    return ToyEngine(vocab_size=VOCAB_SIZE, seed=5)


def check_link(make_link: Callable[[], Link]) -> None:
    """Run every check on one link made by `make_link`, then close it, twice.

    Args:
        make_link: makes a link to a verifier of `link_target()` with at least `MIN_SESSIONS` places, all free.

    Raises:
        AssertionError: a promise is not kept; the message says which.
    """
    link = make_link()
    try:
        for check in LINK_CHECKS:
            check(link)
    finally:
        link.close()
    link.close()


def check_card(link: Link) -> None:
    """The link describes the target that is behind it, and what its verifier allows."""
    card, target = link.describe(), link_target().card
    for name in ("vocab_size", "vocab_fingerprint", "context_length", "batch_invariant", "end_tokens", "fingerprint"):
        _expect(getattr(card, name) == getattr(target, name), f"the card tells the target's {name}")
    _expect(card.max_block >= 1, "the card tells how long a block may be")
    _expect(card.max_sessions >= MIN_SESSIONS, f"at least {MIN_SESSIONS} sessions may be open")
    _expect(link.describe() == card, "the card does not change")


def check_vocabulary(link: Link) -> None:
    """What the target's tokens stand for arrives whole and in order."""
    _expect(list(link.vocabulary()) == link_target().tokenizer.vocabulary(), "the vocabulary is the target's")


def check_generate(link: Link) -> None:
    """Asked for one token, the verifier draws it from the target's law with the session's seed."""
    with _session(link) as session:
        session.send(Block(_NEXT, (), generate=1))
        _expect_made(_received(session), _target_tokens(1)[0], _NEXT)


def check_stream(link: Link) -> None:
    """Asked for n tokens, the verifier gives n verdicts, in order, and no more."""
    with _session(link) as session:
        session.send(Block(_NEXT, (), generate=7))
        for position, token in enumerate(_target_tokens(7), _NEXT):
            _expect_made(_received(session), token, position)
        _expect_nothing(session, "n tokens are n verdicts and no more")


def check_sync(link: Link) -> None:
    """Tokens that are synced count as the history's; those of earlier verdicts need no syncing."""
    target = _target_tokens(1)[0]
    with _session(link) as session:
        session.send(Block(_NEXT, (), generate=1))
        _received(session)
        session.send(Block(_NEXT + 3, (7, 0), generate=1))
        history = (*OPENING.prompt, target, 7, 0)
        _expect_made(_received(session), _target_token(history), _NEXT + 3)


def check_draft(link: Link) -> None:
    """A drafted token is judged by the target's law against the payload's: the right β, and only then an outcome."""
    fates = set()
    for token in range(VOCAB_SIZE):
        with _session(link) as session:
            session.send(_drafting(token))
            verdict = _received(session)
        beta = max(0.0, 1 - float(_law(OPENING.prompt)[token] / _decoded()[token]))
        _expect(verdict.position == _NEXT, "a verdict tells the position of the drafted token")
        _expect(len(verdict.betas) == 1 and abs(verdict.betas[0] - beta) < 1e-5, "β is max(0, 1 − y_d / x̂_d)")
        _expect((verdict.accepted == 1) is (verdict.token is None), "a token comes back where the draft falls, only")
        _expect(verdict.token != token, "a draft that falls is not its own replacement")
        _expect(verdict.accepted == 1 or beta > 0, "a draft with β = 0 stands")
        fates.add(verdict.accepted)
    _expect(fates == {0, 1}, "some of the drafts stand and some fall")


def check_split(link: Link) -> None:
    """Where a draft judged by its x_d alone falls, the target's law comes down, whole or in part, and no token."""
    law, flat = _law(OPENING.prompt), 1 / VOCAB_SIZE
    for entries in (0, 3):
        fates = set()
        for token in range(VOCAB_SIZE):
            with _session(link, replace(_SPLIT, law_entries=entries)) as session:
                session.send(Block(_NEXT, (), (token,), probabilities=(flat,)))
                verdict = _received(session)
                beta = max(0.0, 1 - float(law[token]) / flat)
                _expect(len(verdict.betas) == 1 and abs(verdict.betas[0] - beta) < 1e-5, "β is max(0, 1 − y_d / x_d)")
                _expect((verdict.accepted == 1) is (verdict.law is None), "y comes down where the draft falls, only")
                _expect(verdict.token is None, "the device draws what replaces a draft")
                if verdict.law is not None:
                    _expect_law(verdict.law, law, entries)
                    session.send(Block(_NEXT + 1, (_other(token),), generate=1))
                    _expect_made(_received(session), _target_token((*OPENING.prompt, _other(token))), _NEXT + 1)
            fates.add(verdict.accepted)
        _expect(fates == {0, 1}, "some of the drafts stand and some fall")


def check_audits(link: Link) -> None:
    """What the device keeps stands, each audited; what it asks about is judged; nothing is made behind it."""
    target = _target_token(OPENING.prompt)
    kept = (_other(target), 7)
    asked = _target_token((*OPENING.prompt, *kept))
    with _session(link, _AUDITED) as session:
        session.send(Block(_NEXT, (), (*kept, asked), kept=(True, True, False)))
        verdict = _received(session)
        _expect((verdict.accepted, verdict.token) == (3, None), "what is kept stands, and what the target draws itself")
        _expect_audits(verdict, kept)
    with _session(link, _AUDITED) as session:
        session.send(Block(_NEXT, (), generate=5))
        session.offer(Chunk(_NEXT, kept, _NEXT, kept=(True, True)))
        check_generate(link)  # meanwhile the target is at work for another
        session.wake()
        _expect(session.receive(None) is None, "a target that audits waits to be asked")
        session.offer(Chunk(_NEXT + 2, (_other(asked),), _NEXT, asks=True, kept=(False,)))
        verdict = _received(session)
        _expect((verdict.accepted, verdict.token) == (2, asked), "a draft that is asked about and falls is replaced")
        _expect_audits(verdict, kept)


def _expect_audits(verdict: Verdict, kept: Sequence[int]) -> None:
    _expect(len(verdict.audits) == len(kept), "each kept token is audited")
    for at, (token, audit) in enumerate(zip(kept, verdict.audits, strict=True)):
        history = (*OPENING.prompt, *kept[:at])
        likely = plausibility(link_target().logits(history), token)
        _expect(audit.differs is (token != _target_token(history)), "an audit tells whether the target draws another")
        _expect(abs(audit.probability - float(_law(history)[token])) < 0.005, "an audit tells y_d")
        _expect(abs(audit.plausibility - likely) < 0.1 * likely + 1e-7, "an audit tells how plausible the token is")


def _expect_law(payload: Payload, law: Array, entries: int) -> None:
    if entries == 0:
        _expect(bool(np.array_equal(decode_law(payload, VOCAB_SIZE), law)), "y comes down whole, to the bit")
    else:
        known = FixedWidthCodec().encode(*top_k(law, entries), VOCAB_SIZE)
        _expect(payload == known, "as many entries of y come down as were asked for, the largest")


def check_repeat(link: Link) -> None:
    """A block sent twice gets the same verdict, whatever it is about."""
    for block in (Block(_NEXT, (), generate=1), _drafting(4), Block(_NEXT + 1, (6,), generate=1)):
        with _session(link) as session:
            verdicts = []
            for _ in range(2):
                session.send(block)
                verdicts.append(replace(_received(session), target_seconds=0.0, verify_seconds=0.0))
        _expect(verdicts[0] == verdicts[1], "the same block gets the same verdict")


def check_refusal(link: Link) -> None:
    """A block that does not fit is refused with a ProtocolError where its verdict is awaited; only its session ends."""
    payload = _payload()
    for what, block in (
        ("leaves a gap after the history", Block(_NEXT + 6, (), generate=1)),
        ("begins before its end", Block(_NEXT - 1, (), generate=1)),
        ("asks for nothing", Block(_NEXT, ())),
        ("drafts and asks for more than one token", Block(_NEXT, (), (1,), (payload,), generate=2)),
        ("has no payload for a draft", Block(_NEXT, (), (1,))),
        ("has an unknown token", Block(_NEXT + 1, (VOCAB_SIZE,), generate=1)),
        ("has a payload too many", Block(_NEXT, (), (1,), (payload, payload))),
        ("has a malformed payload", Block(_NEXT, (), (1,), (replace(payload, data=payload.data[:-1]),))),
        ("does not fit into the context", Block(_NEXT, (), generate=link_target().card.context_length)),
    ):
        with _session(link) as session:
            session.send(block)
            _expect_refusal(session, what)
    for what, block in (
        ("drafts and asks for more than one token, by the shared seed", Block(_NEXT, (), (1,), generate=2)),
        ("has a payload where the rule needs none", Block(_NEXT, (), (1,), (payload,))),
        ("drafts an unknown token", Block(_NEXT, (), (1, VOCAB_SIZE))),
    ):
        with _session(link, _KEYED) as session:
            session.send(block)
            _expect_refusal(session, what)
    for what, probabilities in (("no probability", ()), ("a probability of 0", (0.0,)), ("one too many", (0.5, 0.5))):
        with _session(link, _SPLIT) as session:
            session.send(Block(_NEXT, (), (1,), probabilities=probabilities))
            _expect_refusal(session, f"sends {what}")


def check_look(link: Link) -> None:
    """To look for a verdict that nobody asked for gives None at once."""
    with _session(link) as session:
        _expect_nothing(session, "where nothing was asked no verdict comes")
        session.send(Block(_NEXT, (), generate=1))
        _received(session)
        _expect_nothing(session, "one block gets one verdict")


def check_block(link: Link) -> None:
    """Drafts that are judged by the shared seed stand where they are the target's; a bonus token is behind all."""
    right = tuple(_target_tokens(4))
    for drafted, stand in ((right[:3], 3), ((*right[:1], _other(right[1]), right[2]), 1), ((_other(right[0]),), 0)):
        with _session(link, _KEYED) as session:
            session.send(Block(_NEXT, (), drafted, generate=1))
            verdict = _received(session)
            _expect(verdict.accepted == stand, "the drafts that stand are those that equal the target's tokens")
            _expect(verdict.token == right[stand], "the token behind them is the target's")


def check_ahead(link: Link) -> None:
    """Drafts that are streamed ahead, right or wrong, change no token; each is decided once, in order."""
    count = 12
    right = _target_tokens(count)
    for drafted in (right, [*right[:2], _other(right[2]), *right[3:]], [_other(token) for token in right]):
        with _session(link, _KEYED) as session:
            session.send(Block(_NEXT, (), generate=count))
            made: list[int] = []
            for at in range(0, count, 3):
                session.offer(Chunk(_NEXT + at, tuple(drafted[at : at + 3]), _NEXT))
            while len(made) < count:
                verdict = _received(session)
                _expect(verdict.position == _NEXT + len(made), "verdicts come in order, without gap or repetition")
                assert verdict.token is not None, "not so: a verdict on a stream has a token"
                made += (*drafted[len(made) : len(made) + verdict.accepted], verdict.token)
            _expect(made == right, "the tokens of a stream are the target's, whatever was streamed ahead")
            _expect_nothing(session, "a stream is as long as it was asked for")


def check_wake(link: Link) -> None:
    """`wake` ends a wait, and loses nothing."""
    with _session(link) as session:
        session.wake()
        _expect(session.receive(None) is None, "wake lets a receive return None")
        session.send(Block(_NEXT, (), generate=1))
        _expect_made(_received(session), _target_tokens(1)[0], _NEXT)


def check_patience(link: Link) -> None:
    """A target whose patience lasts for ever makes a pass when it is asked, and none else."""
    with _session(link, replace(_KEYED, patience_seconds=math.inf)) as session:
        session.send(Block(_NEXT, (), generate=6))
        made, right = 0, _target_tokens(6)
        while made < 6:
            check_generate(link)  # meanwhile the target is at work for another
            session.wake()
            _expect(session.receive(None) is None, "a target of endless patience waits to be asked")
            session.offer(Chunk(_NEXT + made, tuple(right[made : made + 1]), _NEXT + made, asks=True))
            verdict = _received(session)
            _expect(verdict.position == _NEXT + made, "verdicts come in order, without gap or repetition")
            made += verdict.accepted + 1
            _expect(verdict.token == right[made - 1], "the tokens of a stream are the target's whenever it is asked")


def check_sessions(link: Link) -> None:
    """Sessions beside each other do not mix."""
    other = replace(OPENING, prompt=(5, 5, 8, 1), seed=12)
    with _session(link) as first, _session(link, other) as second:
        second.send(Block(4, (), generate=2))
        first.send(Block(_NEXT, (), generate=2))
        for offset, token in enumerate(_target_tokens(2)):
            _expect_made(_received(first), token, _NEXT + offset)
        for offset, token in enumerate(_target_tokens(2, other)):
            _expect_made(_received(second), token, 4 + offset)


def check_traffic(link: Link) -> None:
    """Bytes on the socket are counted from the session's beginning, or not at all."""
    with _session(link) as session:
        before = session.traffic()
        session.send(_drafting(4))
        _received(session)
        after = session.traffic()
        _expect((before is None) == (after is None), "bytes are counted from the beginning or not at all")
        if before is not None and after is not None:
            _expect(before.up >= 0 and before.down >= 0, "no count of bytes is negative")
            _expect(after.up > before.up and after.down > before.down, "a block and its verdict are counted")


def check_closed_session(link: Link) -> None:
    """A session may be closed twice, and in the middle; each time its place is free again."""
    for _ in range(3 * MIN_SESSIONS):
        with _session(link) as session:
            session.send(Block(_NEXT, (), generate=5))
            _received(session)
            session.close()


LINK_CHECKS: tuple[LinkCheck, ...] = (
    check_card,
    check_vocabulary,
    check_generate,
    check_stream,
    check_sync,
    check_draft,
    check_split,
    check_repeat,
    check_refusal,
    check_look,
    check_block,
    check_ahead,
    check_wake,
    check_patience,
    check_audits,
    check_sessions,
    check_traffic,
    check_closed_session,
)
"""Each leaves the link as it found it."""


def _law(history: Sequence[int], opening: Opening = OPENING) -> Array:
    """The target's law after `history`."""
    return distribution(link_target().logits(history), opening.sampling)


def _target_token(history: Sequence[int], opening: Opening = OPENING) -> int:
    """What the target alone says after `history`."""
    return race(_law(history, opening), opening.seed, len(history)).token


def _target_tokens(count: int, opening: Opening = OPENING) -> list[int]:
    """What the target alone makes of the prompt."""
    history = list(opening.prompt)
    for _ in range(count):
        history.append(_target_token(history, opening))
    return history[len(opening.prompt) :]


def _other(token: int) -> int:
    return (token + 1) % VOCAB_SIZE


def _payload() -> Payload:
    """A flat law, so that each token is some draft of it."""
    indices, kept = top_k(np.full(VOCAB_SIZE, 1 / VOCAB_SIZE, np.float32), VOCAB_SIZE)
    return FixedWidthCodec().encode(indices, kept, VOCAB_SIZE)


def _decoded() -> Array:
    return FixedWidthCodec().decode(_payload(), VOCAB_SIZE).rebuilt()


def _drafting(token: int) -> Block:
    return Block(_NEXT, (), (token,), (_payload(),))


@contextmanager
def _session(link: Link, opening: Opening = OPENING) -> Iterator[LinkSession]:
    """A session, closed twice at the end. Waits for the place of one that was closed a moment ago."""
    session = _opened(link, opening)
    try:
        yield session
    finally:
        session.close()
        session.close()


def _opened(link: Link, opening: Opening) -> LinkSession:
    gives_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            session = link.open(opening)
            session.ready()
        except VerifierBusy:
            _expect(time.monotonic() < gives_up_at, "a session that is closed gives its place back")
            time.sleep(0.01)
        else:
            return session


def _received(session: LinkSession) -> Verdict:
    verdict = session.receive(None)
    if verdict is None:
        raise AssertionError("not so: a block gets a verdict")
    return verdict


def _expect(holds: bool, promise: str) -> None:
    if not holds:
        raise AssertionError(f"not so: {promise}")


def _expect_made(verdict: Verdict, token: int, position: int) -> None:
    _expect(verdict.position == position, f"the verdict for position {position} comes in its turn")
    _expect((verdict.accepted, verdict.betas) == (0, ()), "a token made by the target alone accepts no draft")
    _expect(verdict.token == token, f"the token at position {position} is the one the target alone makes")
    _expect(min(verdict.target_seconds, verdict.verify_seconds) >= 0, "no time is negative")


def _expect_nothing(session: LinkSession, promise: str) -> None:
    waits_at = time.monotonic() + _LOOKS_SECONDS
    for _ in range(_LOOKS):
        _expect(session.receive(0) is None, promise)
        _expect(time.monotonic() < waits_at, "to look for a verdict does not wait")
    _expect(session.receive(_SETTLES_SECONDS) is None, promise)


def _expect_refusal(session: LinkSession, what: str) -> None:
    try:
        session.receive(None)
    except ProtocolError:
        return
    raise AssertionError(f"not so: a block that {what} is refused with a ProtocolError")
