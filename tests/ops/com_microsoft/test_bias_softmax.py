from __future__ import annotations

import numpy as np
import pytest

from runner import check, check_refused
from samples import values
from sanderling.errors import ModelError
from sequence_models import MICROSOFT, node_case


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "bias_shape", "axis"),
    [
        ((2, 3, 4, 5), (2, 1, 1, 5), 3),
        ((2, 3, 4, 5), (2, 1, 4, 5), -1),
        ((2, 3, 4, 5), (1, 1, 4, 5), 2),
        ((3, 7), (7,), 1),
        ((3, 7), (3, 7), 0),
        ((0, 7), (7,), 1),
    ],
)
def test_bias_softmax(shape: tuple[int, ...], bias_shape: tuple[int, ...], axis: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    x, bias = values(rng, shape, dtype), values(rng, bias_shape, dtype)
    total = (x.astype(np.float64) + bias).reshape(-1, int(np.prod(shape[axis % len(shape) :])))
    powers = np.exp(total - total.max(1, keepdims=True))
    y = (powers / powers.sum(1, keepdims=True)).reshape(shape)
    case = node_case(
        "BiasSoftmax",
        "softmax",
        {"x": x, "bias": bias},
        {"y": y},
        domain=MICROSOFT,
        dtype=dtype,
        settings={"onnxruntime": False},  # it has it on GPUs alone
        axis=axis,
        is_inner_broadcast=0,
    )
    check(case)


def test_a_bias_that_does_not_fit() -> None:
    x = {"x": np.zeros((2, 3), np.float32), "bias": np.zeros((2, 2, 3), np.float32)}
    case = node_case("BiasSoftmax", "bad", x, {"y": x["x"]}, domain=MICROSOFT)
    check_refused(case.model, case.inputs, ModelError, "does not broadcast to data", "com.microsoft.BiasSoftmax")
