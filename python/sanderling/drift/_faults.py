"""The sensor checks: what a broken sensor looks like, named before drift is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sanderling import _core
from sanderling.drift._normal import InputReference
from sanderling.drift._reference import Reference
from sanderling.drift._sketches import InputSketch, Sketches

_SHARE_OF_FEATURES = 0.5
_SHARE_OF_ROWS = 0.95
_MISSING_SHARE = 0.05
_FEWEST_ROWS = 20
_CHANCE_OF_STANDING_STILL = 1e-3
MOST_LISTED = 20
"""Features that a verdict names of each kind."""


@dataclass(frozen=True)
class SensorFault:
    """A sensor that does not measure.

    Attributes:
        kind: "missing", "saturated" or "stuck".
        input: The input's name.
        share: Of what the rule counts: values missing in the worst feature, rows at one end, features or rows that
            do not change.
        detail: The same in words.
    """

    kind: str
    input: str
    share: float
    detail: str


@dataclass(frozen=True)
class SensorCheck:
    """What the sensor checks found in one window.

    Attributes:
        faults: The most telling first: missing, saturated, stuck.
        constants: Features that vary in the reference and have one value in the window; at most 20 are named. They
            alone are no fault.
        left_constant: Features that are constant in the reference and moved; at most 20 are named.
    """

    faults: tuple[SensorFault, ...] = ()
    constants: tuple[str, ...] = ()
    left_constant: tuple[str, ...] = ()


def check_sensors(reference: Reference, window: Sketches) -> SensorCheck:
    """Looks for missing, saturated and stuck inputs in one window.

    Stuck: at least half of the features that vary in the reference have one value, or 95 % of consecutive rows are
    identical. Saturated: at least half of them sit at one end of the version's range, or beyond it, in 95 % of rows.
    Missing: over 5 % NaN in a feature where the version has none.

    What the reference does itself is no fault: a feature counts as one that varies only if its standing still would be
    a surprise (one chance in a thousand); repeated rows count only if the reference repeats less than half of its own;
    where many features of a usual row sit at an end, it takes half way from there to all.

    Args:
        reference: The version's in the warm-up, then the device's own.
        window: What was seen; inputs whose `faults` did not come along and windows under 20 rows are not judged.
    """
    found = [
        _check_input(item, sketch, sketch.faults)
        for item, sketch in zip(reference.inputs, window.inputs, strict=False)
        if sketch is not None and sketch.faults is not None and sketch.faults.rows >= _FEWEST_ROWS
    ]
    order = ("missing", "saturated", "stuck")
    faults = sorted((fault for check in found for fault in check.faults), key=lambda fault: order.index(fault.kind))
    return SensorCheck(
        tuple(faults),
        tuple(name for check in found for name in check.constants)[:MOST_LISTED],
        tuple(name for check in found for name in check.left_constant)[:MOST_LISTED],
    )


def _check_input(item: InputReference, sketch: InputSketch, seen: _core.RowFaults) -> SensorCheck:
    least, largest = seen.least, seen.largest
    constant = (least == largest) & item.varies
    moved = np.zeros(item.features, bool)
    if not item.projected:
        # A constant has the bins below it, at it and above it; one that was always missing has a single bin.
        empty = (item.counts == 0) & (sketch.bins.counts > 0)
        moved = ~item.varies & ((item.counts.sum(axis=1) == 0) & (least <= largest) | empty.any(axis=1))
    faults = [*_missing(item, seen), *_saturated(item, seen), *_stuck(item, seen)]
    return SensorCheck(tuple(faults), _names(item, np.flatnonzero(constant)), _names(item, np.flatnonzero(moved)))


def _names(item: InputReference, features: Iterable[int]) -> tuple[str, ...]:
    return tuple(item.feature_name(int(i)) for i in list(features)[:MOST_LISTED])


def _missing(item: InputReference, seen: _core.RowFaults) -> list[SensorFault]:
    share = np.where(item.may_miss, 0.0, seen.missing / seen.rows)
    worst = int(share.argmax())
    if share[worst] <= _MISSING_SHARE:
        return []
    many = f"{int((share > _MISSING_SHARE).sum())} of {item.features} features"
    detail = f"{many} miss over 5 % of their values, {item.feature_name(worst)} {share[worst]:.0%}"
    return [SensorFault("missing", item.name, float(share[worst]), detail)]


def _saturated(item: InputReference, seen: _core.RowFaults) -> list[SensorFault]:
    ends = (("low", seen.rows_pinned_low, item.pinned_low), ("high", seen.rows_pinned_high, item.pinned_high))
    end, rows, features = max(ends, key=lambda entry: entry[1])
    share = rows / seen.rows
    if share < _SHARE_OF_ROWS:
        return []
    detail = (
        f"in {share:.0%} of rows at least {features} of {item.features} features sit at the {end} end of their range"
    )
    return [SensorFault("saturated", item.name, share, detail)]


def _stuck(item: InputReference, seen: _core.RowFaults) -> list[SensorFault]:
    judged = item.varies & (item.still**seen.rows < _CHANCE_OF_STANDING_STILL)
    still = int((judged & (seen.least == seen.largest)).sum())
    if judged.any() and still >= _SHARE_OF_FEATURES * judged.sum():
        detail = f"{still} of the {int(judged.sum())} features that vary have one value"
        return [SensorFault("stuck", item.name, still / int(judged.sum()), detail)]
    repeated = seen.identical_pairs / seen.pairs if seen.pairs else 0.0
    if repeated >= _SHARE_OF_ROWS and item.identical < _SHARE_OF_FEATURES:
        return [SensorFault("stuck", item.name, repeated, f"{repeated:.0%} of consecutive rows are identical")]
    return []
