from itertools import combinations
from typing import Any

import numpy as np
import pytest

from onnx import helper
from onnx_models import Array, Codes, model_of, one_node, qdq_node
from reduction_cases import Reduction, check_long_sums, reduction_cases
from runner import Case, check, check_pooled, check_refused, qdq_case
from samples import name_of, values
from sanderling.errors import ModelError, UnsupportedError


def mean(x: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
    """Integer means truncate toward zero."""
    if np.issubdtype(x.dtype, np.floating):
        return np.asarray(x.mean(axis=axes, keepdims=keep))
    sums = np.asarray(x.sum(axis=axes, keepdims=keep, dtype=np.int64))
    return np.asarray(np.sign(sums) * (np.abs(sums) // (x.size // max(sums.size, 1))))


REDUCTION = Reduction("ReduceMean", mean, magnitude=lambda x, axes: np.abs(x).max(axis=axes))


def mean_case(name: str, x: Array, axes: tuple[int, ...] | None, keep: bool, opset: int, **settings: Any) -> Case:
    attributes: dict[str, Any] = {"keepdims": int(keep), **settings}
    constants = None
    if axes is not None and opset >= 18:
        constants = {"axes": np.array(axes, np.int64)}
    elif axes is not None:
        attributes["axes"] = axes
    dtype = x.dtype
    model = one_node("ReduceMean", {"x": x}, constants=constants, output_dtype=dtype, opset=opset, **attributes)
    if np.issubdtype(dtype, np.floating):
        expected = np.asarray(x.astype(np.float64).mean(axis=axes, keepdims=keep))
    else:
        sums = np.asarray(x.astype(np.int64).sum(axis=axes, keepdims=keep))
        count = x.size // max(sums.size, 1)
        expected = (np.sign(sums) * (np.abs(sums) // count)).astype(dtype)
    length = x.size // max(expected.size, 1)
    magnitude = float(np.abs(x.astype(np.float64)).max(initial=0.0))
    return Case(name, model, {"x": x}, {"y": expected}, length=length, magnitude=magnitude)


def cases() -> list[Case]:
    made = []
    for shape in ((3, 5, 7, 11), (1, 17, 1, 33)):
        x = values(np.random.default_rng(0), shape)
        for count in range(1, 5):
            for axes in combinations(range(4), count):
                for keep in (False, True):
                    name = f"{name_of(np.float32, shape)}-{''.join(map(str, axes))}-{keep}"
                    made.append(mean_case(f"{name}-18", x, axes, keep, 18))
                    made.append(mean_case(f"{name}-13", x, axes, keep, 13))
        made.append(mean_case(f"all-{len(made)}", x, None, True, 18))
        made.append(mean_case(f"all-flat-{len(made)}", x, None, False, 7))
        made.append(mean_case(f"negative-{len(made)}", x, (-1, -3), True, 11))
    for dtype in (np.float64, np.int32, np.int64):
        x = (values(np.random.default_rng(1), (3, 5, 7)) * 1000).astype(dtype)
        made.append(mean_case(np.dtype(dtype).name, x, (1,), False, 18))
    large = values(np.random.default_rng(2), (64, 3001))
    made.append(mean_case("large-rows", large, (1,), True, 18))
    made.append(mean_case("large-columns", large, (0,), True, 18))
    made.append(mean_case("large-all", large, None, True, 18))
    images = values(np.random.default_rng(2), (3, 49, 67))
    made.append(mean_case("middle", images, (1,), False, 18))
    made.append(mean_case("scalar", values(np.random.default_rng(3), ()), None, True, 18))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 13, 5))
        made.append(mean_case(f"batch{batch}", x, (2,), False, 18, symbolic_batch=True))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_reduce_mean(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", reduction_cases(REDUCTION), ids=str)
def test_as_other_reductions(case: Case) -> None:
    check(case)


def test_long_sums() -> None:
    check_long_sums(REDUCTION)


def test_no_axes_may_mean_none() -> None:
    x = values(np.random.default_rng(0), (3, 5))
    for constants in (None, {"axes": np.array([], np.int64)}):
        model = one_node("ReduceMean", {"x": x}, constants=constants, noop_with_empty_axes=1)
        check(Case(f"noop-{constants is None}", model, {"x": x}, {"y": x}))
        model = one_node("ReduceMean", {"x": x}, constants=constants)
        check(
            Case(
                f"all-{constants is None}", model, {"x": x}, {"y": x.astype(np.float64).mean(keepdims=True)}, length=15
            )
        )


def test_the_mean_of_nothing_is_nan() -> None:
    x = np.ones(2, np.float32)
    constants = {"e": np.zeros((2, 0), np.float32), "axes": np.array([1], np.int64)}
    nodes = [helper.make_node("ReduceMean", ["e", "axes"], ["y"]), helper.make_node("Identity", ["x"], ["z"])]
    model = model_of(nodes, {"x": (np.float32, (2,))}, {"y": np.float32, "z": np.float32}, constants)
    expected = {"y": np.full((2, 1), np.nan), "z": x}
    check(Case("nothing", model, {"x": x}, expected, onnxruntime=False))  # which gives 0; NumPy and ONNX give NaN


def test_quantized() -> None:
    """It stays a float operator between Dequantize and Quantize."""

    def case(seed: int) -> Case:
        rng = np.random.default_rng(seed)
        dtype = (np.uint8, np.int8)[seed % 2]
        x = Codes.random(rng, (400, 3 + seed, 63), dtype, scale=0.05)
        qdq = qdq_node(
            "ReduceMean", {"x": x}, lambda a: a.mean(1), 0.02, int(x.zero_point), y_dtype=dtype,
            plain={"axes": np.array([1], np.int64)}, keepdims=0,
        )  # fmt: skip
        return qdq_case(f"codes{seed}", qdq, operators={"ReduceMean"}, same_bits=False)

    check_pooled(case(seed) for seed in range(40))


def test_bad_axes() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}

    def refused(message: str, error: type[Exception] = ModelError, **settings: Any) -> None:
        check_refused(one_node("ReduceMean", x, **settings), x, error, message, "ReduceMean")

    refused("axis 2 is outside", constants={"axes": np.array([2], np.int64)})
    refused("axis 1 is named twice", constants={"axes": np.array([1, -1], np.int64)})
    refused("axis -3 is outside", opset=13, axes=[-3])
    refused("as input 1, not as an attribute", axes=[1])
    refused("as an attribute, not as an input", opset=13, constants={"axes": np.array([1], np.int64)})
    x = {"x": np.zeros((2, 3), np.uint8)}
    refused("uint8", UnsupportedError, opset=18)
