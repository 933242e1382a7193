"""Prompts: from files, and from text to tokens."""

import json
from dataclasses import dataclass
from pathlib import Path

from cuhlm.engines.base import Tokenizer
from cuhlm.errors import ConfigurationError


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


def read_prompts(path: Path, limit: int | None = None) -> list[Prompt]:
    """The prompts of a JSON-lines file, one object with `prompt` (and perhaps the other fields of `Prompt`) a line.

    Args:
        path: the file.
        limit: take this many, spread evenly over the file; None takes all.

    Raises:
        ConfigurationError: the file cannot be read, or a line of it is no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # `splitlines` would also split at U+2028 in a string
    except OSError as error:
        raise ConfigurationError(f"the prompt file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the prompt file {path} is not UTF-8 ({error}); save it as UTF-8") from error
    prompts = [_prompt(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not prompts:
        raise ConfigurationError(f"the prompt file {path} is empty; expected one JSON object with a prompt per line")
    if limit is None or limit >= len(prompts):
        return prompts
    return [prompts[index * len(prompts) // limit] for index in range(limit)]


def encode_prompt(tokenizer: Tokenizer, text: str, *, system: str | None = None, raw: bool = False) -> tuple[int, ...]:
    """The tokens of a user message in the model's chat template; of the bare text where `raw`."""
    if raw:
        return tuple(tokenizer.tokenize(text))
    messages = ([("system", system)] if system is not None else []) + [("user", text)]
    return tuple(tokenizer.tokenize(tokenizer.render_chat(messages)))


def _prompt(path: Path, number: int, line: str) -> Prompt:
    try:
        fields = json.loads(line)
        if not isinstance(fields["prompt"], str):
            raise TypeError(f"its prompt is {fields['prompt']!r}")
        optional = {name: str(fields[name]) for name in ("task", "reference", "answer") if name in fields}
        return Prompt(str(fields.get("id", number)), fields["prompt"], **optional)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f'{path}, line {number}, is no prompt ({error}); expected a JSON object like {{"prompt": "…"}}'
        ) from error
