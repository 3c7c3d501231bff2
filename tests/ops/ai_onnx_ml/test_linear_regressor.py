import numpy as np
import pytest

from ml_cases import BATCHES, FEATURE_DTYPES, TRANSFORMS, features, ml_model, probabilities, transformed
from runner import Case, check, check_refused
from sanderling.errors import ModelError

OP = "ai.onnx.ml.LinearRegressor"


def case(
    name: str, x: np.ndarray, w: np.ndarray, b: np.ndarray | None, transform: str = "NONE", onnxruntime: bool = True
) -> Case:
    given = {} if b is None else {"intercepts": b.tolist()}
    if len(w) > 1:
        given["targets"] = len(w)
    model = ml_model(
        "LinearRegressor",
        {"x": x},
        {"y": np.float32},
        opset=1,
        symbolic_batch=x.ndim == 2 and len(x) > 0,
        coefficients=w.ravel().tolist(),
        post_transform=transform,
        **given,
    )
    rows = x[None] if x.ndim == 1 else x
    scores = rows.astype(np.float64) @ w.T.astype(np.float64) + (0 if b is None else b.astype(np.float64))
    if len(w) > 1 or transform == "PROBIT":  # ONNX Runtime leaves a single score else
        scores = transformed(transform, scores)
    known = onnxruntime and x.dtype == np.float32 and x.size > 0
    return Case(name, model, {"x": x}, {"y": scores}, length=None, onnxruntime=known)


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("targets", [1, 5])
def test_linear_regressor(dtype: type, batch: int, targets: int) -> None:
    rng = np.random.default_rng(batch)
    w, b = features(rng, (targets, 19)), features(rng, (targets,))
    check(case("intercepts", features(rng, (batch, 19), dtype), w, b))
    check(case("none", features(rng, (batch, 19), dtype), w, None))


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("targets", [1, 3])
def test_transforms(transform: str, targets: int) -> None:
    rng = np.random.default_rng(0)
    x, w = probabilities(rng, (11, 1)), np.linspace(0.9, 1.0, targets, dtype=np.float32)[:, None]
    check(case("transform", x, w, None, transform))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    w, b = features(rng, (2, 7)), features(rng, (2,))
    check(case("vector", features(rng, (7,)), w, b))
    check(case("empty", features(rng, (0, 7)), w, b))
    check(case("large", features(rng, (9001, 7)), w, b))
    check(case("one feature", features(rng, (3, 1)), w[:, :1], b))


def test_refused() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    for given, message in (
        ({}, "has no coefficients"),
        ({"coefficients": [1.0] * 4}, "4 coefficients for 3 features and 1 targets"),
        ({"coefficients": [1.0] * 3, "targets": 2}, "3 coefficients for 3 features and 2 targets"),
        ({"coefficients": [1.0] * 3, "targets": 0}, "targets is 0"),
        ({"coefficients": [1.0] * 3, "targets": 2**62}, "3 coefficients"),
        ({"coefficients": [1.0] * 3, "intercepts": [1.0, 2.0]}, "2 intercepts for 1 targets"),
        ({"coefficients": [1.0] * 3, "post_transform": "TANH"}, "post_transform is 'TANH', ONNX has NONE"),
    ):
        check_refused(ml_model("LinearRegressor", x, {"y": np.float32}, **given), x, ModelError, message, OP)
    x = {"x": np.zeros((2, 0), np.float32)}
    model = ml_model("LinearRegressor", x, {"y": np.float32}, coefficients=[1.0])
    check_refused(model, x, ModelError, "1 coefficients for 0 features", OP)
