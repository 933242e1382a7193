"""Prompts from files."""

from dataclasses import dataclass
from pathlib import Path

from cuhlm.errors import ConfigurationError
from cuhlm.readable import converted, read_json_lines


@dataclass(frozen=True, slots=True)
class Prompt:
    """One user message of a prompt file.

    Attributes:
        id: its name.
        text: the message.
        task: what kind of message it is; empty where the file does not say.
        reference: an answer to compare with; empty where there is none.
        answer: the final number of a sum; empty where it is no sum.
    """

    id: str
    text: str
    task: str = ""
    reference: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a prompt file; null is as good as nothing."""

    prompt: str
    id: str | int | None = None
    task: str | None = None
    reference: str | None = None
    answer: str | None = None


def read_prompts(path: Path, limit: int | None = None) -> list[Prompt]:
    """The prompts of a JSON-lines file, one object with `prompt` (and perhaps the other fields of `Prompt`) a line.

    Args:
        path: the file.
        limit: take this many, spread evenly over the file; None takes all.

    Raises:
        ConfigurationError: the file cannot be read, or a line of it is no prompt.
    """
    prompts = [_prompt(*line) for line in read_json_lines(path, "the prompt file")]
    if not prompts:
        raise ConfigurationError(f"the prompt file {path} is empty; expected one JSON object with a prompt per line")
    if limit is None or limit >= len(prompts):
        return prompts
    return [prompts[index * len(prompts) // limit] for index in range(limit)]


def _prompt(number: int, where: str, values: object) -> Prompt:
    try:
        line = converted(values, _Line, where, takes_more=True)
    except ConfigurationError as error:
        raise ConfigurationError(f'{error}; a prompt is a JSON object like {{"prompt": "…"}}') from error
    name = number if line.id is None else line.id
    return Prompt(str(name), line.prompt, line.task or "", line.reference or "", line.answer or "")
