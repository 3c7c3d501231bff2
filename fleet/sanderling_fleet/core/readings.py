"""What telemetry says of a rollout's candidates and controls, as gates compare it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean

from sanderling_fleet.core.context import Core
from sanderling_fleet.core.rollouts import Measure
from sanderling_fleet.gates import Arm, Metric, Reading
from sanderling_fleet.rollout_state import Rollout
from sanderling_fleet.store import DriftRow, MetricsRow, Transaction
from sanderling_fleet.verdict_state import WindowVerdict

_BASELINE_ROWS = 24
"""Rows before the stage whose mean is a device's own baseline: a day of hourly windows."""
_VALUES: Mapping[Metric, Callable[[MetricsRow], float | None]] = {
    # A row without inferences says nothing of latency or confidence.
    Metric.LATENCY_P95: lambda row: row.latency_p95_us if row.inferences else None,
    Metric.CONFIDENCE: lambda row: row.mean_confidence if row.inferences else None,
    Metric.CRASHES: lambda row: float(row.runner_restarts),
}


def measure(core: Core) -> Measure:
    """Readings of `core`'s telemetry; those whose sender is only asserted count where the policy trusts them."""

    async def read(tx: Transaction, rollout: Rollout) -> Mapping[Metric, tuple[Reading, ...]]:
        since = rollout.stages[rollout.current].activated_at
        slot, version = rollout.spec.slot, rollout.spec.version
        candidates = {item.device: item.former_version for item in rollout.assignments if not item.superseded_by}
        controls = set(rollout.controls) - set(candidates)
        readings: dict[Metric, list[Reading]] = defaultdict(list)
        rows = sorted(
            [row for row in await tx.find(MetricsRow, {"slot": slot}) if core.telemetry.trusts(row.identity)],
            key=lambda row: (row.received_at, row.device_id, row.at, row.sequence),
        )
        for metric, value in _VALUES.items():
            before = _baselines(rows, value, since, {**candidates, **dict.fromkeys(controls)})
            for row in rows:
                seen = value(row)
                arm = _arm(row, version, candidates, controls)
                if arm is not None and seen is not None and row.received_at > since:
                    readings[metric].append(Reading(row.device_id, arm, seen, before.get(row.device_id)))
        windows = [row for row in await tx.find(DriftRow, {"slot": slot}) if core.telemetry.trusts(row.identity)]
        for window in sorted(windows, key=lambda row: (row.received_at, row.device_id, row.window)):
            arm = _arm(window, version, candidates, controls)
            if arm is not None and window.received_at > since:
                moved = float(window.verdict == WindowVerdict.MOVED)
                readings[Metric.DRIFT].append(Reading(window.device_id, arm, moved))
        return {metric: tuple(found) for metric, found in readings.items()}

    return read


def _arm(row: MetricsRow | DriftRow, version: str, candidates: Mapping[str, str], controls: set[str]) -> Arm | None:
    if row.device_id in candidates and row.version == version:
        return Arm.CANDIDATE
    return Arm.CONTROL if row.device_id in controls and row.version != version else None


def _baselines(
    rows: Iterable[MetricsRow],
    value: Callable[[MetricsRow], float | None],
    since: float,
    former: Mapping[str, str | None],
) -> dict[str, float]:
    """Means of each device's last rows before the stage; of a candidate those of the version that it had."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        wanted = former.get(row.device_id, "")
        seen = value(row)
        if seen is not None and row.received_at <= since and (wanted is None or row.version == wanted):
            found[row.device_id].append(seen)
    return {device: fmean(values[-_BASELINE_ROWS:]) for device, values in found.items()}
