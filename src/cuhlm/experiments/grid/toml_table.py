"""A table of a TOML file, read strictly: every value is checked, and a key that nobody asked for is an error."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from cuhlm.errors import ConfigurationError

T = TypeVar("T")
_REQUIRED: Any = object()


class Table:
    """Hands out values by key.

    Args:
        where: names the table in errors.
        values: as `tomllib` gives them.

    Raises:
        ConfigurationError: from every method, where a value is missing or not what is expected.
    """

    def __init__(self, where: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise ConfigurationError(f"{where} is {values!r}; expected a table, as in [name] or {{key = value}}")
        self.where = where
        self._values: dict[str, Any] = values
        self._known: list[str] = []

    def text(self, key: str, default: str | None = _REQUIRED) -> Any:
        """A string."""
        return self._one(key, default, "a string", lambda value: value if isinstance(value, str) else None)

    def number(self, key: str, default: float | None = _REQUIRED, *, at_least: float = -math.inf) -> Any:
        """A finite number."""
        expected = "a number" if at_least == -math.inf else f"a number, {at_least:g} or more"
        return self._one(key, default, expected, lambda value: _number(value, at_least))

    def whole(self, key: str, default: int | None = _REQUIRED, *, at_least: int = 1) -> Any:
        """A whole number."""
        return self._one(key, default, f"a whole number, {at_least} or more", lambda value: _whole(value, at_least))

    def yes_or_no(self, key: str, default: bool = _REQUIRED) -> bool:
        """True or false."""
        found: bool = self._one(key, default, "true or false", lambda value: value if type(value) is bool else None)
        return found

    def texts(self, key: str, default: tuple[str, ...] = _REQUIRED) -> tuple[str, ...]:
        """Strings."""
        return self._many(key, default, "strings", lambda value: value if isinstance(value, str) else None)

    def numbers(self, key: str, default: tuple[float, ...] = _REQUIRED, *, at_least: float = -math.inf) -> Any:
        """Finite numbers."""
        expected = "numbers" if at_least == -math.inf else f"numbers, each {at_least:g} or more"
        return self._many(key, default, expected, lambda value: _number(value, at_least))

    def wholes(self, key: str, default: tuple[int, ...] = _REQUIRED, *, at_least: int = 0) -> tuple[int, ...]:
        """Whole numbers."""
        expected = f"whole numbers, each {at_least} or more"
        return self._many(key, default, expected, lambda value: _whole(value, at_least))

    def mixed(self, key: str, default: tuple[str | float, ...] = _REQUIRED) -> tuple[str | float, ...]:
        """Strings and numbers; one alone stands for a list of it."""
        if key in self._values and not isinstance(self._values[key], list):
            self._values = self._values | {key: [self._values[key]]}
        return self._many(
            key, default, "strings or numbers", lambda value: value if isinstance(value, str) else _number(value)
        )

    def table(self, key: str) -> "Table | None":
        """A table; None where there is none."""
        self._known.append(key)
        return Table(f"{self.where}: {key}", self._values[key]) if key in self._values else None

    def tables(self, key: str) -> list["Table"]:
        """A list of tables."""
        values = self._one(
            key, _REQUIRED, "a list of tables", lambda value: value if isinstance(value, list) and value else None
        )
        return [Table(f"{self.where}: {key}, entry {number}", value) for number, value in enumerate(values, 1)]

    def named_tables(self, key: str) -> dict[str, "Table"]:
        """Tables by name."""
        inner = self.table(key)
        if inner is None:
            raise ConfigurationError(f"{self.where} has no {key}; expected at least one [{key}.NAME]")
        return {name: Table(f"{inner.where}.{name}", value) for name, value in inner._values.items()}

    def finish(self) -> None:
        """Refuse keys that were not asked for."""
        for key in self._values:
            if key not in self._known:
                raise ConfigurationError(f"{self.where} has {key!r}; expected only {', '.join(self._known)}")

    def _one(self, key: str, default: Any, expected: str, read: Callable[[Any], Any]) -> Any:
        self._known.append(key)
        if key not in self._values:
            if default is _REQUIRED:
                raise ConfigurationError(f"{self.where} has no {key}; expected {expected}")
            return default
        value = read(self._values[key])
        if value is None:
            raise ConfigurationError(f"{self.where}: {key} is {self._values[key]!r}; expected {expected}")
        return value

    def _many(self, key: str, default: Any, expected: str, read: Callable[[Any], T | None]) -> tuple[T, ...]:
        found = self._one(
            key, default, f"a list of {expected}", lambda value: value if isinstance(value, list) and value else None
        )
        values = tuple(read(value) for value in found)
        if any(value is None for value in values):
            raise ConfigurationError(f"{self.where}: {key} is {found!r}; expected a list of {expected}")
        return tuple(value for value in values if value is not None)


def _number(value: Any, at_least: float = -math.inf) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value >= at_least else None


def _whole(value: Any, at_least: int) -> int | None:
    return value if type(value) is int and value >= at_least else None
