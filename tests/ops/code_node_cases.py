"""Cases of ONNX's operators on 8-bit codes, whose scales and zero points are inputs of the node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

import onnx
from binary_cases import PAIRS
from onnx import helper
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError
from window_references import Sliding, convolve

BYTES = (np.uint8, np.int8)


def codes(rng: np.random.Generator, shape: Sequence[int], dtype: npt.DTypeLike = np.uint8) -> Array:
    """Uniform codes."""
    info = np.iinfo(np.dtype(dtype))
    return np.asarray(rng.integers(info.min, info.max, shape, dtype, endpoint=True))


def scale(rng: np.random.Generator, shape: Sequence[int] = ()) -> Array:
    """Scales of 2^-7 to 2^-3."""
    return np.asarray(np.exp2(rng.uniform(-7, -3, shape)), np.float32)


def quantized(steps: Array, zero: Any, dtype: npt.DTypeLike) -> Array:
    """Codes of numbers of steps from the zero point: round half to even, saturate."""
    info = np.iinfo(np.dtype(dtype))
    return np.asarray(np.clip(np.rint(steps.astype(np.float64)) + np.int64(zero), info.min, info.max), dtype)


def requantized(sums: Array, x_scale: Any, w_scale: Any, y_scale: Any, zero: Any, dtype: npt.DTypeLike) -> Array:
    """Codes of exact sums that count in x_scale * w_scale, by one float32 product."""
    factor = np.float64(1) * x_scale * np.asarray(w_scale, np.float64) / np.float64(y_scale)
    return quantized(sums.astype(np.float32) * factor.astype(np.float32), zero, dtype)


def centred(tensor: Array, zero: Any) -> npt.NDArray[np.int64]:
    """Codes less their zero point."""
    return np.asarray(tensor.astype(np.int64) - np.asarray(zero, np.int64))


def code_conv(x: Array, weights: Array, group: int = 1, **window: Any) -> npt.NDArray[np.int64]:
    """The exact convolution of centred codes; `window` are the attributes of the node."""
    sliding = Sliding(weights.shape[2:], **{name: tuple(value) for name, value in window.items()})
    return np.asarray(convolve(x, weights, None, sliding, group), np.int64)


def node(
    op: str,
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array] | None = None,
    domain: str = "com.microsoft",
    **settings: Any,
) -> onnx.ModelProto:
    """A model of one node of `domain`; `settings` as of onnx_models.one_node."""
    model = one_node(op, inputs, constants=constants, domain=domain, **settings)
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def check_codes(
    op: str,
    tensors: Mapping[str, Array],
    parameters: Mapping[str, Array],
    expected: Array,
    order: Sequence[str],
    *,
    steps: int = 1,
    onnxruntime: bool = True,
    lowered: Sequence[str] = (),
    **settings: Any,
) -> None:
    """Checks a node whose parameters are initializers, so that it is lowered, and one whose are inputs.

    Args:
        op: The operator.
        tensors: Inputs in both models.
        parameters: Scales, zero points, weights.
        expected: "y", exactly.
        order: Names of the node's inputs.
        steps: How far ONNX Runtime's codes may be off: it multiplies and rounds in another order.
        onnxruntime: Compare with it at all.
        lowered: Operators that the lowered graph of the first model has.
        settings: Others of `node`.
    """
    settings = {"output_dtype": expected.dtype, "order": list(order), **settings}
    constant = Case(f"{op}-constant", node(op, tensors, parameters, **settings), tensors, {"y": expected}, exact=True)
    given = {**tensors, **parameters}
    computed = Case(f"{op}-inputs", node(op, given, **settings), given, {"y": expected}, exact=True)
    for case in (constant, computed):
        operators = lowered if case is constant else ()
        check(Case(**{**vars(case), "onnxruntime": False, "operators": operators}))
        if onnxruntime:
            _check_onnxruntime(case, expected, steps)


def _check_onnxruntime(case: Case, expected: Array, steps: int) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(case.model.SerializeToString(), options, ["CPUExecutionProvider"])
    theirs = session.run(None, dict(case.inputs))[0]
    assert theirs.shape == expected.shape
    distance = np.abs(theirs.astype(np.float64) - expected).max(initial=0)
    bound = steps if np.issubdtype(expected.dtype, np.integer) else 1e-5 * np.abs(expected).max(initial=0) + 1e-6
    assert distance <= bound, f"{case}: ONNX Runtime is {distance} away"


PAIR_ORDER = ["a", "as", "az", "b", "bs", "bz", "ys", "yz"]
"""Inputs of QLinearAdd and QLinearMul: codes, scale and zero point of each operand, then of the result."""

PairSteps = Callable[[Array, Array, Mapping[str, Array]], Array]
"""The steps of the result for centred codes a and b and the node's scales, before they are rounded."""


def check_pair(op: str, steps: PairSteps, lowered: str, y_scale: float, dtype: npt.DTypeLike) -> None:
    """Codes of all shapes that broadcast, against exact arithmetic; lowered to the engine's own operator."""
    rng = np.random.default_rng(0)
    for a_shape, b_shape in [*PAIRS, ((0, 3), (3,))]:
        a, b = codes(rng, a_shape, dtype), codes(rng, b_shape, dtype)
        p = {"as": np.float32(0.031), "az": codes(rng, (), dtype), "bs": np.float32(0.017), "bz": codes(rng, (), dtype)}
        p |= {"ys": np.float32(y_scale), "yz": codes(rng, (), dtype)}
        p = {name: np.asarray(value) for name, value in p.items()}
        exact = np.asarray(steps(centred(a, p["az"]), centred(b, p["bz"]), p))
        expected = quantized(exact, p["yz"], dtype)
        comparable = expected.size > 0
        check_codes(op, {"a": a, "b": b}, p, expected, PAIR_ORDER, onnxruntime=comparable, lowered=[lowered])


def check_pair_without_zero_points(op: str, steps: PairSteps) -> None:
    """They are 0 then."""
    rng = np.random.default_rng(1)
    a, b = codes(rng, (3, 5)), codes(rng, (3, 5))
    p = {"as": np.array(0.5, np.float32), "bs": np.array(0.25, np.float32), "ys": np.array(1, np.float32)}
    expected = quantized(np.asarray(steps(a.astype(np.int64), b.astype(np.int64), p)), 0, np.uint8)
    # ONNX Runtime fails to infer the type without zero points.
    check_codes(op, {"a": a, "b": b}, p, expected, ["a", "as", "", "b", "bs", "", "ys"], onnxruntime=False)


def check_refused_pairs(op: str) -> None:
    """Shapes and types that do not fit each other."""

    def refused(message: str, **changed: Any) -> None:
        values = {"a": np.zeros((2, 3), np.uint8), "b": np.zeros((2, 3), np.uint8)}
        scalars = [name for name in PAIR_ORDER if len(name) == 2]
        values |= {name: np.float32(1) if name[1] == "s" else np.uint8(0) for name in scalars} | changed
        values = {name: np.asarray(value) for name, value in values.items()}
        model = node(op, values, order=PAIR_ORDER, output_dtype=np.uint8)
        check_refused(model, values, ModelError, message, f"com.microsoft.{op}")

    refused("cannot be broadcast", b=np.zeros((2, 4), np.uint8))
    refused("input 3 is int8, input 0 is uint8", b=np.zeros((2, 3), np.int8))
    refused("expected a single value", ys=np.ones(2, np.float32))
    refused("they must be the same", yz=np.int8(0))
