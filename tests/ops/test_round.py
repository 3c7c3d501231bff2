import numpy as np
import pytest

from elementwise_cases import check_ulps, lookup_case, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from sanderling.errors import UnsupportedError


def reference(x: Array) -> Array:
    return np.asarray(np.rint(x))


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("Round", reference, 22, older=(11,)),
        lookup_case("Round", reference, 22, scale=1 / 32),
    ],
    ids=str,
)
def test_round(case: Case) -> None:
    check(case)


def test_round_is_accurate() -> None:
    check_ulps("Round", reference, 0.51, 22, -3e38, 3e38)


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("Round", x, opset=22), x, UnsupportedError, "int32", "Round")


def test_halves_are_rounded_to_even() -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 4194304.5, 8388609.0, 2147483648.0, -0.2], np.float32)
    expected = np.array([-2, -2, -0.0, 0, 2, 2, 4194304, 8388609, 2147483648, -0.0], np.float32)
    check(Case("halves", one_node("Round", {"x": x}), {"x": x}, {"y": expected}, exact=True))
