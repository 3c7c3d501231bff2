"""The alternatives that the detector bets on, and how much evidence a window's counts hold for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sanderling.drift._ranks import CELLS, Counts, Floats, cell_shares

_THETAS = (0.05, 0.15, 0.4, 0.9)
_SHRINKAGE_WINDOWS = 10
_FEWEST_WINDOWS = 4
MOST_CLASSES = 32
"""Classes that are judged one by one; rarer ones are judged together."""


def _legendre() -> tuple[Floats, tuple[str, ...]]:
    u = (np.arange(CELLS) + 0.5) / CELLS
    shapes = []
    for shape in (2 * u - 1, 6 * u * u - 6 * u + 1, 20 * u**3 - 30 * u * u + 12 * u - 1):
        centred = shape - shape.mean()
        shapes.append(centred / np.abs(centred).max())
    names = (("higher", "lower"), ("wider", "narrower"), ("skewed up", "skewed down"))
    rows: list[Floats] = []
    words: list[str] = []
    for shape, pair in zip(shapes, names, strict=True):
        for _ in _THETAS:
            rows += [shape, -shape]
            words += pair
    return np.array(rows), tuple(words)


_SHAPES, _WORDS = _legendre()
_SHAPE_THETAS = np.repeat(np.tile(_THETAS, 3), 2)
TILTS = len(_WORDS)
"""Alternatives of an ordered stream: 3 shapes, 4 strengths, 2 signs."""


@dataclass(frozen=True, eq=False)
class Tilts:
    """Alternatives to the reference distribution of some streams; a stream is a feature or whatever else has bins.

    Alternative k makes bin b 1 + theta_k h_k(b) times as likely, where h has mean 0 under the reference and at most
    1 in size. Source: the smooth tilts of e-detectors (Shin, Ramdas, Rinaldo 2022, arXiv 2203.03532).

    Attributes:
        names: Of the streams.
        words: Per alternative, what it says of the values: "higher", "wider".
        weights: float64 [streams, bins, alternatives], log(1 + theta h).
        thetas: float64 [alternatives].
        variances: float64 [streams, alternatives], of h under the reference.
        rows: What the reference distribution was estimated from.
        design_effects: float64 [streams, alternatives], at least 1: how much more a window's evidence varies than
            that of independent rows would.
        tolerance: The change of mean(h) that does not count, before the reference's own error is added to it.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    weights: Floats
    thetas: Floats
    variances: Floats
    rows: int
    design_effects: Floats
    tolerance: float = 0.02

    @property
    def deltas(self) -> Floats:
        """float64 [streams, alternatives]: the tolerated change of mean(h).

        At least the tolerance and three standard errors of the reference (of h, at most 1 in size: 3 / sqrt(rows)).
        """
        rows = max(self.rows, 1)
        error = 3 * np.sqrt(self.design_effects * self.variances / rows)
        deltas: Floats = np.maximum(error, max(self.tolerance, 3 / np.sqrt(rows)))
        return deltas

    def evidence(self, counts: Counts) -> Floats:
        """Returns float64 [streams, alternatives]: log of an e-value of these counts, int64 [streams, bins].

        Under any distribution within the tolerance exp(evidence) has mean at most 1 (exactly so for independent rows).
        """
        fit = np.matmul(counts[:, None, :].astype(np.float64), self.weights)[:, 0]
        allowed = counts.sum(axis=1)[:, None] * np.log1p(self.thetas * self.deltas)
        result: Floats = (fit - allowed) / self.design_effects
        return result


def ordered_tilts(names: Sequence[str], counts: Counts, *, design_effects: Floats | None = None) -> Tilts:
    """Alternatives for values that have an order: location, scale and skew of the rank, both ways.

    Args:
        names: Of the streams.
        counts: int64 [streams, bins], the reference's.
        design_effects: float64 [streams, 24], 1 where None.
    """
    h = np.matmul(cell_shares(counts), _SHAPES.T)
    total = np.maximum(counts.sum(axis=1), 1)
    probabilities = counts / total[:, None]
    return Tilts(
        names=tuple(names),
        words=_WORDS,
        weights=np.log1p(_SHAPE_THETAS * h),
        thetas=_SHAPE_THETAS,
        variances=np.einsum("sb,sbk->sk", probabilities, h * h),
        rows=int(total.max(initial=1)),
        design_effects=np.ones((len(names), TILTS)) if design_effects is None else design_effects,
    )


def fold_classes(counts: Counts, reference: Counts) -> Counts:
    """Adds up the classes that the reference saw least, so that at most 32 bins remain.

    Args:
        counts: int64 [classes].
        reference: int64 [classes].

    Returns:
        int64 [bins].
    """
    kept = kept_classes(reference)
    if len(kept) == reference.size:
        return counts
    rest = np.ones(reference.size, bool)
    rest[kept] = False
    return np.append(counts[kept], counts[rest].sum())


def kept_classes(reference: Counts) -> list[int]:
    """The classes that have a bin of their own, in the order of the bins."""
    if reference.size <= MOST_CLASSES:
        return list(range(reference.size))
    return [int(i) for i in np.argsort(-reference, kind="stable")[: MOST_CLASSES - 1]]


def nominal_tilts(name: str, reference: Counts, *, design_effects: Floats | None = None) -> Tilts:
    """Alternatives for one stream of classes, which have no order: each class more often, or less.

    Args:
        name: Of the stream.
        reference: int64 [classes].
        design_effects: float64 [1, 8 * bins], 1 where None.
    """
    counts = fold_classes(reference, reference)
    kept = kept_classes(reference)
    labels = [f"class {i}" for i in kept] + ["other classes"] * (counts.size - len(kept))
    total = max(int(counts.sum()), 1)
    probabilities = counts / total
    h = np.eye(counts.size) - probabilities  # [bin, class]: class j's indicator, centred
    h = h / np.maximum(probabilities, 1 - probabilities)
    signs = np.tile([1.0, -1.0], len(_THETAS))
    thetas = np.tile(np.repeat(_THETAS, 2), counts.size)
    signed = np.repeat(h, signs.size, axis=1) * np.tile(signs, counts.size)
    words = [f"{label} {way}" for label in labels for _ in _THETAS for way in ("more often", "less often")]
    return Tilts(
        names=(name,),
        words=tuple(words),
        weights=np.log1p(thetas * signed)[None],
        thetas=thetas,
        variances=(probabilities @ (signed * signed))[None],
        rows=total,
        design_effects=np.ones((1, thetas.size)) if design_effects is None else design_effects,
    )


class DesignEffect:
    """Estimates design effects from the windows of a reference, in time order.

    The variance of a window's evidence over its windows, divided by what independent rows would give. Few windows
    make a poor variance, so each estimate is drawn towards the mean over the streams as if that were ten windows more.
    """

    def __init__(self, tilts: Tilts, counts: Counts) -> None:
        """`counts` int64 [streams, bins] are the whole reference's."""
        self._weights = tilts.weights
        p = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        self._mean = np.einsum("sb,sbk->sk", p, tilts.weights)
        self._per_row = np.einsum("sb,sbk->sk", p, tilts.weights**2) - self._mean**2
        self._fits: list[Floats] = []

    def add(self, counts: Counts) -> None:
        """Adds one window, int64 [streams, bins]."""
        rows = np.maximum(counts.sum(axis=1), 1)[:, None]
        fit = np.matmul(counts[:, None, :].astype(np.float64), self._weights)[:, 0]
        self._fits.append((fit - rows * self._mean) / np.sqrt(rows))

    def estimate(self) -> Floats:
        """Returns float64 [streams, alternatives], at least 1; 1 everywhere with fewer than four windows."""
        if len(self._fits) < _FEWEST_WINDOWS:
            return np.ones_like(self._per_row)
        variance = np.var(np.array(self._fits), axis=0, ddof=1)
        judged = self._per_row > 1e-12
        raw = np.where(judged, variance / np.where(judged, self._per_row, 1.0), 1.0)
        pooled = (
            raw.mean(axis=0, where=judged, keepdims=True) if judged.any(axis=0).all() else np.ones((1, raw.shape[1]))
        )
        freedom = len(self._fits) - 1
        return np.maximum(1.0, (freedom * raw + _SHRINKAGE_WINDOWS * pooled) / (freedom + _SHRINKAGE_WINDOWS))
