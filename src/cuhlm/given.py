"""What a caller gives, taken for what it means or refused: Python itself would take "xhat" for a law that is not x.

Types say what is expected, and a program without a type checker learns it here, where a value is made, and not where a
wrong one makes a difference. Numbers of numpy are as good as Python's.
"""

import operator
import reprlib
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import NoReturn, SupportsIndex, TypeVar

from cuhlm.errors import ConfigurationError

Member = TypeVar("Member", bound=StrEnum)
T = TypeVar("T")


def take(owner: object, kind: Callable[[str, object], object], *names: str) -> None:
    """Let each attribute of a frozen dataclass be what `kind` makes of it.

    Raises:
        ConfigurationError: one is none of that kind.
    """
    for name in names:
        object.__setattr__(owner, name, kind(name, getattr(owner, name)))


def whole(name: str, value: object) -> int:
    """`value` as a whole number.

    Raises:
        ConfigurationError: it is none; 2.0 is none either.
    """
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        _refused(name, value, "a whole number")
    try:
        return operator.index(value)
    except TypeError:  # an array of numpy promises what it cannot do
        _refused(name, value, "a whole number")


def number(name: str, value: object) -> float:
    """`value` as a number; infinities and NaN are some.

    Raises:
        ConfigurationError: it is none.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        _refused(name, value, "a number")
    try:
        return float(value)
    except OverflowError:
        _refused(name, value, "a number of up to 308 digits")


def member(kind: type[Member], name: str, value: object) -> Member:
    """The one of `kind` that `value` is, or is the name of.

    Raises:
        ConfigurationError: none is.
    """
    if not isinstance(value, str) or value not in list(kind):
        _refused(name, value, f"one of {', '.join(kind)}")
    return kind(value)


def instance(kind: type[T], name: str, value: object) -> T:
    """`value`, if it is a `kind`.

    Raises:
        ConfigurationError: it is not.
    """
    return value if isinstance(value, kind) else _refused(name, value, f"a {kind.__name__}")


def as_path(name: str, value: object) -> Path:
    """`value` as a path.

    Raises:
        ConfigurationError: it is neither one nor a text.
    """
    if not isinstance(value, str | PathLike) or "\0" in str(value):
        _refused(name, value, "a path")
    return Path(value)


def wholes(name: str, values: object) -> tuple[int, ...]:
    """`values` as whole numbers: a tuple, a list, a row of numpy.

    Raises:
        ConfigurationError: they are none.
    """
    return tuple(whole(f"one of {name}", value) for value in _several(name, values, "whole numbers"))


def texts(name: str, values: object) -> tuple[str, ...]:
    """`values` as several texts; one alone would be taken for its characters.

    Raises:
        ConfigurationError: they are none.
    """
    several = _several(name, values, "several texts, as in a tuple")
    return tuple(instance(str, f"one of {name}", value) for value in several)


def _several(name: str, values: object, expected: str) -> Iterator[object]:
    if not isinstance(values, Iterable) or isinstance(values, str | bytes):
        _refused(name, values, expected)
    try:
        return iter(values)
    except TypeError:  # a number of numpy's promises to be several
        _refused(name, values, expected)


def _refused(name: str, value: object, expected: str) -> NoReturn:
    raise ConfigurationError(f"{name} is {reprlib.repr(value)}; expected {expected}")
