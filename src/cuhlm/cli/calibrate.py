"""`cuhlm calibrate`: measure a pair, write its profile."""

from pathlib import Path
from typing import Annotated

import typer

from cuhlm.cli import options


def calibrate(
    prompts: Annotated[Path, typer.Option("--prompts", metavar="FILE", help='JSON lines, one {"prompt": "…"} each.')],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the profile.")],
    target: options.TargetRequired = "smollm2-135m",
    draft: options.Draft = "smollm2-draft",
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take this many prompts, spread over the file.")
    ] = None,
    max_tokens: options.MaxTokens = 64,
    temperature: options.Temperature = 1.0,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    min_p: options.MinP = 0.0,
    seed: options.Seed = 0,
    distortion: Annotated[float, typer.Option("--distortion", help="Bound ϑ for k*.")] = 0.1,
    measure: Annotated[
        str,
        typer.Option("--uncertainty", metavar="MEASURE", help="expected, sampled, entropy, margin, max_probability."),
    ] = "expected",
    theta_min: Annotated[float, typer.Option("--theta-min", help="Lowest perturbation temperature.")] = 0.0,
    theta_max: Annotated[float, typer.Option("--theta-max", help="Highest perturbation temperature.")] = 2.0,
    perturbations: Annotated[int, typer.Option("--perturbations", help="How many temperatures, M.")] = 20,
    context: options.Context = None,
    threads: options.Threads = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure a draft and a target on the target's own answers; write the thresholds and k* to a profile.

    Example: `cuhlm calibrate --draft small.gguf --target large.gguf --prompts prompts.jsonl --out pair.json`
    """
    from cuhlm.cli.show_calibration import run_calibration
    from cuhlm.measuring.calibrate import CalibrationPlan
    from cuhlm.measuring.prompts import read_prompts
    from cuhlm.messages import Sampling
    from cuhlm.profiles import UncertaintySettings
    from cuhlm.theory.uncertainty import Measure

    plan = CalibrationPlan(
        prompts_name=prompts.name,
        max_tokens=max_tokens,
        sampling=Sampling(temperature, top_k, top_p, min_p),
        uncertainty=UncertaintySettings(
            options.one_of(Measure, measure, "--uncertainty"), perturbations, theta_min, theta_max
        ),
        vartheta=distortion,
        seed=seed,
    )
    chosen = read_prompts(prompts, limit)
    run_calibration(draft, target, chosen, plan, out, context=context, threads=threads, as_json=as_json)
