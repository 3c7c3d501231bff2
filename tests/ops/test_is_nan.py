import ml_dtypes
import numpy as np
import pytest

from elementwise_cases import map_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("IsNaN", np.isnan, 20, output_dtype=np.bool_, older=(9, 13)),
    ],
    ids=str,
)
def test_is_nan(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"])
def test_small_floats(name: str) -> None:
    x = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name))
    model = one_node("IsNaN", {"x": x}, output_dtype=np.bool_, opset=20)
    wanted = np.isnan(x.astype(np.float32))
    assert wanted.any()
    check(Case(name, model, {"x": x}, {"y": wanted}, onnxruntime=False))  # it has none for these


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("IsNaN", x, output_dtype=np.bool_), x, ModelError, "int32, expected floats", "IsNaN")
