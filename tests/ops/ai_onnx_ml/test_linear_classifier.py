import numpy as np
import pytest

from ml_cases import (
    BATCHES,
    FEATURE_DTYPES,
    TRANSFORMS,
    classifier_case,
    features,
    ml_model,
    probabilities,
    transformed,
)
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError

OP = "ai.onnx.ml.LinearClassifier"


def case(
    name: str,
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    labels: list[int],
    transform: str = "NONE",
    onnxruntime: bool = True,
) -> Case:
    rows = x[None] if x.ndim == 1 else x
    scores = rows.astype(np.float64) @ w.T.astype(np.float64) + b.astype(np.float64)
    if len(w) > 1:
        chosen, result = np.array(labels)[scores.argmax(axis=1)], transformed(transform, scores)
    else:
        chosen = np.where(scores[:, 0] > 0, *(labels[::-1] if len(labels) == 2 else (1, 0)))
        if len(labels) == 2:
            first = -scores if transform == "LOGISTIC" else 1 - scores
            result = np.concatenate([first, scores], axis=1)
            result = result if "SOFTMAX" in transform else transformed(transform, result)
        else:
            result = transformed(transform, scores) if transform == "PROBIT" else scores
    return classifier_case(
        name,
        "LinearClassifier",
        x,
        chosen,
        result,
        {"onnxruntime": onnxruntime and x.size > 0},
        opset=1,
        symbolic_batch=x.ndim == 2 and len(x) > 0,
        coefficients=w.ravel().tolist(),
        intercepts=b.tolist(),
        classlabels_ints=labels,
        post_transform=transform,
    )


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("labels", [[4, -9], [5, 0, 7, 2**40]], ids=len)
def test_linear_classifier(dtype: type, batch: int, labels: list[int]) -> None:
    rng = np.random.default_rng(batch)
    w, b = features(rng, (len(labels), 19)), features(rng, (len(labels),))
    x = features(rng, (batch, 19), dtype)
    check(case("a row per class", x, w, b, labels))
    if len(labels) == 2:
        check(case("one row", x, w[:1], b[:1], labels))
        check(case("one label", x, w[:1], b[:1], [1], onnxruntime=False))  # it wants two


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms(transform: str) -> None:
    rng = np.random.default_rng(0)
    x, zero = probabilities(rng, (11, 1)), np.zeros(1, np.float32)
    w = np.array([[1.0], [0.9], [0.8]], np.float32)
    check(case("classes", x, w, np.zeros(3, np.float32), [0, 1, 2], transform))
    check(case("one label", x, w[:1], zero, [1], transform, False))
    check(case("one row", x, w[:1], zero, [0, 1], transform, transform != "PROBIT"))  # of which it gives one score


def test_outputs_that_nobody_wants() -> None:
    x = features(np.random.default_rng(0), (5, 3))
    given = {"coefficients": [1.0, 2.0, -1.0, 0.5, 1.0, 1.0], "intercepts": [0.0, 0.5], "classlabels_ints": [1, 2]}
    scores = x.astype(np.float64) @ np.array([[1, 0.5], [2, 1], [-1, 1]]) + [0, 0.5]
    labels = {"y": scores.argmax(axis=1) + 1}
    for outputs in ({"y": np.int64}, {"y": np.int64, "_z": np.float32}):
        model = ml_model("LinearClassifier", {"x": x}, outputs, **given)
        # ONNX has none without scores.
        check(Case("labels", model, {"x": x}, labels, onnxruntime=len(outputs) == 2))
    model = ml_model("LinearClassifier", {"x": x}, {"_y": np.int64, "z": np.float32}, **given)
    check(Case("scores", model, {"x": x}, {"z": scores}, length=None))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    w, b = features(rng, (3, 7)), features(rng, (3,))
    check(case("vector", features(rng, (7,)), w, b, [1, 2, 3]))
    check(case("empty", features(rng, (0, 7)), w, b, [1, 2, 3]))
    check(case("large", features(rng, (9001, 7)), w, b, [1, 2, 3], "SOFTMAX"))


def test_no_intercepts() -> None:
    x = features(np.random.default_rng(0), (5, 2))
    scores = x.astype(np.float64) @ np.array([[1, 0], [0, 1]])
    check(
        classifier_case(
            "none",
            "LinearClassifier",
            x,
            scores.argmax(axis=1),
            scores,
            {"onnxruntime": False},  # it needs them
            coefficients=[1.0, 0.0, 0.0, 1.0],
            classlabels_ints=[0, 1],
        )
    )


def test_refused() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    outputs = {"y": np.int64, "z": np.float32}
    three = {"coefficients": [1.0] * 9, "intercepts": [1.0] * 3}
    for given, error, message in (
        ({**three, "classlabels_ints": [1, 2]}, ModelError, "2 class labels for 3 classes"),
        (three, ModelError, "no attribute 'classlabels_ints'"),
        ({**three, "classlabels_strings": ["a", "b", "c"]}, UnsupportedError, "class labels are strings"),
        ({"coefficients": [1.0] * 8, "classlabels_ints": [1, 2]}, ModelError, "8 coefficients for 3 features"),
    ):
        check_refused(ml_model("LinearClassifier", x, outputs, **given), x, error, message, OP)
