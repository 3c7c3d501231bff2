import numpy as np
import pytest

from code_node_cases import BYTES, check_pair, check_pair_without_zero_points, check_refused_pairs


def steps(left, right, p):
    ratio = np.float32(np.float64(p["as"]) * np.float64(p["bs"]) / np.float64(p["ys"]))
    return (left * right).astype(np.float32) * ratio


@pytest.mark.parametrize("dtype", BYTES)
def test_qlinear_mul(dtype):
    check_pair("QLinearMul", steps, "QMul", 0.047, dtype)


def test_without_zero_points():
    check_pair_without_zero_points("QLinearMul", steps)


def test_what_is_refused():
    check_refused_pairs("QLinearMul")
