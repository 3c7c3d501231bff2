"""The choice of activation codes against brute force in NumPy float64."""

import numpy as np
import pytest

from sanderling import _core
from sanderling.errors import InputError


def observer_of(values):
    observer = _core.RangeObserver()
    observer.update(np.asarray(values, np.float32))
    return observer


def round_trip(values, quantization):
    """QuantizeLinear and DequantizeLinear in float64."""
    scale = np.float64(quantization.scale)
    codes = np.clip(np.round(np.asarray(values, np.float64) / scale) + quantization.zero_point, 0, 255)
    return (codes - quantization.zero_point) * scale


def error_of(values, quantization):
    return np.mean((round_trip(values, quantization) - np.asarray(values, np.float64)) ** 2)


def brute_force(values, ends=60):
    """The least error over a dense grid of clipped ranges."""
    shares = np.geomspace(1, 1 / 128, ends)
    low, high = min(values.min(), 0), max(values.max(), 0)
    lows = low * shares if low < 0 else [0.0]
    highs = high * shares if high > 0 else [0.0]
    return min(error_of(values, _core.covering_codes(a, b)) for a in lows for b in highs)


def samples():
    rng = np.random.default_rng(7)
    n = 4000
    return {
        "normal": rng.standard_normal(n),
        "shifted": rng.standard_normal(n) + 3,
        "negative": -rng.gamma(2.0, size=n),
        "relu": np.maximum(rng.standard_normal(n), 0),
        "relu6": np.clip(rng.standard_normal(n) * 4, 0, 6),
        "laplace": rng.laplace(size=n),
        "student": rng.standard_t(3, size=n),
        "one tail": np.where(rng.random(n) < 0.01, rng.gamma(9.0, size=n), rng.standard_normal(n) * 0.3),
        "uniform": rng.uniform(-1, 2, n),
        "pixels": rng.integers(0, 17, n) / 16,
    }


@pytest.mark.parametrize("name", samples())
def test_as_good_as_brute_force(name):
    values = samples()[name].astype(np.float32)
    chosen = _core.search_range(observer_of(values))
    best = brute_force(values)
    # 3 %: the histogram spreads values over their bin, and brute force fits these very 4,000 values.
    assert error_of(values, chosen.quantization) <= 1.03 * best
    minmax = _core.covering_codes(values.min(), values.max())
    assert chosen.error <= chosen.minmax_error
    assert error_of(values, chosen.quantization) <= 1.01 * error_of(values, minmax)


@pytest.mark.parametrize("seed", range(5))
def test_heavy_tails_are_clipped(seed):
    values = np.random.default_rng(seed).standard_t(4, size=50_000).astype(np.float32)
    observer = observer_of(values)
    chosen = _core.search_range(observer)
    minmax = _core.covering_codes(values.min(), values.max())
    assert error_of(values, chosen.quantization) < 0.95 * error_of(values, minmax)
    assert error_of(values, chosen.quantization) < 1.02 * brute_force(values, ends=40)
    q = chosen.quantization
    beyond = np.mean((values < q.low - q.scale / 2) | (values > q.high + q.scale / 2))
    assert chosen.clipped == pytest.approx(beyond, abs=2e-4)


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_levels_that_codes_can_hit_are_hit(levels):
    """Images of 256 levels lose nothing, though a few levels more or less would be denser."""
    values = (np.random.default_rng(0).beta(0.4, 3.0, 20_000) * (levels - 1)).round() / (levels - 1)
    values[:2] = 0, 1
    values = values.astype(np.float32)
    assert error_of(values, _core.search_range(observer_of(values)).quantization) < 1e-14


@pytest.mark.parametrize("share", [1.0, 0.6, 0.1])
def test_error_is_the_integral_over_the_density(share):
    """Values that fill their bins evenly: the closed form is the mean over them."""
    values = ((np.arange(2048 * 64) + 0.5) / 1024 / 64 - 1).astype(np.float32)  # [-1, 1) in bins of 2^-10
    observer = observer_of(values)
    assert observer.width == 2.0**-10
    quantization = _core.covering_codes(-share, share * 0.7)
    assert _core.mean_squared_error(observer, quantization) == pytest.approx(error_of(values, quantization), rel=1e-3)


@pytest.mark.parametrize(
    ("low", "high"), [(-1, 2), (0, 3), (2, 3), (-3, -2), (-1e-3, 1e3), (-1e30, 1e-30), (-3e38, 3e38)]
)
def test_zero_is_a_code_and_the_range_is_covered(low, high):
    q = _core.covering_codes(low, high)
    assert 0 <= q.zero_point <= 255
    assert round_trip([0.0], q)[0] == 0.0
    assert q.low - q.scale / 2 * 1.0001 <= min(low, 0)
    assert q.high + q.scale / 2 * 1.0001 >= max(high, 0)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 6.0, -0.37, 1e-7, 1e30])
def test_a_constant_survives(value):
    values = np.full(100, value, np.float32)
    chosen = _core.search_range(observer_of(values))
    np.testing.assert_allclose(round_trip(values, chosen.quantization), values, rtol=1e-6)
    assert chosen.clipped == 0


def test_a_denormal_range_counts_as_zero():
    chosen = _core.search_range(observer_of([1e-42, -1e-43]))
    assert chosen.quantization.scale == 1.0
    assert round_trip([0.0], chosen.quantization)[0] == 0.0


@pytest.mark.parametrize("ends", [(1.0, -1.0), (np.nan, 1.0), (-np.inf, 1.0)])
def test_wrong_ends_are_refused(ends):
    with pytest.raises(InputError, match="finite ends"):
        _core.covering_codes(*ends)


def test_nothing_observed_is_refused():
    with pytest.raises(InputError, match="no finite value"):
        _core.search_range(observer_of([np.nan]))


def test_codes_are_quantize_linears():
    values = np.concatenate([np.random.default_rng(0).standard_normal(999), [0.5, 1.5, -0.5, 1e9, -1e9]]).astype(
        np.float32
    )
    for q in (_core.Quantization(1.0, 128), _core.Quantization(0.037, 17)):
        expected = np.clip(np.round(values / np.float32(q.scale)) + q.zero_point, 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(_core.quantize_values(values.reshape(4, -1), q).ravel(), expected)


def test_noise_is_numpys():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 1000)).astype(np.float32)
    noise = _core.Noise()
    for expected, actual in zip(a, b, strict=True):
        noise.add(expected, actual)
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    assert noise.decibels == pytest.approx(10 * np.log10((a64**2).sum() / ((a64 - b64) ** 2).sum()))
    noise.add(np.float32([np.nan, np.inf, 1]), np.float32([1, 1, 1]))
    assert (noise.count, noise.skipped) == (3001, 2)
    with pytest.raises(InputError, match="3 values against 2"):
        noise.add(np.zeros(2, np.float32), np.zeros(3, np.float32))
