"""Frozen quantile bins and the 32 rank cells that they span."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling import _core

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

CELLS = 32
"""Rank cells of equal probability; also the most bins that a feature may have."""

_SMALLEST_NORMAL = np.finfo(np.float32).tiny
_LARGEST = np.finfo(np.float32).max
_COLUMNS_AT_ONCE = 1024


def frozen_edges(column: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Freezes the bins of one feature: its distinct quantiles at i/32.

    Bin b holds the values above edge b-1 up to and including edge b, so an atom (a value of its own probability) ends a
    bin. The largest value is no edge: then every bin holds something of the reference. A constant c gets three bins:
    below c, c, above c.

    Args:
        column: float32 [n], ascending, no NaN; n may be 0.

    Returns:
        float32 [at most 31], finite, strictly ascending.
    """
    if column.size == 0:
        return np.empty(0, np.float32)
    finite = np.clip(column, -_LARGEST, _LARGEST)
    least, largest = finite[0], finite[-1]
    if least == largest:
        # Not nextafter(0): subnormal numbers are 0 where an application has asked the CPU to flush them.
        below = np.float32(min(np.nextafter(least, np.float32(-np.inf)), least - _SMALLEST_NORMAL))
        return np.array([below, least] if np.isfinite(below) else [least], np.float32)
    n = finite.size
    ranks = (n * np.arange(1, CELLS) + CELLS - 1) // CELLS - 1  # inverted CDF: the value at rank ceil(n i / 32)
    edges = np.unique(finite[ranks])
    edges = edges[edges < largest]
    below_largest: npt.NDArray[np.float32] = finite[finite < largest][-1:]
    return edges if edges.size else below_largest


def columns(rows: npt.NDArray[np.float32]) -> tuple[list[npt.NDArray[np.float32]], Floats]:
    """Freezes all features of `rows`, float32 [n, features], NaN left out.

    Returns:
        The edges of each feature, and float64 [features]: the share of each feature's most common value, 1 for a
        constant and for one that is always NaN.
    """
    edges: list[npt.NDArray[np.float32]] = []
    still = np.ones(rows.shape[1])
    for begin in range(0, rows.shape[1], _COLUMNS_AT_ONCE):
        block = np.sort(rows[:, begin : begin + _COLUMNS_AT_ONCE], axis=0)  # NaN goes last
        for i in range(block.shape[1]):
            column = block[: block.shape[0] - int(np.isnan(block[:, i]).sum()), i]
            edges.append(frozen_edges(column))
            still[begin + i] = _most_common_share(column)
    return edges, still


def _most_common_share(ascending: npt.NDArray[np.float32]) -> float:
    if ascending.size == 0:
        return 1.0
    starts = np.flatnonzero(np.concatenate(([True], ascending[1:] != ascending[:-1], [True])))
    return float(np.diff(starts).max()) / ascending.size


def rank_intervals(counts: Counts) -> tuple[Floats, Floats]:
    """Returns the ranks where each bin begins and ends, P(bin < b) and P(bin <= b): two float64 [streams, bins]."""
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ends = np.cumsum(counts, axis=1)
    return (ends - counts) / total, ends / total


def cell_shares(counts: Counts) -> Floats:
    """Says how each bin's probability spreads over the rank cells.

    Bin b of the reference covers the ranks from P(bin < b) to P(bin <= b); its share in a cell is the part of that
    interval that lies in the cell. A bin that the reference left empty belongs to the cell at its rank.

    Args:
        counts: int64 [streams, bins], the reference's.

    Returns:
        float64 [streams, bins, 32], each bin's row adds to 1. Under the reference every cell has probability 1/32.
    """
    left, right = rank_intervals(counts)
    starts = np.arange(CELLS) / CELLS
    overlap = np.minimum(right[:, :, None], starts + 1 / CELLS) - np.maximum(left[:, :, None], starts)
    shares: Floats = np.maximum(overlap, 0.0) / np.where(right > left, right - left, 1.0)[:, :, None]
    stream, empty = np.nonzero(counts == 0)
    shares[stream, empty, _cell_of(left[stream, empty])] = 1.0
    return shares


def split_into_cells(counts: Counts, reference: Counts, *, device: str, window: int) -> Counts:
    """Splits counts of value bins into rank cells, so that devices with different bins add.

    Each row falls at an even random place of the ranks that its bin covers; so each bin's count spreads over the
    cells by a multinomial draw. The generator is seeded by (device, window, feature): anyone who has the counts and
    the reference repeats the split.

    Args:
        counts: int64 [streams, bins] of one window.
        reference: int64 [streams, bins], the reference's.
        device: The device's name.
        window: The window's number, at least 0.

    Returns:
        int64 [streams, 32] with the same sums.
    """
    left, right = rank_intervals(reference)
    bits = np.random.Philox(key=int.from_bytes(hashlib.sha256(device.encode()).digest()[:16], "little"))
    generator, state = np.random.Generator(bits), bits.state
    cells = np.zeros((counts.shape[0], CELLS), np.int64)
    for stream in np.flatnonzero(counts.sum(axis=1)):
        # The generator of (device, window, feature): making one anew would cost more than the draws.
        state["state"]["counter"][:] = (0, 0, window, stream)
        bits.state = {**state, "buffer_pos": 4}
        begin = np.repeat(left[stream], counts[stream])
        width = np.repeat(right[stream] - left[stream], counts[stream])
        places = begin + generator.random(begin.size) * width
        cells[stream] = np.bincount(_cell_of(places), minlength=CELLS)
    return cells


def _cell_of(ranks: Floats) -> Counts:
    return np.minimum((ranks * CELLS).astype(np.int64), CELLS - 1)


def as_rows(values: Any, what: str) -> npt.NDArray[np.float32]:
    """Returns `values` as C-contiguous float32 [rows, elements of a row]; InputError if it has no row."""
    from sanderling.errors import InputError

    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise InputError(f"[drift] {what} has dtype {array.dtype}, numbers are wanted")
    if array.ndim < 1 or array.size == 0:
        raise InputError(f"[drift] {what} has shape {array.shape}, at least one row with one element is wanted")
    return np.ascontiguousarray(array.reshape(array.shape[0], -1), np.float32)


def count_bins(edges: _core.FrozenEdges, rows: npt.NDArray[np.float32]) -> Counts:
    """Counts `rows`, float32 [n, features], into int64 [features, 32]."""
    bins = _core.FrozenBins(edges)
    bins.update(rows)
    counts: Counts = bins.counts.astype(np.int64)
    return counts
