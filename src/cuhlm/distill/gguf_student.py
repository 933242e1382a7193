"""A student as a GGUF file: its own weights, all else as in its target's file."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from cuhlm.distill.gguf_weights import ARCHITECTURE, Floats, Weights
from cuhlm.writable import written_whole

_FILE_TYPES = {"F16": 1, "Q4_0": 2, "Q4_1": 3}  # llama.cpp's numbers for what most tensors are
_REPLACED = (
    "GGUF.",
    "general.architecture",
    "general.name",
    "general.file_type",
    "llama.block_count",
    "llama.feed_forward_length",
)


class WeightType(StrEnum):
    """How a file keeps matrices; vectors are always F32."""

    F16 = "F16"
    Q4_0 = "Q4_0"
    Q4_1 = "Q4_1"


FOUR_BIT: Sequence[WeightType] = (WeightType.Q4_0, WeightType.Q4_1)


def write_student(path: Path, weights: Weights, weight_type: WeightType, *, target: Path, name: str) -> None:
    """Write `weights` to `path`, whole or not at all.

    Args:
        path: of the file.
        weights: of the student.
        weight_type: of its matrices.
        target: the file whose vocabulary, chat template and other metadata are taken over.
        name: the student's own.
    """
    from gguf import GGUFReader, GGUFWriter  # noqa: PLC0415 - an optional extra

    with written_whole(path) as partial:
        writer = GGUFWriter(partial, ARCHITECTURE)
        _copy_metadata(GGUFReader(target), writer)
        writer.add_name(name)
        writer.add_file_type(_FILE_TYPES[weight_type])
        writer.add_block_count(weights.shape.layers)
        writer.add_feed_forward_length(weights.shape.neurons)
        for tensor, array in weights.arrays.items():
            _add(writer, tensor, array, weight_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _copy_metadata(reader: Any, writer: Any) -> None:
    for field in reader.fields.values():
        if not field.name.startswith(_REPLACED):
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], inner)


def _add(writer: Any, name: str, array: Floats, weight_type: WeightType) -> None:
    from gguf import GGMLQuantizationType  # noqa: PLC0415
    from gguf.quants import quantize  # noqa: PLC0415

    kind = GGMLQuantizationType[weight_type.value if array.ndim == 2 else "F32"]
    writer.add_tensor(name, quantize(array, kind), raw_dtype=kind)
