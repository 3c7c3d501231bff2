import numpy as np
import pytest

from ml_cases import FEATURE_DTYPES, features, ml_model
from runner import Case, check, check_refused
from samples import SHAPES, name_of
from sanderling.errors import ModelError, UnsupportedError


def case(name: str, x: np.ndarray, threshold: float | None, **settings: bool) -> Case:
    attributes = {} if threshold is None else {"threshold": threshold}
    bound = np.float64(np.float32(threshold or 0.0))
    model = ml_model("Binarizer", {"x": x}, {"y": x.dtype}, opset=1, **attributes)
    # As integers of any size: float64 does not hold all of 64 bits.
    above = np.array([int(v) > bound for v in x.flat]) if x.dtype.kind == "i" else x.ravel() > bound
    wanted = above.reshape(x.shape).astype(x.dtype)
    return Case(name, model, {"x": x}, {"y": wanted}, exact=True, onnxruntime=x.dtype == np.float32 and x.size > 0)


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("shape", [*SHAPES, (0, 3)], ids=str)
def test_binarizer(dtype: type, shape: tuple[int, ...]) -> None:
    x = features(np.random.default_rng(0), shape, dtype)
    check(case(name_of(dtype, shape), x, 1.0))


@pytest.mark.parametrize(
    "threshold", [None, -0.5, 1.5, 2.0**62, 3e38, -3e38, float("inf"), -float("inf"), float("nan")]
)
@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
def test_thresholds(dtype: type, threshold: float | None) -> None:
    if np.issubdtype(dtype, np.integer):
        ends = np.iinfo(dtype)
        x = np.array([ends.min, -1, 0, 1, 2, 2**30, ends.max // 2, ends.max // 2 + 1, ends.max], dtype)
    else:
        x = np.array([-np.inf, -1, -0.5, 0, 1, 1.5, 2, np.inf], dtype)
    check(case(f"{threshold}", x, threshold))


def test_refused() -> None:
    x = {"x": np.zeros(3, np.float32)}
    bad = ml_model("Binarizer", x, {"y": np.float32}, threshold=1)
    check_refused(bad, x, ModelError, "threshold", "ai.onnx.ml.Binarizer")
    x = {"x": np.zeros(3, np.int8)}
    check_refused(ml_model("Binarizer", x, {"y": np.int8}), x, UnsupportedError, "int8", "ai.onnx.ml.Binarizer")
