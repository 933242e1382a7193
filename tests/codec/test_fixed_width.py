"""The paper's code: sizes, round trips and refusals."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuhlm.codec.fixed_width import FixedWidthCodec, index_width
from cuhlm.codec.quantiser import LEVELS, quantise
from cuhlm.errors import ConfigurationError, PayloadError
from cuhlm.messages import Array, Payload
from cuhlm.theory.truncation import TruncatedLaw, top_k

CODEC = FixedWidthCodec()


def random_law(vocab_size: int, seed: int, spread: float) -> Array:
    logits = np.random.default_rng(seed).normal(0, spread, vocab_size)
    weights = np.exp(logits - logits.max())
    return (weights / weights.sum()).astype(np.float32)


def encoded(probs: Array, k: int, b_prob: int = 8) -> Payload:
    indices, kept = top_k(probs, k)
    return FixedWidthCodec(b_prob).encode(indices, kept, probs.size)


def decoded(payload: Payload, vocab_size: int, b_prob: int = 8) -> Array:
    return FixedWidthCodec(b_prob).decode(payload, vocab_size).rebuilt()


def distance(probs: Array, k: int, b_prob: int = 8) -> float:
    """Σ|x̂ decoded − x̂ exact|."""
    exact = TruncatedLaw(*top_k(probs, k), probs.size).rebuilt()
    return float(np.abs(decoded(encoded(probs, k, b_prob), probs.size, b_prob) - exact).sum(dtype=np.float64))


@pytest.mark.parametrize(("k", "bits", "data_bytes"), [(32_000, 736_000, 92_000), (30, 690, 87)])
def test_payloads_have_the_sizes_of_the_paper(k: int, bits: int, data_bytes: int) -> None:
    payload = encoded(random_law(32_000, 0, 4.0), k)
    assert (CODEC.bits(k, 32_000), len(payload.data)) == (bits, data_bytes)
    assert bits / 8 == {32_000: 92_000, 30: 86.25}[k]


@pytest.mark.parametrize(
    ("vocab_size", "width"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (32_000, 15), (49_152, 16), (151_936, 18)]
)
def test_an_index_takes_the_binary_logarithm_of_the_vocabulary_rounded_up(vocab_size: int, width: int) -> None:
    assert index_width(vocab_size) == width


def test_the_layout_is_indices_then_codes_most_significant_bit_first() -> None:
    payload = CODEC.encode(np.array([5, 2]), np.array([1.0, 0.0], np.float32), 8)
    assert payload.data == bytes([0b10101011, 0b11111100, 0b00000000])


@pytest.mark.parametrize("vocab_size", [2, 200, 256, 257, 49_152, 65_536, 151_936])
@pytest.mark.parametrize("b_prob", [4, 8, 12, 16])
def test_whole_bytes_are_laid_out_as_every_other_width_is(vocab_size: int, b_prob: int) -> None:
    probs, k, width = random_law(vocab_size, 2, 4.0), min(50, vocab_size), index_width(vocab_size)
    indices, kept = top_k(probs, k)
    codes = quantise(kept.astype(np.float64), LEVELS[b_prob])
    text = "".join(f"{index:0{width}b}" for index in indices) + "".join(f"{code:0{b_prob}b}" for code in codes)
    codec, payload = FixedWidthCodec(b_prob), encoded(probs, k, b_prob)
    assert payload.data == int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8))
    law = codec.decode(payload, vocab_size)
    assert law.indices.tolist() == indices.tolist()
    if k < vocab_size:
        assert law.kept.tolist() == LEVELS[b_prob][codes].tolist()


@settings(deadline=None)
@given(st.data())
def test_a_law_comes_back_as_near_as_the_levels_allow(data: st.DataObject) -> None:
    vocab_size = data.draw(st.integers(1, 3000))
    k = data.draw(st.integers(1, vocab_size))
    probs = random_law(vocab_size, data.draw(st.integers(0, 2**32)), data.draw(st.floats(0, 20)))
    b_prob = data.draw(st.integers(4, 16))
    indices, kept = top_k(probs, k)
    gaps = np.append(np.diff(LEVELS[b_prob]), 0)[np.searchsorted(LEVELS[b_prob], kept, side="right") - 1]
    law = decoded(encoded(probs, k, b_prob), vocab_size, b_prob)
    assert law.dtype == np.float32
    assert abs(law.sum(dtype=np.float64) - 1) < 1e-5
    assert np.all(np.diff(law[indices]) <= 0)
    if k < vocab_size:
        assert np.all(np.abs(law[indices] - kept) <= gaps)  # at most one level away
        assert kept.sum(dtype=np.float64) + 1e-6 >= law[indices].sum(dtype=np.float64)
        assert np.all(law[indices][kept == 0] == 0)
        unsent = np.delete(law, indices)  # so the indices survived: every other entry has the spread's value
        assert np.all(unsent == unsent[0])


@settings(deadline=None, max_examples=50)
@given(vocab_size=st.integers(1, 500), seed=st.integers(0, 2**32), b_prob=st.integers(4, 16))
def test_a_one_hot_law_survives_at_every_width(vocab_size: int, seed: int, b_prob: int) -> None:
    noise = np.random.default_rng(seed)
    probs = np.zeros(vocab_size, np.float32)
    probs[noise.integers(vocab_size)] = 1
    k = int(noise.integers(1, vocab_size + 1))
    assert np.array_equal(decoded(encoded(probs, k, b_prob), vocab_size, b_prob), probs)


@settings(deadline=None, max_examples=50)
@given(vocab_size=st.integers(3, 2000), seed=st.integers(0, 2**32), spread=st.floats(0, 8))
def test_sending_all_entries_but_one_is_nearly_sending_all(vocab_size: int, seed: int, spread: float) -> None:
    probs = random_law(vocab_size, seed, spread)
    most, whole = (decoded(encoded(probs, k), vocab_size) for k in (vocab_size - 1, vocab_size))
    # The sum that is missing goes to one entry, or to all in proportion: twice the widest gap between levels; and
    # entries may be rounded otherwise where one more takes part (worst seen: 2.03 gaps in all).
    assert np.abs(most - whole).sum() <= 3 * 3 / 255


@pytest.mark.parametrize("spread", [0.5, 3.75])
@pytest.mark.parametrize("k", [8, 30, 300, 32_000])
def test_more_bits_bring_the_law_nearer(k: int, spread: float) -> None:
    probs = random_law(32_000, 3, spread)
    errors = [distance(probs, k, b_prob) for b_prob in (4, 8, 12, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 2e-3


def test_the_law_does_not_depend_on_the_order_in_which_entries_are_sent() -> None:
    # Sums of levels are exact, so processors that add in another order decode the same bits.
    probs = random_law(5000, 1, 4.0)
    law = decoded(encoded(probs, 3000), 5000)
    for seed in range(20):
        assert law.tobytes() == decoded(shuffled(encoded(probs, 3000), 5000, seed), 5000).tobytes()


def shuffled(payload: Payload, vocab_size: int, seed: int) -> Payload:
    """The same entries in another order."""
    order = np.random.default_rng(seed).permutation(payload.k)
    split = payload.k * index_width(vocab_size)
    bits = np.unpackbits(np.frombuffer(payload.data, np.uint8))[: CODEC.bits(payload.k, vocab_size)]
    indices, codes = bits[:split].reshape(payload.k, -1), bits[split:].reshape(payload.k, -1)
    mixed = np.concatenate((indices[order].ravel(), codes[order].ravel()))
    return replace(payload, data=np.packbits(mixed).tobytes())


def payload_of(entries: list[tuple[int, int]], *, width: int = 4, padding: str = "") -> Payload:
    """A payload over 10 tokens, of (index, 8-bit code) pairs."""
    text = "".join(f"{index:0{width}b}" for index, _ in entries) + "".join(f"{code:08b}" for _, code in entries)
    used = len(text)
    text = (text + padding).ljust(-(-used // 8) * 8, "0")
    return Payload(int(text, 2).to_bytes(len(text) // 8), len(entries))


ONE = payload_of([(3, 255)])


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (payload_of([(10, 200)]), "index 10 is outside the vocabulary; expected 0 to 9"),
        (payload_of([(4, 100), (4, 100)]), "index 4 is sent more than once"),
        (payload_of([(4, 100), (7, 90), (4, 80)]), "index 4 is sent more than once"),
        (replace(ONE, k=0), "k = 0; expected 1 to 10"),
        (replace(ONE, k=11), "k = 11; expected 1 to 10"),
        (replace(ONE, data=ONE.data[:-1]), "1 bytes; expected 2 for k = 1"),
        (replace(ONE, data=ONE.data + b"\0"), "3 bytes; expected 2 for k = 1"),
        (payload_of([(3, 255)], padding="0001"), "after a payload's last probability are not all 0"),
        (payload_of([(3, 255), (4, 10)]), "sum to 1.000060; expected at most 1"),
        (payload_of([(index, 0) for index in range(10)]), "all probabilities are 0"),
    ],
)
def test_a_malformed_payload_is_refused_with_what_is_wrong(payload: Payload, complaint: str) -> None:
    with pytest.raises(PayloadError, match=complaint):
        CODEC.decode(payload, 10)


@settings(deadline=None)
@given(data=st.binary(max_size=80), k=st.integers(-2, 40), b_prob=st.integers(4, 16), vocab_size=st.integers(1, 40))
def test_any_bytes_give_a_law_or_a_refusal(data: bytes, k: int, b_prob: int, vocab_size: int) -> None:
    try:
        law = decoded(Payload(data, k), vocab_size, b_prob)
    except PayloadError:
        return
    assert np.all(law >= 0)
    assert abs(law.sum(dtype=np.float64) - 1) < 1e-5


@pytest.mark.parametrize("b_prob", [3, 17, 0, -8])
def test_an_unsupported_width_is_refused(b_prob: int) -> None:
    with pytest.raises(ConfigurationError, match=f"b_prob is {b_prob}; expected 4 to 16"):
        FixedWidthCodec(b_prob)
