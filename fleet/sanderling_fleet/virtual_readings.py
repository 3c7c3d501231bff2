"""What was measured of a rollout's candidates and controls, from the rows of telemetry."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from sanderling_fleet.core.telemetry import Intake
from sanderling_fleet.gates import Arm, Metric, Reading
from sanderling_fleet.rollout_state import Rollout
from sanderling_fleet.store import DriftRow, MetricsRow, Transaction
from sanderling_fleet.verdict import WindowVerdict

Readings = dict[Metric, tuple[Reading, ...]]


async def measure(intake: Intake, tx: Transaction, rollout: Rollout) -> Mapping[Metric, tuple[Reading, ...]]:
    """Readings since the first stage became active, in order of arrival.

    A candidate's are those of the rollout's version, a control's those of any other. The baseline of both is the median
    of what the device measured before, with its former version.

    Args:
        intake: Knows which rows may decide.
        tx: The caller's.
        rollout: Whose.
    """
    spec, began = rollout.spec, rollout.stages[0].activated_at
    candidates = {item.device for item in rollout.assignments if item.attempted and not item.superseded_by}
    controls = set(rollout.controls)
    rows = [
        row
        for row in await tx.find(MetricsRow)
        if row.slot == spec.slot
        and row.inferences
        and row.device_id in candidates | controls
        and intake.trusts(row.identity)
    ]
    rows.sort(key=lambda row: (row.received_at, row.device_id, row.sequence))
    before: dict[str, list[MetricsRow]] = {}
    for row in rows:
        if row.received_at <= began and row.version != spec.version:
            before.setdefault(row.device_id, []).append(row)
    found: dict[Metric, list[Reading]] = {Metric.CONFIDENCE: [], Metric.LATENCY_P95: [], Metric.CRASHES: []}
    for row in rows:
        is_candidate = row.version == spec.version
        if row.received_at <= began or is_candidate != (row.device_id in candidates):
            continue
        arm = Arm.CANDIDATE if is_candidate else Arm.CONTROL
        former = before.get(row.device_id)
        for metric, name in ((Metric.CONFIDENCE, "mean_confidence"), (Metric.LATENCY_P95, "latency_p95_us")):
            baseline = median(getattr(item, name) for item in former) if former else None
            found[metric].append(Reading(row.device_id, arm, getattr(row, name), baseline))
        found[Metric.CRASHES].append(Reading(row.device_id, arm, float(row.runner_restarts)))
    windows = [row for row in await tx.find(DriftRow) if row.slot == spec.slot and row.received_at > began]
    found[Metric.DRIFT] = [
        Reading(
            row.device_id,
            Arm.CANDIDATE if row.device_id in candidates else Arm.CONTROL,
            float(row.verdict == WindowVerdict.MOVED),
        )
        for row in sorted(windows, key=lambda row: (row.received_at, row.device_id, row.sequence))
        if row.device_id in (candidates if row.version == spec.version else controls) and intake.trusts(row.identity)
    ]
    return {metric: tuple(readings) for metric, readings in found.items()}
