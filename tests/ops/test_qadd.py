"""QAdd: Add and Sub between codes."""

from typing import Any

import numpy as np
import pytest

from codes_cases import binary_case, edge_cases, pooled_cases
from runner import Case, check, check_pooled


@pytest.mark.parametrize("case", [*edge_cases("Add", np.add), *edge_cases("Sub", np.subtract)], ids=str)
def test_qadd(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(("op", "reference"), [("Add", np.add), ("Sub", np.subtract)])
def test_a_million_elements(op: str, reference: Any) -> None:
    check_pooled(pooled_cases(op, reference, seeds=36))


def test_a_tensor_with_itself() -> None:
    """The same codes on both sides share a buffer."""
    from onnx_models import Codes, qdq_node
    from runner import qdq_case

    x = Codes.random(np.random.default_rng(0), (3, 5, 7))
    qdq = qdq_node("Add", {"x": x}, lambda a: a + a, 2.2 * float(x.scale), 100, order=["x", "x"])
    check(qdq_case("itself", qdq))


def test_signs_differ() -> None:
    check(binary_case("Sub", np.subtract, 77, (64, 33), (33,)))
