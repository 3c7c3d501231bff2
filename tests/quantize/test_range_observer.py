"""The observer against NumPy in float64: counts, exact merge, blindness to order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanderling import _core
from sanderling.errors import InputError

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


def observed(*batches):
    observer = _core.RangeObserver()
    for batch in batches:
        observer.update(np.asarray(batch, np.float32))
    return observer


def state(observer):
    names = ("count", "zeros", "nan", "infinite", "low", "high", "width", "first_bin")
    atoms = np.where(observer.counts > 0, observer.atoms, 0)
    return [getattr(observer, name) for name in names], observer.counts.tolist(), list(map(str, atoms))


def brute_counts(values, observer):
    values = values.astype(np.float64)
    values = values[np.isfinite(values) & (values != 0)]
    bins = np.floor(values / observer.width).astype(np.int64) - observer.first_bin
    assert bins.size == 0 or (bins.min() >= 0 and bins.max() < 2048)
    return np.bincount(bins, minlength=2048)


@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1.0, 3e7, 1e38])
@pytest.mark.parametrize("shift", [-50.0, 0.0, 3.0])
def test_counts_are_numpys(scale, shift):
    rng = np.random.default_rng(0)
    values = ((rng.standard_normal(20_000) + shift) * scale).clip(-3e38, 3e38).astype(np.float32)
    values[::7] = 0
    observer = observed(*np.array_split(values, 13))
    np.testing.assert_array_equal(observer.counts, brute_counts(values, observer))
    assert observer.count == values.size
    assert observer.zeros == (values == 0).sum()
    assert (observer.low, observer.high) == (values.min(), values.max())
    # At least half of the bins are in use, unless they are as fine as float32 itself.
    span = np.floor(float(values.max()) / observer.width) - np.floor(float(values.min()) / observer.width)
    finest = max(2.0 ** (np.floor(np.log2(np.abs(values).max().astype(np.float64))) - 23), 2.0**-149)
    assert span >= 1023 or observer.width == finest


def test_what_is_not_finite_is_counted_apart():
    observer = observed([1, np.nan, -np.inf, 0, -0.0, np.inf, np.nan])
    assert (observer.count, observer.zeros, observer.nan, observer.infinite) == (3, 2, 2, 2)
    assert (observer.low, observer.high) == (0, 1)


def test_nothing_finite():
    observer = observed([], [np.nan], [np.inf])
    assert observer.count == 0
    assert observer.counts.sum() == 0
    assert (observer.low, observer.high) == (np.inf, -np.inf)


@settings(deadline=None)
@given(st.lists(st.lists(FLOATS, max_size=8), max_size=6), st.randoms(use_true_random=False))
def test_order_and_split_do_not_show(batches, random):
    whole = observed(*batches)
    values = [v for batch in batches for v in batch]
    random.shuffle(values)
    assert state(observed(values)) == state(whole)
    parts = [observed([v]) for v in values]
    merged = _core.RangeObserver()
    for part in parts:
        merged.merge(part)
    assert state(merged) == state(whole)
    np.testing.assert_array_equal(whole.counts, brute_counts(np.asarray(values, np.float32), whole))


def test_a_bin_of_one_value_knows_it():
    values = np.float32([0.5, 0.5, 1000.0, 0.25])  # bins of 1/2: 0.25 is alone in its bin, 0.5 twice in the next
    observer = observed(values[:1], values[1:])
    assert observer.width == 0.5
    np.testing.assert_array_equal(observer.atoms[observer.counts > 0], [0.25, 0.5, 1000])
    observer.update(np.float32([0.75]))
    np.testing.assert_array_equal(observer.atoms[observer.counts > 0], [0.25, np.nan, 1000])


def test_merge_with_itself_doubles():
    observer = observed([1, 2, 3, 0])
    counts = observer.counts
    observer.merge(observer)
    np.testing.assert_array_equal(observer.counts, 2 * counts)
    assert (observer.count, observer.zeros) == (8, 2)


def test_other_dtypes_are_refused():
    with pytest.raises(InputError, match="float64"):
        _core.RangeObserver().update(np.zeros(3))
