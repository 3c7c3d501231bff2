"""TOML tables into frozen dataclasses: what is unknown, missing or of another type is an error that says what to do."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, TypeVar

from sanderling.errors import InputError

T = TypeVar("T")

Seconds = Annotated[float, "duration"]
"""Seconds; in TOML a number of them, or text such as "15m", "2d", "1h 30m"."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd])")


def seconds(text: str, where: str = "duration") -> float:
    """Reads a duration.

    Raises:
        InputError: It is none.
    """
    total, position = 0.0, 0
    while match := _PART.match(text, position):
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if position == 0 or text[position:].strip():
        raise InputError(f"[scenario] {where} is {text!r}, no duration. Write for example 90s, 15m, 12h or 1d 6h")
    return total


def duration_text(value: float) -> str:
    """The inverse of `seconds`, to the second: "1d 6h"."""
    parts, rest = [], round(value)
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_UNITS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def read(kind: type[T], table: Any, where: str) -> T:
    """Makes a dataclass of a table.

    Args:
        kind: The class; its fields are the keys.
        table: From TOML.
        where: For messages, such as "fleet" or "version[2]".

    Raises:
        InputError: A key is unknown or missing, or a value is of another type or refused by the class.
    """
    if not isinstance(table, Mapping):
        raise InputError(f"[scenario] {where} is {table!r}, expected a table")
    fields: Any = kind
    hints = _hints(fields)
    for key in table:
        if key not in hints:
            raise InputError(f"[scenario] {where} has the unknown key {key!r}. {suggestion(key, hints)}")
    missing = [name for name in _required(kind) if name not in table]
    if missing:
        raise InputError(f"[scenario] {where} lacks {', '.join(missing)}. Add it")
    return kind(**{key: _value(hints[key], value, f"{where}.{key}") for key, value in table.items()})


def suggestion(word: str, known: typing.Iterable[str]) -> str:
    """What might have been meant."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(choices)}"


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return seconds(value, where) if isinstance(value, str) else _value(arguments[0], value, where)
    if origin in (typing.Union, types.UnionType):
        return _value(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], item, f"{where}[{i + 1}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value, where)
    if isinstance(hint, type) and issubclass(hint, Enum):
        if value not in {item.value for item in hint}:
            raise InputError(f"[scenario] {where} is {value!r}. {suggestion(str(value), [i.value for i in hint])}")
        return hint(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = hint if isinstance(hint, type) and origin is None else origin
    if not isinstance(value, expected) or (hint is not bool and isinstance(value, bool)):
        raise InputError(f"[scenario] {where} is {value!r}, expected {_WORDS.get(expected, 'another type')}")
    return value


_WORDS = {
    float: "a number",
    int: "a whole number",
    str: "text",
    bool: "true or false",
    tuple: "a list",
    dict: "a table",
}


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _required(kind: Any) -> list[str]:
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing]
