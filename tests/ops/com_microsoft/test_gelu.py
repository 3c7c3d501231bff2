import math

import numpy as np
import pytest

from elementwise_cases import in_microsoft, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(0.5 * x * np.vectorize(math.erfc, otypes=[np.float64])(-x * math.sqrt(0.5)))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases(
            "Gelu",
            reference,
            17,
            lacking=(np.float64,),
            microsoft=True,
            edges=(np.nan, np.inf, 0.0, 1e-45, -5.0, -9.0, -20.0, 3.4e38),
        ),
    ],
    ids=str,
)
def test_gelu(case: Case) -> None:
    check(case)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(in_microsoft(one_node("Gelu", x)), x, UnsupportedError, "int32", "com.microsoft.Gelu")
