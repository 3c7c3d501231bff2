"""The Open Inference Protocol v2: bytes of a request to arrays, arrays to bytes of an answer. No IO.

Tensors travel as JSON or, with the extension binary_tensor_data, as little-endian bytes after the JSON, whose length
the header Inference-Header-Content-Length then gives. In JSON, null stands for NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling._model import TensorSpec
from sanderling.errors import InputError

Array = npt.NDArray[Any]
LENGTH_HEADER = b"inference-header-content-length"
DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_MOST_ELEMENTS = 1 << 30
_MOST_EXTENTS = 32  # fewer than NumPy takes


@dataclass(frozen=True, eq=False)
class InferRequest:
    """What a client asks for.

    Attributes:
        request_id: Echoed; empty without one.
        inputs: By name.
        outputs: Names of the outputs wanted, in order, and whether each is to be binary; empty for all.
        binary: Whether outputs that are not named one by one are to be binary.
    """

    request_id: str
    inputs: Mapping[str, Array]
    outputs: tuple[tuple[str, bool], ...]
    binary: bool


def read_infer(body: bytes, header_length: str | None) -> InferRequest:
    """Reads the body of an inference request.

    Args:
        body: All of it.
        header_length: The header Inference-Header-Content-Length, or None.

    Raises:
        InputError: It is not one, or the tensors do not have the bytes that they say.
    """
    length = len(body) if header_length is None else _count(header_length, LENGTH_HEADER.decode())
    if length > len(body):
        raise InputError(f"[infer] the JSON is to have {length:,} bytes, the whole body has {len(body):,}")
    try:
        document = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise InputError(f"[infer] the body is no JSON: {error}") from error
    try:
        binary = bool(_parameters(document).get("binary_data_output", False))
        inputs: dict[str, Array] = {}
        rest = memoryview(body)[length:]
        for entry in document["inputs"]:
            name = _text(entry["name"], "name of an input")
            if name in inputs:
                raise InputError(f"[infer] input {name!r} is there twice")
            inputs[name], rest = _read_tensor(name, entry, rest)
        if rest.nbytes:
            raise InputError(f"[infer] {rest.nbytes:,} bytes are left over after the inputs")
        outputs = tuple(
            (_text(entry["name"], "name of an output"), bool(_parameters(entry).get("binary_data", binary)))
            for entry in document.get("outputs") or ()
        )
        asked: set[str] = set()
        for name, _ in outputs:
            if name in asked:
                raise InputError(f"[infer] output {name!r} is asked for twice")
            asked.add(name)
        return InferRequest(_text(document.get("id", ""), "id"), inputs, outputs, binary)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"[infer] the request lacks a field or has one of another kind: {error!r}") from error


def _read_tensor(name: str, entry: Mapping[str, Any], rest: memoryview) -> tuple[Array, memoryview]:
    datatype = entry["datatype"]
    if datatype not in DATATYPES:
        raise InputError(f"[infer] input {name!r} has datatype {datatype!r}, taken are {', '.join(DATATYPES)}")
    dtype = np.dtype(DATATYPES[datatype])
    shape = _shape(name, entry["shape"])
    if math.prod(extent or 1 for extent in shape) > _MOST_ELEMENTS:
        raise InputError(f"[infer] input {name!r} of shape {list(shape)} is too large")
    wanted = math.prod(shape) * dtype.itemsize
    size = _parameters(entry).get("binary_data_size")
    if size is None:
        return _from_json(name, entry["data"], dtype, shape), rest
    size = _count(size, f"binary_data_size of {name!r}")
    if size != wanted or size > rest.nbytes:
        raise InputError(
            f"[infer] input {name!r} says {size:,} bytes, {datatype}{list(shape)} has {wanted:,} and "
            f"{rest.nbytes:,} follow"
        )
    array = np.frombuffer(rest[:size], dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)
    return np.require(array, requirements=["A"]), rest[size:]  # the JSON before it has any length


def _shape(name: str, extents: Any) -> tuple[int, ...]:
    if not isinstance(extents, list):
        raise InputError(f"[infer] shape of {name!r} is {extents!r}, a list is wanted")
    if len(extents) > _MOST_EXTENTS:
        raise InputError(f"[infer] shape of {name!r} has {len(extents):,} extents, at most {_MOST_EXTENTS} are taken")
    return tuple(_count(extent, f"an extent of {name!r}") for extent in extents)


def _from_json(name: str, data: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """JSON numbers, flat or nested, as an array; nothing is cut off or wrapped round."""
    try:
        if dtype.kind == "f":
            array = np.array(data, dtype)
        else:
            array = np.array(data)
            kinds = "b" if dtype.kind == "b" else "iu"
            if array.size and (array.dtype.kind not in kinds or not _in_range(array, dtype)):
                raise InputError(f"[infer] input {name!r} holds values that {dtype} does not have")
            array = array.astype(dtype)
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"[infer] data of input {name!r} are no {dtype} numbers: {error}") from error
    if array.size != math.prod(shape):
        raise InputError(
            f"[infer] input {name!r} has {array.size:,} values, shape {list(shape)} has {math.prod(shape):,}"
        )
    return array.reshape(shape)


def _in_range(array: Array, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "b":
        return True
    limits = np.iinfo(dtype)
    return int(array.min()) >= limits.min and int(array.max()) <= limits.max


def write_answer(
    request: InferRequest, outputs: Mapping[str, Array], *, model: str, version: str
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The headers and body of an answer.

    Raises:
        InputError: An output that was asked for is none of the model's.
    """
    wanted = request.outputs or tuple((name, request.binary) for name in outputs)
    entries, parts = [], []
    for name, binary in wanted:
        if name not in outputs:
            raise InputError(f"[infer] no output {name!r}, the model has {', '.join(outputs)}")
        array = outputs[name]
        entry: dict[str, Any] = {"name": name, "datatype": _NAMES[array.dtype.name], "shape": list(array.shape)}
        if binary:
            data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
            entry["parameters"] = {"binary_data_size": len(data)}
            parts.append(data)
        else:
            entry["data"] = _to_json(array)
        entries.append(entry)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": entries}
    if request.request_id:
        document["id"] = request.request_id
    head = json.dumps(document, separators=(",", ":")).encode()
    if not parts:
        return [(b"content-type", b"application/json")], head
    headers = [(b"content-type", b"application/octet-stream"), (LENGTH_HEADER, b"%d" % len(head))]
    return headers, b"".join([head, *parts])


def _to_json(array: Array) -> list[Any]:
    values: list[Any] = array.reshape(-1).tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return [value if math.isfinite(value) else None for value in values]
    return values


def metadata(slot: str, version: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    """What GET /v2/models/SLOT says."""
    return {
        "name": slot,
        "versions": [version],
        "platform": "sanderling",
        "inputs": [_describe(spec) for spec in inputs],
        "outputs": [_describe(spec) for spec in outputs],
    }


def _describe(spec: TensorSpec) -> dict[str, Any]:
    shape = [extent if isinstance(extent, int) else -1 for extent in spec.shape or (-1,)]
    return {"name": spec.name, "datatype": _NAMES.get(spec.dtype or "", "FP32"), "shape": shape}


def _parameters(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters: Mapping[str, Any] = entry.get("parameters") or {}
    return parameters


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"[infer] {what} is {value!r}, text is wanted")
    return value


def _count(value: Any, what: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:19])
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"[infer] {what} is {value!r}, a count is wanted")
    return value
