from typing import Any

import numpy as np
import pytest

from move_cases import OTHER_DTYPES
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError


def reversed_case(name: str, x: Array, lengths: Any, time: int = 0, known: bool = True, **settings: Any) -> Case:
    moved = np.moveaxis(x, time, 0).copy()
    for i, length in enumerate(lengths):
        moved[:length, i] = moved[:length, i][::-1]
    inputs = {"x": x, "lengths": np.array(lengths, np.int64)}
    attributes = {} if time == 0 else {"time_axis": time, "batch_axis": 1 - time}
    model = one_node("ReverseSequence", inputs, output_dtype=x.dtype, **attributes, **settings)
    return Case(name, model, inputs, {"y": np.moveaxis(moved, 0, time)}, exact=True, onnxruntime=known)


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    x = values(rng, (5, 4, 3))
    made = [
        reversed_case("time-first", x, (1, 2, 5, 3), opset=10),
        reversed_case("batch-first", x, (4, 1, 3, 2, 4), 1, opset=10),
        reversed_case("none", x, (0, 1, 0, 1), known=False),
        reversed_case("matrix", x[:, :, 0], (5, 5, 2, 3)),
        reversed_case("large", values(rng, (60, 7, 300)), rng.integers(0, 61, 7), known=False),
        reversed_case("large-batch-first", values(rng, (7, 60, 300)), rng.integers(0, 61, 7), 1, known=False),
        reversed_case("deep", values(rng, (3, 2, 2, 3, 2)), (3, 2)),
        reversed_case("newest", x, (1, 2, 5, 3), opset=28, known=False),
        reversed_case("empty", np.zeros((0, 2, 3), np.float32), (0, 0), known=False),
    ]
    for dtype in DTYPES:
        made.append(reversed_case(dtype.__name__, values(rng, (4, 2, 3), dtype), (4, 3)))
    for dtype in OTHER_DTYPES:
        x = rng.integers(1, 3, (4, 2, 3)).astype(dtype)
        made.append(reversed_case(np.dtype(dtype).name, x, (4, 3), known=False))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_reverse_sequence(case: Case) -> None:
    check(case)


def test_refused() -> None:
    def refused(message: str, lengths: Any, shape: tuple[int, ...] = (4, 2), **attributes: int) -> None:
        x = {"x": np.zeros(shape, np.float32), "lengths": np.array(lengths)}
        check_refused(one_node("ReverseSequence", x, **attributes), x, ModelError, message, "ReverseSequence")  # type: ignore[arg-type]

    refused("the value 5, expected 0 to 4", [1, 5])
    refused("the value -1", [-1, 1])
    refused("expected one for each of 2", [1, 1, 1])
    refused("is float64", [1.0, 1.0])
    refused("expected a batch and a time axis", [1], (4,))
    refused("both 1", [1, 1], time_axis=1)
    refused("time_axis is 2", [1, 1], time_axis=2)
