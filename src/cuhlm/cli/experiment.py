"""`cuhlm experiment`: a declared grid of runs, and what it found."""

from pathlib import Path
from typing import Annotated

import typer

from cuhlm.cli import options


def experiment(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="What to run; see experiments/paper.toml.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="For traces, tables, figures and the report.")],
    draft: Annotated[str | None, typer.Option("--draft", metavar="MODEL", help="Instead of the spec's.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="MODEL", help="Instead of the spec's.")] = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompts", metavar="NAME=FILE", help="Another file for a prompt set; may be given repeatedly."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first prompts of each set but the calibration's.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", "-n", min=1, help="Longest answer, instead of the spec's.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="4 prompts and short answers: a few minutes.")] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Each loads the pair; default: one per core.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Run every method of a spec on a pair, and write tables, figures and a report.

    What is decoded is kept: an interrupted run goes on where it was, and a new channel decodes nothing.
    Needs `pip install "cuhlm[experiments]"`.

    Example: `cuhlm experiment experiments/paper.toml --out results --quick`
    """
    from cuhlm.cli import show_experiment

    show_experiment.run(
        spec,
        out,
        show_experiment.Changes(draft, target, tuple(prompts or ()), limit, max_tokens, quick),
        processes=processes,
        as_json=as_json,
    )
