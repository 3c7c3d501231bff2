import ml_dtypes
import numpy as np
import pytest

from elementwise_cases import map_cases
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError

BOTH = (np.inf, -np.inf, 0.0, 3.4e38, -3.4e38, np.nan)


@pytest.mark.parametrize(
    "case",
    [
        *map_cases("IsInf", np.isinf, 20, output_dtype=np.bool_, edges=BOTH, older=(10,)),
        *map_cases("IsInf", np.isposinf, 20, output_dtype=np.bool_, edges=BOTH, name="positive-", detect_negative=0),
        *map_cases("IsInf", np.isneginf, 20, output_dtype=np.bool_, edges=BOTH, name="negative-", detect_positive=0),
    ],
    ids=str,
)
def test_is_inf(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"])
def test_small_floats(name: str) -> None:
    x = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name))
    model = one_node("IsInf", {"x": x}, output_dtype=np.bool_, opset=20)
    wanted = np.isinf(x.astype(np.float32))
    assert wanted.any() == (name == "float8_e5m2")
    check(Case(name, model, {"x": x}, {"y": wanted}, onnxruntime=False))  # it has none for these


def test_integers() -> None:
    x = {"x": np.zeros(3, np.int32)}
    check_refused(one_node("IsInf", x, output_dtype=np.bool_), x, ModelError, "int32, expected floats", "IsInf")
