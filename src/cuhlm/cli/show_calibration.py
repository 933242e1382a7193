"""Runs a calibration with its progress shown, and prints what it found."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cuhlm.cli.progress import shown_progress
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import model_files
from cuhlm.measuring.calibrate import CalibrationPlan, Tokens, calibrate, check_enough, skipped_risk
from cuhlm.measuring.prompts import Prompt
from cuhlm.measuring.risk import RISKS, foresight, labels_of
from cuhlm.profiles import Profile
from cuhlm.theory.score import Wrong
from cuhlm.writable import check_writable


def run_calibration(
    draft: str,
    target: str,
    prompts: Sequence[Prompt],
    plan: CalibrationPlan,
    out: Path,
    *,
    context: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Calibrate, write the profile to `out`, and print it.

    Raises:
        CuhlmError: a model or `out` cannot be used, or there is nothing to calibrate; told before a model is loaded.
    """
    check_writable(out, "the profile")
    check_enough(len(prompts) * plan.max_tokens)
    model_files(draft, target)
    console = Console(highlight=False, markup=False, stderr=as_json)
    with (
        load_engine(draft, context_length=context, threads=threads) as draft_engine,
        load_engine(target, context_length=context, threads=threads) as target_engine,
        shown_progress(console) as progress,
    ):
        progress.begins("calibrating on prompts", len(prompts))
        profile, tokens = calibrate(draft_engine, target_engine, prompts, plan, lambda done, _: progress.is_at(done))
    profile.save(out)
    if as_json:
        print(profile.text(), end="")
        return
    _print(console, profile, tokens)
    console.print(f"written to {out}")


def _print(console: Console, profile: Profile, tokens: Tokens) -> None:
    model, made = profile.rejection, profile.provenance
    console.print(
        f"{profile.draft_name} → {profile.target_name}: {made.n_tokens} tokens of {made.n_prompts} prompts at "
        f"{made.sampling}, u = {profile.uncertainty.measure}\n"
        f"E[β | u] ≈ {model.a:.3f}·u {model.b:+.3f}   r = {model.pearson_r:.3f}   R² = {model.r_squared:.3f}   "
        f"Δ = P(y_d < x_d) = {profile.delta:.3f}   mean β = {np.mean(tokens.beta):.3f}\n"
        f"k* = {profile.k_star} at ϑ = {profile.vartheta:g}"
    )
    headings = ("threshold", "u_th", "would skip", "mean β of the skipped", "95 % interval over texts")
    table = Table(*headings, header_style="bold")
    for name, threshold in (("risk-averse", profile.risk_averse), ("risk-prone", profile.risk_prone)):
        share, (mean, low, high) = skipped_risk(tokens, threshold, seed=made.seed)
        cells = ("–" if np.isnan(mean) else f"{mean:.3f}", "–" if np.isnan(low) else f"{low:.3f} … {high:.3f}")
        table.add_row(name, f"{threshold:.3f}", f"{share:.1%}", *cells)
    console.print(table)
    _print_scores(console, profile)
    for name, threshold in (("risk-averse", profile.risk_averse), ("risk-prone", profile.risk_prone)):
        if meaning := outside(threshold):
            console.print(
                f"The {name} threshold is {meaning}. A number can be given instead of a rule.", style="yellow"
            )


def _print_scores(console: Console, profile: Profile) -> None:
    """What `opportunistic` goes by: how well the scores foresee what is wrong, and how far they can be believed."""
    kept = [f"kept at {100 * risk:g} % wrong" for risk in RISKS]
    table = Table("wrong means", "of all", "area under the curve", *kept, header_style="bold")
    for wrong in profile.scores:
        foreseen = foresight(profile.positions, wrong, seed=profile.provenance.seed)
        shares = (_with_interval(each, "{:.0%}") for each in foreseen.kept)
        of_all = labels_of(profile.positions, wrong).mean()
        table.add_row(wrong, f"{of_all:.1%}", _with_interval(foreseen.area, "{:.2f}"), *shares)
    fitted = profile.scores[Wrong.PLAUSIBLE]
    held_out = f"texts held out in {fitted.folds} parts" if fitted.folds > 1 else "too few texts to hold any out"
    console.print(f"What a score foresees of keeping a draft ({held_out}; 95 % interval over texts)")
    console.print(table)
    title = f"Reliability of the score of {Wrong.PLAUSIBLE}"
    bins = Table("score", "wrong", "tokens", header_style="bold", title=title)
    for each in fitted.reliability:
        bins.add_row(f"{each.predicted:.3f}", f"{each.realised:.3f}", str(each.n))
    console.print(bins)


def _with_interval(value: tuple[float, float, float], form: str) -> str:
    middle, low, high = ("–" if np.isnan(each) else form.format(each) for each in value)
    return f"{middle} [{low} … {high}]"


def outside(threshold: float) -> str:
    """What it means that a threshold lies outside [0, 1]; empty where it does not."""
    if np.isnan(threshold):
        return "undefined: β does not grow with u"
    if threshold < 0:
        return "below 0: even certain drafts are rejected too often, so this rule never skips"
    if threshold > 1:
        return "above 1: even the most uncertain drafts pass, so this rule never asks"
    return ""
