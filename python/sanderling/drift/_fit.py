"""Fits references: freezes bins, counts the reference's own rows and estimates how much windows vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling.drift._normal import MOST_FEATURES, Float32s, InputReference, OutputReference
from sanderling.drift._ranks import CELLS, Counts, Floats, columns, count_bins
from sanderling.drift._sketches import InputSketch, OutputSketch
from sanderling.drift._tilts import TILTS, DesignEffect, fold_classes

PROJECTION_SEED = 0x5A4D
"""Of the fixed projections. Part of the format: counts of other projections do not compare."""
_NO_ID = bytes(16)
_LARGEST = float(np.finfo(np.float32).max)


def fit_input(
    name: str, shape: Sequence[int], rows: Float32s, version: InputReference | None, window_rows: int
) -> InputReference:
    """Fits one input.

    Args:
        name: For people.
        shape: Of a row.
        rows: float32 [n, elements of a row], in time order.
        version: The version's, for a device's own.
        window_rows: Rows of a window.
    """
    projected = rows.shape[1] > MOST_FEATURES
    seen = ~np.isnan(rows)
    least = np.where(seen, rows, np.float32(np.inf)).min(axis=0)
    largest = np.where(seen, rows, np.float32(-np.inf)).max(axis=0)
    edges, still = columns(rows)
    binned = _core.Projections(rows.shape[1], PROJECTION_SEED).project(rows) if projected else rows
    if projected:
        edges, _ = columns(binned)
    if version is None:
        varies = least < largest
        low, high = (np.where(varies, ends, np.float32(np.nan)) for ends in (least, largest))
        pinned_low, pinned_high = _pinned(rows, low, high)
        value_range = _range_of(np.clip(rows[seen], -_LARGEST, _LARGEST)) if projected else np.array([0.0, 1.0])
        may_miss = np.asarray(np.isnan(rows).any(axis=0))
    else:
        low, high, may_miss = version.low, version.high, version.may_miss
        pinned_low, pinned_high, value_range = version.pinned_low, version.pinned_high, version.value_range
    draft = InputReference(
        name=name,
        shape=tuple(int(extent) for extent in shape) if version is None else version.shape,
        low=low,
        high=high,
        pinned_low=pinned_low,
        pinned_high=pinned_high,
        may_miss=may_miss,
        varies=least < largest,
        still=still,
        identical=float((rows[1:] == rows[:-1]).all(axis=1).mean()) if len(rows) > 1 else 0.0,
        **_empty_counts(edges, binned, value_range, projected),
    )
    windows = [slice(begin, begin + window_rows) for begin in range(0, len(rows) - window_rows + 1, window_rows)]
    values = [_count_values(value_range, rows[part]) for part in windows] if projected else []
    return _count(draft, edges, binned, windows, values, _count_values(value_range, rows) if projected else None)


def learn_projected(version: InputReference, pieces: Sequence[InputSketch]) -> InputReference:
    """Fits a device's own reference of an input above 4,096 elements from windows that kept its projections.

    The rows themselves are gone, so the share of each feature's most common value stays the version's.
    """
    faults = [piece.faults for piece in pieces if piece.faults is not None]
    values = [piece.values.counts.astype(np.int64) for piece in pieces if piece.values is not None]
    binned = np.concatenate([piece.kept for piece in pieces])
    ends = np.cumsum([len(piece.kept) for piece in pieces])
    windows = [slice(int(end) - len(piece.kept), int(end)) for end, piece in zip(ends, pieces, strict=True)]
    edges, _ = columns(binned)
    least = np.min([part.least for part in faults], axis=0)
    largest = np.max([part.largest for part in faults], axis=0)
    draft = replace(
        version,
        varies=least < largest,
        still=np.where(least < largest, version.still, 1.0),
        identical=sum(part.identical_pairs for part in faults) / max(sum(part.pairs for part in faults), 1),
        **_empty_counts(edges, binned, version.value_range, projected=True),
    )
    return _count(draft, edges, binned, windows, values, np.sum(values, axis=0))


def _empty_counts(edges: list[Float32s], binned: Float32s, value_range: Floats, projected: bool) -> dict[str, Any]:
    padded = np.full((len(edges), CELLS - 1), np.nan, np.float32)
    for row, own in zip(padded, edges, strict=True):
        row[: own.size] = own
    return {
        "edges": padded,
        "counts": np.zeros((len(edges), CELLS), np.int64),
        "missing": np.isnan(binned).sum(axis=0).astype(np.int64),
        "effects": np.ones((len(edges), TILTS)),
        "value_range": value_range,
        "value_counts": np.zeros(256 if projected else 0, np.int64),
        "value_effects": np.ones((1, TILTS)),
    }


def _count(
    draft: InputReference,
    edges: list[Float32s],
    binned: Float32s,
    windows: Sequence[slice],
    values: Sequence[Counts],
    all_values: Counts | None,
) -> InputReference:
    """Counts the reference's own rows, whole and by window, and estimates the design effects."""
    frozen = _core.FrozenEdges(_NO_ID, [own.tolist() for own in edges])
    item = replace(draft, counts=count_bins(frozen, binned))
    if all_values is not None:
        item = replace(item, value_counts=all_values)
    effect = DesignEffect(item.tilts, item.stream_counts(item.counts, all_values))
    for i, part in enumerate(windows):
        effect.add(item.stream_counts(count_bins(frozen, binned[part]), values[i] if values else None))
    estimate = effect.estimate()
    effects = item.effects.copy()
    effects[item.judged] = estimate[: item.judged.size]
    return replace(item, effects=effects, value_effects=item.value_effects if all_values is None else estimate[-1:])


def _count_values(value_range: Floats, rows: Float32s) -> Counts:
    histogram = _core.ValueHistogram(_NO_ID, float(value_range[0]), float(value_range[1]))
    histogram.update(rows)
    counts: Counts = histogram.counts.astype(np.int64)
    return counts


def _range_of(values: Float32s) -> Floats:
    """The ends of a histogram of finite values: two float32 numbers, the lower one first."""
    low, high = (np.float32(values.min()), np.float32(values.max())) if values.size else (np.float32(0), np.float32(1))
    if low == high:
        step = np.maximum(np.abs(low), np.float32(1)) / np.float32(2)
        low, high = low - step, np.minimum(high + step, np.float32(_LARGEST))
    return np.array([low, high], np.float64)


def _pinned(rows: Float32s, low: Float32s, high: Float32s) -> tuple[int, int]:
    """From how many features at one end a row counts as saturated; 0 never.

    Half of the features that vary. Where rows of the reference (all but one in a thousand) come near that, having a
    quarter or more of them at an end, as black pixels are the low end of a picture: half way from there to all.
    """
    judged = int((~np.isnan(low)).sum())
    limits = []
    for at_end in (rows <= low, rows >= high):
        usual = int(np.quantile(at_end.sum(axis=1), 0.999, method="higher"))
        half = (judged + 1) // 2
        needed = half if 4 * usual < judged else max((usual + judged + 1) // 2, usual + 1)
        limits.append(needed if needed <= judged else 0)
    return limits[0], limits[1]


def fit_scores(name: str, scores: npt.NDArray[Any], window_rows: int) -> OutputReference | None:
    """Fits one output from its scores; None unless they are floats [rows, at least 2 classes]."""
    if scores.dtype.kind != "f" or scores.ndim < 2 or scores.shape[1] < 2 or prod(scores.shape[1:]) != scores.shape[1]:
        return None
    width = scores.shape[1]
    classes, confidences = _core.decide_rows(np.ascontiguousarray(scores.reshape(-1, width), np.float32))
    return _fit_decisions(name, width, classes, confidences, window_rows)


def learn_output(name: str, pieces: Sequence[OutputSketch], window_rows: int) -> OutputReference:
    """Fits one output from windows that kept its answers."""
    classes = np.concatenate([piece.kept_classes for piece in pieces])
    confidences = np.concatenate([piece.kept_confidences for piece in pieces])
    return _fit_decisions(name, pieces[0].classes.counts.size, classes, confidences, window_rows)


def _fit_decisions(
    name: str, width: int, classes: npt.NDArray[np.int64], confidences: Float32s, window_rows: int
) -> OutputReference:
    draft = OutputReference(
        name,
        _count_classes(classes, width),
        _count_confidences(confidences),
        np.ones((1, 8 * min(width, CELLS))),
        np.ones((1, TILTS)),
    )
    nominal, ordered = draft.groups
    of_classes = DesignEffect(nominal, fold_classes(draft.classes, draft.classes)[None])
    of_confidence = DesignEffect(ordered, draft.confidence[None])
    for begin in range(0, len(classes) - window_rows + 1, window_rows):
        part = slice(begin, begin + window_rows)
        of_classes.add(fold_classes(_count_classes(classes[part], width), draft.classes)[None])
        of_confidence.add(_count_confidences(confidences[part])[None])
    return replace(draft, class_effects=of_classes.estimate(), confidence_effects=of_confidence.estimate())


def _count_classes(classes: npt.NDArray[np.int64], width: int) -> Counts:
    return np.bincount(classes[classes >= 0], minlength=width).astype(np.int64)


def _count_confidences(confidences: Float32s) -> Counts:
    histogram = _core.ConfidenceHistogram()
    histogram.update(confidences)
    counts: Counts = histogram.counts.astype(np.int64)
    return counts
