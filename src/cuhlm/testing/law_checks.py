"""Statistical checks of a claimed law, with both error rates stated.

    check = check_law(samples, law)
    assert check.passed, check

Samples are counted in cells that expect at least 20 each. A token that expects as many is a cell of its own. The rare
ones are looked at in three ways, none of which sees what the others see:

- *by law*: rare ids of like probability share a cell. It sees mass that moves between the more and the less probable,
  as where a tail is levelled.
- *by id*: rare ids next to each other share a cell. It sees mass that moves along the vocabulary, as where a sampler
  never reaches the end of its sum.
- *repeats*: samples of a rare id that was drawn before. It sees ids that gain mass while others like them lose it,
  wherever they stand: those that gained come again more often. (Cells of randomly chosen ids would see little of it:
  among the m ids of a cell, gains and losses cancel but for one part in √m.)

The report says how large a difference the check would have seen, so that a test that passes because it is blind can
be told from one that passes because the law holds.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from cuhlm.testing.chi_square import chi_square_critical, chi_square_tail

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer]

_ENOUGH = 20.0  # samples that a cell expects at least
_SAFETY = 2.0  # counts are whole: of cells that expect 20, the chi-square law misses rates of 1e-6 … 0.05 by up to 1.9
_SLOPES = np.geomspace(0.01, 4.0, 16)  # where the bound on repeats is tried


@dataclass(frozen=True, slots=True)
class LawCheck:
    """Result of `check_law`.

    Attributes:
        passed: the samples are compatible with the law.
        p_value: chance, at most, of samples that look at least this bad if they have the law.
        p_values: the same by each part alone: "by law", "by id" where it makes other cells, "repeats" where cells are
            shared. "possible" alone is 0 where an impossible token was drawn.
        smallest_detectable_tv: a law this far away in total variation, however its difference lies, fails the check
            with a chance of at least 99 %. `pool_mass` is part of it: no more than that can differ inside cells.
        pool_mass: probability of the ids that share a cell. What differs among them alone may or may not be seen.
        n: samples.
    """

    passed: bool
    p_value: float
    p_values: dict[str, float]
    smallest_detectable_tv: float
    pool_mass: float
    n: int


def check_law(samples: Ids, law: npt.NDArray[np.floating], *, false_alarm: float = 1e-4) -> LawCheck:
    """Check that `samples` are independent draws from `law`.

    Args:
        samples: token ids, shape (n,). One that is no index of `law`, or has probability 0, fails the check.
        law: probabilities, shape (|V|,); normalised here.
        false_alarm: chance, at most, that a true law fails; the parts of the check share it equally.

    Raises:
        ValueError: no two cells expect 20 samples each: nothing could be told.
    """
    law, samples = _normalised(law), np.asarray(samples, np.intp)
    n = len(samples)
    partitions = _partitions(n * law, law)
    by_law = partitions["by law"]
    freedom = int(by_law.max())
    if freedom == 0:
        raise ValueError(
            f"{n} samples of this law leave a single cell; expected two that expect {_ENOUGH:g} samples each; "
            "draw more samples, or compare with == where only one token is possible"
        )
    pool_mass = min(1.0, float(law[_shared(by_law, law)].sum()))
    parts = len(partitions) + (pool_mass > 0)
    smallest_tv = min(1.0, pool_mass + _detectable(n, freedom, false_alarm / (_SAFETY * parts)))
    p_values = _p_values(samples, law, partitions)
    p_value = min(1.0, _SAFETY * parts * min(p_values.values()))
    return LawCheck(p_value >= false_alarm, p_value, p_values, smallest_tv, pool_mass, n)


def check_joint_law(
    pairs: Ids, first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], *, false_alarm: float = 1e-4
) -> LawCheck:
    """Check that pairs of tokens have the law p(a)·p(b | a): that what comes second depends on the first as claimed.

    For vocabularies of a few dozen tokens: |V|² pairs are the cells.

    Args:
        pairs: token ids, shape (n, 2).
        first: p(a), shape (|V|,).
        second: p(b | a), shape (|V|, |V|), one row per a; each normalised here.
        false_alarm: as in `check_law`.

    Raises:
        ValueError: as `check_law`.
    """
    first, pairs = _normalised(first), np.asarray(pairs, np.intp)
    if np.shape(second) != (first.size, first.size):
        raise ValueError(f"p(b | a) has shape {np.shape(second)}; expected {(first.size, first.size)}, as p(a) has")
    joint = first[:, None] * np.array([_normalised(row) for row in second])
    inside = ((pairs >= 0) & (pairs < first.size)).all(axis=1)
    return check_law(
        np.where(inside, pairs[:, 0] * first.size + pairs[:, 1], -1), joint.ravel(), false_alarm=false_alarm
    )


def _normalised(law: npt.NDArray[np.floating]) -> Floats:
    law = np.asarray(law, dtype=np.float64)
    if not (np.isfinite(law).all() and (law >= 0).all() and law.sum() > 0):
        raise ValueError("a law has an entry that is no number from 0 on, or none above 0; expected probabilities")
    normalised: Floats = law / law.sum()
    return normalised


def _partitions(expected: Floats, law: Floats) -> dict[str, Ids]:
    """The cell of each id, shape (|V|,); a second time by id where that makes other cells, and more than one."""
    by_law, by_id = _cells(expected, np.argsort(-law, kind="stable")), _cells(expected, np.arange(law.size))
    same = np.array_equal(by_law, by_id) or by_id.max() == 0
    return {"by law": by_law} if same else {"by law": by_law, "by id": by_id}


def _shared(cells: Ids, law: Floats) -> npt.NDArray[np.bool_]:
    """Which ids share a cell with another possible one, shape (|V|,)."""
    return (np.bincount(cells[law > 0], minlength=int(cells.max()) + 1) > 1)[cells]


def _p_values(samples: Ids, law: Floats, partitions: dict[str, Ids]) -> dict[str, float]:
    inside = (samples >= 0) & (samples < law.size)
    if not inside.all() or (law[samples] == 0).any():
        return {"possible": 0.0}
    observed = np.bincount(samples, minlength=law.size).astype(np.float64)
    expected = len(samples) * law
    p_values = {name: _g_tail(_summed(observed, cells), _summed(expected, cells)) for name, cells in partitions.items()}
    rare = (law > 0) & (expected < _ENOUGH)
    if _shared(partitions["by law"], law).any():
        p_values["repeats"] = _repeats_tail(law[rare], len(samples), float(np.maximum(observed[rare] - 1, 0).sum()))
    return p_values


def _summed(values: Floats, cells: Ids) -> Floats:
    """Sums of the values of each cell's ids, shape (cells,)."""
    return np.bincount(cells, values).astype(np.float64)


def _cells(expected: Floats, order: Ids) -> Ids:
    """The cell of each id, shape (|V|,): its own where enough is expected; rare ids share, by and by in `order`.

    If all rare ids together expect too little, they share the cell of the least common other one.
    """
    rare = order[expected[order] < _ENOUGH]
    common = np.flatnonzero(expected >= _ENOUGH)
    ends = _ends(np.cumsum(expected[rare]))
    cells = np.zeros(expected.size, np.intp)
    cells[common] = len(ends) + np.arange(common.size)
    if ends:
        cells[rare] = np.minimum(np.searchsorted(ends, np.arange(rare.size), side="right"), len(ends) - 1)
    elif common.size:
        cells[rare] = cells[common[expected[common].argmin()]]
    return cells


def _ends(sums: Floats) -> list[int]:
    """Where to cut, so that each piece but the rest expects enough; from the running sums of what is expected."""
    ends: list[int] = []
    start = 0.0
    while (last := int(np.searchsorted(sums, start + _ENOUGH))) < sums.size:
        ends.append(last + 1)
        start = float(sums[last])
    return ends


def _g_tail(observed: Floats, expected: Floats) -> float:
    """Chance of a likelihood ratio G = 2·Σ O·ln(O/E) at least this large, with Williams' correction for small E.

    Not Pearson's statistic: of two cells, one of which expects 20 to 40, that one exceeds its limit for a rate of 1e-4
    up to three times too often; where 5 to 10 are expected, nine times.
    """
    seen = observed > 0
    statistic = 2 * float(np.sum(observed[seen] * np.log(observed[seen] / expected[seen])))
    n, freedom = float(expected.sum()), expected.size - 1
    correction = 1 + (float(np.sum(n / expected)) - 1) / (6 * n * freedom)
    return chi_square_tail(statistic / correction, freedom)


def _repeats_tail(law: Floats, n: int, repeats: float) -> float:
    """Upper bound of the chance of at least `repeats` = Σ max(0, N_i − 1) over the ids of `law`.

    Chernoff's, for any n: counts of a multinomial law are negatively associated, and so are growing functions of them,
    hence E e^{sR} ≤ Π_i E e^{s·max(0, N_i − 1)} with N_i binomial (Joag-Dev and Proschan 1983).

    Args:
        law: probabilities of some of the ids, shape (m,).
        n: samples.
        repeats: what was observed.
    """
    never = np.exp(n * np.log1p(-law))
    exponent = 0.0
    with np.errstate(over="ignore"):  # an infinite moment bounds nothing
        for slope in _SLOPES:
            moments = np.exp(n * np.log1p(law * math.expm1(slope)))
            log_bound = np.log(never + math.exp(-slope) * (moments - never)).sum()
            exponent = min(exponent, float(log_bound - slope * repeats))
    return math.exp(exponent)


@lru_cache
def _detectable(n: int, freedom: int, rate: float, miss: float = 0.01) -> float:
    """TV distance between the laws of cells that is missed with a chance of at most `miss`.

    At distance TV the statistic has noncentrality λ = 2n·KL ≥ n·(2·TV)² (Pinsker), mean f + λ and variance
    2·(f + 2λ). In the normal approximation, the smallest λ whose lower quantile is above the critical value.
    """
    critical = chi_square_critical(freedom, rate)
    z = NormalDist().inv_cdf(1 - miss)
    low, high = 0.0, 10.0 * critical + 1000.0
    for _ in range(100):
        middle = (low + high) / 2
        if freedom + middle - z * math.sqrt(2 * (freedom + 2 * middle)) < critical:
            low = middle
        else:
            high = middle
    return min(1.0, 0.5 * math.sqrt(high / n))
