"""Audits and kept bits: few bytes, and labels that no rounding turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.errors import ProtocolError
from cuhlm.messages import Audit
from cuhlm.theory.score import PLAUSIBLE
from cuhlm.wire.audits import audits_from_wire, audits_to_wire, kept_from_wire, kept_to_wire

AUDITS = st.lists(st.builds(Audit, st.floats(0, 1), st.floats(0, 1), st.booleans()), max_size=20)


@given(AUDITS)
def test_audits_come_back_in_two_bytes_each_with_the_label_they_had(audits: list[Audit]) -> None:
    data = audits_to_wire(audits)
    assert len(data) == 2 * len(audits)
    for sent, came in zip(audits, audits_from_wire(data), strict=True):
        assert came.differs == sent.differs
        assert (came.plausibility < PLAUSIBLE) == (sent.plausibility < PLAUSIBLE)
        assert came.probability == pytest.approx(sent.probability, abs=0.004)
        if sent.plausibility > 1e-7:
            assert came.plausibility == pytest.approx(sent.plausibility, rel=0.08)


@pytest.mark.parametrize("plausibility", [0.1, 0.1 - 1e-12, 0.1 + 1e-12, 0.0999, 0.1001, 1.0, 0.0])
def test_a_tenth_is_told_from_less(plausibility: float) -> None:
    (came,) = audits_from_wire(audits_to_wire([Audit(plausibility, 0.5, False)]))
    assert (came.plausibility < PLAUSIBLE) == (plausibility < PLAUSIBLE)


@given(st.binary(max_size=40))
def test_any_bytes_are_audits_in_range_or_refused(data: bytes) -> None:
    if len(data) % 2:
        with pytest.raises(ProtocolError, match="bytes of audits came; expected 2 for each"):
            audits_from_wire(data)
        return
    for audit in audits_from_wire(data):
        assert 0 < audit.plausibility <= 1
        assert 0 <= audit.probability <= 1


@given(st.lists(st.booleans(), max_size=40))
def test_kept_bits_come_back(kept: list[bool]) -> None:
    came = kept_from_wire(kept_to_wire(kept), len(kept))
    assert came == (tuple(kept) if any(kept) else ())


@pytest.mark.parametrize(("data", "drafted"), [(b"\x02", 1), (b"\x01\x01", 8), (b"\x01", 0), (b"\xff" * 2**24, 256)])
def test_more_kept_than_drafted_is_refused(data: bytes, drafted: int) -> None:
    with pytest.raises(ProtocolError, match=f"keeps more tokens than the {drafted} that it drafts"):
        kept_from_wire(data, drafted)
