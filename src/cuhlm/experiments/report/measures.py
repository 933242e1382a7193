"""The numbers of a cell: each a ratio of sums over prompts, so that prompts can be resampled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cuhlm.experiments.grid.traces import MeasuredAnswer
from cuhlm.measuring.bootstrap import Ratio
from cuhlm.measuring.prompts import Prompt
from cuhlm.measuring.scores import exact_match, rouge_l
from cuhlm.measuring.similarity import Embedder
from cuhlm.measuring.summary import MEANS, trace_ratio
from cuhlm.theory.quality import agreement


@dataclass(frozen=True, slots=True)
class Measure:
    """What a number is, for tables.

    Attributes:
        name: its key.
        meaning: for a reader.
    """

    name: str
    meaning: str


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("tokens_per_answer", "tokens of an answer"),
        Measure("transmitted_share", "tokens for which the device sent something, of all"),
        Measure("target_share", "tokens that the target judged or made, of all"),
        Measure("mean_k", "entries sent, of tokens for which a distribution was sent"),
        Measure("uplink_bytes_per_token", "the paper's payload, over all tokens"),
        Measure("target_passes_per_token", "forward passes of the target"),
        Measure("acceptance", "accepted drafts, of those judged"),
        Measure("mean_beta", "rejection probability, over the judged drafts"),
        Measure("tv", "total variation between the method's token law and the target's, along its own answers"),
        Measure("kl", "KL divergence of the method's token law from the target's, nats; infinite laws left out"),
        Measure("kl_infinite", "positions at which the method may say what the target never would"),
        Measure("nll", "negative log-likelihood of the answer's tokens under the target, nats"),
        Measure("agreement_with_remote", "positions with the token that `remote` has there"),
        Measure("similarity_to_remote", "cosine of the answer's embedding to that of `remote`'s answer"),
        Measure("similarity_to_reference", "cosine of the answer's embedding to that of the reference answer"),
        Measure("rouge_l", "ROUGE-L against the reference answer"),
        Measure("exact_match", "sums whose final number is right"),
    )
}


def measure_cell(
    answers: Sequence[MeasuredAnswer],
    remote: Sequence[MeasuredAnswer] | None,
    prompts: Sequence[Prompt],
    embedder: Embedder | None,
) -> dict[str, Ratio]:
    """The measures of one cell, channel apart; those that cannot be taken are left out.

    Args:
        answers: one per prompt.
        remote: the target's own answers to the same prompts; None where the grid has none.
        prompts: with references.
        embedder: None where it is not installed.
    """
    ones = np.ones(len(answers))
    found = {"tokens_per_answer": Ratio(_each(answers, lambda answer: len(answer.records)), ones)}
    records = [answer.records for answer in answers]
    found |= {name: trace_ratio(name, records) for name in MEANS if name in MEASURES} | _distances(answers)
    if remote is not None:
        pairs = zip(answers, remote, strict=True)
        found["agreement_with_remote"] = Ratio(np.array([agreement(a.tokens, b.tokens) for a, b in pairs]), ones)
    found |= _scores(answers, prompts)
    if embedder is not None:
        found |= _similarities(answers, remote, prompts, embedder)
    return found


def _each(
    answers: Sequence[MeasuredAnswer], value: Callable[[MeasuredAnswer], float]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([value(answer) for answer in answers], dtype=np.float64)


def _distances(answers: Sequence[MeasuredAnswer]) -> dict[str, Ratio]:
    """Exact measures of design 2.9, per token; none where they were not taken for every answer."""
    if not all(answer.qualities for answer in answers):
        return {}
    tokens = _each(answers, lambda answer: len(answer.records))
    found = {
        "tv": Ratio(_each(answers, lambda answer: sum(each.tv for each in answer.qualities)), tokens),
        "nll": Ratio(_each(answers, lambda answer: sum(each.nll for each in answer.qualities)), tokens),
    }
    finite = [np.array([q.kl for q in answer.qualities if np.isfinite(q.kl)]) for answer in answers]
    counts = np.array([len(each) for each in finite], dtype=np.float64)
    found["kl"] = Ratio(np.array([each.sum() for each in finite]), counts)
    found["kl_infinite"] = Ratio(tokens - counts, tokens)
    return found


def _scores(answers: Sequence[MeasuredAnswer], prompts: Sequence[Prompt]) -> dict[str, Ratio]:
    """Task scores of the prompts that have them."""
    with_reference = [bool(prompt.reference) and not prompt.answer for prompt in prompts]
    with_answer = [bool(prompt.answer) for prompt in prompts]
    pairs = list(zip(answers, prompts, strict=True))
    found = {}
    if any(with_reference):
        scores = [rouge_l(answer.text, prompt.reference) if prompt.reference else 0.0 for answer, prompt in pairs]
        found["rouge_l"] = _where(with_reference, scores)
    if any(with_answer):
        found["exact_match"] = _where(
            with_answer, [bool(prompt.answer) and exact_match(answer.text, prompt.answer) for answer, prompt in pairs]
        )
    return found


def _similarities(
    answers: Sequence[MeasuredAnswer],
    remote: Sequence[MeasuredAnswer] | None,
    prompts: Sequence[Prompt],
    embedder: Embedder,
) -> dict[str, Ratio]:
    vectors = embedder.embed([answer.text for answer in answers])
    found = {}
    if remote is not None:
        others = embedder.embed([answer.text for answer in remote])
        found["similarity_to_remote"] = _where([True] * len(answers), list((vectors * others).sum(axis=1)))
    with_reference = [bool(prompt.reference) for prompt in prompts]
    if any(with_reference):
        others = embedder.embed([prompt.reference for prompt in prompts])
        found["similarity_to_reference"] = _where(with_reference, list((vectors * others).sum(axis=1)))
    return found


def _where(has: Sequence[bool], values: Sequence[float]) -> Ratio:
    """The mean of `values` over the units that have one."""
    weights = np.array(has, dtype=np.float64)
    return Ratio(np.array(values, dtype=np.float64) * weights, weights)


def merged(ratios: Sequence[Mapping[str, Ratio]]) -> dict[str, Ratio]:
    """The same prompts under several seeds, as one unit each."""
    first = ratios[0]
    return {
        name: Ratio(
            np.sum([each[name].numerator for each in ratios], axis=0),
            np.sum([each[name].denominator for each in ratios], axis=0),
        )
        for name in first
    }
