import numpy as np
import pytest

from elementwise_cases import NUMBERS, pair_cases
from onnx import helper
from onnx_models import model_of, one_node
from runner import Case, check, check_refused
from sanderling import _core
from sanderling.errors import ModelError, UnsupportedError


@pytest.mark.parametrize(
    "case",
    [
        *pair_cases("Equal", np.equal, 19, dtypes=NUMBERS, output_dtype=np.bool_, older=(11, 13)),
        *pair_cases("Equal", np.equal, 19, dtypes=(np.bool_,), output_dtype=np.bool_, older=(7,)),
    ],
    ids=str,
)
def test_equal(case: Case) -> None:
    check(case)


def test_nan_and_infinity() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    a, b = (np.ascontiguousarray(x) for x in np.meshgrid(values, values))
    # A model refuses NaN among its inputs that a comparison would hide; it may come up within.
    nodes = [
        helper.make_node("Div", ["zero", "zero"], ["nan"]),
        helper.make_node("Where", ["is_nan", "nan", "a"], ["with_nan"]),
        helper.make_node("Equal", ["with_nan", "b"], ["y"]),
    ]
    inputs = {"a": np.nan_to_num(a, nan=1.0, posinf=np.inf, neginf=-np.inf), "is_nan": np.isnan(a)}
    inputs["b"] = np.nan_to_num(b, nan=2.0, posinf=np.inf, neginf=-np.inf)
    specs = {name: (x.dtype, x.shape) for name, x in inputs.items()}
    model = model_of(nodes, specs, {"y": np.bool_}, {"zero": np.float32(0)}, 19)
    check(Case("nan", model, inputs, {"y": np.equal(a, inputs["b"])}))


def test_strings() -> None:
    graph = one_node("Equal", {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32)}, output_dtype=np.bool_)
    for value in graph.graph.input:
        value.type.tensor_type.elem_type = 8
    with pytest.raises(UnsupportedError, match="string"):
        _core.Model(graph.SerializeToString())


def test_dtypes_that_differ() -> None:
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.int32)}
    check_refused(one_node("Equal", inputs, output_dtype=np.bool_), inputs, ModelError, "int32.*float32", "Equal")
