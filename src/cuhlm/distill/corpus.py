"""The texts of a run, on disk: which prompts they begin with, and which of them a step is trained on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from cuhlm.distill.conversation import Conversation, TurnTokens
from cuhlm.distill.llama import Llama
from cuhlm.distill.plan import Training
from cuhlm.distill.text import Text, write_text
from cuhlm.errors import ConfigurationError

Progress = Callable[[int], None]
Prompts = Sequence[tuple[int, ...]]

_FOLDER = "text"
_HELD_OUT = "held_out.npz"
_HELD_OUT_SEED = 2**31  # a CPU generator takes 32 bits; texts have the seeds from the run's own on


class Corpus:
    """Texts that the target writes, each once, and keeps in a folder.

    Attributes:
        held_out_numbers: which of the prompts are kept from training.
    """

    def __init__(self, training: Training, folder: Path, target: Llama, turns: TurnTokens, prompts: Prompts) -> None:
        """Split the prompts.

        Args:
            training: its numbers.
            folder: of the run.
            target: writes.
            turns: of its chat template.
            prompts: tokens of each, without the template's. Those are left out that fill more than half of what the
                template leaves of a row, and all but the first of equal ones.

        Raises:
            ConfigurationError: too few prompts are left.
        """
        self._training, self._target, self._turns = training, target, turns
        self._folder = folder / _FOLDER
        self._folder.mkdir(exist_ok=True)
        room = (training.length - len(turns.opening) - len(turns.to_answer)) // 2
        first = {prompt: number for number, prompt in reversed(list(enumerate(prompts)))}
        fitting = [number for number in sorted(first.values()) if 0 < len(prompts[number]) <= room]
        if len(fitting) <= training.held_out:
            raise ConfigurationError(
                f"{len(fitting)} prompts have at most {room} tokens and leave room for an answer, and "
                f"{training.held_out} are to be held out; expected more; give more or shorter prompts, hold out fewer, "
                "or make rows longer"
            )
        self.held_out_numbers = [fitting[each * len(fitting) // training.held_out] for each in range(training.held_out)]
        self._held_out = [prompts[number] for number in self.held_out_numbers]
        self._prompts = [prompts[number] for number in fitting if number not in set(self.held_out_numbers)]

    def held_out(self, progress: Progress = lambda _: None) -> Text:
        """Answers to the prompts held out."""
        conversations = [Conversation(self._turns, prompt) for prompt in self._held_out]
        return self._written(_HELD_OUT, conversations, _HELD_OUT_SEED, progress)

    def text(self, number: int, progress: Progress = lambda _: None) -> Text:
        """The text of that number, written now if it is not there: half of it answers prompts, half is all its own."""
        generator = _generator(self._training.seed, number)
        rows = range(self._training.rows_per_text)
        prompts = [self._prompts[_random(len(self._prompts), generator)] if row % 2 == 0 else () for row in rows]
        conversations = [Conversation(self._turns, prompt) for prompt in prompts]
        return self._written(_file(number), conversations, self._training.seed + number, progress)

    def steps(self, round_number: int) -> "RoundTexts":
        """What the steps of a round are trained on: its own text, and earlier ones at random."""
        generator = _generator(self._training.seed + 1, round_number)
        numbers = [round_number]
        numbers += [_random(round_number + 1, generator) for _ in range(self._training.passes - 1)]
        return RoundTexts([self.text(number) for number in numbers], self._training.rows_per_step, generator)

    def _written(self, file: str, conversations: Sequence[Conversation], seed: int, progress: Progress) -> Text:
        path = self._folder / file
        if not path.exists():
            heats = self._training.temperatures
            # In turn by pairs of rows, as prompts and own instructions alternate.
            temperatures = [heats[row // 2 % len(heats)] for row in range(len(conversations))]
            generator = torch.Generator(self._target.embedding.device).manual_seed(seed)
            write_text(self._target, conversations, temperatures, self._training.length, generator, progress).save(path)
        return Text.load(path)


class RoundTexts:
    """A round's texts, their rows shuffled together."""

    def __init__(self, texts: Sequence[Text], rows_per_step: int, generator: torch.Generator) -> None:
        self._text = Text.joined(texts)
        self._order = torch.randperm(len(self._text.tokens), generator=generator)
        self._rows = rows_per_step

    def step(self, number: int) -> Text:
        """The rows of one step."""
        return self._text.rows(self._order[number * self._rows : (number + 1) * self._rows])


def _random(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))


def _file(number: int) -> str:
    return f"{number:05d}.npz"


def _generator(seed: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + number)
