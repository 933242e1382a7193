"""Runs a distillation with its progress shown, and prints what came out."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cuhlm.cli.progress import Pace, ShownProgress, shown_progress
from cuhlm.distill.history import Measurement
from cuhlm.distill.plan import Training
from cuhlm.distill.recipe import Recipe, distill
from cuhlm.distill.shipping import Shipped
from cuhlm.engines.locate import model_file
from cuhlm.measuring.prompts import read_prompts
from cuhlm.records import json_values


def run_distillation(
    target: str,
    start: str | None,
    prompts: Path,
    training: Training,
    out: Path,
    *,
    name: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Distil into `out`, and print how near the draft came."""
    console = Console(highlight=False, stderr=as_json)
    recipe = Recipe(
        target=model_file(target, "target"),
        start=model_file(start, "start") if start else None,
        prompts=[prompt.text for prompt in read_prompts(prompts)],
        prompts_name=prompts.name,
        name=name,
        training=training,
    )
    with shown_progress(console) as progress:
        shipped = distill(recipe, out, _ShownDistillation(progress, console), threads=threads)
    if as_json:
        print(json.dumps(json_values(shipped.as_json()), indent=1))
    else:
        console.print(_table(shipped), f"written to {out}: {shipped.path.name}, its card README.md", sep="\n")


class _ShownDistillation:
    """A `distill.distillation.DistillationListener`: the part at work, and beside it the whole run."""

    def __init__(self, progress: ShownProgress, console: Console) -> None:
        self._progress, self._console = progress, console
        self._part = Pace("loading", 0)
        self._run: Pace | None = None
        progress.shows(self._part)

    def begins(self, work: str, total: int) -> None:
        self._part = Pace(work, total)
        self.done(0)

    def done(self, units: int) -> None:
        self._part.done = units
        self._progress.shows(self._part, f"; {self._run}" if self._run else "")

    def trained(self, steps: int, total: int, loss: float) -> None:
        if self._run is None:
            self._run = Pace("training steps of this sitting", total - steps + 1)
        self._run.done += 1
        self._progress.shows(self._run, f", loss {loss:.3f}")

    def measured(self, measurement: Measurement) -> None:
        numbers = "   ".join(
            f"T = {each.temperature:g}: 1 − TV {each.one_minus_tv:.3f}, keyed {each.keyed:.3f}"
            for each in measurement.agreements
        )
        n = measurement.agreements[0].positions
        self._console.print(f"{measurement.tokens:>10} tokens   {numbers}   (n = {n}, held out)", soft_wrap=True)


def _table(shipped: Shipped) -> Table:
    title = (
        f"{shipped.path.name}: {shipped.megabytes:.1f} MB, {shipped.tokens_per_second:.0f} tokens/s "
        f"(target {shipped.target_tokens_per_second:.0f})"
    )
    table = Table("T", "1 − TV", "keyed", "same argmax", "n", title=title, title_justify="left", header_style="bold")
    for each in shipped.agreements:
        table.add_row(
            f"{each.temperature:g}",
            f"{each.one_minus_tv:.3f} ± {each.error:.3f}",
            f"{each.keyed:.3f}",
            f"{each.same_argmax:.3f}",
            str(each.positions),
        )
    return table
