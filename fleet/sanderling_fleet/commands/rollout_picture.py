"""A rollout as people look at it: how far each stage is, what each gate knows, which devices need a look."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from sanderling.api.rollout.v1 import assignment_pb2
from sanderling.api.rollout.v1 import rollout_pb2 as pb
from sanderling.commands.output import table

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_BAR = 20
_MOST_DEVICES = 20
_FINE = (assignment_pb2.RESULT_CODE_UNSPECIFIED, assignment_pb2.RESULT_CODE_OK)
_SETTLED = (assignment_pb2.ASSIGNMENT_STATE_QUEUED, assignment_pb2.ASSIGNMENT_STATE_COMMITTED)


def word(kind: Any, value: int, prefix: str) -> str:
    """An enumeration's value as it is spoken of."""
    name: str = kind.Name(value)
    return name.removeprefix(prefix).lower()


def picture(found: pb.Rollout) -> str:
    """All of it, as lines of text."""
    state = word(pb.RolloutState, found.state, "ROLLOUT_STATE_")
    lines = [
        f"{found.rollout_id}  {found.spec.version} in slot {found.spec.slot}  {state}: {found.reason}",
        "",
        _stages(found),
    ]
    gates = [_gate(stage, gate) for stage in found.stages for gate in stage.gates if gate.decision]
    if gates:
        headers = ["stage", "gate", "decision", "estimate", "interval", "devices", "controls", "why"]
        lines += ["", table(headers, gates)]
    if found.assignments:
        lines += ["", _devices(found)]
    hint = _hint(found)
    return "\n".join([*lines, "", hint] if hint else lines)


def bar(committed: int, failed: int, under_way: int, devices: int) -> str:
    """So many cells of a stage's devices: # committed, x failed, > under way, . still without it."""
    cells, done = "", 0
    for count, cell in ((committed, "#"), (failed, "x"), (under_way, ">")):
        done = min(done + count, devices)
        # From the sum and not from the part, so that rounding never makes it longer than it is.
        cells += cell * (_BAR * done // max(devices, 1) - len(cells))
    return f"[{cells.ljust(_BAR, '.')}]"


def _stages(found: pb.Rollout) -> str:
    rows = []
    for stage in found.stages:
        under_way = max(stage.attempted - stage.committed - stage.failed, 0)
        rows.append(
            (
                stage.stage.name,
                bar(stage.committed, stage.failed, under_way, stage.devices),
                word(pb.StageState, stage.state, "STAGE_STATE_"),
                stage.devices,
                stage.attempted,
                stage.committed,
                stage.failed,
                _until(stage),
            )
        )
    headers = ["stage", "progress", "state", "devices", "attempted", "committed", "failed", "until (UTC)"]
    return table(headers, rows)


def _until(stage: pb.StageStatus) -> str | None:
    if stage.state not in (pb.STAGE_STATE_ACTIVE, pb.STAGE_STATE_SOAKING) or not stage.stage.HasField("deadline"):
        return None
    return _time(stage.activated_at, stage.stage.deadline.ToTimedelta())


def _time(stamp: Timestamp, later: dt.timedelta) -> str:
    return (stamp.ToDatetime() + later).strftime("%m-%d %H:%M:%S")


def _gate(stage: pb.StageStatus, gate: pb.GateStatus) -> tuple[Any, ...]:
    limit = gate.gate.WhichOneof("form") == "hard_limit"
    metric = gate.gate.hard_limit.metric if limit else gate.gate.comparison.metric
    known = (gate.lower, gate.upper) != (0.0, 0.0)
    name = word(pb.Metric, metric, "METRIC_")
    return (
        stage.stage.name,
        f"{name} limit" if limit else f"{name} vs control",
        word(pb.GateDecision, gate.decision, "GATE_DECISION_"),
        f"{gate.estimate:+.3g}" if known else None,
        f"{gate.lower:+.3g} to {gate.upper:+.3g}" if known else None,
        gate.candidates,
        None if limit else gate.controls,
        gate.reason.partition(": ")[2] or gate.reason,
    )


def _devices(found: pb.Rollout) -> str:
    """Those that failed or are under way first; a fleet's thousand others are a number."""
    ordered = sorted(found.assignments, key=lambda item: (item.code in _FINE, item.state in _SETTLED))
    rows = [
        (
            item.device_id,
            found.stages[item.stage].stage.name,
            word(assignment_pb2.AssignmentState, item.state, "ASSIGNMENT_STATE_"),
            word(assignment_pb2.ResultCode, item.code, "RESULT_CODE_") if item.code else None,
            item.former_version or None,
            item.detail or None,
        )
        for item in ordered[:_MOST_DEVICES]
    ]
    text = table(["device", "stage", "state", "result", "before", "detail"], rows)
    more = len(ordered) - _MOST_DEVICES
    return text if more <= 0 else f"{text}\nand {more:,} more: -o json has all"


def _hint(found: pb.Rollout) -> str:
    held = any(stage.state == pb.STAGE_STATE_HOLDING for stage in found.stages)
    if found.state == pb.ROLLOUT_STATE_RUNNING and held:
        return f"waits for you: sanderling rollout promote {found.rollout_id}, or abort, or roll-back"
    if found.state == pb.ROLLOUT_STATE_PAUSED:
        return f"waits for you: sanderling rollout resume {found.rollout_id}, or promote, abort, roll-back"
    return ""
