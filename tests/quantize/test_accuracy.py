"""Accuracy on real handwritten digits, and what `metric` and `max_drop` do."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from tests.quantize.networks import Builder, decibels, literal, rows_of

import sanderling
from sanderling.errors import InputError, UnsupportedError


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x = (data.data[order] / 16).astype(np.float32)
    return x[:1000], data.target[order][:1000], x[1000:], data.target[order][1000:]


@pytest.fixture(scope="module")
def perceptron(digits):
    """A trained network of two layers, as Gemm and Relu."""
    x, target, _, _ = digits
    trained = MLPClassifier((32,), alpha=1e-3, max_iter=120, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 120 epochs are enough for this, if not for convergence
        trained.fit(x, target)
    b = Builder([64])
    w, v = trained.coefs_
    hidden = b.add("Gemm", "x", b.constant("w", w), b.constant("wb", trained.intercepts_[0]))
    hidden = b.add("Relu", hidden)
    b.add("Gemm", hidden, b.constant("v", v.T), b.constant("vb", trained.intercepts_[1]), output="y", transB=1)
    return b.model("y")


@pytest.fixture(scope="module")
def convolutional(digits):
    """Fixed random convolutions with BatchNormalization, and a read-out that least squares trains on them."""
    x, target, _, _ = digits
    b = Builder([1, 8, 8], seed=5)
    first = b.add("Relu", b.normalization(b.conv("x", 1, 16), 16))
    second = b.add("Relu", b.conv(first, 16, 24, strides=[2, 2]))
    features = b.add("Flatten", b.add("MaxPool", second, kernel_shape=[2, 2], strides=[1, 1]), output="features")
    seen = sanderling.Session(b.model("features")).run(x.reshape(-1, 1, 8, 8)).astype(np.float64)
    seen = np.hstack([seen, np.ones([len(seen), 1])])
    solved = np.linalg.solve(seen.T @ seen + 30 * np.eye(217), seen.T @ np.eye(10)[target])
    b.add("Gemm", features, b.constant("w", solved[:-1]), b.constant("wb", solved[-1]), output="y")
    return b.model("y")


@pytest.mark.parametrize("which", ["perceptron", "convolutional"])
def test_digits_lose_less_than_a_point(which, digits, request):
    data = request.getfixturevalue(which)
    x, _, held_out, target = digits
    if which == "convolutional":
        x, held_out = x.reshape(-1, 1, 8, 8), held_out.reshape(-1, 1, 8, 8)
    quantized = sanderling.quantize(data, x[:200])
    before = sanderling.Session(data).run(held_out)
    ours, theirs = sanderling.Session(quantized).run(held_out), literal(quantized.bytes, held_out)["y"]
    accuracy = (before.argmax(1) == target).mean()
    assert accuracy > 0.93
    assert (ours.argmax(1) == target).mean() > accuracy - 0.01
    assert (theirs.argmax(1) == target).mean() > accuracy - 0.01
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.995
    assert decibels(before, ours) > 25


def test_pixels_are_coded_exactly(perceptron, digits):
    """Sixteen grey levels in [0, 1]: codes of 1/255 hit them all, and the search must not prefer a narrower range."""
    x = (np.random.default_rng(0).integers(0, 16, [300, 64]) / 15).astype(np.float32)
    report = sanderling.quantize(perceptron, x).report
    low, high = report.layers[0].input_range
    assert low == 0
    assert high == pytest.approx(1, abs=1e-6)


# --- metric and max_drop ---


def fragile(layers=6):
    """A chain of products in which one, "fragile", cannot bear int8: a huge input feature beside one that decides."""
    b = Builder([8], seed=2)
    x = "x"
    for i in range(layers):
        if i == 2:
            wide = np.eye(8)
            wide[0, 0] = 3000.0  # this feature sets the range of what the next layer reads ...
            x = b.add("Gemm", x, b.constant("widen", wide), name="widen")
            narrow = np.eye(8)
            narrow[0, 0] = 1 / 3000.0
            x = b.add("Gemm", x, b.constant("narrow", narrow), name="fragile")  # ... and here the others are lost
        else:
            orthogonal = np.linalg.qr(b.rng.standard_normal((8, 8)))[0]
            x = b.add(
                "Gemm", x, b.constant(f"q{i}", orthogonal), name=f"layer{i}", output="y" if i == layers - 1 else None
            )
    return b.model("y")


def agreement(data, rows):
    real = sanderling.Session(data).run(rows)

    def metric(predict):
        metric.calls += 1
        return -float(np.sqrt(np.mean((predict(rows) - real) ** 2)) / np.std(real))

    metric.calls = 0
    return metric


def test_the_sensitive_layer_is_kept_in_float():
    data, rows = fragile(), rows_of([8], 256)
    metric = agreement(data, rows)
    plain = sanderling.quantize(data, rows, metric=metric)
    assert plain.report.metric_before == 0
    assert plain.report.metric_after < -0.3
    assert metric.calls == 2
    kept = sanderling.quantize(data, rows, metric=metric, max_drop=0.05)
    dtypes = {layer.name: layer.dtype for layer in kept.report.layers}
    assert dtypes.pop("fragile") == "float32"
    assert set(dtypes.values()) == {"int8"}
    assert kept.report.metric_after >= -0.05
    assert metric(sanderling.Session(kept).run) == pytest.approx(kept.report.metric_after)
    layer = next(layer for layer in kept.report.layers if layer.name == "fragile")
    assert "kept for the metric" in layer.why
    assert layer.sensitivity_db == min(other.sensitivity_db for other in kept.report.layers)
    assert "(drop 0.0" in str(kept.report)


def test_int8_throughout_is_not_searched_when_it_is_good_enough():
    data, rows = fragile(), rows_of([8], 256)
    metric = agreement(data, rows)
    quantized = sanderling.quantize(data, rows, metric=metric, max_drop=10)
    assert metric.calls == 2
    assert quantized.report.float_layers == 0
    assert all(layer.sensitivity_db is None for layer in quantized.report.layers)


def test_the_fewest_layers_in_order_are_kept():
    """Each further layer that is kept makes the metric better: what is returned has one less than would fail."""
    b = Builder([16], seed=3)
    x = "x"
    for i in range(7):
        x = b.add("Tanh", b.gemm(x, 16, 16, name=f"gemm{i}"))
    b.gemm(x, 16, 4, output="y", name="last")
    data, rows = b.model("y"), rows_of([16], 128)
    metric = agreement(data, rows)
    full = -sanderling.quantize(data, rows, metric=metric).report.metric_after
    quantized = sanderling.quantize(data, rows, metric=metric, max_drop=full * 0.8)
    report = quantized.report
    assert -report.metric_after <= full * 0.8
    kept = [layer for layer in report.layers if "kept for the metric" in layer.why]
    others = [layer for layer in report.layers if layer.dtype == "int8"]
    assert kept
    assert others
    assert max(layer.sensitivity_db for layer in kept) <= min(layer.sensitivity_db for layer in others)


def test_a_bound_that_cannot_be_kept_is_an_error():
    data, rows = fragile(), rows_of([8], 256)
    with pytest.raises(UnsupportedError, match=r"no model with an int8 layer reaches .* Most sensitive: fragile"):
        sanderling.quantize(data, rows, metric=agreement(data, rows), max_drop=0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_drop": 0.1}, "max_drop needs a metric"),
        ({"metric": 3}, "metric is int"),
        ({"metric": lambda predict: 1.0, "max_drop": -0.1}, "max_drop is -0.1"),
        ({"metric": lambda predict: 1.0, "max_drop": float("nan")}, "max_drop is nan"),
        ({"metric": lambda predict: 1.0, "max_drop": "1%"}, "max_drop is '1%'"),
        ({"metric": lambda predict: "good"}, "metric returned str"),
        ({"metric": lambda predict: float("nan")}, "metric returned nan"),
    ],
)
def test_wrong_metrics(arguments, message):
    with pytest.raises(InputError, match=message):
        sanderling.quantize(fragile(), rows_of([8]), **arguments)
