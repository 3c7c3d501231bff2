import numpy as np
import pytest

from ml_cases import BATCHES, FEATURE_DTYPES, features, ml_model
from runner import Case, check, check_refused
from sanderling.errors import ModelError

NAN = float("nan")


def case(
    name: str, x: np.ndarray, values: list, replaced: float | None, onnxruntime: bool = True, **more: bool
) -> Case:
    integer = x.dtype.kind == "i"
    values = values if integer else [float(v) for v in values]
    attributes = {"imputed_value_int64s" if integer else "imputed_value_floats": values}
    if replaced is not None:
        attributes["replaced_value_int64" if integer else "replaced_value_float"] = (
            replaced if integer else float(replaced)
        )
    model = ml_model("Imputer", {"x": x}, {"y": x.dtype}, opset=1, **attributes, **more)
    hit = np.isnan(x) if replaced is not None and np.isnan(replaced) else x == (replaced or 0)
    wanted = np.where(hit, np.array(values, x.dtype if integer else np.float32), x).astype(x.dtype).reshape(x.shape)
    known = x.dtype in (np.float32, np.int64)  # of ONNX Runtime
    return Case(name, model, {"x": x}, {"y": wanted}, exact=True, onnxruntime=onnxruntime and known)


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("batch", BATCHES)
def test_imputer(dtype: type, batch: int) -> None:
    x = features(np.random.default_rng(batch), (batch, 3), dtype)
    x[:, 1] = 2
    check(case("one", x, [7], 2, symbolic_batch=True))
    check(case("features", x, [7, 8, 9], 2))
    check(case("default", x, [7, 8, 9], None))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan(dtype: type) -> None:
    x = np.array([[NAN, 1, -NAN], [0, NAN, 2]], dtype)
    check(case("nan", x, [7.0, 8.5, 9.0], NAN))
    check(case("zero", x, [7.0, 8.5, 9.0], 0.0))
    check(case("to nan", x, [NAN], 0.0))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    check(case("vector", np.array([1, 0, 2], np.float32), [4.0, 5.0, 6.0], 0.0, False))
    check(case("rank 3", features(rng, (2, 3, 4), np.int64), [4, 5, 6, 7], 1, False))
    check(case("scalar", np.array(1, np.int64), [4], 1, False))
    check(case("empty", features(rng, (0, 3)), [4.0], 1, False))
    check(case("large", features(rng, (20000, 3), np.int64), [4, 5, 6], 1))


def test_refused() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    op = "ai.onnx.ml.Imputer"
    for bad in ({}, {"imputed_value_floats": [1.0, 2.0]}, {"imputed_value_int64s": [1]}):
        model = ml_model("Imputer", x, {"y": np.float32}, **bad)
        check_refused(model, x, ModelError, r"imputed_value_floats has \d values, the input 3", op)
    x = {"x": np.zeros((2, 3), np.int32)}
    model = ml_model("Imputer", x, {"y": np.int32}, imputed_value_int64s=[2**31])
    check_refused(model, x, ModelError, "2147483648 is none of int32", op)
