import numpy as np
import pytest

from elementwise_cases import in_microsoft, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array, alpha: float = float(np.float32(1.702))) -> Array:
    return np.asarray(x / (1 + np.exp(-alpha * x)))


ENDS = (np.nan, np.inf, 0.0, 1e-45, -5.0, -40.0, 3.4e38)


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("QuickGelu", reference, 17, lacking=(np.float64,), edges=ENDS, microsoft=True),
        *map_cases(
            "QuickGelu",
            lambda x: reference(x, 0.5),
            17,
            lacking=(np.float64,),
            edges=ENDS,
            microsoft=True,
            name="half-",
            alpha=0.5,
        ),
    ],
    ids=str,
)
def test_quick_gelu(case: Case) -> None:
    check(case)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(in_microsoft(one_node("QuickGelu", x)), x, UnsupportedError, "int32", "com.microsoft.QuickGelu")
