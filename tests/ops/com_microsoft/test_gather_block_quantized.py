from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from onnx_models import Array
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError
from sequence_models import MICROSOFT, node_case

BLOCK = 16


def packed(codes: Array, bits: int) -> Array:
    """Bytes of codes along the last axis, from the low bits up."""
    per_byte = 8 // bits
    padded = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % per_byte)])
    parts = padded.reshape(*codes.shape[:-1], -1, per_byte).astype(np.uint8)
    return np.asarray(sum(parts[..., i] << (i * bits) for i in range(per_byte)), np.uint8)


def gathered(
    name: str,
    kind: str,
    *,
    shape: tuple[int, ...] = (9, 48),
    indices: Any = ((1, 8), (-9, 0)),
    gather_axis: int = 0,
    quantize_axis: int = 1,
    bits: int = 4,
    zeros: bool = True,
    onnxruntime: bool = True,
    index_type: Any = np.int64,
) -> Case:
    rng = np.random.default_rng(len(name))
    low, high = (-8, 8) if kind == "int4" else (0, 1 << bits)
    codes = rng.integers(low, high, shape)
    blocks = list(shape)
    blocks[quantize_axis] = -(-shape[quantize_axis] // BLOCK)
    scales = rng.uniform(0.01, 0.1, blocks).astype(np.float32)
    zero = rng.integers(low, high, blocks) if zeros else np.full(blocks, 1 << (bits - 1) if kind == "uint8" else 0)

    def along(x: Array) -> Array:
        return np.repeat(x, BLOCK, quantize_axis).take(np.arange(shape[quantize_axis]), quantize_axis)

    def stored(x: Array) -> Array:
        if kind != "uint8":
            return x.astype(ml_dtypes.int4 if kind == "int4" else ml_dtypes.uint4)
        return packed(x, bits)

    real = (codes - along(zero)).astype(np.float32) * along(scales)
    at = np.array(indices, index_type)
    tensors = {"data": stored(codes), "indices": at, "scales": scales, "zeros": stored(zero) if zeros else None}
    more = {"bits": bits} if kind == "uint8" else {}
    return node_case(
        "GatherBlockQuantized",
        name,
        tensors,
        {"y": real.take(at, gather_axis)},
        domain=MICROSOFT,
        constants=[n for n in ("data", "scales", "zeros") if tensors[n] is not None],
        settings={"exact": True, "onnxruntime": onnxruntime},
        gather_axis=gather_axis,
        quantize_axis=quantize_axis,
        block_size=BLOCK,
        **more,
    )


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("kind", ["int4", "uint4", "uint8"])
def test_gather_block_quantized(kind: str, zeros: bool) -> None:
    check(gathered("plain", kind, zeros=zeros))
    check(gathered("scalar", kind, zeros=zeros, indices=3, index_type=np.int32))
    check(
        gathered("three-axes", kind, shape=(3, 9, 32), quantize_axis=2, gather_axis=1, zeros=zeros, onnxruntime=False)
    )
    check(gathered("none", kind, zeros=zeros, indices=np.zeros((0, 2)), onnxruntime=False))
    if kind != "uint8":
        check(gathered("other-axis", kind, shape=(9, 40, 5), quantize_axis=1, zeros=zeros))
        check(gathered("odd", kind, shape=(9, 19), zeros=zeros))


@pytest.mark.parametrize("bits", [2, 8])
def test_bytes(bits: int) -> None:
    check(gathered("bytes", "uint8", bits=bits, onnxruntime=bits == 8))


def test_refused() -> None:
    def refused(message: str, error: type[Exception] = ModelError, given: Any = None, **settings: Any) -> None:
        case = gathered("bad", "uint8", **settings)
        check_refused(case.model, given or case.inputs, error, message, "com.microsoft.GatherBlockQuantized")

    refused(r"index 9, which is outside \[-9, 9\)", given={"indices": np.array([0, 9])}, indices=[0, 1])
    refused("quantize_axis is 0, expected the last, 1", quantize_axis=0)
    refused("bits is 5", UnsupportedError, bits=5)
