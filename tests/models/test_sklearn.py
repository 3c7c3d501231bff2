"""Models of scikit-learn, converted by skl2onnx, against scikit-learn itself and ONNX Runtime."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

import sanderling

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # scikit-learn's and skl2onnx's own deprecations
    from skl2onnx import to_onnx
    from sklearn import (
        cluster,
        decomposition,
        ensemble,
        impute,
        linear_model,
        naive_bayes,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )

Array = npt.NDArray[Any]

ROWS, FEATURES = 300, 6
TOLERANCE = 1e-4
"""Of probabilities and predictions, relative to the largest."""


def rows(seed: int = 0, count: int = ROWS) -> Array:
    return np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)


def classes(x: Array, count: int) -> Array:
    """Labels that depend on the features, though not linearly, with some noise."""
    noise = np.random.default_rng(1).normal(0.0, 0.3, len(x))
    score = x[:, 0] + x[:, 1] * x[:, 2] - 0.5 * x[:, 3] ** 2 + noise
    edges = np.quantile(score, np.linspace(0, 1, count + 1)[1:-1])
    return np.searchsorted(edges, score).astype(np.int64) + 3  # labels do not begin with 0


def targets(x: Array, count: int = 1) -> Array:
    y = np.stack([x[:, i] + x[:, 1] * x[:, 2] + 0.1 * i for i in range(count)], axis=1)
    return y[:, 0] if count == 1 else y


def run_both(model: Any, x: Array, options: dict[int, Any] | None = None) -> tuple[dict[str, Array], dict[str, Array]]:
    """What Sanderling and ONNX Runtime give for the converted model: one row, and all of them at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = to_onnx(model, x[:1], options=options, target_opset={"": 21, "ai.onnx.ml": 3})
    data = converted.SerializeToString()
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    other = onnxruntime.InferenceSession(data, settings, ["CPUExecutionProvider"])
    name = other.get_inputs()[0].name
    names = [output.name for output in other.get_outputs()]
    theirs = dict(zip(names, other.run(None, {name: x}), strict=True))
    session = sanderling.Session(data, backend="native", threads=2)
    ours = session.run({name: x})
    for output, all_rows in ours.items():
        single = session.run({name: x[:1]})[output]
        np.testing.assert_allclose(single, all_rows[: len(single)], rtol=1e-5, atol=1e-6, err_msg=output)
    return ours, theirs


def assert_near(found: Array, wanted: Array, what: str) -> None:
    assert found.shape == wanted.shape, f"{what}: {found.shape}, expected {wanted.shape}"
    largest = float(np.abs(wanted).max(initial=1.0))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * largest, err_msg=what)


TRANSFORMERS: dict[str, Any] = {
    "standard-scaler": preprocessing.StandardScaler(),
    "min-max-scaler": preprocessing.MinMaxScaler(),
    "max-abs-scaler": preprocessing.MaxAbsScaler(),
    "robust-scaler": preprocessing.RobustScaler(),
    "normalizer-l1": preprocessing.Normalizer("l1"),
    "normalizer-l2": preprocessing.Normalizer("l2"),
    "binarizer": preprocessing.Binarizer(threshold=0.25),
    "pca": decomposition.PCA(3),
    "polynomial-features": preprocessing.PolynomialFeatures(2),
    "k-bins": preprocessing.KBinsDiscretizer(4, encode="ordinal"),
    "scaled-pca": pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(2, whiten=True)),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.filterwarnings("ignore")
def test_transformer(name: str) -> None:
    x = rows()
    model = TRANSFORMERS[name].fit(x)
    ours, theirs = run_both(model, x)
    (found,), (other,) = ours.values(), theirs.values()
    assert_near(found, model.transform(x), "scikit-learn")
    assert_near(found, other, "ONNX Runtime")


def test_simple_imputer() -> None:
    x = rows()
    x[np.random.default_rng(5).random(x.shape) < 0.2] = np.nan
    for strategy in ("mean", "median", "most_frequent"):
        model = impute.SimpleImputer(strategy=strategy).fit(x)
        ours, theirs = run_both(model, x)
        assert_near(*ours.values(), model.transform(x), strategy)
        assert_near(*ours.values(), *theirs.values(), strategy)


def test_one_hot_encoder_of_integers() -> None:
    x = np.random.default_rng(0).integers(-2, 5, (ROWS, 3)).astype(np.int64)
    model = preprocessing.OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(x[:20])
    ours, theirs = run_both(model, x)
    assert_near(*ours.values(), model.transform(x), "scikit-learn")
    assert_near(*ours.values(), *theirs.values(), "ONNX Runtime")


CLASSIFIERS: dict[str, Any] = {
    "logistic-regression": linear_model.LogisticRegression(),
    "ridge": linear_model.RidgeClassifier(),
    "sgd-log": linear_model.SGDClassifier(loss="log_loss", random_state=0),
    "linear-svc": svm.LinearSVC(random_state=0),
    "svc": svm.SVC(),
    "svc-poly": svm.SVC(kernel="poly", degree=3, coef0=1.0),
    "svc-linear": svm.SVC(kernel="linear"),
    "svc-sigmoid": svm.SVC(kernel="sigmoid"),
    "nu-svc": svm.NuSVC(nu=0.3),
    "decision-tree": tree.DecisionTreeClassifier(max_depth=5, random_state=0),
    "random-forest": ensemble.RandomForestClassifier(20, random_state=0),
    "extra-trees": ensemble.ExtraTreesClassifier(20, random_state=0),
    "gradient-boosting": ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0),
    "hist-gradient-boosting": ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "bagging": ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=3), 5, random_state=0),
    "ada-boost": ensemble.AdaBoostClassifier(tree.DecisionTreeClassifier(max_depth=2), n_estimators=5, random_state=0),
    "gaussian-nb": naive_bayes.GaussianNB(),
    "mlp": neural_network.MLPClassifier(hidden_layer_sizes=(8,), max_iter=30, random_state=0),
    "k-neighbors": neighbors.KNeighborsClassifier(3),
    "scaled-forest": pipeline.make_pipeline(
        preprocessing.StandardScaler(), ensemble.RandomForestClassifier(10, max_depth=4, random_state=0)
    ),
    "voting": ensemble.VotingClassifier(
        [("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3, random_state=0))],
        voting="soft",
        flatten_transform=False,
    ),
}


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.filterwarnings("ignore")
def test_classifier(name: str, count: int) -> None:
    x = rows()
    model = CLASSIFIERS[name].fit(x, classes(x, count))
    last = model.steps[-1][1] if isinstance(model, pipeline.Pipeline) else model
    # LinearSVC's scores are a tensor in any case.
    options = None if isinstance(last, svm.LinearSVC) else {id(last): {"zipmap": False}}
    ours, theirs = run_both(model, x, options)
    label, score = ours
    np.testing.assert_array_equal(ours[label], model.predict(x))
    np.testing.assert_array_equal(ours[label], theirs[label])
    assert_near(ours[score], theirs[score], "ONNX Runtime")
    if hasattr(model, "predict_proba"):
        assert_near(ours[score], model.predict_proba(x), "scikit-learn")


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.filterwarnings("ignore")
def test_svc_with_probabilities(count: int) -> None:
    x = rows()
    y = classes(x, count)
    model = svm.SVC(probability=True, random_state=0).fit(x, y)
    ours, theirs = run_both(model, x, {id(model): {"zipmap": False}})
    label, probability = ours
    np.testing.assert_array_equal(ours[label], theirs[label])
    np.testing.assert_array_equal(ours[label], model.predict(x))
    assert_near(ours[probability], theirs[probability], "ONNX Runtime")
    assert_near(ours[probability], model.predict_proba(x), "scikit-learn")


REGRESSORS: dict[str, Any] = {
    "linear-regression": linear_model.LinearRegression(),
    "ridge": linear_model.Ridge(),
    "svr": svm.SVR(),
    "svr-poly": svm.SVR(kernel="poly"),
    "linear-svr": svm.LinearSVR(),
    "decision-tree": tree.DecisionTreeRegressor(max_depth=6, random_state=0),
    "random-forest": ensemble.RandomForestRegressor(20, random_state=0),
    "extra-trees": ensemble.ExtraTreesRegressor(20, random_state=0),
    "gradient-boosting": ensemble.GradientBoostingRegressor(n_estimators=30, random_state=0),
    "hist-gradient-boosting": ensemble.HistGradientBoostingRegressor(max_iter=30, random_state=0),
    "mlp": neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0),
    "k-neighbors": neighbors.KNeighborsRegressor(3),
}


@pytest.mark.parametrize("name", REGRESSORS)
@pytest.mark.filterwarnings("ignore")
def test_regressor(name: str) -> None:
    x = rows()
    model = REGRESSORS[name].fit(x, targets(x))
    ours, theirs = run_both(model, x)
    (found,), (other,) = ours.values(), theirs.values()
    assert_near(found, other, "ONNX Runtime")
    assert_near(found.reshape(-1), model.predict(x), "scikit-learn")


def test_regression_of_several_targets() -> None:
    x = rows()
    for model in (linear_model.LinearRegression(), ensemble.RandomForestRegressor(5, max_depth=5, random_state=0)):
        model.fit(x, targets(x, 3))
        ours, theirs = run_both(model, x)
        assert_near(*ours.values(), *theirs.values(), "ONNX Runtime")
        assert_near(*ours.values(), model.predict(x), "scikit-learn")


@pytest.mark.filterwarnings("ignore")
def test_missing_values() -> None:
    """Histogram gradient boosting learns at each node where a missing value goes."""
    x = rows()
    y = classes(x, 2)
    x[np.random.default_rng(5).random(x.shape) < 0.2] = np.nan
    model = ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(x, y)
    ours, theirs = run_both(model, x, {id(model): {"zipmap": False}})
    label, probability = ours
    np.testing.assert_array_equal(ours[label], model.predict(x))
    assert_near(ours[probability], theirs[probability], "ONNX Runtime")
    assert_near(ours[probability], model.predict_proba(x), "scikit-learn")


@pytest.mark.filterwarnings("ignore")
def test_isolation_forest() -> None:
    x = rows()
    model = ensemble.IsolationForest(n_estimators=20, random_state=0).fit(x)
    ours, theirs = run_both(model, x)
    label, score = ours
    np.testing.assert_array_equal(ours[label].reshape(-1), model.predict(x))
    assert_near(ours[score], theirs[score], "ONNX Runtime")
    assert_near(ours[score].reshape(-1), model.decision_function(x), "scikit-learn")


def test_one_class_svm() -> None:
    x = rows()
    model = svm.OneClassSVM(nu=0.1).fit(x)
    ours, theirs = run_both(model, x)
    label, score = ours
    np.testing.assert_array_equal(ours[label].reshape(-1), model.predict(x))
    assert_near(ours[score], theirs[score], "ONNX Runtime")
    assert_near(ours[score].reshape(-1), model.decision_function(x), "scikit-learn")


def test_k_means() -> None:
    x = rows()
    model = cluster.KMeans(5, n_init=1, random_state=0).fit(x)
    ours, theirs = run_both(model, x)
    label, distance = ours
    np.testing.assert_array_equal(ours[label], model.predict(x))
    assert_near(ours[distance], theirs[distance], "ONNX Runtime")
    assert_near(ours[distance], model.transform(x), "scikit-learn")
