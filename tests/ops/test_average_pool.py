from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import one_node
from runner import Case, check, check_refused, isas
from samples import values
from sanderling import _core
from sanderling.errors import ModelError
from window_references import Pool, Sliding, average, pools


def case(pool: Pool, count_include_pad: int, dtype: type[np.floating[Any]] = np.float32, **settings: Any) -> Case:
    x = values(np.random.default_rng(len(pool.name)), pool.shape, dtype)
    attributes = pool.sliding.attributes(pool=True) | {"count_include_pad": count_include_pad}
    model = one_node("AveragePool", {"x": x}, output_dtype=dtype, **attributes, **settings)
    include = bool(count_include_pad)
    return Case(
        f"{pool.name}-pad{count_include_pad}",
        model,
        {"x": x},
        {"y": average(x, pool.sliding, include)},
        length=int(np.prod(pool.sliding.kernel)),
        magnitude=float(average(abs(x), pool.sliding, include).max()),
        operators={"AveragePool"},
        onnxruntime=pool.onnxruntime and dtype is np.float32,
    )


def cases() -> Iterator[Case]:
    for pool in pools():
        yield case(pool, 0)
        yield case(pool, 1)
    square = Sliding((2, 2), (2, 2), pads=(1, 1, 0, 0))
    for batch in (1, 3, 8):
        yield case(Pool(f"batch{batch}", (batch, 5, 7, 7), square), 0, symbolic_batch=True)
    for opset in (7, 10, 11, 19):
        yield case(Pool(f"opset{opset}", (3, 5, 7, 7), square), 1, opset=opset)
    past_the_end = Sliding((5, 4), (5, 3), ceil_mode=True)
    for include in (0, 1):
        yield case(Pool("past-the-end", (2, 3, 2, 3), past_the_end), include)
    yield case(Pool("float64", (3, 5, 7, 7), square), 1, np.float64)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_average_pool(case: Case) -> None:
    check(case)


def test_a_batch_equals_its_rows_bit_for_bit() -> None:
    x = values(np.random.default_rng(0), (8, 17, 13, 12))
    model = one_node("AveragePool", {"x": x}, symbolic_batch=True, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    for isa in isas():
        session = _core.Session(_core.Model(model.SerializeToString()), isa=isa, threads=2)
        rows = [session.run({"x": x[i : i + 1]})["y"] for i in range(8)]
        np.testing.assert_array_equal(session.run({"x": x})["y"], np.concatenate(rows), err_msg=isa)


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "kernel_shape is required"),
        ({"kernel_shape": [3]}, r"kernel has 1 spatial axes, input \[1, 2, 5, 4\] has 2"),
        ({"kernel_shape": [3, 5]}, "a kernel of 5 with dilation 1 reaches over 5, the input has 4"),
        ({"kernel_shape": [3, 0]}, "kernel extent 0"),
        ({"kernel_shape": [3, 3], "strides": [0, 1]}, "strides has 0, expected 1"),
        ({"kernel_shape": [3, 3], "pads": [0, 0, 3, 0]}, "pads of 0 and 3.*reaches over 3"),
        ({"kernel_shape": [3, 3], "pads": [0, 0, 1]}, "pads has 3 numbers, expected 4"),
        ({"kernel_shape": [2**40, 2**40]}, "kernel extent 1099511627776"),
        ({"kernel_shape": [2**31, 2**31]}, "a kernel of 2147483648.*the input has 5"),
    ],
    ids=str,
)
def test_bad_windows(op: str, attributes: dict[str, Any], message: str) -> None:
    inputs = {"x": np.zeros((1, 2, 5, 4), np.float32)}
    check_refused(one_node(op, inputs, **attributes), inputs, ModelError, message, op)


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"])
def test_no_spatial_axis(op: str) -> None:
    inputs = {"x": np.zeros((3, 5), np.float32)}
    attributes = {} if op.startswith("Global") else {"kernel_shape": [1]}
    check_refused(one_node(op, inputs, **attributes), inputs, ModelError, r"\[3, 5\], expected a batch", op)
