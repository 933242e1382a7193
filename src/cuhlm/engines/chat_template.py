"""Chat templates: the Jinja program in a model file that turns messages into the prompt the model was trained on."""

import datetime
import json
from collections.abc import Sequence
from typing import NoReturn

from cuhlm.errors import ModelError


def render(template: str, messages: Sequence[tuple[str, str]], *, start: str, end: str) -> str:
    """The prompt text of `messages`, ready for the model's answer.

    The template comes with a downloaded file, so it runs in Jinja's sandbox, with what Hugging Face's own renderer
    offers it and nothing else.

    Args:
        template: Jinja source.
        messages: (role, content), in order.
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
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        roles = ", ".join(role for role, _ in messages)
        raise ModelError(
            f"the model's chat template fails on messages of the roles {roles}: {error}; expected roles it accepts, as "
            "a rule an optional system message, then user and assistant in turn; change the messages, or send the "
            "prompt as plain text"
        ) from error


def plain(messages: Sequence[tuple[str, str]]) -> str:
    """The prompt text for a model without a chat template: the contents alone, with a blank line between them.

    One message becomes exactly its own text, so a base model continues it.
    """
    return "\n\n".join(content for _, content in messages)


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)


def _now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)  # templates want the local date


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)  # Jinja's own escapes < and > for HTML
