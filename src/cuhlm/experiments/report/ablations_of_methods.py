"""What the paper leaves open, from the grid's answers: here a method's own text matters."""

from cuhlm.experiments.report.ablation import Ablation, TableRow, bounded
from cuhlm.experiments.report.positions import Positions
from cuhlm.experiments.report.results import Point, Results
from cuhlm.measuring.bootstrap import Ratio, estimate


def ablations_of_methods(results: Results, walk: Positions | None, prompts: str) -> list[Ablation]:
    """Every table that the grid has the data for.

    Args:
        results: its points.
        walk: positions of the target's own texts, where there are some.
        prompts: the set that the headline is about.
    """
    found = [] if walk is None else [draft_laws(walk, results, prompts)]
    found.append(route_and_hlm(results, prompts))
    found += [task_scores(results, *condition) for condition in results.conditions]
    return [ablation for ablation in found if ablation.rows]


def draft_laws(positions: Positions, results: Results, prompts: str) -> Ablation:
    """Drawing the sent draft from x, or from what the verifier will rebuild."""
    rows: list[TableRow] = []
    for law in ("x", "xhat"):
        row: TableRow = {"draft_from": law, "positions": positions.n}
        row |= bounded("acceptance", positions.mean(positions.column(f"acceptance_{law}")))
        point = next(
            (
                each
                for each in results.at(prompts, positions.temperature)
                if each.choice.method.name == "cu-hlm" and each.choice.draft_from == law and _has_twin(results, each)
            ),
            None,
        )
        if point:
            row["u_th"], row["answers"] = point.settings.threshold, point.n_answers
            row |= bounded("tv_of_answers", point.estimate("tv"))
            row |= bounded("nll_of_answers", point.estimate("nll"))
        rows.append(row)
    return Ablation(
        "draft_from",
        "What does it cost to draw the draft from x̂, which makes truncation exact?",
        f"{positions.described} "
        f"acceptance: of any draft, at k*(t) with ϑ = 0.1 and 8 bits. The columns to the right are of "
        "cu-hlm's own answers at one threshold; what is left of tv there is what skipping does.",
        rows,
    )


def _has_twin(results: Results, point: Point) -> bool:
    """Whether the same method was run with the other law, too."""
    return any(
        other.choice.draft_from != point.choice.draft_from
        and (other.choice.method, other.choice.threshold, other.temperature)
        == (point.choice.method, point.choice.threshold, point.temperature)
        for other in results.points
    )


def route_and_hlm(results: Results, prompts: str) -> Ablation:
    """The same law, without an upload."""
    rows = []
    for point in results.points:
        if point.prompts == prompts and point.choice.method.name in ("remote", "hlm", "route"):
            label = point.choice.label
            rows.append(
                {"method": label, "T": point.temperature, "answers": point.n_answers, "tokens": point.n_tokens}
                | bounded("transmitted_share", point.estimate("transmitted_share"))
                | bounded("uplink_bytes_per_token", point.estimate("uplink_bytes_per_token"))
                | bounded("tv", point.estimate("tv"))
                | bounded("nll", point.estimate("nll"))
            )
    return Ablation(
        "route_and_hlm",
        "With one token per request, is `route` `hlm` without the upload?",
        "Of the methods' own answers; in brackets: 95 % bootstrap over prompts. Where nothing is skipped route's law "
        "is the target's exactly; hlm's differs from it by what 8 bits do to x, and costs a payload. The bytes are the "
        "paper's payload: route's token ids (some 20 bits each) are free in it.",
        rows,
    )


def task_scores(results: Results, prompts: str, temperature: float) -> Ablation:
    """Exact match beside similarity, problem by problem."""
    points = [point for point in results.at(prompts, temperature) if "exact_match" in point.ratios]
    remote = next((point for point in points if point.choice.method.name == "remote"), None)
    rows = []
    for point in points if remote else []:
        ours, theirs = (each.ratios["exact_match"] for each in (point, remote) if each)
        difference = Ratio(ours.numerator - theirs.numerator, ours.denominator)
        rows.append(
            {"method": point.choice.label, "problems": int(ours.denominator.sum())}
            | bounded("transmitted_share", point.estimate("transmitted_share"))
            | bounded("exact_match", point.estimate("exact_match"))
            | bounded("difference_from_remote", estimate(difference, point.counts))
            | bounded("similarity_to_remote", point.estimate("similarity_to_remote"))
        )
    return Ablation(
        f"task_scores_{prompts}_T{temperature:g}",
        f"Does a task's score survive what similarity does not see? ({prompts}, T = {temperature:g})",
        "Exact match of the final number. difference_from_remote: paired, problem by problem; in brackets: 95 % "
        "bootstrap over prompts. Share and similarity are of all prompts of the set.",
        rows,
    )
