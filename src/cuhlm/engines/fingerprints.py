"""Fingerprints by which two sides tell at once whether they hold one vocabulary (design 2.1), or the same weights."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

_SAMPLES = 64
_SAMPLE_BYTES = 1 << 16


def vocabulary_fingerprint(vocabulary: Iterable[bytes]) -> str:
    """SHA-256 (hex) over what all tokens stand for, in order, each preceded by its length (8 bytes, big-endian).

    The lengths keep ("ab", "c") and ("a", "bc") apart.
    """
    digest = hashlib.sha256()
    for piece in vocabulary:
        digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()


def file_fingerprint(path: Path) -> str:
    """SHA-256 (hex) over the size of a file and 64 stretches of 64 KiB, spread evenly from its start to its end.

    Files of weights differ everywhere if they differ at all, and reading one of many gigabytes whole would take longer
    than loading it. It tells models apart; it proves nothing against a forger.
    """
    size = path.stat().st_size
    last = max(0, size - _SAMPLE_BYTES)
    digest = hashlib.sha256(size.to_bytes(8, "big"))
    with path.open("rb") as file:
        for sample in range(_SAMPLES):
            file.seek(last * sample // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
