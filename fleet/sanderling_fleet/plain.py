"""Frozen records to plain JSON values and back, equal."""

from __future__ import annotations

import base64
import binascii
import json
import math
import types
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from sanderling.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Array:
    """An array in a record: its bits survive a trip through JSON.

    Attributes:
        values: Read-only.
    """

    values: npt.NDArray[Any]

    @classmethod
    def of(cls, values: npt.ArrayLike, dtype: str) -> Array:
        """Keeps a copy of `values` as int32, int64, float32 or float64."""
        copy = np.array(values, dtype)
        copy.flags.writeable = False
        return cls(copy)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and self._bits() == other._bits()

    def __hash__(self) -> int:
        return hash(self._bits())

    def _bits(self) -> tuple[str, tuple[int, ...], bytes]:
        return self.values.dtype.name, self.values.shape, self.values.tobytes()

    def to_plain(self) -> dict[str, Any]:
        """Shape, dtype, and the bytes: little-endian, zlib, base64."""
        raw = self.values.astype(self.values.dtype.newbyteorder("<"), copy=False).tobytes()
        data = base64.b64encode(zlib.compress(raw, 1)).decode()
        return {"shape": list(self.values.shape), "dtype": self.values.dtype.name, "data": data}

    @classmethod
    def from_plain(cls, data: Any) -> Array:
        """Reads what `to_plain` wrote.

        Raises:
            InputError: It is damaged.
        """
        if not isinstance(data, dict) or data.keys() != {"shape", "dtype", "data"} or data["dtype"] not in _DTYPES:
            _refuse(cls, data)
        try:
            raw = zlib.decompress(base64.b64decode(data["data"], validate=True))
            values = np.frombuffer(raw, np.dtype(data["dtype"]).newbyteorder("<")).reshape(data["shape"])
        except (binascii.Error, zlib.error, ValueError, TypeError) as error:
            raise InputError(
                f"[array] damaged record of shape {data['shape']}: {error}. Restore it from a backup"
            ) from error
        return cls.of(values, data["dtype"])


def dumps(record: Any, *, schema: int) -> str:
    """Writes a frozen dataclass as JSON: one line, keys sorted, so that equal records give equal text.

    Args:
        record: Made of dataclasses, tuples, mappings with text keys, StrEnums, arrays, text, numbers, None.
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
    kind: Any = type(value)
    return _writer(kind)(value)


def from_plain(kind: Any, data: Any) -> Any:
    """Returns what `to_plain` took, given its type.

    Raises:
        InputError: `data` does not fit.
    """
    return _reader(kind)(data)


@cache
def _writer(kind: Any) -> Callable[[Any], Any]:
    """A function that writes values of one type. Types are looked at once: a rollout has thousands of values."""
    if kind is float:
        return lambda value: value if math.isfinite(value) else str(value)
    if kind is tuple or kind is list:
        return lambda value: [item if type(item) in _AS_THEY_ARE else to_plain(item) for item in value]
    if kind is Array:
        return Array.to_plain
    if is_dataclass(kind):
        names = tuple(field.name for field in fields(kind))

        def write(record: Any) -> dict[str, Any]:
            values = [(name, getattr(record, name)) for name in names]
            return {name: value if type(value) in _AS_THEY_ARE else to_plain(value) for name, value in values}

        return write
    if issubclass(kind, Mapping):
        return lambda value: {str(key): to_plain(item) for key, item in value.items()}
    return (lambda value: value.value) if issubclass(kind, StrEnum) else (lambda value: value)


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """A function that reads one type. Types are looked at once: a fleet's state has a hundred thousand values."""
    origin = get_origin(kind)
    if kind is Array:
        return Array.from_plain
    if origin in (Union, types.UnionType):
        return lambda data: _from_union(kind, data)
    if origin is tuple:
        return _tuple_reader(kind)
    if origin is not None and issubclass(origin, Mapping):
        of_item = get_args(kind)[1]
        return lambda data: (
            {key: from_plain(of_item, item) for key, item in data.items()}
            if isinstance(data, dict)
            else _refuse(kind, data)
        )
    if isinstance(kind, type) and is_dataclass(kind):
        return _record_reader(kind)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        members = {member.value: member for member in kind}
        return lambda data: members[data] if isinstance(data, str) and data in members else _refuse(kind, data)
    if kind is float:
        return _read_float
    if kind in (int, str, bool):
        return lambda data: data if type(data) is kind else _refuse(kind, data)
    return lambda data: _refuse(kind, data)


def _tuple_reader(kind: Any) -> Callable[[Any], Any]:
    arguments = get_args(kind)
    if arguments[1:] == (...,):
        of_item = arguments[0]

        def read_all(data: Any) -> Any:
            reader = _reader(of_item)
            return tuple([reader(item) for item in data]) if isinstance(data, list) else _refuse(kind, data)

        return read_all

    def read_each(data: Any) -> Any:
        if not isinstance(data, list) or len(data) != len(arguments):
            return _refuse(kind, data)
        return tuple(from_plain(of_item, item) for of_item, item in zip(arguments, data, strict=True))

    return read_each


def _record_reader(kind: Any) -> Callable[[Any], Any]:
    hints = _hints(kind)

    def read(data: Any) -> Any:
        if not isinstance(data, dict) or data.keys() != hints.keys():
            return _refuse(kind, data)
        return kind(**{name: _reader(hint)(data[name]) for name, hint in hints.items()})

    return read


def _read_float(data: Any) -> Any:
    if type(data) is float:
        return data
    return float(data) if type(data) is int or data in ("inf", "-inf") else _refuse(float, data)


def _refuse(kind: Any, data: Any) -> Any:
    raise InputError(f"[record] {str(data)[:80]!r} is no {getattr(kind, '__name__', kind)}. Restore it from a backup")


def _from_union(kind: Any, data: Any) -> Any:
    if data is None and types.NoneType in get_args(kind):
        return None
    options = [option for option in get_args(kind) if option is not types.NoneType]
    if isinstance(data, dict) and len(options) > 1:
        options = [option for option in options if isinstance(option, type) and set(_hints(option)) == set(data)]
    if len(options) != 1:
        _refuse(kind, data)
    return from_plain(options[0], data)


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


_DTYPES = ("int32", "int64", "float32", "float64")
_AS_THEY_ARE = frozenset({str, int, bool, types.NoneType})
