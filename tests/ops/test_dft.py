from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError


def transformed(x: Array, axis: int, length: int | None, inverse: bool, onesided: bool) -> Array:
    wide = x.astype(np.float64)
    signal = wide[..., 0] + (1j * wide[..., 1] if x.shape[-1] == 2 else 0)
    if inverse and onesided:
        return np.asarray(np.fft.irfft(signal, length, axis)[..., None])
    made = np.fft.ifft(signal, length, axis) if inverse else np.fft.fft(signal, length, axis)
    if onesided:
        made = np.take(made, np.arange(made.shape[axis] // 2 + 1), axis)
    return np.stack([made.real, made.imag], -1)


def case(
    shape: tuple[int, ...],
    axis: int | None = None,
    length: int | None = None,
    *,
    inverse: bool = False,
    onesided: bool = False,
    opset: int = 20,
    dtype: Any = np.float32,
) -> Case:
    x = values(np.random.default_rng(len(shape)), shape, dtype)
    flags = {"inverse": int(inverse), "onesided": int(onesided)}
    constants: dict[str, Array] = {}
    if length is not None:
        constants["length"] = np.asarray(length, np.int64)
    if axis is not None and opset >= 20:
        constants["axis"] = np.asarray(axis, np.int64)
    elif axis is not None:
        flags["axis"] = axis
    order = ["x", "length" if length is not None else "", *(["axis"] if "axis" in constants else [])]
    model = one_node("DFT", {"x": x}, constants=constants, order=order, output_dtype=dtype, opset=opset, more=flags)
    which = ((-2 if opset >= 20 else 1) if axis is None else axis) % len(shape)
    y = transformed(x, which, length, inverse, onesided)
    name = f"{'x'.join(map(str, shape))}-{axis}-{length}-{int(inverse)}{int(onesided)}-{opset}-{np.dtype(dtype).name}"
    # ONNX Runtime has no inverse of a half.
    return Case(name, model, {"x": x}, {"y": y}, length=None, onnxruntime=not (inverse and onesided))


def cases() -> Iterator[Case]:
    for n in (1, 2, 3, 4, 5, 8, 12, 15, 16, 17, 64, 97, 100, 210, 400):
        for parts in (1, 2):
            for inverse in (False, True):
                yield case((3, n, parts), inverse=inverse)
        yield case((3, n, 1), onesided=True)
        if n > 1:
            yield case((3, n, 2), inverse=True, onesided=True)
    for opset in (17, 20):
        for axis in (None, 0, 1, 2, -2, -3):
            yield case((3, 4, 5, 2), axis, opset=opset)
        for length in (3, 7, 12):
            yield case((3, 9, 2), 1, length, opset=opset)
            yield case((3, 9, 1), 1, length, onesided=True, opset=opset)
            yield case((3, 9, 2), 1, length, inverse=True, opset=opset)
            yield case((3, 9, 2), 1, length, inverse=True, onesided=True, opset=opset)
    yield case((3, 9, 1), inverse=True, onesided=True)
    yield case((8, 1))
    yield case((3, 16, 2), dtype=np.float64)
    yield case((0, 16, 2))


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_dft(case: Case) -> None:
    check(case)


def test_back_and_forth() -> None:
    x = values(np.random.default_rng(0), (2, 30, 1))
    there = one_node("DFT", {"x": x}, onesided=1)
    there.graph.node[0].output[0] = "half"
    there.graph.node.extend(one_node("DFT", {"half": x}, onesided=1, inverse=1).graph.node)
    check(Case("back", there, {"x": x}, {"y": x.astype(np.float64)}, length=None, onnxruntime=False))


def refused(message: str, shape: tuple[int, ...], error: type[Exception] = ModelError, **settings: Any) -> None:
    x = {"x": np.zeros(shape, settings.pop("dtype", np.float32))}
    constants = settings.pop("constants", {})
    model = one_node("DFT", x, constants=constants, output_dtype=x["x"].dtype, **settings)
    check_refused(model, x, error, message, "DFT")


def test_what_is_refused() -> None:
    refused("expected real, or real and imaginary", (3, 4, 3))
    refused("expected real, or real and imaginary", (3,))
    refused("onesided is 1, which needs a real input", (3, 4, 2), onesided=1)
    refused("dft_length is 0", (3, 4, 1), constants={"length": np.asarray(0, np.int64)})
    long = {"length": np.asarray((1 << 24) + 1, np.int64)}
    refused("takes up to 16777216", (3, 4, 1), UnsupportedError, constants=long)
    refused("dft_length is 0", (3, 1, 2), onesided=1, inverse=1)
    both = {"length": np.asarray(4, np.int64), "axis": np.asarray(2, np.int64)}
    refused("axis 2 holds real and imaginary parts", (3, 4, 1), constants=both)
    refused("takes axis as an attribute", (3, 4, 1), constants=both, opset=17)
    refused("axis is 9", (3, 4, 1), constants=both | {"axis": np.asarray(9, np.int64)})
    refused("axis 5 is outside", (3, 4, 1), axis=5, opset=17)
    refused("input 0 is int32", (3, 4, 1), UnsupportedError, dtype=np.int32)
