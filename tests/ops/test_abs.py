import numpy as np
import pytest

from elementwise_cases import NUMBERS, lookup_case, map_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Abs", np.abs, 13, dtypes=NUMBERS, older=(7,)),
        lookup_case("Abs", np.abs, 13),
    ],
    ids=str,
)
def test_abs(case: Case) -> None:
    check(case)


def test_lowest_integer_stays() -> None:
    x = np.array([-128, 127, -1], np.int8)
    model = one_node("Abs", {"x": x}, output_dtype=np.int8)
    check(Case("lowest", model, {"x": x}, {"y": np.array([-128, 127, 1], np.int8)}, onnxruntime=False))


def test_bool() -> None:
    x = {"x": np.zeros(3, np.bool_)}
    check_refused(one_node("Abs", x, output_dtype=np.bool_), x, ModelError, "bool", "Abs")
