"""Gates: what must hold before a stage passes, and what stops it. No data never passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sanderling.errors import InputError
from sanderling_fleet.comparison import Arm, GateDecision, Reading, compare

__all__ = [
    "Arm",
    "Comparison",
    "Decision",
    "Gate",
    "GateDecision",
    "HardLimit",
    "Metric",
    "Observations",
    "Reading",
    "judge",
]


class Metric(StrEnum):
    """What a gate looks at."""

    FAILURES = "failures"  # devices on which the version failed, of those that attempted
    CRASHES = "crashes"  # of the version's runner, per window
    LATENCY_P95 = "latency_p95"  # microseconds; compared by ratio
    GOLDEN_SCORE = "golden_score"  # share of golden samples within tolerance; lower is worse
    CONFIDENCE = "confidence"  # mean of the largest output, in [0, 1]; lower is worse
    DRIFT = "drift"  # 1 in a window that the device judged as moved, else 0
    OUTCOMES = "outcomes"  # share of right answers, where the application knows; lower is worse


COUNTED = frozenset({Metric.FAILURES, Metric.CRASHES, Metric.DRIFT})
"""Metrics that a hard limit can count devices by."""

NOT_READ = {
    Metric.GOLDEN_SCORE: "a device that fails golden samples discards the version, which counts in failures",
    Metric.OUTCOMES: "no device reports which answers were right",
}
"""Metrics of which a fleet has no readings, and why: a gate on one could never be decided."""

_RATIOS = frozenset({Metric.LATENCY_P95})
_LOWER_IS_WORSE = frozenset({Metric.GOLDEN_SCORE, Metric.CONFIDENCE, Metric.OUTCOMES})


@dataclass(frozen=True)
class HardLimit:
    """A limit on devices; works for a stage of any size.

    Attributes:
        metric: FAILURES, CRASHES (devices that crashed) or DRIFT (devices that moved). The latter two are told by
            telemetry: such a limit passes once half of the devices that have the version have sent some.
        count: Breached at so many devices, at least 1.
        share: Breached at this share of the devices that attempted, in (0, 1], once two have, or all if there is one;
            1 means all of them, so that none may be outstanding.
    """

    metric: Metric = Metric.FAILURES
    count: int = 2
    share: float = 0.5

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            InputError: One is out of range.
        """
        if self.metric not in COUNTED:
            raise InputError(f"[gate] a hard limit on {self.metric}, it counts {sorted(COUNTED)}. Use a comparison")
        if self.count < 1 or not 0 < self.share <= 1:
            raise InputError(
                f"[gate] count {self.count}, share {self.share}; at least 1 and above 0 up to 1 are wanted"
            )


@dataclass(frozen=True)
class Comparison:
    """An anytime-valid bound on device medians against the concurrent control group; see `comparison`.

    Attributes:
        metric: Any but FAILURES, which the control group cannot have.
        margin: How much worse than the control is tolerated: a factor of at least 1 for latency, else a difference.
        alpha: Chance of a breach that is none, over all looks.
    """

    metric: Metric
    margin: float
    alpha: float = 0.05

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            InputError: One is out of range.
        """
        if self.metric is Metric.FAILURES:
            raise InputError("[gate] a comparison of failures, the control group attempts nothing. Use a hard limit")
        least = 1 if self.metric in _RATIOS else 0
        if not least <= self.margin < float("inf") or not 0 < self.alpha < 1:
            raise InputError(
                f"[gate] comparison of {self.metric} with margin {self.margin} and alpha {self.alpha}; a margin of at "
                f"least {least} and an alpha between 0 and 1 are wanted"
            )


Gate = HardLimit | Comparison


@dataclass(frozen=True)
class Observations:
    """What is known of a stage.

    Attributes:
        attempted: Devices that began with the version.
        counted: Of those, per metric in `COUNTED`, the ones that a hard limit counts.
        outstanding: Devices of which a result is still expected.
        readings: Per metric, of candidates and controls, in the order in which they were taken.
    """

    attempted: frozenset[str] = frozenset()
    counted: Mapping[Metric, frozenset[str]] = field(default_factory=dict)
    outstanding: int = 0
    readings: Mapping[Metric, tuple[Reading, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What a gate says.

    Attributes:
        decision: PASS, BREACH or UNDECIDED.
        estimate: Of the share of devices (hard limit) or of the shift; 0 while there is none.
        lower: The least that it may be; for a hard limit if nothing more goes wrong.
        upper: The most; for a hard limit if everything that is outstanding goes wrong.
        candidates: Devices with the version that this rests on.
        controls: Devices of the control group that this rests on.
        reason: One line, with the numbers.
    """

    decision: GateDecision
    estimate: float
    lower: float
    upper: float
    candidates: int
    controls: int
    reason: str


NOT_JUDGED = Decision(GateDecision.UNDECIDED, 0.0, 0.0, 0.0, 0, 0, "not judged yet")


def judge(gate: Gate, observations: Observations) -> Decision:
    """Judges one gate.

    Raises:
        InputError: A reading is not a number, or negative where ratios are compared.
    """
    if isinstance(gate, HardLimit):
        return _hard_limit(gate, observations)
    bound = compare(
        observations.readings.get(gate.metric, ()),
        margin=gate.margin,
        alpha=gate.alpha,
        ratio=gate.metric in _RATIOS,
        lower_is_worse=gate.metric in _LOWER_IS_WORSE,
    )
    ends = (bound.estimate, bound.lower, bound.upper) if bound.look else (0.0, 0.0, 0.0)
    return Decision(bound.decision, *ends, bound.candidates, bound.controls, f"{gate.metric}: {bound.reason}")


def _silent(metric: Metric, seen: Observations) -> str:
    """Why nothing is known of a metric that telemetry tells; empty where enough is."""
    if metric is Metric.FAILURES:
        return ""
    having = seen.attempted - seen.counted.get(Metric.FAILURES, frozenset())
    heard = {item.device for item in seen.readings.get(metric, ()) if item.arm is Arm.CANDIDATE}
    heard |= seen.counted.get(metric, frozenset())
    if heard and 2 * len(having & heard) >= len(having):
        return ""
    return f"{len(having & heard)} of {len(having)} devices that have the version have reported, half of them must"


def _hard_limit(gate: HardLimit, seen: Observations) -> Decision:
    attempted = len(seen.attempted)
    hit = len(seen.counted.get(gate.metric, frozenset()) & seen.attempted)
    most = attempted + seen.outstanding
    # One device alone is half of nothing: wait for the second, unless there is none.
    enough = attempted >= 2 or (attempted == 1 and seen.outstanding == 0)
    share = hit / attempted if attempted else 0.0
    reason = f"{gate.metric}: {hit} of {attempted} devices that attempted, {seen.outstanding} outstanding"
    if hit >= gate.count:
        decision, reason = GateDecision.BREACH, f"{reason}; the limit is {gate.count} devices"
    elif hit and enough and share >= gate.share and (gate.share < 1 or not seen.outstanding):
        decision, reason = GateDecision.BREACH, f"{reason}; the limit is {gate.share:.0%} of them"
    elif attempted == 0:
        decision, reason = GateDecision.UNDECIDED, f"{gate.metric}: no data, {seen.outstanding} devices outstanding"
    elif seen.outstanding:
        decision = GateDecision.UNDECIDED
    elif silent := _silent(gate.metric, seen):
        decision, reason = GateDecision.UNDECIDED, f"{reason}; {silent}"
    else:
        decision, reason = GateDecision.PASS, f"{reason}; the limits are {gate.count} devices and {gate.share:.0%}"
    bounds = (hit / most, (hit + seen.outstanding) / most) if most else (0.0, 0.0)
    return Decision(decision, share, *bounds, attempted, 0, reason)
