"""Fixed random projections, compared with an independent NumPy form."""

from __future__ import annotations

import numpy as np
import pytest

from sanderling import _core
from sanderling.errors import InputError


def signs(elements: int, seed: int) -> np.ndarray:
    """int8 [elements, 16] of -1 and 1: the low bits of SplitMix64's outputs."""
    out = np.empty((elements, 16), np.int8)
    mask = 2**64 - 1
    for i in range(elements):
        z = (seed + (i + 1) * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        out[i] = [-1 if z >> bit & 1 else 1 for bit in range(16)]
    return out


@pytest.mark.parametrize("elements", [1, 3, 64, 5000])
def test_projections_are_signed_sums_in_order(elements: int) -> None:
    rows = np.random.default_rng(0).standard_normal((3, elements), np.float32)
    total = np.zeros((3, 16), np.float32)
    table = signs(elements, 7).astype(np.float32)
    for i in range(elements):
        total += rows[:, i : i + 1] * table[i]
    expected = total * np.float32(1 / np.sqrt(elements))
    assert (_core.Projections(elements, 7).project(rows) == expected).all()


def test_what_is_not_finite_counts_as_zero() -> None:
    rows = np.random.default_rng(1).standard_normal((1, 50)).astype(np.float32)
    holes = rows.copy()
    rows[0, [3, 8, 20]] = 0
    holes[0, [3, 8, 20]] = np.nan, np.inf, -np.inf
    projections = _core.Projections(50, 1)
    assert (projections.project(holes) == projections.project(rows)).all()


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="no rows of 50"):
        _core.Projections(50, 1).project(np.zeros(51, np.float32))
    for elements in (0, 2**26 + 1):
        with pytest.raises(InputError, match="elements"):
            _core.Projections(elements, 1)
