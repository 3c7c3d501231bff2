"""Reference-frozen bins, compared with searchsorted and bincount."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanderling import _core
from sanderling.errors import InputError

ID = b"reference number"


def expected_counts(rows: np.ndarray, edges: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Counts int64 [features, 32] and missing int64 [features], one searchsorted per feature in float64."""
    counts = np.zeros((len(edges), 32), np.int64)
    for i, own in enumerate(edges):
        column = rows[:, i].astype(np.float64)
        place = np.searchsorted(own.astype(np.float64), column[~np.isnan(column)], side="left")
        counts[i] = np.bincount(place, minlength=32)
    return counts, np.isnan(rows).sum(axis=0)


def bins_of(edges: list[np.ndarray], reference_id: bytes = ID) -> _core.FrozenBins:
    return _core.FrozenBins(_core.FrozenEdges(reference_id, [own.tolist() for own in edges]))


def draw_edges(rng: np.random.Generator, features: int) -> list[np.ndarray]:
    return [np.unique(rng.integers(-8, 9, rng.integers(0, 32))).astype(np.float32)[:31] for _ in range(features)]


@given(seed=st.integers(0, 10_000), rows=st.integers(0, 21), features=st.integers(1, 70))
def test_counts_equal_searchsorted(seed: int, rows: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    edges = draw_edges(rng, features)
    # Whole numbers, so that many values tie with an edge, and everything that is not a number.
    values = rng.integers(-10, 11, (rows, features)).astype(np.float32)
    special = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0, 0.5], np.float32), values.shape)
    values = np.where(rng.random(values.shape) < 0.3, special, values)
    bins = bins_of(edges)
    bins.update(values)
    counts, missing = expected_counts(values, edges)
    assert (bins.counts == counts).all()
    assert (bins.missing == missing).all()
    assert bins.rows == rows
    assert (bins.bins == [own.size + 1 for own in edges]).all()


@pytest.mark.parametrize("features", [1, 7, 8, 9, 15, 16, 17, 64, 4096])
def test_all_31_edges_at_every_width(features: int) -> None:
    rng = np.random.default_rng(features)
    values = rng.standard_normal((9, features), np.float32)
    edges = [np.sort(rng.standard_normal(31, np.float32)) for _ in range(features)]
    bins = bins_of(edges)
    bins.update(values)
    assert (bins.counts == expected_counts(values, edges)[0]).all()


def test_ties_belong_to_the_bin_that_the_edge_ends() -> None:
    bins = bins_of([np.array([0, 1], np.float32)])
    bins.update(np.array([[-0.0], [0], [1e-30], [1], [np.nextafter(np.float32(1), np.float32(2))]], np.float32))
    assert bins.counts[0, :3].tolist() == [2, 2, 1]


@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_merged_pieces_equal_the_whole(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    edges = draw_edges(rng, 5)
    values = rng.normal(0, 5, (40, 5)).astype(np.float32)
    whole, merged = bins_of(edges), bins_of(edges)
    whole.update(values)
    for piece in np.split(values, sorted(cuts)):
        part = bins_of(edges)
        part.update(np.ascontiguousarray(piece))
        merged.merge(_core.FrozenBins.deserialize(part.serialize()))
    assert merged == whole


def test_only_counts_of_one_reference_add() -> None:
    edges = [np.array([0], np.float32)]
    with pytest.raises(InputError, match="do not add"):
        bins_of(edges).merge(bins_of(edges, b"another one, too"))


def test_counts_that_came_without_edges_only_add() -> None:
    bins = _core.FrozenBins.deserialize(bins_of([np.array([0], np.float32)]).serialize())
    with pytest.raises(InputError, match="without their edges"):
        bins.update(np.zeros((1, 1), np.float32))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([], "0 features"),
        ([[0.0]] * 4097, "4097 features"),
        ([list(range(32))], "32 edges"),
        ([[1.0, 1.0]], "ascending"),
        ([[2.0, 1.0]], "ascending"),
        ([[float("nan")]], "finite"),
        ([[0.0, float("inf")]], "finite"),
    ],
)
def test_bad_edges(edges: list[list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _core.FrozenEdges(ID, edges)


def test_rows_that_do_not_fit() -> None:
    bins = bins_of([np.array([0], np.float32)] * 3)
    with pytest.raises(InputError, match="4 values are no rows of 3"):
        bins.update(np.zeros(4, np.float32))
    with pytest.raises(InputError, match="float64"):
        bins.update(np.zeros((1, 3)))
