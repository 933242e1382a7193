"""Does a target say another token when more rows are in its pass, and does that favour any?

    python -m benchmarks.lossless.flips smollm2-135m [--recorded FILE] [--positions 600] [--drafts 1 3 7 15] [--json]

A pass of `lossless` over n drafts has n + 1 rows; `remote` has one. Where a model is not batch-invariant (Q4_K_M), the
logits of a position depend on that. Recorded answers of the target are read with one row a pass, and again in blocks of
n + 1 rows, over the same text: each row's law with its winner in the keyed race of the same seed and position, and each
offset in the block as often as any other. A batch-invariant target must show no flip and a total variation of 0.

p₁ is the law of the pass of one row, pₙ that of the pass of n + 1. Where the text was drawn from p₁, ln pₙ/p₁ of its
tokens is −KL(p₁ ‖ pₙ) in the mean, below 0 without any bias; the draft's token and the entropy know nothing of either
law's noise, and their shifts are 0 in the mean where the shape of a pass favours nobody.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.lossless.recorded import BUILT_IN, Recorded, recorded
from benchmarks.reporting import machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cuhlm.engines import base
from cuhlm.engines.load import load_engine
from cuhlm.measuring.bootstrap import Counts, Estimate, Ratio, estimate, resample_counts
from cuhlm.messages import Array, Sampling
from cuhlm.theory.distributions import distribution
from cuhlm.theory.quality import total_variation
from cuhlm.theory.race import race

WINDOW = 48
"""Positions of one answer at most: from its beginning, its middle and its end in turn."""


@dataclass(frozen=True, slots=True)
class Position:
    """One position of a text, read in two shapes.

    Attributes:
        answer: its index.
        temperature: of both laws.
        drafts: n.
        offset: of its row in the block of n + 1.
        winners: of the races of p₁ and of pₙ.
        token: the text's.
        draft: the draft's.
        logits_moved: the largest |Δ logit|, after the mean Δ is taken off.
        tv: TV(p₁, pₙ).
        log_ratio: ln pₙ/p₁ of the text's token; 0 at T = 0, as are the next two.
        kl: KL(p₁ ‖ pₙ).
        entropy_shift: H(pₙ) − H(p₁), nats.
        draft_shift: pₙ − p₁ of the draft's token.
    """

    answer: int
    temperature: float
    drafts: int
    offset: int
    winners: tuple[int, int]
    token: int
    draft: int
    logits_moved: float
    tv: float
    log_ratio: float
    kl: float
    entropy_shift: float
    draft_shift: float

    @property
    def flipped(self) -> bool:
        """Whether the winners differ."""
        return self.winners[0] != self.winners[1]


@dataclass(frozen=True, slots=True)
class Compared:
    """All positions of one n and temperature; intervals are 95 % of a bootstrap over answers.

    Attributes:
        temperature, drafts: which.
        positions, answers: how many.
        own: share of the positions where the text's token is the winner of p₁.
        moved: mean over positions of the largest |Δ logit|.
        flips: share of positions.
        to_draft, from_draft: flips to the draft's token, and away from it.
        tv, log_ratio, entropy_shift, draft_shift: means.
        minus_kl: −KL(p₁ ‖ pₙ), mean.
        flips_by_offset, tv_by_offset, draft_shift_by_offset: likewise, per row of the block.
    """

    temperature: float
    drafts: int
    positions: int
    answers: int
    own: float
    moved: float
    flips: Estimate
    to_draft: int
    from_draft: int
    tv: Estimate
    log_ratio: Estimate
    minus_kl: float
    entropy_shift: Estimate
    draft_shift: Estimate
    flips_by_offset: list[float]
    tv_by_offset: list[float]
    draft_shift_by_offset: list[float]


def windows(answers: Sequence[Recorded], positions: int, unit: int) -> list[tuple[Recorded, range]]:
    """At least `positions` positions of answers spread evenly, or all there are; of each a multiple of `unit`."""
    long_enough = [each for each in answers if len(each.tokens) >= unit]
    count = min(len(long_enough), -(-positions // (WINDOW // unit * unit)))
    found = []
    for index in range(count):
        answer = long_enough[index * len(long_enough) // count]
        length = min(WINDOW, len(answer.tokens)) // unit * unit
        start = (len(answer.tokens) - length) * (index % 3) // 2
        found.append((answer, range(start, start + length)))
    return found


def read(sequence: base.Sequence, text: Sequence[int], window: range, rows: int) -> Array:
    """The logits that lead to the positions of a window of `text`, in passes of `rows` rows; shape (window, |V|)."""
    first, end = window.start - 1, window.stop - 1  # the row of a token says what comes next
    if len(sequence) < first:
        sequence.append(text[len(sequence) : first], rows=0)
    sequence.drop(first)
    return np.concatenate([sequence.append(text[at : at + rows], rows) for at in range(first, end, rows)])


def compare(engine: base.Engine, index: int, answer: Recorded, window: range, drafts: Iterable[int]) -> list[Position]:
    """Read a window of an answer alone and in blocks."""
    begin = len(answer.prompt_tokens)
    text, at = (*answer.prompt_tokens, *answer.tokens), range(begin + window.start, begin + window.stop)
    with closing(engine.open()) as sequence:
        alone = read(sequence, text, at, 1)
        return [
            _position(index, answer, n, offset, window.start + offset, alone[offset], row)
            for n in drafts
            for offset, row in enumerate(read(sequence, text, at, n + 1))
        ]


def _position(index: int, answer: Recorded, n: int, row: int, at: int, alone: Array, together: Array) -> Position:
    sampling = Sampling(answer.temperature)
    p, q = distribution(alone, sampling), distribution(together, sampling)
    moved = together - alone
    token, draft = answer.tokens[at], answer.drafts[at]
    place = len(answer.prompt_tokens) + at
    log_p, log_q = (_logs(law) for law in (p, q))
    one_hot = answer.temperature == 0
    return Position(
        answer=index,
        temperature=answer.temperature,
        drafts=n,
        offset=row % (n + 1),
        winners=(race(p, answer.seed, place).token, race(q, answer.seed, place).token),
        token=token,
        draft=draft,
        logits_moved=float(np.abs(moved - moved.mean()).max()),
        tv=total_variation(p, q),
        log_ratio=0.0 if one_hot else float(log_q[token] - log_p[token]),
        kl=0.0 if one_hot else float(p @ (log_p - log_q)),
        entropy_shift=float(p @ log_p - q @ log_q),
        draft_shift=float(q[draft]) - float(p[draft]),
    )


def _logs(law: Array) -> Array:
    """ln p in float64, where what float32 rounds to 0 counts as its smallest number."""
    return np.log(np.maximum(law, np.finfo(np.float32).smallest_subnormal, dtype=np.float64))


def compared(positions: Sequence[Position]) -> Iterator[Compared]:
    """The positions of each temperature and n."""
    for temperature, n in sorted({(each.temperature, each.drafts) for each in positions}):
        of = [each for each in positions if (each.temperature, each.drafts) == (temperature, n)]
        units, unit_of = np.unique([each.answer for each in of], return_inverse=True)
        mean = partial(_mean, unit_of=unit_of, counts=resample_counts(len(units)))
        flipped = [each for each in of if each.flipped]
        yield Compared(
            temperature=temperature,
            drafts=n,
            positions=len(of),
            answers=len(units),
            own=float(np.mean([each.token == each.winners[0] for each in of])),
            moved=float(np.mean([each.logits_moved for each in of])),
            flips=mean([each.flipped for each in of]),
            to_draft=sum(each.winners[1] == each.draft for each in flipped),
            from_draft=sum(each.winners[0] == each.draft for each in flipped),
            tv=mean([each.tv for each in of]),
            log_ratio=mean([each.log_ratio for each in of]),
            minus_kl=float(np.mean([0.0 - each.kl for each in of])),
            entropy_shift=mean([each.entropy_shift for each in of]),
            draft_shift=mean([each.draft_shift for each in of]),
            flips_by_offset=_by_offset(of, [each.flipped for each in of]),
            tv_by_offset=_by_offset(of, [each.tv for each in of]),
            draft_shift_by_offset=_by_offset(of, [each.draft_shift for each in of]),
        )


def _mean(values: Sequence[float], unit_of: np.ndarray, counts: Counts) -> Estimate:
    sums, sizes = (np.bincount(unit_of, each).astype(np.float64) for each in (values, np.ones(len(values))))
    return estimate(Ratio(sums, sizes), counts)


def _by_offset(of: Sequence[Position], values: Sequence[float]) -> list[float]:
    offsets = [each.offset for each in of]
    return [float(mean) for mean in np.bincount(offsets, values) / np.bincount(offsets)]


def main() -> None:
    options = _options()
    answers = list(recorded(options.recorded))
    unit = int(np.lcm.reduce([n + 1 for n in options.drafts]))
    temperatures = sorted({each.temperature for each in answers})
    todo = [
        found
        for temperature in temperatures
        for found in windows([each for each in answers if each.temperature == temperature], options.positions, unit)
    ]
    if not todo or unit > WINDOW:
        raise SystemExit(f"flips: no answer of {options.recorded} has {unit} positions, or it is over {WINDOW}")
    console = Console(width=220)
    positions: list[Position] = []
    with closing(load_engine(options.target)) as engine:
        card = engine.card
        progress = track(todo, "reading", console=Console(stderr=True), transient=True)
        for index, (answer, window) in enumerate(progress):
            positions += compare(engine, index, answer, window, options.drafts)
    found = list(compared(positions))
    if options.json:
        said = {"machine": machine(), "target": card.name, "batch_invariant": card.batch_invariant}
        print(json.dumps(said | {"compared": [asdict(each) for each in found]}, indent=1))
        return
    for temperature in temperatures:
        of = [each for each in found if each.temperature == temperature]
        console.print(_table(card.name, temperature, of), _table_of_offsets(temperature, of))
    console.print(f"batch-invariant by its card: {card.batch_invariant}", machine(), sep="\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Whether the rows of a pass change the target's token.")
    parser.add_argument("target", help="a path or a built-in name")
    parser.add_argument(
        "--recorded", type=Path, default=BUILT_IN, help="the target's answers, by benchmarks.lossless.record"
    )
    parser.add_argument("--positions", type=int, default=600, help="at each temperature")
    parser.add_argument("--drafts", type=int, nargs="+", default=[1, 3, 7, 15], help="n")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args()


def _table(name: str, temperature: float, of: Sequence[Compared]) -> Table:
    first = of[0]
    table = Table(
        title=f"{name}, T = {temperature:g}: n + 1 rows beside 1; {first.positions} positions of {first.answers} "
        f"answers ({first.own:.1%} hold the 1-row winner); 95 % bootstrap over answers"
    )
    for heading in (
        *("n", "logits moved", "flips", "to / from the draft's", "TV", "ln pₙ/p₁ of the text", "−KL(p₁ ‖ pₙ)"),
        *("p of the draft's", "entropy, nats"),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in of:
        table.add_row(
            str(each.drafts),
            f"{each.moved:.3f}",
            _interval(each.flips, "{:.2%}"),
            f"{each.to_draft} / {each.from_draft}",
            _interval(each.tv, "{:.4f}"),
            _interval(each.log_ratio, "{:+.4f}"),
            f"{each.minus_kl:+.4f}",
            _interval(each.draft_shift, "{:+.4f}"),
            _interval(each.entropy_shift, "{:+.4f}"),
        )
    return table


def _table_of_offsets(temperature: float, of: Sequence[Compared]) -> Table:
    table = Table(title=f"by row in the pass, T = {temperature:g}: flips, TV, shift of p of the draft's token")
    table.add_column("row", justify="right")
    for each in of:
        table.add_column(f"n = {each.drafts}", justify="right", no_wrap=True)
    for row in range(max(each.drafts for each in of) + 1):
        table.add_row(str(row), *(_of_row(each, row) if row <= each.drafts else "" for each in of))
    return table


def _of_row(of: Compared, row: int) -> str:
    return f"{of.flips_by_offset[row]:.1%} {of.tv_by_offset[row]:.4f} {of.draft_shift_by_offset[row]:+.4f}"


def _interval(of: Estimate, form: str) -> str:
    return f"{form.format(of.value)} [{form.format(of.low)} … {form.format(of.high)}]"


if __name__ == "__main__":
    main()
