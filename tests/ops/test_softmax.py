from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from onnx import helper
from onnx_models import Array, Codes, model_of, one_node, qdq_node
from runner import Case, check, check_pooled, check_refused, qdq_case
from samples import name_of, values
from sanderling.errors import ModelError, UnsupportedError


def softmax(x: Array, axis: int) -> npt.NDArray[np.float64]:
    wide = x.astype(np.float64)
    powers = np.exp(wide - wide.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def flat(x: Array, axis: int) -> npt.NDArray[np.float64]:
    """Before opset 13: the rows of a matrix whose columns begin at `axis`."""
    rows = int(np.prod(x.shape[:axis])) if axis >= 0 else int(np.prod(x.shape[: x.ndim + axis]))
    return softmax(x.reshape(rows, -1), 1).reshape(x.shape)


def cases() -> list[Case]:
    made = []
    for dtype in (np.float32, np.float64):
        for shape in ((7,), (3, 1), (1, 10), (8, 13), (3, 5, 7, 11), (5, 20011), (700, 33)):
            x = values(np.random.default_rng(len(shape)), shape, dtype)
            for axis in range(-len(shape), len(shape)):
                for opset, reference in ((13, softmax), (11, flat)):
                    # exp of a difference d errs by |d| * 2^-24, hence 16. ONNX Runtime sums in float32.
                    row = x.shape[axis] if opset == 13 else x[(0,) * (axis % x.ndim)].size
                    made.append(
                        Case(
                            f"{name_of(dtype, shape)}-axis{axis}-{opset}",
                            one_node("Softmax", {"x": x}, output_dtype=dtype, opset=opset, axis=axis),
                            {"x": x},
                            {"y": reference(x, axis)},
                            length=16,
                            onnxruntime=dtype is np.float32 and row < 1000,
                        )
                    )
    x = values(np.random.default_rng(0), (3, 5, 7))
    made.append(Case("default", one_node("Softmax", {"x": x}), {"x": x}, {"y": softmax(x, -1)}, length=16))
    made.append(Case("default-7", one_node("Softmax", {"x": x}, opset=7), {"x": x}, {"y": flat(x, 1)}, length=16))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 13))
        model = one_node("Softmax", {"x": x}, symbolic_batch=True)
        made.append(Case(f"batch{batch}", model, {"x": x}, {"y": softmax(x, -1)}, length=16))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_softmax(case: Case) -> None:
    check(case)


def test_large_numbers_do_not_overflow() -> None:
    x = np.array([[1e4, 1e4 - 1, -1e4], [-3e38, 0, 3e38], [88, 89, 90]], np.float32)
    check(Case("large", one_node("Softmax", {"x": x}), {"x": x}, {"y": softmax(x, -1)}, length=16))


def test_infinities_and_nan() -> None:
    """As in IEEE arithmetic: -inf has probability 0; +inf, NaN or nothing but -inf make the row NaN."""
    inf = np.inf
    x = np.array([[-inf, 0, 0], [inf, 0, 1], [-inf, -inf, -inf], [1, 2, 3]], np.float32)
    nodes = [
        helper.make_node("Softmax", ["x"], ["y"]),
        helper.make_node("Sub", ["x", "x"], ["d"]),
        helper.make_node("Softmax", ["d"], ["z"]),
    ]
    model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32, "z": np.float32})
    nan, third = [np.nan] * 3, [1 / 3] * 3
    y = np.array([[0, 0.5, 0.5], nan, nan, softmax(x[3:], -1)[0]])
    check(Case("infinities", model, {"x": x}, {"y": y, "z": np.array([nan, nan, nan, third])}, length=16))


def test_sums_are_one() -> None:
    from sanderling import _core

    x = values(np.random.default_rng(0), (1, 1_000_000))
    session = _core.Session(_core.Model(one_node("Softmax", {"x": x}).SerializeToString()))
    assert abs(float(session.run({"x": x})["y"].astype(np.float64).sum()) - 1.0) < 1e-6


def test_quantized() -> None:
    """It stays a float operator between Dequantize and Quantize."""

    def case(seed: int) -> Case:
        rng = np.random.default_rng(seed)
        dtype = (np.uint8, np.int8)[seed % 2]
        x = Codes.random(rng, (1000, 10 + seed), dtype, scale=0.05)
        zero = int(np.iinfo(dtype).min)
        qdq = qdq_node("Softmax", {"x": x}, lambda a: softmax(a, -1), 1 / 256, zero, y_dtype=dtype)
        return qdq_case(f"codes{seed}", qdq, operators={"Softmax", "Quantize", "Dequantize"}, same_bits=False)

    check_pooled(case(seed) for seed in range(60))


@pytest.mark.parametrize("axis", [-3, 2])
def test_axis_out_of_range(axis: int) -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node("Softmax", x, axis=axis), x, ModelError, f"axis {axis} is outside", "Softmax")


def test_integers() -> None:
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.int32)}
    check_refused(one_node("Softmax", x), x, UnsupportedError, "int32", "Softmax")
