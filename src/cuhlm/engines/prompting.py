"""From what a person says to the tokens of a prompt: the model's template around it, and none of its own tokens in it.

A control token in a prompt is the template's. Where its name stands in a message it is text, or a message could end its
turn and speak as the system.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from cuhlm.engines.base import Tokenizer
from cuhlm.engines.chat_template import rendered
from cuhlm.errors import ConfigurationError, ModelError
from cuhlm.given import instance
from cuhlm.messages import ChatFormat

_MARKS = "".join(map(chr, range(0xFDD0, 0xFDF0)))  # Unicode says that these will never be characters


def encode_text(tokenizer: Tokenizer, chat: ChatFormat, text: str) -> tuple[int, ...]:
    """The tokens of `text` as it is, special tokens in it recognised; the start token in front, once, if one is due.

    Raises:
        ConfigurationError: it is no Unicode.
    """
    return _begun(tokenizer, chat, tokenizer.tokenize(text))


def encode_chat(
    tokenizer: Tokenizer, chat: ChatFormat, messages: Sequence[tuple[str, str]], *, confined: bool = False
) -> tuple[int, ...]:
    """The tokens of (role, content) messages in `chat`, ready for the answer; what is said in them is only text.

    Args:
        tokenizer: of the vocabulary.
        chat: of the model that shall answer.
        messages: in order.
        confined: whether the template is a stranger's; see `chat_template.rendered`.

    Raises:
        ConfigurationError: a content is no Unicode.
        ModelError: the template fails on these messages, or makes special tokens of what is said in them.
    """
    names, mark = _special_names(tokenizer, chat), _unused(content for _, content in messages)
    cut = [(role, _cut(content, names, mark)) for role, content in messages]
    tokens = _joined(tokenizer, rendered(chat, cut, confined=confined), mark)
    firsts = {name[0] for name in names}
    if any(firsts.intersection(content) for _, content in messages):
        harmless = [(role, "".join("x" if each in firsts else each for each in said)) for role, said in messages]
        usual = tokenizer.tokenize(rendered(chat, harmless, confined=confined))
        _check_special(tokens, usual, {tokenizer.tokenize(name)[0] for name in names})
    return _begun(tokenizer, chat, tokens)


def encode_content(tokenizer: Tokenizer, chat: ChatFormat, content: str) -> tuple[int, ...]:
    """The tokens of what is said in one message, without the template around it.

    Raises:
        ConfigurationError: it is no Unicode.
    """
    mark = _unused([content])
    return tuple(_joined(tokenizer, _cut(content, _special_names(tokenizer, chat), mark), mark))


def encode_prompt(
    tokenizer: Tokenizer,
    chat: ChatFormat,
    text: str,
    *,
    system: str | None = None,
    raw: bool = False,
    confined: bool = False,
) -> tuple[int, ...]:
    """The tokens of a user's message, after a system message if there is one; of the bare text where `raw`."""
    for said in (text, *([] if system is None else [system])):
        instance(str, "what is said", said)
    if raw:
        return encode_text(tokenizer, chat, text)
    messages = ([("system", system)] if system is not None else []) + [("user", text)]
    return encode_chat(tokenizer, chat, messages, confined=confined)


def _begun(tokenizer: Tokenizer, chat: ChatFormat, tokens: list[int]) -> tuple[int, ...]:
    start = tokenizer.tokenize(chat.start) if chat.adds_start else []
    return tuple(tokens if tokens[: len(start)] == start else start + tokens)


def _special_names(tokenizer: Tokenizer, chat: ChatFormat) -> frozenset[str]:
    return tokenizer.control_names.union(name for name in tokenizer.added_names if name in chat.template)


def _joined(tokenizer: Tokenizer, cut: str, mark: str) -> list[int]:
    """The tokens of the pieces of a text, each read apart."""
    first, *others = cut.split(mark)
    tokens = tokenizer.tokenize(first) if first else []
    for other in filter(None, others):
        tokens += _continued(tokenizer, other)
    return tokens


def _continued(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of `text` in the middle of another: without the space that some vocabularies put before any text."""
    tokens = tokenizer.tokenize(text)
    if text.startswith(" ") or not tokenizer.piece(tokens[0]).startswith(b" "):
        return tokens
    behind_a_line_end, read = tokenizer.tokenize("\n" + text), b""
    for at, token in enumerate(behind_a_line_end, 1):
        read += tokenizer.piece(token)
        if read.strip(b" ") == b"\n":
            return behind_a_line_end[at:]
    return tokens


def _check_special(tokens: list[int], usual: list[int], special: set[int]) -> None:
    """Refuse more special tokens than a template makes of harmless contents: it may join, strip or rewrite them."""
    if Counter(token for token in tokens if token in special) - Counter(usual):
        raise ModelError(
            "the model's chat template makes special tokens of what is said in the messages; expected one that lets it "
            "stand; change the messages, or send the prompt as plain text, special tokens and all"
        )


def _unused(contents: Iterable[str]) -> str:
    """A mark that stands in none of the contents."""
    used = set().union(*contents)
    found = next((mark for mark in _MARKS if mark not in used), None)
    if found is None:
        raise ConfigurationError(
            "the messages hold all of U+FDD0 to U+FDEF, which are no characters; expected text; leave one out"
        )
    return found


def _cut(content: str, names: frozenset[str], mark: str) -> str:
    """`content` with a mark behind the first character of every special token's name in it.

    Its two halves are no name, and a tokenizer that reads them apart makes text of both.
    """
    return content if not names else _beginnings(names).sub(lambda found: found[0] + mark, content)


@lru_cache(maxsize=8)
def _beginnings(names: frozenset[str]) -> re.Pattern[str]:
    """Finds the first character of every name, also where names overlap."""
    return re.compile("|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in sorted(names)))
