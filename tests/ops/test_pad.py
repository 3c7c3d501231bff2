from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case, on_codes
from onnx_models import Array, Codes, one_node, qdq_node
from runner import Case, check, check_refused, qdq_case
from samples import values
from sanderling.errors import ModelError

MODES = ("constant", "reflect", "edge", "wrap")


def padded(x: Array, pads: Sequence[int], mode: str = "constant", value: Any = 0) -> Array:
    """NumPy's pad after what negative pads remove is gone."""
    rank = x.ndim
    begins, ends = list(pads[:rank]), list(pads[rank:])
    kept = tuple(slice(max(-b, 0), n - max(-e, 0)) for b, e, n in zip(begins, ends, x.shape, strict=True))
    widths = [(max(b, 0), max(e, 0)) for b, e in zip(begins, ends, strict=True)]
    if mode == "constant":
        return np.pad(x[kept], widths, mode="constant", constant_values=value)
    return np.pad(x[kept], widths, mode=mode)  # type: ignore[call-overload,no-any-return]


def given(pads: Sequence[int], **others: Any) -> dict[str, Any]:
    return {"pads": np.array(pads, np.int64), **others}


def pad_case(name: str, x: Array, pads: Sequence[int], mode: str = "constant", **settings: Any) -> Case:
    """Pads given as an input."""
    return move_case(name, "Pad", x, padded(x, pads, mode), constants=given(pads), mode=mode, **settings)


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    made = []
    for mode in MODES:
        for seed in range(12):
            shape = tuple(rng.integers(2, 8, rng.integers(1, 5)).tolist())
            pads = rng.integers(-1 if mode == "constant" else 0, 2, 2 * len(shape)).tolist()
            opset = 19 if mode == "wrap" else (11, 13, 18, 19)[seed % 4]
            made.append(pad_case(f"{mode}-{seed}", values(rng, shape), pads, mode, opset=opset))
    image = values(rng, (3, 5, 16, 17))
    around = [0, 0, 1, 2, 0, 0, 3, 1]
    made += [pad_case(f"image-{mode}", image, around, mode) for mode in MODES]
    y = padded(image, around, "constant", 1.5)
    made.append(move_case("value", "Pad", image, y, constants=given(around, value=np.float32(1.5))))
    made.append(move_case("attributes", "Pad", image, y, opset=7, pads=around, value=1.5))
    edge = padded(image, around, "edge")
    made.append(move_case("attributes-edge", "Pad", image, edge, opset=7, pads=around, mode="edge"))
    made.append(pad_case("large", values(rng, (3, 5, 101, 97)), around))
    crop = [0, 0, -2, 1, 0, -3, 2, -1]
    made.append(pad_case("crop", image, crop))
    # ONNX does not say whether what is removed may be repeated. Here it may not; in ONNX Runtime it may.
    made.append(pad_case("crop-edge", image, crop, "edge", onnxruntime=False))
    axes = {"pads": np.array([1, 2, 3, 4], np.int64), "value": np.float32(2), "axes": np.array([-1, 1], np.int64)}
    some = padded(image, [0, 2, 0, 1, 0, 4, 0, 3], "constant", 2)
    made.append(move_case("axes", "Pad", image, some, constants=axes))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 3, 5))
        made.append(pad_case(f"batch{batch}", x, [0, 1, 2, 0, 0, 1], symbolic_batch=True))
    pads = [1, 0, 2, 0, 3, 1]
    others = in_other_dtypes("Pad", (3, 5, 7), lambda a: padded(a, pads), given(pads), opset=25)
    made += [case for case in others if "e8m0" not in case.name]  # which has no zero
    made += in_every_dtype("Pad", (3, 5, 7), lambda a: padded(a, pads), given(pads))
    edges = in_every_dtype("Pad", (3, 5, 8), lambda a: padded(a, pads, "edge"), given(pads), mode="edge")
    made += [replace(case, onnxruntime=False) for case in edges]  # it lacks some dtypes
    halo = [0, 0, 1, 1, 0, 0, 2, 2]
    return made + on_codes("Pad", (3, 5, 7, 9), lambda a: padded(a, halo), plain=given(halo))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_pad(case: Case) -> None:
    check(case)


def test_pads_longer_than_the_tensor() -> None:
    """They go on reflecting and repeating, as in NumPy; ONNX Runtime refuses them."""
    x, one = values(np.random.default_rng(0), (2, 3)), values(np.random.default_rng(0), (2, 1))
    for mode in ("reflect", "wrap"):
        check(pad_case(f"{mode}-far", x, [0, 7, 0, 8], mode, onnxruntime=False))
        check(pad_case(f"{mode}-one", one, [0, 7, 0, 8], mode, onnxruntime=False))


def test_a_computed_value() -> None:
    x, value = values(np.random.default_rng(0), (3, 5)), np.array(4.5, np.float32)
    model = one_node("Pad", {"x": x, "value": value}, constants=given([1, 0, 0, 2]), order=["x", "pads", "value"])
    y = padded(x, [1, 0, 0, 2], "constant", 4.5)
    check(Case("computed", model, {"x": x, "value": value}, {"y": y}, exact=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_codes_with_a_value_that_is_one(dtype: Any) -> None:
    x = Codes.random(np.random.default_rng(3), (3, 5, 7), dtype, scale=0.25, zero_point=10)
    value = np.float32(3.75)
    pads = [0, 1, 2, 0, 0, 3]
    plain = given(pads, value=value)
    qdq = qdq_node("Pad", {"x": x}, lambda a: padded(a, pads, "constant", 3.75), 0.25, 10, plain=plain, y_dtype=dtype)
    check(qdq_case(f"code-{np.dtype(dtype).name}", qdq, operators={"Quantize", "Pad", "Dequantize"}))


def refused(pads: Sequence[int], message: str, constants: Any = None, **attributes: Any) -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    model = one_node("Pad", x, constants=given(pads, **(constants or {})), **attributes)
    check_refused(model, x, ModelError, message, "Pad")


def test_bad_pads() -> None:
    refused([1, 1, 1], r"pads has 3 values.*2 axes.*\[2, 3\]")
    refused([0, -2, 0, -2], r"pads \[-2, -2\] remove more than the extent 3 of axis 1")
    refused([0, -2, 0, -1, 0], "pads has 5 values")
    refused([0, -3, 0, 1], "nothing to repeat on axis 1", mode="edge")
    refused([0, 1 << 60, 0, 0], "the limit is")
    refused([0, 1 << 39, 0, 1 << 39], "exceeds the limit")
    refused([0, 1, 0, 1], "mode is 'mirror'", mode="mirror")
    refused([0, 1, 0, 1], "mode is 'wrap', opset 18", mode="wrap", opset=18)
    refused([1, 1], "axis 2 is outside", {"value": np.float32(0), "axes": np.array([2], np.int64)})
    refused([1, 1, 1, 1], "axis 0 is named twice", {"value": np.float32(0), "axes": np.array([0, -2], np.int64)})
    refused([0, 1, 0, 1], "int32, input 0 is float32", {"value": np.array(1, np.int32)})
    refused([0, 1, 0, 1], r"constant_value has shape \[2\]", {"value": np.zeros(2, np.float32)})


def test_pads_where_they_do_not_belong() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node("Pad", x, constants=given([0, 1, 0, 1]), opset=7), x, ModelError, "as an attribute", "Pad")
    check_refused(one_node("Pad", x, opset=7), x, ModelError, "has no pads", "Pad")
    check_refused(one_node("Pad", x, pads=[0, 1, 0, 1]), x, ModelError, "input 1 is required", "Pad")
