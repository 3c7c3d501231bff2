"""What is normal for one input and for one output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from sanderling.drift._ranks import CELLS, Counts, Floats
from sanderling.drift._tilts import Tilts, nominal_tilts, ordered_tilts

MOST_FEATURES = 4096
"""An input with more elements is watched by 16 fixed projections and a histogram of all its values."""
PROJECTIONS = 16

Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class InputReference:
    """What is normal for one input.

    Attributes:
        name: For people.
        shape: Of a row.
        low: float32 [features], the least value of the version's reference; NaN where it does not vary.
        high: float32 [features], its largest.
        pinned_low: A row counts as saturated when so many features sit at or beyond `low`; 0 never.
        pinned_high: The same for `high`.
        may_miss: bool [features], whether the version's reference has NaN.
        varies: bool [features], whether this reference has more than one value.
        still: float64 [features], the share of the most common value.
        identical: Share of consecutive rows that are equal.
        edges: float32 [streams, 31], NaN past a stream's own edges; a stream is a feature or a projection.
        counts: int64 [streams, 32], the reference's rows by bin.
        missing: int64 [streams], its NaN.
        effects: float64 [streams, 24], design effects.
        value_range: float64 [2] and `value_counts` int64 [256], `value_effects` float64 [1, 24]: all values of an input
            above 4,096 elements; else value_counts is empty.
        value_counts: See value_range.
        value_effects: See value_range.
    """

    name: str
    shape: tuple[int, ...]
    low: Float32s
    high: Float32s
    pinned_low: int
    pinned_high: int
    may_miss: npt.NDArray[np.bool_]
    varies: npt.NDArray[np.bool_]
    still: Floats
    identical: float
    edges: Float32s
    counts: Counts
    missing: Counts
    effects: Floats
    value_range: Floats
    value_counts: Counts
    value_effects: Floats

    @property
    def features(self) -> int:
        """Elements of a row."""
        return prod(self.shape)

    @property
    def projected(self) -> bool:
        """Whether the streams are projections."""
        return self.features > MOST_FEATURES

    def feature_name(self, feature: int) -> str:
        """Names a feature by its place in a row: "image[0, 3, 4]"."""
        place = ", ".join(str(int(i)) for i in np.unravel_index(feature, self.shape)) if self.shape else ""
        return f"{self.name}[{place}]" if place else self.name

    @cached_property
    def stream_names(self) -> tuple[str, ...]:
        """One name per stream."""
        if self.projected:
            return tuple(f"{self.name} projection {i}" for i in range(PROJECTIONS))
        return tuple(self.feature_name(i) for i in range(self.features))

    @cached_property
    def judged(self) -> npt.NDArray[np.int64]:
        """The streams that have more than one bin with something in it: a constant holds no evidence."""
        return np.flatnonzero((self.counts > 0).sum(axis=1) > 1)

    @cached_property
    def tilts(self) -> Tilts:
        """Alternatives of the judged streams; for a projected input the histogram of its values comes last."""
        streams = ordered_tilts(
            [self.stream_names[i] for i in self.judged],
            self.counts[self.judged],
            design_effects=self.effects[self.judged],
        )
        if not self.projected:
            return streams
        histogram = ordered_tilts([f"{self.name} values"], self.value_counts[None], design_effects=self.value_effects)
        return _stack([streams, replace(histogram, rows=streams.rows)])

    def stream_counts(self, bins: Counts, values: Counts | None) -> Counts:
        """The window's counts in the order of `tilts`: int64 [judged streams (+ 1), bins]."""
        judged = bins[self.judged]
        if not self.projected:
            return judged
        wide = np.zeros((judged.shape[0] + 1, self.value_counts.size), np.int64)
        wide[:-1, :CELLS] = judged
        wide[-1] = 0 if values is None else values
        return wide


@dataclass(frozen=True, eq=False)
class OutputReference:
    """What is normal for one output of class scores.

    Attributes:
        name: For people.
        classes: int64 [classes], how often each was the answer.
        confidence: int64 [32], the largest probability of each row in equal bins of [0, 1].
        class_effects: float64 [1, alternatives], design effects.
        confidence_effects: float64 [1, 24], design effects.
    """

    name: str
    classes: Counts
    confidence: Counts
    class_effects: Floats
    confidence_effects: Floats

    @cached_property
    def groups(self) -> tuple[Tilts, Tilts]:
        """Alternatives of the classes and of the confidence."""
        return (
            nominal_tilts(f"{self.name} classes", self.classes, design_effects=self.class_effects),
            ordered_tilts([f"{self.name} confidence"], self.confidence[None], design_effects=self.confidence_effects),
        )


def _stack(groups: Sequence[Tilts]) -> Tilts:
    """Streams of the same alternatives side by side; a stream with fewer bins is padded with bins that say nothing."""
    bins = max(tilts.weights.shape[1] for tilts in groups)
    return replace(
        groups[0],
        names=tuple(name for tilts in groups for name in tilts.names),
        weights=np.concatenate([np.pad(t.weights, ((0, 0), (0, bins - t.weights.shape[1]), (0, 0))) for t in groups]),
        variances=np.concatenate([tilts.variances for tilts in groups]),
        design_effects=np.concatenate([tilts.design_effects for tilts in groups]),
    )
