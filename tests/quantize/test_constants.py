"""Weights and biases against NumPy in float64."""

import numpy as np
import pytest

from sanderling import _core
from sanderling.errors import InputError


def quantize(weights, axis, least=0.0):
    minimum = np.full(weights.shape[axis], least, np.float32)
    codes, scales, signal, noise = _core.quantize_weights(weights, axis, minimum)
    along = [1] * weights.ndim
    along[axis] = -1
    restored = codes * scales.astype(np.float64).reshape(along)
    assert codes.shape == weights.shape
    assert np.abs(codes.astype(int)).max(initial=0) <= 127
    assert noise == pytest.approx(((weights - restored) ** 2).sum(), rel=1e-4, abs=1e-12 * signal)
    assert signal == pytest.approx((weights.astype(np.float64) ** 2).sum(), rel=1e-6)
    return restored, scales, noise


def brute_force(channel):
    """The least squared error over a dense grid of scales."""
    channel = channel.astype(np.float64)
    errors = []
    for scale in np.abs(channel).max() / 127 * np.linspace(0.25, 1, 1500):
        errors.append(((np.clip(np.round(channel / scale), -127, 127) * scale - channel) ** 2).sum())
    return min(errors)


@pytest.mark.parametrize(
    ("shape", "axis"), [((8, 3, 3, 3), 0), ((5, 40), 0), ((40, 5), 1), ((6, 4, 7), 1), ((1, 300), 0)]
)
@pytest.mark.parametrize("kind", ["normal", "laplace"])
def test_near_the_best_scale_per_channel(shape, axis, kind):
    rng = np.random.default_rng(3)
    weights = getattr(rng, kind)(size=shape).astype(np.float32)
    restored, _, _ = quantize(weights, axis)
    for c in range(shape[axis]):
        channel = weights.take(c, axis)
        error = ((restored.take(c, axis) - channel) ** 2).sum()
        covering = np.abs(channel).max().astype(np.float64) / 127
        minmax = ((np.round(channel / covering) * covering - channel) ** 2).sum()
        assert error <= minmax * 1.0001
        # 40 scales are tried; on a few dozen weights the error is jagged between them.
        assert error <= brute_force(channel) * (1.1 if channel.size > 100 else 1.6)


def test_per_channel_beats_per_tensor_on_skewed_channels():
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((16, 64)) * np.geomspace(1e-3, 1, 16)[:, None]).astype(np.float32)
    restored, _, _ = quantize(weights, 0)
    scale = np.abs(weights).max().astype(np.float64) / 127
    per_tensor = np.round(weights / scale) * scale
    relative = ((restored - weights) ** 2).sum(1) / (weights**2).sum(1)
    assert relative.max() < 1e-3
    assert (((per_tensor - weights) ** 2).sum(1) / (weights**2).sum(1)).max() > 0.5


def test_dead_and_tiny_channels():
    weights = np.ones((4, 8), np.float32)
    weights[1] = 0
    weights[2] = 1e-41
    restored, scales, _ = quantize(weights, 0)
    assert (restored[1:3] == 0).all()
    assert np.isfinite(scales).all()
    assert (scales > 1e-3).all()
    np.testing.assert_allclose(restored[3], 1)
    _, scales, _ = quantize(np.zeros((3, 4), np.float32), 0)
    np.testing.assert_array_equal(scales, 1)


@pytest.mark.parametrize("depth", [1, 27, 4608, 25088, 32768])
@pytest.mark.parametrize("input_scale", [1e-6, 0.02, 50.0])
def test_bias_and_sums_fit_int32(depth, input_scale):
    rng = np.random.default_rng(0)
    bias = np.concatenate([rng.standard_normal(50) * np.geomspace(1e-6, 1e6, 50), [0.0]]).astype(np.float32)
    least = _core.minimum_weight_scales(bias, bias.size, depth, input_scale)
    weights = np.zeros((bias.size, 4), np.float32)  # dead channels: nothing but the bias sets the scale
    weights[::2] = 1e-12
    _, scales, _ = quantize_with(weights, least)
    codes = _core.quantize_bias(bias, input_scale, scales)
    products = np.float64(input_scale) * scales
    assert (np.abs(codes.astype(np.int64)) + 2 * depth * 255 * 127 < 2**31).all()
    assert (products.astype(np.float32) >= np.finfo(np.float32).tiny).all()
    np.testing.assert_allclose(codes * products, bias, atol=(products / 2 * 1.001).max(), rtol=1e-6)


def quantize_with(weights, least):
    codes, scales, _, noise = _core.quantize_weights(weights, 0, least)
    assert (scales >= least).all()
    return codes, scales, noise


def test_too_deep_sums_are_refused():
    with pytest.raises(InputError, match="32769 products"):
        _core.minimum_weight_scales(None, 4, _core.MAX_DEPTH + 1, 0.1)


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="a weight is"):
        _core.quantize_weights(np.float32([[np.inf]]), 0, np.float32([0]))
    with pytest.raises(InputError, match="2 minimum scales, 1 are wanted"):
        _core.quantize_weights(np.float32([[1.0]]), 0, np.float32([0, 0]))
    with pytest.raises(InputError, match="steps, int32"):
        _core.quantize_bias(np.float32([1.0]), 1e-9, np.float32([1e-9]))
