"""The student's model card: what it is, how it came to be, and how near it is, with every number's n."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from cuhlm.distill.history import Measurement
from cuhlm.distill.plan import Objective, Training
from cuhlm.distill.shipping import ANSWER_TOKENS, Shipped
from cuhlm.measuring.agreement import Agreement

_LOSS = {Objective.KL: "KL", Objective.TV: "TV", Objective.KL_THEN_TV: "KL, in the second half TV,"}
_MEASURED_ROWS = 12  # of the training's own table


def model_card(
    training: Training,
    shipped: Shipped,
    measurements: Sequence[Measurement],
    *,
    prompts_name: str,
    target_name: str,
    origin: str,
    decoded_on: str,
    trained_on: str,
) -> str:
    """The card as Markdown.

    Args:
        training: its numbers.
        prompts_name: of the prompt file.
        shipped: the file as it runs.
        measurements: during training; not empty.
        target_name: the target's own.
        origin: where the student's weights began.
        decoded_on: what the file was measured on.
        trained_on: what the training ran on.
    """
    lines = [
        f"# {shipped.path.name}",
        "",
        f"A draft model for {target_name}: the same tokenizer, chat template and vocabulary, {training.layers} layers, "
        f"{origin}. Made by `cuhlm distill` {version('cuhlm')} on {datetime.now(UTC).date().isoformat()}. Its "
        "licence is its target's.",
        "",
        "## As it runs",
        "",
        *_as_it_runs(training, shipped, prompts_name, decoded_on),
        "",
        "## Training",
        "",
        *_as_it_was_trained(training, measurements, prompts_name, trained_on),
        "",
    ]
    return "\n".join(lines)


def _as_it_runs(training: Training, shipped: Shipped, prompts_name: str, machine: str) -> list[str]:
    tried = ", ".join(f"{kind} {value:.3f}" for kind, value in shipped.tried.items())
    return [
        f"{shipped.megabytes:.1f} MB, {'' if shipped.batch_invariant else 'not '}batch-invariant in llama.cpp. It "
        f"decodes {shipped.tokens_per_second:.0f} tokens/s, its target {shipped.target_tokens_per_second:.0f}, "
        f"on {machine}. Agreement on the target's own answers to {training.held_out} prompts held out of "
        f"`{prompts_name}`, at most {ANSWER_TOKENS} tokens each, ± one standard error:",
        "",
        *_table(("T", "1 − TV", "keyed", "same argmax", "n"), [_agreement(each) for each in shipped.agreements]),
        "",
        "`1 − TV` is the chance that a token drawn from the draft's law stands (speculative verification), `keyed` the "
        "share of positions where draft and target win a race on shared random numbers with the same token. "
        f"1 − TV at T = 1 by 4-bit type: {tried}.",
    ]


def _as_it_was_trained(
    training: Training, measurements: Sequence[Measurement], prompts_name: str, machine: str
) -> list[str]:
    last = measurements[-1]
    temperatures = " and ".join(f"{temperature:g}" for temperature in training.temperatures)
    return [
        f"{last.tokens} tokens (a text counts each time it is used) in {last.seconds / 3600:.2f} hours on {machine}: "
        f"the target's own conversations at temperatures {temperatures}, half of them begun by other prompts of "
        f"`{prompts_name}`, half by itself. Loss: {_LOSS[training.objective]} to the target's law at the answers' "
        "positions. Weights are rounded to Q4_0 in every forward pass, straight-through; embedding and head are "
        f"frozen. AdamW, learning rate {training.learning_rate:g} falling as a cosine, {training.tokens_per_step} "
        f"tokens a step, seed {training.seed}. On the held-out answers, before the files were written:",
        "",
        *_table(("tokens", *_columns(last)), [_measured(each) for each in _thinned(measurements)]),
    ]


def _agreement(each: Agreement) -> tuple[str, ...]:
    return (
        f"{each.temperature:g}",
        f"{each.one_minus_tv:.3f} ± {each.error:.3f}",
        f"{each.keyed:.3f}",
        f"{each.same_argmax:.3f}",
        str(each.positions),
    )


def _columns(measurement: Measurement) -> tuple[str, ...]:
    return tuple(
        f"{what}, T = {each.temperature:g} (n = {each.positions})"
        for each in measurement.agreements
        for what in ("1 − TV", "keyed")
    )


def _measured(measurement: Measurement) -> tuple[str, ...]:
    numbers = [number for each in measurement.agreements for number in (each.one_minus_tv, each.keyed)]
    return (str(measurement.tokens), *(f"{number:.3f}" for number in numbers))


def _thinned(measurements: Sequence[Measurement]) -> list[Measurement]:
    """At most so many, evenly, first and last among them."""
    last = len(measurements) - 1
    chosen = {round(index * last / (_MEASURED_ROWS - 1)) for index in range(_MEASURED_ROWS)}
    return [measurements[index] for index in sorted(chosen)]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *rows)]
