"""Frozen records to plain JSON values and back, equal."""

from __future__ import annotations

import base64
import binascii
import json
import math
import types
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from sanderling.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Array:
    """An array in a record: its bits survive a trip through JSON.

    Attributes:
        shape: Of the array.
        dtype: "int64" or "float64".
        data: Its bytes, little-endian, zlib, base64.
    """

    shape: tuple[int, ...]
    dtype: str
    data: str

    @classmethod
    def pack(cls, values: npt.NDArray[Any]) -> Array:
        """Makes the record of an int64 or float64 array."""
        raw = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
        return cls(values.shape, values.dtype.name, base64.b64encode(zlib.compress(raw, 1)).decode())

    def unpack(self) -> npt.NDArray[Any]:
        """Returns the array, a copy of its own.

        Raises:
            InputError: The record is damaged.
        """
        if self.dtype not in ("int64", "float64"):
            raise InputError(f"[array] dtype {self.dtype!r}, int64 or float64 is wanted")
        try:
            raw = zlib.decompress(base64.b64decode(self.data, validate=True))
            return np.frombuffer(raw, np.dtype(self.dtype).newbyteorder("<")).reshape(self.shape).astype(self.dtype)
        except (binascii.Error, zlib.error, ValueError) as error:
            raise InputError(
                f"[array] damaged record of shape {self.shape}: {error}. Restore it from a backup"
            ) from error


def dumps(record: Any, *, schema: int) -> str:
    """Writes a frozen dataclass as JSON: one line, keys sorted, so that equal records give equal text.

    Args:
        record: Made of dataclasses, tuples, mappings with text keys, StrEnums, text, numbers, None.
        schema: Number of its layout; `loads` wants the same.
    """
    return json.dumps({"schema": schema, "record": to_plain(record)}, sort_keys=True, allow_nan=False)


def loads(kind: type[T], text: str, *, schema: int) -> T:
    """Reads what `dumps` wrote.

    Raises:
        InputError: It is not JSON, of another schema, or does not fit `kind`.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InputError(f"[{kind.__name__}] not JSON: {error}. Restore the record from a backup") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != schema or "record" not in data:
        raise InputError(f"[{kind.__name__}] schema {found!r}, this program reads {schema}. Migrate the database")
    result: T = from_plain(kind, data["record"])
    return result


def to_plain(value: Any) -> Any:
    """Returns `value` as dicts, lists, text and numbers; infinities become text, since JSON has none."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def from_plain(kind: Any, data: Any) -> Any:
    """Returns what `to_plain` took, given its type.

    Raises:
        InputError: `data` does not fit.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _from_union(kind, data)
    if origin is tuple and isinstance(data, list):
        args = get_args(kind)
        inner = [args[0]] * len(data) if args[1:] == (...,) else args
        if len(inner) == len(data):
            return tuple(from_plain(item, value) for item, value in zip(inner, data, strict=True))
    elif origin is not None and issubclass(origin, Mapping) and isinstance(data, dict):
        return {key: from_plain(get_args(kind)[1], value) for key, value in data.items()}
    elif isinstance(kind, type) and is_dataclass(kind) and isinstance(data, dict) and set(data) == set(_hints(kind)):
        return kind(**{name: from_plain(hint, data[name]) for name, hint in _hints(kind).items()})
    elif isinstance(kind, type) and issubclass(kind, StrEnum) and data in set(kind):
        return kind(data)
    elif kind is float and (type(data) in (int, float) or data in ("inf", "-inf")):
        return float(data)
    elif kind in (int, str, bool) and type(data) is kind:
        return data
    raise InputError(f"[record] {str(data)[:80]!r} is no {getattr(kind, '__name__', kind)}. Restore it from a backup")


def _from_union(kind: Any, data: Any) -> Any:
    if data is None and types.NoneType in get_args(kind):
        return None
    options = [option for option in get_args(kind) if option is not types.NoneType]
    if isinstance(data, dict) and len(options) > 1:
        options = [option for option in options if isinstance(option, type) and set(_hints(option)) == set(data)]
    if len(options) != 1:
        raise InputError(f"[record] {str(data)[:80]!r} is no {kind}. Restore it from a backup")
    return from_plain(options[0], data)


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
