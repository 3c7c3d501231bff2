import numpy as np
import pytest

from elementwise_cases import FLOATS, SIGNED, lookup_case, map_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Neg", np.negative, 13, dtypes=(*FLOATS, *SIGNED), older=(7,)),
        lookup_case("Neg", np.negative, 13),
    ],
    ids=str,
)
def test_neg(case: Case) -> None:
    check(case)


def test_unsigned() -> None:
    x = {"x": np.zeros(3, np.uint8)}
    check_refused(one_node("Neg", x, output_dtype=np.uint8), x, UnsupportedError, "uint8", "Neg")
