"""Messages that nobody should send: a corpus, values at the edges of their types, and seeded mutations."""

import math
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

M = TypeVar("M", bound=Message)

ROUNDS = int(os.environ.get("CUHLM_FUZZ", "1"))
"""How many times the suite's number of mutations is tried; every round is another one."""

_EDGES: dict[int, Sequence[object]] = {
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 255, 2**31, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**63, 2**64 - 1),
    FieldDescriptor.CPPTYPE_INT32: (0, 1, -1, 2**31 - 1, -(2**31)),
    FieldDescriptor.CPPTYPE_INT64: (0, 1, -1, 2**63 - 1, -(2**63)),
    FieldDescriptor.CPPTYPE_ENUM: (0, 1, 2, 3, 4, -1, 2**31 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: (0.0, -0.0, -1.0, 5e-324, 1e308, math.nan, math.inf, -math.inf),
    FieldDescriptor.CPPTYPE_FLOAT: (0.0, -0.0, -1.0, 1e-45, 3e38, math.nan, math.inf, -math.inf),
    FieldDescriptor.CPPTYPE_BOOL: (False, True),
    FieldDescriptor.CPPTYPE_STRING: ("", "\0\x1b[2J\r\n", "x" * 1000),
}
_MANY = 600  # more than a context, a block or a vocabulary of the toys holds


def corpus(kind: str) -> dict[str, bytes]:
    """The files of `corpus/<kind>` by name."""
    folder = Path(__file__).parent / "corpus" / kind
    return {file.stem: file.read_bytes() for file in sorted(folder.glob("*.bin"))}


def at_the_edges(message: M) -> Iterator[M]:
    """`message` with one of its fields, at any depth, missing or at an edge of its type, or many times there.

    Goes by the message's descriptor, so that it knows every field there is.
    """
    for field in message.DESCRIPTOR.fields:
        for value in _edges_of(message, field):
            changed = type(message)()
            changed.CopyFrom(message)
            changed.ClearField(field.name)
            _put(changed, field, value)
            yield changed


def mutations(seeds: Sequence[bytes], count: int) -> Iterator[tuple[str, bytes]]:
    """`count` times `ROUNDS` messages, each one of `seeds` with one to three mutations.

    Yields:
        A name that finds it again, and the bytes.
    """
    for number in range(count * ROUNDS):
        rng = random.Random(number)
        data = rng.choice(seeds)
        for _ in range(rng.randint(1, 3)):
            data = rng.choice(_MUTATIONS)(data, rng.choice(seeds), rng)
        yield f"mutation {number}: {data.hex()}", data


def _edges_of(message: Message, field: FieldDescriptor) -> Iterator[object]:
    """What to put in a field's place; None leaves it out."""
    present = getattr(message, field.name)
    yield None
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        inner = (*present, GetMessageClass(field.message_type)())[0] if field.is_repeated else present
        edges: Sequence[object] = [*at_the_edges(inner), inner]
    else:
        edges = _EDGES[field.cpp_type] if field.type != FieldDescriptor.TYPE_BYTES else (b"", b"\xff", bytes(1000))
    if field.is_repeated:
        yield from ([edge] for edge in edges)
        yield [*present, edges[-1]]
        yield [edges[-1]] * _MANY
    else:
        yield from edges


def _put(message: Message, field: FieldDescriptor, value: Any) -> None:
    if value is None:
        return
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _flip_a_bit(data: bytes, _other: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _put_a_byte(data: bytes, _other: bytes, rng: random.Random) -> bytes:
    at = rng.randint(0, len(data))
    byte = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return data[:at] + bytes([byte]) + data[at + rng.randint(0, 1) :]


def _cut_short(data: bytes, _other: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def _leave_out(data: bytes, _other: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randint(0, len(data)) for _ in range(2))
    return data[:start] + data[end:]


def _repeat(data: bytes, _other: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randint(0, len(data)) for _ in range(2))
    return data[:end] + data[start:end] * rng.randint(1, 20) + data[end:]


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


def _append(data: bytes, other: bytes, _rng: random.Random) -> bytes:
    """Two messages that arrive as one are merged."""
    return data + other


_MUTATIONS = (_flip_a_bit, _put_a_byte, _cut_short, _leave_out, _repeat, _splice, _append)
