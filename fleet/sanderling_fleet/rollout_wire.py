"""Rollouts between the rules' words and rollout.v1's messages."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from sanderling.api.rollout.v1 import assignment_pb2, rollout_pb2
from sanderling.errors import InputError
from sanderling_fleet.gates import Comparison, Decision, Gate, GateDecision, HardLimit, Metric
from sanderling_fleet.rollout_events import ResultArrived
from sanderling_fleet.rollout_state import (
    Assignment,
    AssignmentState,
    GateStatus,
    OnBreach,
    ResultCode,
    Rollout,
    RolloutSpec,
    RolloutState,
    Stage,
    StageSpec,
    StageState,
)
from sanderling_fleet.wire import duration, seconds_of, timestamp

E = TypeVar("E", bound=StrEnum)

_PREFIXES: dict[type[StrEnum], str] = {
    AssignmentState: "ASSIGNMENT_STATE_",
    ResultCode: "RESULT_CODE_",
    RolloutState: "ROLLOUT_STATE_",
    StageState: "STAGE_STATE_",
    OnBreach: "ON_BREACH_",
    Metric: "METRIC_",
    GateDecision: "GATE_DECISION_",
}
_ENUMS: dict[type[StrEnum], Any] = {
    AssignmentState: assignment_pb2.AssignmentState,
    ResultCode: assignment_pb2.ResultCode,
    RolloutState: rollout_pb2.RolloutState,
    StageState: rollout_pb2.StageState,
    OnBreach: rollout_pb2.OnBreach,
    Metric: rollout_pb2.Metric,
    GateDecision: rollout_pb2.GateDecision,
}


def number(word: StrEnum) -> Any:
    """The enum value of a word, of the type that its field takes; ResultCode.NONE is UNSPECIFIED."""
    kind = type(word)
    name = "UNSPECIFIED" if word is ResultCode.NONE else word.name
    return _ENUMS[kind].Value(_PREFIXES[kind] + name)


def word(kind: type[E], value: int) -> E:
    """The word of an enum value.

    Raises:
        InputError: It is unspecified, or newer than this release.
    """
    for candidate in kind:
        if number(candidate) == value:
            return candidate
    raise InputError(f"[rollout] {kind.__name__} has the value {value}, which this release does not know")


def result_of(message: assignment_pb2.AssignmentResult) -> ResultArrived:
    """A device's result as an event.

    Raises:
        InputError: Its state or code is unknown.
    """
    return ResultArrived(
        message.id.assignment_id,
        message.id.attempt,
        word(AssignmentState, message.state),
        word(ResultCode, message.code),
        message.detail,
    )


def spec_of(message: rollout_pb2.RolloutSpec) -> RolloutSpec:
    """What an operator asks for; what is left out has the rules' defaults.

    Raises:
        InputError: It is out of range.
    """
    given: dict[str, Any] = {}
    if message.on_breach:
        given["on_breach"] = word(OnBreach, message.on_breach)
    if message.HasField("device_deadline"):
        given["device_deadline_seconds"] = seconds_of(message.device_deadline)
    return RolloutSpec(
        slot=message.slot,
        version=message.version,
        selector=message.selector,
        stages=tuple(_stage_of(stage) for stage in message.stages),
        control_percent=message.control_percent,
        **given,
    )


def spec_message(spec: RolloutSpec) -> rollout_pb2.RolloutSpec:
    """The inverse of `spec_of`."""
    return rollout_pb2.RolloutSpec(
        slot=spec.slot,
        version=spec.version,
        selector=spec.selector,
        stages=[_stage_message(stage) for stage in spec.stages],
        on_breach=number(spec.on_breach),
        control_percent=spec.control_percent,
        device_deadline=duration(spec.device_deadline_seconds),
    )


def rollout_message(rollout: Rollout, created_by: str, *, assignments: bool = True) -> rollout_pb2.Rollout:
    """A rollout as operators see it."""
    return rollout_pb2.Rollout(
        rollout_id=rollout.rollout_id,
        spec=spec_message(rollout.spec),
        state=number(rollout.state),
        reason=rollout.reason,
        stages=[_status_message(rollout, index) for index in range(len(rollout.stages))],
        assignments=[_assignment_message(item) for item in rollout.assignments] if assignments else [],
        created_at=timestamp(rollout.created_at),
        ended_at=timestamp(rollout.ended_at),
        created_by=created_by,
    )


def _stage_of(message: rollout_pb2.Stage) -> StageSpec:
    given: dict[str, Any] = {}
    if message.HasField("deadline"):
        given["deadline_seconds"] = seconds_of(message.deadline)
    return StageSpec(
        name=message.name,
        count=message.count if message.WhichOneof("size") == "count" else None,
        percent=message.percent if message.WhichOneof("size") == "percent" else None,
        soak_seconds=seconds_of(message.soak),
        gates=tuple(_gate_of(gate) for gate in message.gates),
        hold=message.hold,
        **given,
    )


def _stage_message(spec: StageSpec) -> rollout_pb2.Stage:
    size: dict[str, Any] = {"percent": spec.percent} if spec.count is None else {"count": spec.count}
    return rollout_pb2.Stage(
        name=spec.name,
        **size,
        soak=duration(spec.soak_seconds),
        deadline=duration(spec.deadline_seconds),
        gates=[_gate_message(gate) for gate in spec.gates],
        hold=spec.hold,
    )


def _gate_of(message: rollout_pb2.Gate) -> Gate:
    form = message.WhichOneof("form")
    if form == "hard_limit":
        limit = message.hard_limit
        default = HardLimit()
        metric = word(Metric, limit.metric) if limit.metric else default.metric
        return HardLimit(metric, limit.count or default.count, limit.share or default.share)
    if form == "comparison":
        comparison = message.comparison
        alpha = comparison.alpha or 0.05
        return Comparison(word(Metric, comparison.metric), comparison.margin, alpha)
    raise InputError("[gate] neither a hard limit nor a comparison. Give one form")


def _gate_message(gate: Gate) -> rollout_pb2.Gate:
    metric = number(gate.metric)
    if isinstance(gate, HardLimit):
        limit = rollout_pb2.HardLimit(metric=metric, count=gate.count, share=gate.share)
        return rollout_pb2.Gate(hard_limit=limit)
    comparison = rollout_pb2.Comparison(metric=metric, margin=gate.margin, alpha=gate.alpha)
    return rollout_pb2.Gate(comparison=comparison)


def _status_message(rollout: Rollout, index: int) -> rollout_pb2.StageStatus:
    spec, stage = rollout.spec.stages[index], rollout.stages[index]
    members = [item for item in rollout.assignments if item.stage == index]
    return rollout_pb2.StageStatus(
        stage=_stage_message(spec),
        state=number(stage.state),
        gates=_gate_statuses(spec, stage),
        devices=len(members),
        attempted=sum(item.attempted for item in members),
        committed=sum(item.state is AssignmentState.COMMITTED for item in members),
        failed=sum(item.failed for item in members),
        activated_at=timestamp(stage.activated_at),
        ended_at=timestamp(stage.ended_at),
    )


def _gate_statuses(spec: StageSpec, stage: Stage) -> list[rollout_pb2.GateStatus]:
    return [_gate_status(gate, status) for gate, status in zip(spec.gates, stage.gates, strict=True)]


def _gate_status(gate: Gate, status: GateStatus) -> rollout_pb2.GateStatus:
    decision: Decision = status.decision
    return rollout_pb2.GateStatus(
        gate=_gate_message(gate),
        decision=number(decision.decision),
        estimate=decision.estimate,
        lower=decision.lower,
        upper=decision.upper,
        candidates=decision.candidates,
        controls=decision.controls,
        reason=decision.reason,
        judged_at=timestamp(status.judged_at),
    )


def _assignment_message(item: Assignment) -> rollout_pb2.Assignment:
    return rollout_pb2.Assignment(
        assignment_id=item.assignment_id,
        device_id=item.device,
        stage=item.stage,
        state=number(item.state),
        code=number(item.code),
        detail=item.detail,
        attempt=item.attempt,
        former_version=item.former_version,
        offered_at=timestamp(item.offered_at),
        deadline_at=timestamp(item.deadline_at),
        ended_at=timestamp(item.ended_at),
    )
