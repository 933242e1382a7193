"""Waiting for what happens in another thread or process, with a bound that only a hang reaches."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HANG_SECONDS = 60.0
"""Nothing in the tests takes so long unless it never ends, on a busy machine either. No test expects less."""

COMMAND_SECONDS = 900.0
"""The same for a process that loads models and works with them."""


def eventually(attempt: Callable[[], T], meanwhile: type[Exception] = AssertionError) -> T:
    """The first result of `attempt` that is none of `meanwhile`, tried again and again."""
    hangs_at = time.monotonic() + HANG_SECONDS
    while True:
        try:
            return attempt()
        except meanwhile:
            if time.monotonic() > hangs_at:
                raise
            time.sleep(0.005)
