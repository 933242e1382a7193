"""From files to files: a target and prompts in, a draft and its model card out."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cuhlm.distill.plan import Plan, Training, check_plan, keep_plan
from cuhlm.engines.fingerprints import file_fingerprint
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.prompting import encode_content, encode_prompt
from cuhlm.errors import ConfigurationError
from cuhlm.installing import how_to_install
from cuhlm.writable import check_component, write_whole

if TYPE_CHECKING:
    from cuhlm.distill.distillation import DistillationListener
    from cuhlm.distill.gguf_weights import Shape
    from cuhlm.distill.shipping import Shipped

_EXTRA = ("torch", "gguf")
_ANSWER_ROOM = 64


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to distil.

    Attributes:
        target: its GGUF file.
        start: a student's, to go on from; None takes layers of the target.
        prompts: texts.
        prompts_name: their file's, for the card.
        name: of the student and of its files.
        training: the numbers.
    """

    target: Path
    start: Path | None
    prompts: Sequence[str]
    prompts_name: str
    name: str
    training: Training

    def __post_init__(self) -> None:
        check_component(self.name, "the draft")
        different, held_out = len(set(self.prompts)), self.training.held_out
        if different <= held_out:
            raise ConfigurationError(
                f"{different} different prompts are given, and {held_out} are to be held out; expected more; give more "
                "prompts, or hold out fewer"
            )


def distill(recipe: Recipe, folder: Path, listener: "DistillationListener", *, threads: int | None = None) -> "Shipped":
    """Train a student and write it into `folder`; goes on where an earlier call stopped.

    Args:
        recipe: what to distil.
        folder: of the run; its own, or new.
        listener: is told how it goes.
        threads: of training and of llama.cpp; None takes one per usable core.

    Raises:
        ConfigurationError: a number is out of range, the extra `train` is not installed, or the folder holds another
            run.
        ModelError: the target, or the student to go on from, cannot be read or trained.
    """
    _check_extra()
    import torch  # noqa: PLC0415 - an optional extra

    from cuhlm.distill.conversation import TurnTokens  # noqa: PLC0415
    from cuhlm.distill.distillation import Distillation  # noqa: PLC0415
    from cuhlm.distill.gguf_weights import read_shape, read_weights  # noqa: PLC0415
    from cuhlm.distill.model_card import model_card  # noqa: PLC0415
    from cuhlm.distill.shipping import MEASUREMENTS, Trial, choose_file, write_files  # noqa: PLC0415

    training = recipe.training
    shape = read_shape(recipe.target)
    _check_size(recipe, shape, read_shape(recipe.start) if recipe.start else None)
    plan = _plan(recipe)
    # A held-out prompt fills at most a row, template included; what follows it, at most the room.
    context = training.length + _ANSWER_ROOM
    check_plan(plan, folder)
    with LlamaCppEngine.load(recipe.target, context_length=context, threads=threads) as engine:
        if threads is not None:
            torch.set_num_threads(threads)
        tokenizer, chat = engine.tokenizer, engine.card.chat
        target, start = read_weights(recipe.target), read_weights(recipe.start) if recipe.start else None
        prompts = [encode_content(tokenizer, chat, text) for text in recipe.prompts]
        run = Distillation(training, folder, target, TurnTokens.of(tokenizer, chat), prompts, listener)
        keep_plan(plan, folder)  # not before: a run that was refused must not stand in the way of the next
        weights = run.run(start)
        listener.begins("measuring the files", MEASUREMENTS)
        held_out = [encode_prompt(tokenizer, chat, recipe.prompts[number]) for number in run.corpus.held_out_numbers]
        paths = write_files(weights, folder, target=recipe.target, name=recipe.name)
        shipped = choose_file(paths, Trial(engine, held_out, threads), listener.done)
        card = model_card(
            training,
            shipped,
            run.history.measurements,
            prompts_name=recipe.prompts_name,
            target_name=engine.card.name,
            origin=_origin(recipe, run.layers, shape.neurons),
            decoded_on=_processor(),
            trained_on=_trained_on(),
        )
    write_whole(folder / "README.md", card)
    return shipped


def _check_extra() -> None:
    for package in _EXTRA:
        if find_spec(package) is None:
            raise ConfigurationError(
                f"distilling needs {package}; expected it to be installed; run: {how_to_install('cuhlm[train]')}"
            )


def _check_size(recipe: Recipe, target: "Shape", start: "Shape | None") -> None:
    layers, neurons = recipe.training.layers, recipe.training.neurons
    for name, value, available, begun in (
        ("layers", layers, target.layers, start and start.layers),
        ("neurons", neurons, target.neurons, start and start.neurons),
    ):
        if value is None:
            continue
        if begun is not None and begun != value:
            raise ConfigurationError(
                f"{recipe.start} has {begun} {name}, and --{name} says {value}; expected the same; change one of them"
            )
        if value > available:
            raise ConfigurationError(
                f"--{name} is {value}; expected at most the target's {available}, and fewer to be of use; choose less"
            )
    if start is not None:
        _check_kinship(recipe, target, start)


def _check_kinship(recipe: Recipe, target: "Shape", start: "Shape") -> None:
    """A file is written with the target's metadata, so but for layers and neurons all numbers must be the target's."""
    resized = replace(start, layers=target.layers, neurons=target.neurons)
    for field in fields(target):
        value, wanted = getattr(resized, field.name), getattr(target, field.name)
        if value != wanted:
            raise ConfigurationError(
                f"{recipe.start} has {field.name} {value}, and the target {wanted}; expected a draft made from this "
                "target; start from another, or from the target's layers without --start"
            )


def _plan(recipe: Recipe) -> Plan:
    prompts = hashlib.sha256("\0".join(recipe.prompts).encode()).hexdigest()
    start = file_fingerprint(recipe.start) if recipe.start else ""
    return Plan(file_fingerprint(recipe.target), start, prompts, recipe.training)


def _origin(recipe: Recipe, layers: Sequence[int], neurons: int) -> str:
    if recipe.start:
        return f"begun from `{recipe.start.name}`"
    kept = f"begun as the target's layers {', '.join(map(str, layers))} (counted from 0)"
    if recipe.training.neurons:
        kept += f" with {recipe.training.neurons} of {neurons} neurons each"
    return f"{kept}, fitted to do the work of all"


def _trained_on() -> str:
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return _processor()


def _processor() -> str:
    import torch  # noqa: PLC0415

    return f"{platform.processor() or platform.machine()} ({torch.get_num_threads()} of its cores)"
