import numpy as np
import pytest

from code_node_cases import BYTES, check_pair, check_pair_without_zero_points, check_refused_pairs


def steps(left, right, p):
    ratios = [np.float32(np.float64(p[s]) / np.float64(p["ys"])) for s in ("as", "bs")]
    return left.astype(np.float32) * ratios[0] + right.astype(np.float32) * ratios[1]


@pytest.mark.parametrize("dtype", BYTES)
def test_qlinear_add(dtype):
    check_pair("QLinearAdd", steps, "QAdd", 0.033, dtype)


def test_without_zero_points():
    check_pair_without_zero_points("QLinearAdd", steps)


def test_what_is_refused():
    check_refused_pairs("QLinearAdd")
