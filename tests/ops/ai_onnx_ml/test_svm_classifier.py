from typing import Any

import numpy as np
import pytest

from ml_cases import BATCHES, FEATURE_DTYPES, classifier_case, features, ml_model, transformed
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError

OP = "ai.onnx.ml.SVMClassifier"
GAMMA = 0.125


def coupled(pairs: np.ndarray) -> np.ndarray:
    """LIBSVM's multiclass_probability."""
    k = len(pairs)
    q = np.array([[-pairs[j, i] * pairs[i, j] for j in range(k)] for i in range(k)])
    for i in range(k):
        q[i, i] = sum(pairs[j, i] ** 2 for j in range(k) if j != i)
    p = np.full(k, 1 / k)
    for _ in range(100):
        qp = q @ p
        pqp = p @ qp
        if np.abs(qp - pqp).max() < 0.005 / k:
            break
        for i in range(k):
            by = (pqp - qp[i]) / q[i, i]
            p[i] += by
            pqp = (pqp + by * (by * q[i, i] + 2 * qp[i])) / (1 + by) ** 2
            qp = (qp + by * q[i]) / (1 + by)
            p /= 1 + by
    return p


def pairs_case(
    name: str, x: np.ndarray, sizes: list[int], proba: bool = False, transform: str = "NONE", onnxruntime: bool = True
) -> Case:
    rng = np.random.default_rng(len(sizes))
    count, classes, width = sum(sizes), len(sizes), x.shape[-1]
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    vectors, w = features(rng, (count, width)), features(rng, (classes - 1, count))
    rho, a, b = (rng.normal(size=len(pairs)).astype(np.float32) for _ in range(3))
    labels = [int(v) for v in rng.permutation(100)[:classes]]
    given: dict[str, Any] = {"prob_a": (-np.abs(a)).tolist(), "prob_b": b.tolist()} if proba else {}
    rows = (x[None] if x.ndim == 1 else x).astype(np.float64)
    similar = np.exp(-GAMMA * ((rows[:, None] - vectors[None].astype(np.float64)) ** 2).sum(axis=-1))
    ends = np.cumsum([0, *sizes])
    scores, votes = np.zeros((len(rows), len(pairs))), np.zeros((len(rows), classes))
    for p, (i, j) in enumerate(pairs):
        of_i, of_j = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
        wide = w.astype(np.float64)
        scores[:, p] = similar[:, of_i] @ wide[j - 1, of_i] + similar[:, of_j] @ wide[i, of_j] + rho[p]
        votes[np.arange(len(rows)), np.where(scores[:, p] > 0, i, j)] += 1
    if proba:
        result = np.zeros((len(rows), classes))
        for n in range(len(rows)):
            r = np.zeros((classes, classes))
            for p, (i, j) in enumerate(pairs):
                r[i, j] = np.clip(1 / (1 + np.exp(-np.abs(a[p]) * scores[n, p] + b[p])), 1e-7, 1 - 1e-7)
                r[j, i] = 1 - r[i, j]
            result[n] = coupled(r)
        result = transformed(transform, result)
    elif classes == 2:
        result = np.concatenate([-scores if transform in ("NONE", "LOGISTIC") else 1 - scores, scores], axis=1)
        result = transformed("LOGISTIC", result) if transform == "LOGISTIC" else result
    else:
        result = transformed(transform, scores)
    return classifier_case(
        name,
        "SVMClassifier",
        x,
        np.array(labels)[votes.argmax(axis=1)],
        result,
        {"onnxruntime": onnxruntime and x.size > 0},
        opset=1,
        symbolic_batch=x.ndim == 2 and len(x) > 0,
        coefficients=w.ravel().tolist(),
        support_vectors=vectors.ravel().tolist(),
        vectors_per_class=sizes,
        rho=rho.tolist(),
        kernel_type="RBF",
        kernel_params=[GAMMA, 0.0, 0.0],
        classlabels_ints=labels,
        post_transform=transform,
        **given,
    )


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("sizes", [[3, 4], [1, 5, 2], [2, 0, 3, 9]], ids=len)
@pytest.mark.parametrize("proba", [False, True])
def test_svm_classifier(dtype: type, sizes: list[int], proba: bool) -> None:
    for batch in BATCHES:
        check(pairs_case("pairs", features(np.random.default_rng(batch), (batch, 5), dtype), sizes, proba))


@pytest.mark.parametrize("transform", ["SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("proba", [False, True])
def test_transforms(transform: str, proba: bool) -> None:
    x = features(np.random.default_rng(0), (9, 5))
    for sizes in ([3, 4], [1, 5, 2]):
        check(pairs_case("transform", x, sizes, proba, transform))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    check(pairs_case("vector", features(rng, (7,)), [2, 3]))
    check(pairs_case("empty", features(rng, (0, 7)), [2, 3]))
    check(pairs_case("large", features(rng, (3001, 2)), [2, 3, 1]))


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_linear_model(transform: str, classes: int) -> None:
    rng = np.random.default_rng(classes)
    x, w, rho = features(rng, (9, 5)), features(rng, (classes, 5)), 0.5
    scores = x.astype(np.float64) @ w.T.astype(np.float64) + rho
    result = transformed(transform, scores) if classes > 1 else scores
    # ONNX Runtime gives the second of two classes whatever the larger score above 0 is; ONNX says the top class.
    check(
        classifier_case(
            "linear",
            "SVMClassifier",
            x,
            scores.argmax(axis=1) + 7,
            result,
            {"onnxruntime": classes != 2},
            coefficients=w.ravel().tolist(),
            rho=[rho],
            classlabels_ints=list(range(7, 7 + classes)),
            post_transform=transform,
            kernel_params=[0.0, 0.0, 0.0],
        )
    )


def test_refused() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    good: dict[str, Any] = {
        "coefficients": [1.0] * 3,
        "support_vectors": [1.0] * 9,
        "vectors_per_class": [1, 2],
        "rho": [0.0],
        "kernel_params": [0.0] * 3,
        "classlabels_ints": [0, 1],
        "prob_a": [1.0],
        "prob_b": [1.0],
    }
    for given, error, message in (
        ({"coefficients": [1.0] * 2}, ModelError, "has 2 coefficients, expected 1 rows of 3"),
        ({"support_vectors": [1.0] * 8}, ModelError, "8 values for 3 vectors of 3 features"),
        ({"vectors_per_class": [1, 2, 3]}, ModelError, "vectors_per_class has 3 values, expected 2"),
        ({"vectors_per_class": [-1, 4]}, ModelError, "vectors_per_class has the value -1"),
        ({"vectors_per_class": [2**62, 2**62]}, ModelError, "vectors_per_class has the value"),
        ({"rho": [0.0, 0.0]}, ModelError, "rho has 2 values, expected 1"),
        ({"prob_a": [0.0, 0.0]}, ModelError, "prob_a has 2 values, expected 1"),
        ({"prob_b": [0.0, 0.0]}, ModelError, "prob_b has 2 values, expected 1"),
        ({"classlabels_ints": [1]}, ModelError, "one class"),
        ({"classlabels_ints": []}, ModelError, "classlabels_ints"),
        ({"classlabels_ints": [], "classlabels_strings": ["a", "b"]}, UnsupportedError, "class labels are strings"),
    ):
        settings = {name: value for name, value in (good | given).items() if value != []}
        model = ml_model("SVMClassifier", x, {"y": np.int64, "z": np.float32}, **settings)
        check_refused(model, x, error, message, OP)
