"""`cuhlm distill`: make a draft for a target."""

from pathlib import Path
from typing import Annotated

import typer

from cuhlm.cli import options

TRAINING = "Training"


def distill(
    layers: Annotated[int, typer.Option("--layers", min=1, help="Layers of the draft.")],
    prompts: Annotated[Path, typer.Option("--prompts", metavar="FILE", help='JSON lines, one {"prompt": "…"} each.')],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the run and of the draft.")],
    target: options.TargetRequired = "smollm2-135m",
    neurons: Annotated[
        int | None,
        typer.Option("--neurons", help="Neurons of each layer's feed-forward part, a multiple of 32. Default: all."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="MODEL",
            help="A draft to go on from, instead of layers of the target.",
            rich_help_panel=options.MODELS,
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The draft's name, and that of its files.")] = "draft",
    tokens: Annotated[
        int, typer.Option("--tokens", min=1, help="To train on, repetitions included.", rich_help_panel=TRAINING)
    ] = 5_000_000,
    passes: Annotated[
        int,
        typer.Option("--passes", min=1, help="Texts trained on for each one written.", rich_help_panel=TRAINING),
    ] = 1,
    loss: Annotated[
        str, typer.Option("--loss", help="kl, tv, or kl-tv, one after the other.", rich_help_panel=TRAINING)
    ] = "kl-tv",
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", help="At its highest.", rich_help_panel=TRAINING)
    ] = 6e-4,
    temperature: Annotated[
        list[float] | None,
        typer.Option(
            "--temperature",
            "-t",
            help="Of the target's text; give several to mix. Default: 0.7 and 1.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    held_out: Annotated[
        int, typer.Option("--held-out", min=1, help="Prompts to measure on.", rich_help_panel=TRAINING)
    ] = 20,
    length: Annotated[int, typer.Option("--length", help="Tokens in a row of text.", rich_help_panel=TRAINING)] = 256,
    rows: Annotated[
        int, typer.Option("--rows", help="Rows the target writes at a time.", rich_help_panel=TRAINING)
    ] = 128,
    batch: Annotated[int, typer.Option("--batch", help="Rows of a training step.", rich_help_panel=TRAINING)] = 8,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a draft model: layers of the target, whole or narrower, trained to follow its law on its own text.

    Needs the extra `train` (torch and gguf) and a target in a GGUF file of the Llama kind. Stop it as you like: the
    same command goes on, and with more `--tokens` it trains on.

    Example: `cuhlm distill --target large.gguf --layers 16 --prompts prompts.jsonl --out draft`
    """
    from cuhlm.cli.show_distillation import run_distillation
    from cuhlm.distill.plan import Objective, Training

    training = Training(
        layers=layers,
        neurons=neurons,
        tokens=tokens,
        objective=options.one_of(Objective, loss, "--loss"),
        learning_rate=learning_rate,
        passes=passes,
        temperatures=tuple(temperature or (0.7, 1.0)),
        held_out=held_out,
        length=length,
        rows_per_text=rows,
        rows_per_step=batch,
        seed=seed,
    )
    run_distillation(target, start, prompts, training, out, name=name, threads=threads, as_json=as_json)
