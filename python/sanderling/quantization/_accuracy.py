"""Keeps layers in float32 until the user's metric holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sanderling.errors import InputError, UnsupportedError
from sanderling.quantization._calibration import Calibration
from sanderling.quantization._candidate import Candidate, Quantizer, output_noise
from sanderling.quantization._progress import track
from sanderling.quantization._ranges import run_session

Metric = Callable[[Callable[[Any], Any]], float]

_SENSITIVITY_ROWS = 32  # a ratio of sums over all outputs is stable long before the metric is


@dataclass(frozen=True)
class Accepted:
    """The candidate that holds, and what it took.

    Attributes:
        candidate: The QDQ model.
        metric: Its metric.
        sensitivity_db: Signal to noise in dB at the outputs with one layer alone in int8; empty if not needed.
        kept: Names of the layers that stay in float32 for the metric.
    """

    candidate: Candidate
    metric: float
    sensitivity_db: dict[str, float]
    kept: frozenset[str]


def measure(metric: Metric, data: bytes) -> float:
    """Calls the user's metric on a model.

    Raises:
        InputError: It does not return a finite number.
    """
    value = metric(run_session(data).run)
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"[quantize] metric returned {type(value).__name__}, expected a number") from error
    if not math.isfinite(number):
        raise InputError(f"[quantize] metric returned {number}, expected a finite number, higher is better")
    return number


def keep_accuracy(quantizer: Quantizer, calibration: Calibration, metric: Metric, floor: float) -> Accepted:
    """Finds how few of the most sensitive layers must stay in float32 for the metric to reach `floor`.

    Layers are ordered once by the noise that each makes at the model's outputs when it alone is in int8. The first 1,
    2, 4, ... of them are tried in float32 until the metric holds, then the numbers between by halving, so that the
    metric is called about 2 log2(layers) times. What is returned was measured.

    Raises:
        UnsupportedError: It does not hold while any layer is in int8.
    """
    full = quantizer.candidate()
    reached = measure(metric, full.data)
    if reached >= floor:
        return Accepted(full, reached, {}, frozenset())
    sensitivity = _sensitivities(quantizer, calibration, sorted(full.placement.int8))
    order = sorted(sensitivity, key=lambda name: (sensitivity[name], name))
    tried: dict[int, Accepted | None] = {0: None}
    best_missed = reached

    def holds(count: int) -> bool:
        nonlocal best_missed
        if count not in tried:
            kept = frozenset(order[:count])
            candidate = quantizer.candidate(floats=kept)
            value = measure(metric, candidate.data)
            good = value >= floor
            tried[count] = Accepted(candidate, value, sensitivity, kept) if good else None
            best_missed = best_missed if good else max(best_missed, value)
        return tried[count] is not None

    # With this many in float32 some layer is int8 still: without its product, what maps codes has none to map.
    most = max(count for count in range(len(order)) if quantizer.int8_layers(frozenset(order[:count])))
    low, high = 0, min(1, most)
    while high < most and not holds(high):
        low, high = high, min(2 * high, most)
    holds(high)
    while tried[high] is not None and high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    accepted = tried[high]
    if accepted is None:
        worst = ", ".join(f"{name} ({sensitivity[name]:.1f} dB)" for name in order[:3])
        raise UnsupportedError(
            f"[quantize] no model with an int8 layer reaches the metric {floor:.6g}; the best of those tried has "
            f"{best_missed:.6g}. Most sensitive: {worst}. Allow a larger max_drop, or give calibration rows that look "
            "more like the metric's"
        )
    return accepted


def _sensitivities(quantizer: Quantizer, calibration: Calibration, names: list[str]) -> dict[str, float]:
    feeds = calibration.sample(_SENSITIVITY_ROWS, quantizer.rows_per_run)
    session = run_session(quantizer.network.to_model(quantizer.network.nodes, quantizer.network.constants))
    expected = [session.run(dict(feed)) for feed in feeds]
    return {
        name: output_noise(expected, quantizer.candidate(only={name}).data, feeds)
        for name in track(names, len(names), "finding sensitive layers")
    }
