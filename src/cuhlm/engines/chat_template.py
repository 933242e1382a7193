"""Chat templates: the Jinja program in a model file that turns messages into the prompt the model was trained on."""

import datetime
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from cuhlm.errors import ModelError
from cuhlm.messages import ChatFormat

Messages = Sequence[tuple[str, str]]
"""Role and content of each, in order."""

_FAILURES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What the code of a template may raise."""

CONFINED_SECONDS = 5
_CONFINED_BYTES = 2**30
_CONFINED_CHARACTERS = 10**5
"""What a stranger's template may take: time, memory, and what it may add to what is said."""

_LONGEST_REASON = 300


def rendered(chat: ChatFormat, messages: Messages, *, confined: bool = False) -> str:
    """The prompt text of `messages`, ready for the model's answer; without a template, their contents alone.

    Args:
        chat: of the model that shall answer.
        messages: what was said.
        confined: whether the template is a stranger's, who may want to hold us up: it then runs in a process of its
            own, whose time and memory are bounded.

    Raises:
        ModelError: the template is no valid Jinja, fails, refuses the messages, or takes too long.
    """
    if not chat.template:  # one message is its own text, which a base model goes on from
        return "\n\n".join(content for _, content in messages)
    if confined:
        return _render_confined(chat, messages)
    return render(chat.template, messages, start=chat.start, end=chat.end)


def render(template: str, messages: Messages, *, start: str, end: str) -> str:
    """The text that `template` makes of `messages`.

    It comes with a downloaded file, so it runs in Jinja's sandbox, with what Hugging Face's own renderer offers it and
    nothing else.

    Args:
        template: Jinja source.
        messages: what was said.
        start: the model's start token as text, ``bos_token`` in the template; empty if it has none.
        end: the model's end token as text, ``eos_token``.

    Raises:
        ModelError: the template is no valid Jinja, fails, or refuses the messages.
    """
    import jinja2  # noqa: PLC0415 - 60 ms that a start without a chat need not pay
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals.update(raise_exception=_refuse, strftime_now=_now)
    environment.filters["tojson"] = _to_json
    try:
        return environment.from_string(template).render(
            messages=[{"role": role, "content": content} for role, content in messages],
            add_generation_prompt=True,
            bos_token=start,
            eos_token=end,
            tools=None,
            documents=None,
        )
    except (jinja2.TemplateError, *_FAILURES) as error:
        raise _failed(messages, str(error) or type(error).__name__) from error


def _failed(messages: Messages, why: str) -> ModelError:
    roles = ", ".join(role for role, _ in messages)
    why = why if len(why) <= _LONGEST_REASON else why[:_LONGEST_REASON] + "…"
    return ModelError(
        f"the model's chat template fails on messages of the roles {roles}: {why}; expected roles it accepts, as a "
        "rule an optional system message, then user and assistant in turn; change the messages, or send the prompt as "
        "plain text"
    )


def _render_confined(chat: ChatFormat, messages: Messages) -> str:
    """`render` in a process that ends when it takes too much."""
    asked = json.dumps({"template": chat.template, "messages": messages, "start": chat.start, "end": chat.end})
    try:
        found = subprocess.run(
            [sys.executable, "-P", "-m", __name__], input=asked, capture_output=True, text=True, encoding="utf-8",
            timeout=CONFINED_SECONDS, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _failed(messages, f"it runs for more than {CONFINED_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        raise _failed(messages, f"its process ends with {error.returncode}, perhaps for want of memory") from error
    answer = json.loads(found.stdout)
    if "error" in answer:
        raise ModelError(answer["error"])
    return str(answer["text"])


def _serve_confined() -> None:
    """What the process of `_render_confined` does: one rendering, from standard input to standard output."""
    with suppress(ImportError):  # not on Windows
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_AS, (_CONFINED_BYTES, _CONFINED_BYTES))
    asked = json.load(sys.stdin)
    try:
        answer = {"text": render(**asked)}
        said = sum(len(content) for _, content in asked["messages"])
        if len(answer["text"]) > _CONFINED_CHARACTERS + 2 * said:
            raise _failed(asked["messages"], f"it makes {len(answer['text'])} characters")
    except ModelError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)


def _now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)  # templates want the local date


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)  # Jinja's own escapes < and > for HTML


if __name__ == "__main__":
    _serve_confined()
