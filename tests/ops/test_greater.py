import numpy as np
import pytest

from elementwise_cases import NUMBERS, pair_cases
from onnx import helper
from onnx_models import model_of, one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize(
    "case",
    [
        *pair_cases("Greater", np.greater, 13, dtypes=NUMBERS, output_dtype=np.bool_, older=(7, 9)),
    ],
    ids=str,
)
def test_greater(case: Case) -> None:
    check(case)


def test_nan_and_infinity() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    a, b = (np.ascontiguousarray(x) for x in np.meshgrid(values, values))
    # A model refuses NaN among its inputs that a comparison would hide; it may come up within.
    nodes = [
        helper.make_node("Div", ["zero", "zero"], ["nan"]),
        helper.make_node("Where", ["is_nan", "nan", "a"], ["with_nan"]),
        helper.make_node("Greater", ["with_nan", "b"], ["y"]),
    ]
    inputs = {"a": np.nan_to_num(a, nan=1.0, posinf=np.inf, neginf=-np.inf), "is_nan": np.isnan(a)}
    inputs["b"] = np.nan_to_num(b, nan=2.0, posinf=np.inf, neginf=-np.inf)
    specs = {name: (x.dtype, x.shape) for name, x in inputs.items()}
    model = model_of(nodes, specs, {"y": np.bool_}, {"zero": np.float32(0)}, 16)
    check(Case("nan", model, inputs, {"y": np.greater(a, inputs["b"])}))


def test_bool() -> None:
    inputs = {"a": np.zeros(3, np.bool_), "b": np.zeros(3, np.bool_)}
    check_refused(one_node("Greater", inputs, output_dtype=np.bool_), inputs, ModelError, "bool", "Greater")


def test_dtypes_that_differ() -> None:
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.int32)}
    check_refused(one_node("Greater", inputs, output_dtype=np.bool_), inputs, ModelError, "int32.*float32", "Greater")
