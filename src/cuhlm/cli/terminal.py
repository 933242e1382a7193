"""Text of models on a terminal: what they write must not steer it."""

import sys

from rich.console import Console
from rich.text import Text


def visible(text: str) -> str:
    """`text` with every control character but line end and tab as its code: \\x1b."""
    return "".join(
        each if each.isprintable() or each in "\n\t" or not _controls(each) else f"\\x{ord(each):02x}" for each in text
    )


def print_answer(console: Console, text: str, style: str) -> None:
    """Add `text` to an answer: coloured and harmless on a terminal; into a file or a pipe as it is, to the byte."""
    if console.is_terminal:
        console.print(Text(visible(text), style), end="")
    else:
        sys.stdout.write(text)
    sys.stdout.flush()


def _controls(character: str) -> bool:
    return ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0
