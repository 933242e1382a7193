"""Sentence similarity, with the packaged model."""

import numpy as np
import pytest

from cuhlm.measuring.similarity import Embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def test_what_means_the_same_is_nearer_than_what_does_not(embedder: Embedder) -> None:
    one, same, other = embedder.embed(
        ["A cat is sleeping on the sofa.", "The kitten naps on a couch.", "Interest rates rose by two percent."]
    )
    assert one @ same > 0.5
    assert one @ other < 0.2


def test_embeddings_are_unit_vectors_in_the_order_of_the_texts_whatever_shares_their_batch(embedder: Embedder) -> None:
    texts = ["short", "a rather longer text " * 30, "", "something in between, of medium length"] * 6
    together = embedder.embed(texts)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
    another = Embedder()
    alone = np.concatenate([another.embed([text]) for text in texts[:4]])
    assert (together[:4] * alone).sum(axis=1) == pytest.approx(1, abs=0.02)  # 8-bit scales depend on the batch


def test_a_text_has_one_embedding_whatever_it_came_with(embedder: Embedder) -> None:
    first = embedder.embed(["a text that comes again"])
    again = embedder.embed(["a much longer text beside it " * 20, "a text that comes again"])
    assert np.array_equal(first[0], again[1])
