"""Frozen quantile edges, rank cells and the split of atoms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sanderling import _core
from sanderling.drift import _ranks


def count(column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    bins = _core.FrozenBins(_core.FrozenEdges(bytes(16), [edges.tolist()]))
    bins.update(np.ascontiguousarray(column, np.float32).reshape(-1, 1))
    return bins.counts.astype(np.int64)


def columns(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 400))
    kind = seed % 4
    if kind == 0:
        return rng.standard_normal(n).astype(np.float32)
    if kind == 1:
        return rng.integers(0, 17, n).astype(np.float32)
    if kind == 2:
        return np.where(rng.random(n) < 0.9, 0, rng.standard_normal(n)).astype(np.float32)
    return np.where(rng.random(n) < 0.97, 5, rng.integers(0, 5, n)).astype(np.float32)


@given(seed=st.integers(0, 4000))
def test_edges_are_distinct_quantiles_and_leave_no_bin_empty(seed: int) -> None:
    column = columns(seed)
    edges = _ranks.frozen_edges(np.sort(column))
    if np.unique(column).size == 1:
        return
    quantiles = np.quantile(column, np.arange(1, 32) / 32, method="inverted_cdf")
    assert np.isin(edges[edges != column[column < column.max()].max()], quantiles).all()
    assert (np.diff(edges) > 0).all()
    assert 1 <= edges.size <= 31
    counts = count(column, edges)[0]
    assert (counts[: edges.size + 1] > 0).all()
    assert counts.sum() == column.size


def test_continuous_values_get_32_bins_of_equal_counts() -> None:
    column = np.random.default_rng(0).permutation(np.arange(3200)).astype(np.float32)
    assert (count(column, _ranks.frozen_edges(np.sort(column)))[0] == 100).all()


@pytest.mark.parametrize("constant", [0.0, -0.0, 3.5, -1e30, 1e-40])
def test_a_constant_has_a_bin_to_either_side(constant: float) -> None:
    edges = _ranks.frozen_edges(np.full(10, constant, np.float32))
    step = max(abs(constant) * 1e-6, 1e-37)
    assert count(np.array([constant - step, constant, constant + step]), edges)[0, :3].tolist() == [1, 1, 1]


def test_a_value_that_is_nearly_always_the_largest_is_told_from_the_rest() -> None:
    column = np.array([0.0] * 2 + [1.0] * 200, np.float32)
    assert _ranks.frozen_edges(np.sort(column)).tolist() == [0.0]


def test_infinities_are_not_edges_and_nothing_gives_nothing() -> None:
    column = np.array([-np.inf] * 5 + [0, 1] + [np.inf] * 5, np.float32)
    assert np.isfinite(_ranks.frozen_edges(column)).all()
    assert _ranks.frozen_edges(np.empty(0, np.float32)).size == 0
    edges, still = _ranks.columns(np.full((4, 1), np.nan, np.float32))
    assert (edges[0].size, still[0]) == (0, 1.0)


def test_the_share_of_the_most_common_value() -> None:
    rows = np.array([[1, 2, np.nan], [1, 3, 5], [1, 3, 5], [1, 4, 6]], np.float32)
    assert _ranks.columns(rows)[1].tolist() == [1.0, 0.5, 2 / 3]


@given(st.lists(st.integers(0, 50), min_size=2, max_size=32).filter(any))
def test_every_cell_has_probability_one_in_32_under_the_reference(counts: list[int]) -> None:
    reference = np.array([counts], np.int64)
    shares = _ranks.cell_shares(reference)[0]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(reference[0] @ shares / reference.sum(), 1 / 32)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=32).filter(any), st.integers(0, 99))
def test_a_split_keeps_every_row_in_a_cell_of_its_bin(counts: list[int], window: int) -> None:
    reference = np.array([counts], np.int64)
    shares = _ranks.cell_shares(reference)[0]
    for b in range(len(counts)):
        seen = np.zeros_like(reference)
        seen[0, b] = 9
        cells = _ranks.split_into_cells(seen, reference, device="d", window=window)
        assert cells.sum() == 9
        assert (shares[b][cells[0] > 0] > 0).all()


def test_a_split_is_multinomial_by_the_shares() -> None:
    reference = np.array([[7, 5, 20]], np.int64)
    seen = np.array([[0, 320, 0]], np.int64)
    expected = 320 * _ranks.cell_shares(reference)[0, 1]
    total = sum(_ranks.split_into_cells(seen, reference, device="d", window=w)[0] for w in range(50))
    used = expected > 0
    assert total[~used].sum() == 0
    assert stats.chisquare(total[used], 50 * expected[used]).pvalue > 1e-3


def test_a_split_repeats_by_device_window_and_feature() -> None:
    reference = np.array([[64, 64], [64, 64]], np.int64)
    seen = np.array([[100, 100], [100, 100]], np.int64)

    def split(device: str = "a", window: int = 1) -> np.ndarray:
        return _ranks.split_into_cells(seen, reference, device=device, window=window)

    assert (split() == split()).all()
    assert (split()[0] != split()[1]).any()
    assert (split() != split(device="b")).any()
    assert (split() != split(window=2)).any()
    other = seen.copy()
    other[0] = 0  # a feature without counts does not move the others' draws
    assert (_ranks.split_into_cells(other, reference, device="a", window=1)[1] == split()[1]).all()
