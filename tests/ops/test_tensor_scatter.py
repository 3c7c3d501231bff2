from typing import Any

import numpy as np
import pytest

from move_cases import OTHER_DTYPES
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError


def written(cache: Array, update: Array, starts: Any, axis: int, circular: bool) -> Array:
    result = cache.copy()
    there, new = np.moveaxis(result, axis, 1), np.moveaxis(update, axis, 1)
    for row in range(len(cache)):
        for s in range(new.shape[1]):
            at = (0 if starts is None else int(starts[row])) + s
            there[row, at % there.shape[1] if circular else at] = new[row, s]
    return result


def scatter_case(
    name: str, cache: Array, update: Array, starts: Any = None, axis: int = -2, circular: bool = False
) -> Case:
    """Without ONNX Runtime, which lacks some of the types."""
    inputs = {"cache": cache, "update": update}
    if starts is not None:
        inputs["starts"] = np.array(starts, np.int64)
    attributes: dict[str, Any] = {} if axis == -2 else {"axis": axis}
    if circular:
        attributes["mode"] = "circular"
    model = one_node("TensorScatter", inputs, output_dtype=cache.dtype, opset=24, more=attributes)
    expected = {"y": written(cache, update, starts, axis, circular)}
    return Case(name, model, inputs, expected, exact=True, onnxruntime=False)


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    cache = values(rng, (3, 2, 6, 4))
    made = [
        scatter_case("start", cache, values(rng, (3, 2, 2, 4))),
        scatter_case("rows", cache, values(rng, (3, 2, 2, 4)), (0, 4, 1)),
        scatter_case("one", cache, values(rng, (3, 2, 1, 4)), (5, 0, 3)),
        scatter_case("all", cache, values(rng, (3, 2, 6, 4)), (0, 0, 0)),
        scatter_case("none", cache, np.zeros((3, 2, 0, 4), np.float32), (0, 6, 3)),
        scatter_case("axis1", cache, values(rng, (3, 1, 6, 4)), (0, 1, 1), axis=1),
        scatter_case("last", cache, values(rng, (3, 2, 6, 3)), (0, 1, 1), axis=3),
        scatter_case("circular", cache, values(rng, (3, 2, 4, 4)), (4, 1, 11), circular=True),
        scatter_case("circular-negative", cache, values(rng, (3, 2, 4, 4)), (-1, -7, 2**63 - 1), circular=True),
        scatter_case("flat", values(rng, (3, 5)), values(rng, (3, 2)), (1, 3, 0), axis=1),
    ]
    for dtype in DTYPES:
        made.append(scatter_case(dtype.__name__, values(rng, (2, 5, 3), dtype), values(rng, (2, 2, 3), dtype), (1, 3)))
    for dtype in OTHER_DTYPES:
        x, update = (rng.integers(1, 3, shape).astype(dtype) for shape in ((2, 5, 3), (2, 2, 3)))
        made.append(scatter_case(np.dtype(dtype).name, x, update, (1, 3)))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_tensor_scatter(case: Case) -> None:
    check(case)


def test_refused() -> None:
    def refused(message: str, update: tuple[int, ...] = (2, 2, 3), starts: Any = (0, 0), **attributes: Any) -> None:
        x = {"x": np.zeros((2, 5, 3), np.float32), "u": np.zeros(update, np.float32), "s": np.array(starts)}
        model = one_node("TensorScatter", x, opset=24, more=attributes)
        check_refused(model, x, ModelError, message, "TensorScatter")

    refused("the value 4, expected 0 to 3 for an update of 2 in a cache of 5", starts=(0, 4))
    refused("the value -1", starts=(-1, 0))
    refused("expected one for each of 2 rows", starts=(0, 0, 0))
    refused("is float64", starts=(0.0, 0.0))
    refused("only along axis 1 may it be shorter", (2, 6, 3))
    refused("only along axis 1 may it be shorter", (2, 2, 2))
    refused("axis is 0, which is the batch", axis=0)
    refused("mode is 'ring'", mode="ring")
