"""QMul: Mul between codes."""

import numpy as np
import pytest

from codes_cases import edge_cases, pooled_cases
from runner import Case, check, check_pooled


@pytest.mark.parametrize("case", [*edge_cases("Mul", np.multiply)], ids=str)
def test_qmul(case: Case) -> None:
    check(case)


def test_a_million_elements() -> None:
    check_pooled(pooled_cases("Mul", np.multiply, seeds=36))
