import numpy as np
import pytest

from comparison_cases import check_dtypes_must_agree, check_nan_and_infinity
from elementwise_cases import NUMBERS, pair_cases
from onnx_models import one_node
from runner import Case, check
from sanderling import _core
from sanderling.errors import UnsupportedError


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
    check_nan_and_infinity("Equal", np.equal, 19)


def test_strings() -> None:
    graph = one_node("Equal", {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32)}, output_dtype=np.bool_)
    for value in graph.graph.input:
        value.type.tensor_type.elem_type = 8
    with pytest.raises(UnsupportedError, match="string"):
        _core.Model(graph.SerializeToString())


def test_dtypes_that_differ() -> None:
    check_dtypes_must_agree("Equal")
