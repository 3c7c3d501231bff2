"""The counters behind the sensor checks, compared with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanderling import _core
from sanderling.errors import InputError


def draw(rng: np.random.Generator, rows: int, features: int) -> np.ndarray:
    values = rng.integers(-2, 3, (rows, features)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values[np.sort(rng.integers(0, rows, rows))] if rows else values  # some rows twice in a row


def limits(features: int) -> tuple[np.ndarray, np.ndarray, _core.RowLimits]:
    low, high = np.full(features, -2, np.float32), np.full(features, 2, np.float32)
    low[::5] = high[::5] = np.nan
    return low, high, _core.RowLimits(low, high, max(1, features // 3), max(1, features // 4))


@given(seed=st.integers(0, 10_000), rows=st.integers(0, 30), features=st.integers(1, 40), cut=st.integers(0, 30))
def test_counters_equal_numpy(seed: int, rows: int, features: int, cut: int) -> None:
    values = draw(np.random.default_rng(seed), rows, features)
    low, high, row_limits = limits(features)
    faults = _core.RowFaults(row_limits)
    for piece in np.split(values, [min(cut, rows)]):  # the last row is remembered from one call to the next
        faults.update(np.ascontiguousarray(piece))
    at_low, at_high = values <= low, values >= high
    bits = values.view(np.uint32)
    assert (faults.rows, faults.pairs) == (rows, max(rows - 1, 0))
    assert faults.identical_pairs == (bits[1:] == bits[:-1]).all(axis=1).sum()
    assert faults.rows_pinned_low == (at_low.sum(axis=1) >= max(1, features // 3)).sum()
    assert faults.rows_pinned_high == (at_high.sum(axis=1) >= max(1, features // 4)).sum()
    assert (faults.at_low == at_low.sum(axis=0)).all()
    assert (faults.at_high == at_high.sum(axis=0)).all()
    assert (faults.missing == np.isnan(values).sum(axis=0)).all()
    seen = np.where(np.isnan(values), np.inf, values).min(axis=0, initial=np.inf)
    assert (faults.least == seen).all()
    assert (faults.largest == np.where(np.isnan(values), -np.inf, values).max(axis=0, initial=-np.inf)).all()


@given(seed=st.integers(0, 1000), cut=st.integers(0, 20))
def test_merging_loses_only_the_pair_at_the_seam(seed: int, cut: int) -> None:
    values = draw(np.random.default_rng(seed), 20, 6)
    row_limits = limits(6)[2]
    whole, first, second = (_core.RowFaults(row_limits) for _ in range(3))
    whole.update(values)
    first.update(np.ascontiguousarray(values[:cut]))
    second.update(np.ascontiguousarray(values[cut:]))
    first.merge(second)
    for name in ("rows", "rows_pinned_low", "rows_pinned_high"):
        assert getattr(first, name) == getattr(whole, name)
    for name in ("least", "largest", "at_low", "at_high", "missing"):
        assert (getattr(first, name) == getattr(whole, name)).all()
    seams = 1 if 0 < cut < 20 else 0
    assert first.pairs == whole.pairs - seams
    assert whole.identical_pairs - seams <= first.identical_pairs <= whole.identical_pairs


def test_a_limit_of_zero_judges_no_row() -> None:
    faults = _core.RowFaults(_core.RowLimits(np.zeros(2, np.float32), np.ones(2, np.float32)))
    faults.update(np.zeros((4, 2), np.float32))
    assert (faults.rows_pinned_low, faults.rows_pinned_high) == (0, 0)


def test_sizes_that_do_not_fit() -> None:
    three = _core.RowLimits(np.zeros(3, np.float32), np.zeros(3, np.float32))
    with pytest.raises(InputError, match="4 values are no rows of 3"):
        _core.RowFaults(three).update(np.zeros(4, np.float32))
    with pytest.raises(InputError, match="3 features and 6"):
        _core.RowFaults(three).merge(_core.RowFaults(limits(6)[2]))
    with pytest.raises(InputError, match="one of each per feature"):
        _core.RowFaults(_core.RowLimits(np.zeros(3, np.float32), np.zeros(2, np.float32)))
