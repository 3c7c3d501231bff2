import numpy as np
import pytest

from onnx_models import one_node
from runner import Case, check

X = {"x": np.zeros((2, 3, 5, 7), np.float32)}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, [2, 3, 5, 7]),
        ({"start": 1}, [3, 5, 7]),
        ({"end": -1}, [2, 3, 5]),
        ({"start": -3, "end": 3}, [3, 5]),
        ({"start": -9, "end": 9}, [2, 3, 5, 7]),
        ({"start": 3, "end": 1}, []),
    ],
    ids=str,
)
def test_shape(attributes: dict[str, int], expected: list[int]) -> None:
    model = one_node("Shape", X, output_dtype=np.int64, **attributes)
    check(Case("shape", model, X, {"y": np.array(expected, np.int64)}))


def test_before_it_could_be_sliced() -> None:
    model = one_node("Shape", X, output_dtype=np.int64, opset=13, symbolic_batch=True)
    check(Case("shape", model, X, {"y": np.array([2, 3, 5, 7], np.int64)}))
