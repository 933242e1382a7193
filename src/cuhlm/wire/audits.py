"""Audits, and which drafts are kept, in few bytes (design 2.11): two bytes an audit, one bit a draft.

An audit's first byte holds in its highest bit whether the target's own token differs, in the others how plausible the
token is to the target, in sixteenths of a decade, so that a tenth, where `plausible` draws its line, lies between two
of them. The second holds the square root of y_d in 255ths.
"""

import math
from collections.abc import Iterator, Sequence

from cuhlm.errors import ProtocolError
from cuhlm.messages import Audit

_PER_DECADE = 16
_IMPLAUSIBLE = 127  # 8 decades below, and all beyond
_DIFFERS = 128
_BYTES = 2


def audits_to_wire(audits: Sequence[Audit]) -> bytes:
    """Two bytes each."""
    return bytes(byte for audit in audits for byte in _packed(audit))


def audits_from_wire(data: bytes) -> tuple[Audit, ...]:
    """The audits in `data`: plausibility within 7.5 %, y_d within 0.004.

    Raises:
        ProtocolError: the last one is cut.
    """
    if len(data) % _BYTES:
        raise ProtocolError(f"{len(data)} bytes of audits came; expected {_BYTES} for each")
    return tuple(map(_unpacked, data[::_BYTES], data[1::_BYTES]))


def _packed(audit: Audit) -> tuple[int, int]:
    decades = -math.log10(audit.plausibility) if audit.plausibility > 0 else math.inf
    step = min(_IMPLAUSIBLE, math.ceil(min(decades, 100) * _PER_DECADE))
    return step | (_DIFFERS * audit.differs), round(math.sqrt(audit.probability) * 255)


def _unpacked(first: int, second: int) -> Audit:
    step = first % _DIFFERS
    plausibility = 1.0 if step == 0 else 10 ** (-(step - 0.5) / _PER_DECADE)
    return Audit(plausibility, (second / 255) ** 2, first >= _DIFFERS)


def kept_to_wire(kept: Sequence[bool]) -> bytes:
    """One bit each; nothing where none is kept."""
    bits = sum(1 << at for at, keeps in enumerate(kept) if keeps)
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def kept_from_wire(data: bytes, drafted: int) -> tuple[bool, ...]:
    """Whether each of `drafted` tokens is kept; nothing at all where none is.

    Raises:
        ProtocolError: more are kept than drafted.
    """
    if not data:
        return ()
    fits = len(data) <= (drafted + 7) // 8  # what is too long is not unpacked
    bits = list(_bits(data)) if fits else []
    if not fits or any(bits[drafted:]):
        raise ProtocolError(f"the device keeps more tokens than the {drafted} that it drafts; expected no other")
    return tuple((bits + [False] * drafted)[:drafted])


def _bits(data: bytes) -> Iterator[bool]:
    return (bool(byte >> at & 1) for byte in data for at in range(8))
