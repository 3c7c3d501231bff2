"""Frozen dataclasses to plain JSON values and back, equal."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from enum import Enum
from typing import Any, TypeVar

from sanderling.errors import IntegrityError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dataclasses become mappings, tuples lists, enums their values, bytes hexadecimal text."""
    if dataclasses.is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def from_plain(kind: type[T], plain: Any) -> T:
    """Reads `to_plain`. A missing field takes its default, so that an older document is read by a newer agent.

    Raises:
        IntegrityError: A field is unknown, missing without a default, or of another type.
    """
    try:
        return typing.cast(T, _read(kind, plain))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise IntegrityError(f"[state] not a {kind.__name__}: {error}. Written by a newer agent, or damaged") from error


def _read(kind: Any, plain: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if plain is None else _read(next(a for a in arguments if a is not type(None)), plain)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_read(arguments[0], item) for item in plain)
        return tuple(_read(a, item) for a, item in zip(arguments, plain, strict=True))
    if origin is dict:
        return {key: _read(arguments[1], item) for key, item in plain.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(plain, dict):
            raise TypeError(f"{plain!r} is no mapping")
        hints = _hints(kind)
        if unknown := set(plain) - set(hints):
            raise ValueError(f"unknown fields {sorted(unknown)}")
        return kind(**{name: _read(hints[name], item) for name, item in plain.items()})
    if kind is bytes:
        return bytes.fromhex(plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if not isinstance(plain, kind) or (kind is not bool and isinstance(plain, bool)):
        raise TypeError(f"{plain!r} is no {kind.__name__}")
    return plain


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
