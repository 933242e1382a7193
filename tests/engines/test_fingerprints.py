"""Fingerprints tell vocabularies and weights apart."""

import hashlib
from pathlib import Path

from cuhlm.engines.fingerprints import file_fingerprint, vocabulary_fingerprint


def test_the_vocabulary_fingerprint_is_fixed() -> None:
    hashed = bytes(7) + b"\x01a" + bytes(7) + b"\x02bc"
    assert vocabulary_fingerprint([b"a", b"bc"]) == hashlib.sha256(hashed).hexdigest()


def test_the_same_characters_split_otherwise_are_another_vocabulary() -> None:
    fingerprints = {
        vocabulary_fingerprint(each) for each in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"a", b"bc", b""])
    }
    assert len(fingerprints) == 4


def test_the_file_fingerprint_sees_length_start_and_end(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    content = bytes(range(256)) * 100_000
    seen = set()
    for variant in (content, content[:-1], b"x" + content[1:], content[:-1] + b"x", b"", b"x"):
        path.write_bytes(variant)
        seen.add(file_fingerprint(path))
    assert len(seen) == 6
