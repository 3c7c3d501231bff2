from typing import Any

import numpy as np
import pytest

from ml_cases import BATCHES, FEATURE_DTYPES, features, ml_model
from runner import Case, check, check_refused
from sanderling.errors import ModelError

OP = "ai.onnx.ml.SVMRegressor"
PARAMETERS = [0.125, 0.5, 3.0]
"""gamma, coef0, degree"""


def similarities(kernel: str, x: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    gamma, coef0, degree = PARAMETERS
    x, vectors = x.astype(np.float64), vectors.astype(np.float64)
    if kernel == "RBF":
        return np.exp(-gamma * ((x[:, None] - vectors[None]) ** 2).sum(axis=-1))
    dot = x @ vectors.T
    if kernel == "POLY":
        return (gamma * dot + coef0) ** degree
    return np.tanh(gamma * dot + coef0) if kernel == "SIGMOID" else dot


def case(name: str, x: np.ndarray, kernel: str, supports: int, one_class: int = 0) -> Case:
    rng = np.random.default_rng(supports)
    width = x.shape[-1]
    rho = features(rng, (1,))
    given: dict[str, Any] = {"rho": rho.tolist(), "kernel_params": PARAMETERS, "n_supports": supports}
    rows = x[None] if x.ndim == 1 else x
    if supports:
        vectors, w = features(rng, (supports, width)), features(rng, (supports,))
        given |= {"support_vectors": vectors.ravel().tolist(), "kernel_type": kernel}
        found = similarities(kernel, rows, vectors) @ w.astype(np.float64)
    else:
        w = features(rng, (width,))
        found = rows.astype(np.float64) @ w.astype(np.float64)
    found = found[:, None] + rho.astype(np.float64)
    if one_class:
        found = np.where(found > 0, 1.0, -1.0)
    model = ml_model(
        "SVMRegressor",
        {"x": x},
        {"y": np.float32},
        opset=1,
        symbolic_batch=x.ndim == 2 and len(x) > 0,
        coefficients=w.tolist(),
        one_class=one_class,
        **given,
    )
    known = x.dtype == np.float32 and x.size > 0
    return Case(name, model, {"x": x}, {"y": found}, length=None, onnxruntime=known)


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
def test_svm_regressor(dtype: type, kernel: str) -> None:
    for batch in BATCHES:
        x = features(np.random.default_rng(batch), (batch, 11), dtype)
        check(case("vectors", x, kernel, 17))
        check(case("one class", x, kernel, 17, one_class=1))


def test_linear_model() -> None:
    for batch in BATCHES:
        check(case("linear", features(np.random.default_rng(batch), (batch, 11)), "LINEAR", 0))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    check(case("vector", features(rng, (7,)), "RBF", 3))
    check(case("empty", features(rng, (0, 7)), "RBF", 3))
    check(case("large", features(rng, (5001, 3)), "RBF", 5))
    check(case("one", features(rng, (1, 1)), "RBF", 1))


def test_refused() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    good: dict[str, Any] = {
        "coefficients": [1.0, 2.0],
        "support_vectors": [1.0] * 6,
        "n_supports": 2,
        "rho": [0.0],
        "kernel_params": PARAMETERS,
        "kernel_type": "RBF",
    }
    for given, message in (
        ({"coefficients": [1.0]}, "has 1 coefficients, expected 2, one per support vector"),
        ({"support_vectors": [1.0] * 5}, "5 values for 2 vectors of 3 features"),
        ({"n_supports": 2**62}, "6 values for 4611686018427387904 vectors"),
        ({"rho": []}, "rho"),
        ({"kernel_params": [1.0]}, "kernel_params has 1 values, expected gamma"),
        ({"kernel_type": "TANH"}, "kernel_type is 'TANH', ONNX has LINEAR"),
        ({"n_supports": 0}, "has 2 coefficients, expected 3, one per feature"),
    ):
        model = ml_model("SVMRegressor", x, {"y": np.float32}, **{k: v for k, v in (good | given).items() if v != []})
        check_refused(model, x, ModelError, message, OP)
