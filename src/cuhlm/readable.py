"""Reading files of ours, strictly: an unknown key or a wrong type is told with the key's path, and nothing is guessed.

The dataclasses that the program uses say what a file may hold, and msgspec checks it: a `bool` is no number, "0.5" is
no number, 8.0 is no whole number. Every error here is a `ConfigurationError` that names the file.
"""

import math
import re
import reprlib
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import EnumMeta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from cuhlm.errors import ConfigurationError

T = TypeVar("T")

Count = Annotated[int, Meta(ge=1)]
WholeNumber = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
NotNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Some = Annotated[tuple[T, ...], Meta(min_length=1)]
"""Types for fields of files; like all comparisons, theirs refuse a NaN. `Some` is a list with something in it."""

_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
"""What JSON and TOML call msgspec's types."""

_NUMBER = re.compile(r"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*", re.ASCII)


def read_text(path: Path, what: str) -> str:
    """The text of `path`, without the byte-order mark that some editors begin a file with.

    Args:
        path: of the file.
        what: it is, for the message: "the spec".

    Raises:
        ConfigurationError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{what} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{what} {path} is not UTF-8 ({error}); save it as UTF-8") from error


def read_json(path: Path, what: str) -> object:
    """The JSON value in `path`; arguments and errors as those of `read_text`."""
    return _json(read_text(path, what), f"{what} {path}")


def read_json_lines(path: Path, what: str) -> Iterator[tuple[int, str, object]]:
    """Each line's number, what names it in errors, and its JSON value; arguments and errors as those of `read_text`."""
    lines = read_text(path, what).split("\n")  # `splitlines` would also split at U+2028 in a string
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield number, where, _json(line, where)


def read_toml(path: Path, what: str) -> dict[str, object]:
    """The table in `path`; arguments and errors as those of `read_text`."""
    try:
        return tomllib.loads(read_text(path, what))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{what} {path} is no TOML: {error}") from error


def _json(text: str, where: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigurationError(f"{where} is not JSON ({error})") from error


def number_in(text: str) -> float:
    """The decimal number that `text` is, blanks around it aside; NaN where it is none.

    `float` takes more than people mean by a number: 1_0, digits of other scripts, nan and inf.
    """
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def converted(values: object, kind: type[T], where: str, *, takes_more: bool = False, is_complete: bool = False) -> T:
    """What a file holds as a `kind`.

    Args:
        values: what JSON or TOML made of the file.
        kind: a dataclass; a field of type `Path` takes a string.
        where: names the file, and perhaps a part of it, in errors.
        takes_more: whether keys that `kind` does not know are left aside, as in files that others make.
        is_complete: whether every key must be there, also those with a default, as in files that only cuhlm makes.

    Raises:
        ConfigurationError: with the path of the key that is unknown, missing, or not what is expected.
    """
    try:
        result = msgspec.convert(values, kind, dec_hook=_as_path)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {_told(str(error), values, kind)}") from error
    except ConfigurationError as error:  # from a value that refused to be made
        raise ConfigurationError(f"{where}: {error}") from error
    if not takes_more:
        taken = msgspec.to_builtins(result, enc_hook=str)
        _refuse_unknown(values, taken, where)
        if is_complete:
            _refuse_missing(values, taken, where)
    return result


def _as_path(_kind: type[Path], value: object) -> Path:
    if not isinstance(value, str):
        raise TypeError("Expected `str`")
    return Path(value)


def _refuse_unknown(given: object, taken: object, where: str, path: str = "") -> None:
    """Refuse keys of `given` that are not in `taken`, what was made of it."""
    if isinstance(taken, dict) and isinstance(given, dict):
        for key, value in given.items():
            if key not in taken:
                raise ConfigurationError(f"{where}: {path}{key} is unknown; expected only {', '.join(taken)}")
            _refuse_unknown(value, taken[key], where, f"{path}{key}.")
    elif isinstance(taken, list | tuple) and isinstance(given, list):
        for number, (value, made) in enumerate(zip(given, taken, strict=True)):
            _refuse_unknown(value, made, where, f"{path.removesuffix('.')}[{number}].")


def _refuse_missing(given: object, taken: object, where: str, path: str = "") -> None:
    """Refuse where keys of `taken`, what was made of `given`, are not in it: defaults took their place."""
    if isinstance(taken, dict) and isinstance(given, dict):
        for key, value in taken.items():
            if key not in given:
                raise ConfigurationError(f"{where}: {path}{key} is missing; expected one")
            _refuse_missing(given[key], value, where, f"{path}{key}.")


def _told(message: str, values: object, kind: type) -> str:
    """msgspec's message with what was found, and what was expected."""
    problem, _, path = message.replace("`key` in `$", "`$").partition(" - at `$")
    path = path.removesuffix("`")
    if "[...]" in path:
        return _told_of_named(values, kind, path)
    if problem.startswith("Object missing required field"):
        name = problem.split("`")[1]
        return f"{path}.{name} is missing; expected one".lstrip(".")
    expected = problem.removeprefix("Expected ").split(", got")[0]
    if problem.startswith("Invalid enum value"):
        expected = f"one of {', '.join(_choices(kind, path))}"
    expected = re.sub(
        r"`(.+?)`", lambda types: " or ".join(_WORDS.get(name, name) for name in types[1].split(" | ")), expected
    )
    return f"{path.lstrip('.') or 'it'} is {reprlib.repr(_found(values, path))}; expected {expected}"


def _told_of_named(values: Any, kind: type, path: str) -> str:
    """What is wrong with one of several things by name, of which msgspec does not tell the name."""
    field = path.lstrip(".").partition("[")[0]
    _, inner = get_args(get_type_hints(kind)[field])
    for name, value in values[field].items():
        try:
            msgspec.convert(value, inner, dec_hook=_as_path)
        except msgspec.ValidationError as error:
            return f"{field}.{name}: {_told(str(error), value, inner)}"
    raise AssertionError(f"nothing is wrong with {field}")


def _found(values: Any, path: str) -> Any:
    for name, number in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        values = values[name] if name else values[int(number)]
    return values


def _choices(kind: type, path: str) -> list[str]:
    """What may stand at `path`, where some words may."""
    found: list[Any] = [kind]
    for name in re.findall(r"\.(\w+)", path):
        found = [each for one in found if is_dataclass(one) for each in _parts(get_type_hints(one)[name])]
    choices = (
        one if isinstance(one, EnumMeta) else get_args(one) or [_WORDS.get(getattr(one, "__name__", ""))]
        for one in found
    )
    return list(dict.fromkeys(str(choice) for several in choices for choice in several if choice))


def _parts(annotation: Any) -> list[Any]:
    """What a union or a list is made of, down to dataclasses, choices and plain types."""
    if get_origin(annotation) is Literal or not get_args(annotation):
        return [annotation]
    return [part for argument in get_args(annotation) for part in _parts(argument)]
