"""What every engine must do (design 3), as plain functions.

Use it for an engine of your own, with pytest or without:

    check_engine(lambda: MyEngine(context_length=128, sequences=8))

or, to have one test per promise:

    @pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
    def test_my_engine_keeps_the_contract(check, my_engine):
        check(my_engine)
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cuhlm.engines.base import Advance, Engine, Sequence
from cuhlm.engines.batching import Batcher
from cuhlm.engines.prompting import encode_chat, encode_content
from cuhlm.errors import ContextOverflow, CuhlmError, ModelBusy, ModelClosed
from cuhlm.messages import Array

EngineCheck = Callable[[Engine], None]

MIN_CONTEXT_LENGTH = 32
"""The checks need this many tokens in a sequence,"""

MIN_SEQUENCES = 8
"""and this many sequences."""

_PATIENCE_SECONDS = 60.0
"""Threads that have not begun by then hang."""

_TOLERANCE = 2.0
"""Logits of an engine that is not batch-invariant may move by this much (design 3: up to 1.2 was measured)."""


def check_engine(make_engine: Callable[[], Engine]) -> None:
    """Run every check on one engine made by `make_engine`, then close it and check that it stays closed.

    Args:
        make_engine: makes an engine with at least `MIN_SEQUENCES` places of at least `MIN_CONTEXT_LENGTH` tokens.

    Raises:
        AssertionError: a promise is not kept; the message says which.
    """
    engine = make_engine()
    try:
        for check in ENGINE_CHECKS:
            check(engine)
    finally:
        engine.close()
    check_closed(engine)


def check_card(engine: Engine) -> None:
    """The card is filled in and agrees with the tokenizer."""
    card = engine.card
    _expect(bool(card.name), "the card has a name")
    _expect(card.vocab_size == len(engine.tokenizer.vocabulary()), "vocab_size counts the vocabulary")
    _expect(len(bytes.fromhex(card.vocab_fingerprint)) == 32, "vocab_fingerprint is a SHA-256 in hex")
    _expect(card.context_length >= MIN_CONTEXT_LENGTH, f"context_length is at least {MIN_CONTEXT_LENGTH}")
    _expect(card.end_tokens == engine.tokenizer.end_tokens, "the card's end tokens are the tokenizer's")


def check_tokenizer(engine: Engine) -> None:
    """Tokens are ids of the vocabulary, pieces add up to the text, and a chat becomes a prompt that holds its words."""
    tokenizer = engine.tokenizer
    vocabulary = tokenizer.vocabulary()
    _expect(tokenizer.vocabulary() is not vocabulary, "vocabulary returns a list of the caller's own")
    _expect(all(isinstance(each, bytes) for each in vocabulary), "tokens stand for bytes")
    _expect(all(0 <= token < len(vocabulary) for token in tokenizer.end_tokens), "end tokens are ids")
    tokens = tokenizer.tokenize("abba")
    _expect(all(0 <= token < len(vocabulary) for token in tokens), "tokenize returns ids")
    _expect(b"".join(map(tokenizer.piece, tokens)).strip() == b"abba", "the pieces of a text's tokens add up to it")
    prompt = encode_chat(tokenizer, engine.card.chat, [("user", "abba")])
    _expect(b"abba" in b"".join(map(tokenizer.piece, prompt)), "the prompt of a chat holds the message")
    for name in sorted(tokenizer.control_names)[:8]:
        said = b"".join(map(tokenizer.piece, encode_content(tokenizer, engine.card.chat, name)))
        _expect(name.encode() in said, f"{name} in a message is text")


def check_rows(engine: Engine) -> None:
    """Append returns the rows asked for: shape (rows, |V|), float32, finite, the last rows of all."""
    run = _run(engine, 5)
    every = _evaluated(engine, run, rows=5)
    for rows in (0, 1, 3, 5):
        logits = _evaluated(engine, run, rows=rows)
        _expect(logits.shape == (rows, engine.card.vocab_size), f"rows={rows} gives shape ({rows}, |V|)")
        _expect(logits.dtype == np.float32, "logits are float32")
        _expect(bool(np.isfinite(logits).all()), "logits are finite")
        _expect_same(engine, logits, every[5 - rows :], f"rows={rows} gives the last {rows} rows")


def check_length(engine: Engine) -> None:
    """The length counts tokens read, drop shortens it, and nonsense is refused without a change."""
    sequence = engine.open()
    try:
        _expect(len(sequence) == 0, "a new sequence is empty")
        sequence.append(_run(engine, 6))
        _expect(len(sequence) == 6, "append adds to the length")
        sequence.drop(4)
        _expect(len(sequence) == 4, "drop sets the length")
        for nonsense in (
            lambda: sequence.drop(5),
            lambda: sequence.drop(-1),
            lambda: sequence.append([]),
            lambda: sequence.append([1], rows=2),
            lambda: sequence.append([1], rows=-1),
        ):
            _expect_refusal(nonsense, ValueError)
        _expect_refusal(lambda: sequence.append([engine.card.vocab_size]), CuhlmError)
        _expect_refusal(lambda: sequence.append([-1]), CuhlmError)
        _expect(len(sequence) == 4, "a refused call changes nothing")
    finally:
        sequence.close()


def check_ownership(engine: Engine) -> None:
    """Returned logits belong to the caller: writable, and left alone by later calls."""
    sequence = engine.open()
    try:
        logits = sequence.append(_run(engine, 2), rows=2)
        _expect(logits.flags.writeable, "returned logits are writable")
        kept = logits.copy()
        again = sequence.append([1])
        _expect(np.array_equal(logits, kept), "a later call leaves earlier logits alone")
        logits[:] = 0
        sequence.drop(2)
        _expect_same(engine, sequence.append([1]), again, "writing to returned logits does not reach the engine")
    finally:
        sequence.close()


def check_steps(engine: Engine) -> None:
    """Reading in steps gives the logits of reading at once."""
    run = _run(engine, 16)
    every = _evaluated(engine, run, rows=16)
    for step in (1, 2, 5):
        sequence = engine.open()
        try:
            for start in range(0, 16, step):
                tokens = run[start : start + step]
                logits = sequence.append(tokens, rows=len(tokens))
                _expect_same(engine, logits, every[start : start + step], f"steps of {step} give the same logits")
        finally:
            sequence.close()


def check_drop(engine: Engine) -> None:
    """After a suffix is dropped, it has left no trace."""
    run = _run(engine, 12)
    every = _evaluated(engine, run, rows=12)
    sequence = engine.open()
    try:
        sequence.append(run[:8])
        sequence.append([token ^ 1 for token in run[:4]], rows=0)
        for length in (8, 5, 0):
            sequence.drop(length)
            logits = sequence.append(run[length:], rows=12 - length)
            _expect_same(engine, logits, every[length:], f"logits after a drop to {length} are those without it")
    finally:
        sequence.close()


def check_overflow(engine: Engine) -> None:
    """A sequence holds context_length tokens and not one more, and refusing it changes nothing."""
    limit = engine.card.context_length
    run = [index % 2 for index in range(limit)]
    sequence, other = engine.open(), engine.open()
    try:
        _expect_refusal(lambda: sequence.append([*run, 0]), ContextOverflow)
        _expect(len(sequence) == 0, "an overflow leaves the sequence as it was")
        sequence.append(run, rows=0)
        _expect(len(sequence) == limit, "a sequence holds context_length tokens")
        batch = [Advance(other, [1, 0]), Advance(sequence, [1])]
        _expect_refusal(lambda: engine.advance(batch), ContextOverflow)
        _expect(len(other) == 0, "an overflow of one entry changes no other sequence")
        _expect_same(
            engine, other.append([1, 0]), _evaluated(engine, [1, 0], rows=1), "an overflow leaves no trace in others"
        )
    finally:
        sequence.close()
        other.close()


def check_batch(engine: Engine) -> None:
    """Advancing sequences together gives each the logits it has alone, in the order of the batch."""
    runs = [_run(engine, 9), _run(engine, 8)[::-1], _run(engine, 3)]
    alone = [_evaluated(engine, run, rows=len(run)) for run in runs]
    sequences = [engine.open() for _ in runs]
    try:
        sequences[0].append(runs[0][:5], rows=0)
        batch = [
            Advance(sequences[2], runs[2], rows=3),
            Advance(sequences[0], runs[0][5:], rows=1),
            Advance(sequences[1], runs[1], rows=0),
        ]
        last, first, none = engine.advance(batch)
        _expect_same(engine, last, alone[2], "the first entry of a batch has its own logits")
        _expect_same(engine, first, alone[0][-1:], "the second entry of a batch has its own logits")
        _expect(none.shape == (0, engine.card.vocab_size), "an entry with rows=0 gives shape (0, |V|)")
        _expect([len(sequence) for sequence in sequences] == [9, 8, 3], "a batch advances every sequence")
        _expect_refusal(lambda: engine.advance([Advance(sequences[0], [1]), Advance(sequences[0], [1])]), ValueError)
        _expect(engine.advance([]) == [], "an empty batch gives nothing")
    finally:
        for sequence in sequences:
            sequence.close()


def check_places(engine: Engine) -> None:
    """Many sequences may be open; when all places are taken the next is refused, and a closed one gives its place back.

    A sequence in a used place begins empty, and goes on right when its neighbours have come and gone.
    """
    run = _run(engine, 10)
    every = _evaluated(engine, run, rows=10)
    first, survivor = engine.open(), engine.open()
    try:
        first.append(run[::-1], rows=0)
        survivor.append(run[:5], rows=0)
        first.close()
        first.close()
        _expect_refusal(lambda: first.append([1]), ValueError)
        first = engine.open()
        _expect_same(engine, first.append(run, rows=10), every, "a used place begins empty")
        first.close()
        _expect_same(engine, survivor.append(run[5:], rows=5), every[5:], "a freed neighbour changes nothing")
    finally:
        first.close()
        survivor.close()
    _check_all_taken(engine)


def check_generations(engine: Engine) -> None:
    """Eight generations at once, each in a thread of its own and all over one `Batcher`, get the rows of each alone."""
    runs = [_run(engine, 20)[number : number + 12] for number in range(MIN_SEQUENCES)]
    alone = [_evaluated(engine, run, rows=8) for run in runs]
    together = threading.Barrier(len(runs))

    def generated(batcher: Batcher, run: list[int]) -> Array:
        sequence = batcher.open()
        together.wait(_PATIENCE_SECONDS)
        try:
            rows = [sequence.append(run[:5])]
            for length in range(5, len(run)):
                sequence.append([run[0]], rows=0)  # a draft that does not stand
                sequence.drop(length)
                rows.append(sequence.append(run[length : length + 1]))
            return np.concatenate(rows)
        finally:
            sequence.close()

    with Batcher(engine) as batcher, ThreadPoolExecutor(len(runs)) as threads:
        found = list(threads.map(lambda run: generated(batcher, run), runs))
    for rows, expected in zip(found, alone, strict=True):
        _expect_same(engine, rows, expected, "a generation beside others has the logits it has alone")
    engine.open().close()


def _check_all_taken(engine: Engine) -> None:
    taken: list[Sequence] = []
    try:
        while len(taken) < 10_000:
            taken.append(engine.open())
    except ModelBusy:
        pass
    finally:
        for sequence in taken:
            sequence.close()
    _expect(MIN_SEQUENCES <= len(taken) < 10_000, f"at least {MIN_SEQUENCES} places exist, and a bound that is told")
    engine.open().close()


def check_closed(engine: Engine) -> None:
    """A closed engine may be closed again and refuses to open sequences, as a mistake or as `ModelClosed`."""
    engine.close()
    _expect_refusal(engine.open, ValueError, ModelClosed)


ENGINE_CHECKS: tuple[EngineCheck, ...] = (
    check_card,
    check_tokenizer,
    check_rows,
    check_length,
    check_ownership,
    check_steps,
    check_drop,
    check_overflow,
    check_batch,
    check_places,
    check_generations,
)
"""Every check but `check_closed`; each leaves the engine as it found it."""


def _run(engine: Engine, length: int) -> list[int]:
    """Tokens scattered over the vocabulary, none of them an end token."""
    ordinary = [token for token in range(engine.card.vocab_size) if token not in engine.card.end_tokens]
    return [ordinary[(index + 1) * 7919 % len(ordinary)] for index in range(length)]


def _evaluated(engine: Engine, run: list[int], rows: int) -> Array:
    sequence = engine.open()
    try:
        return sequence.append(run, rows=rows)
    finally:
        sequence.close()


def _expect(holds: bool, promise: str) -> None:
    if not holds:
        raise AssertionError(f"not so: {promise}")


def _expect_same(engine: Engine, found: Array, expected: Array, promise: str) -> None:
    """Bits where the card promises them, else nearness."""
    _expect(found.shape == expected.shape, f"{promise} (shape {found.shape} instead of {expected.shape})")
    difference = float(np.abs(found - expected).max(initial=0.0))
    _expect(difference <= (0.0 if engine.card.batch_invariant else _TOLERANCE), f"{promise} (off by {difference:g})")


def _expect_refusal(call: Callable[[], object], *kinds: type[Exception]) -> None:
    try:
        call()
    except kinds:
        return
    names = " or ".join(kind.__name__ for kind in kinds)
    raise AssertionError(f"not so: a call that cannot be right raises {names}")
