"""How a rollout goes on: one pure step from a state and an event to a state and what is to be done.

    rollout, actions = step(rollout, ResultArrived(...), now, fleet)

The caller stores the rollout and what the actions change in one transaction, then carries them out. Every event may
come late, twice or not at all: `Tick` alone brings a rollout to an end, by its deadlines (`next_due` says when).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sanderling.errors import InputError
from sanderling_fleet.alerts import Severity
from sanderling_fleet.gates import Arm, GateDecision, Metric, Observations, Reading, judge
from sanderling_fleet.rollout_draft import Draft
from sanderling_fleet.rollout_events import (
    Abort,
    Action,
    Command,
    Device,
    Event,
    Measured,
    Pause,
    Progressed,
    Promote,
    Restore,
    ResultArrived,
    Resume,
    RollBack,
    Superseded,
    Tick,
    WantVersion,
)
from sanderling_fleet.rollout_state import (
    OPEN_STAGES,
    TRIED,
    UNDER_WAY,
    Assignment,
    AssignmentState,
    GateStatus,
    OnBreach,
    ResultCode,
    Rollout,
    RolloutState,
    StageState,
)

EXCUSED = frozenset({ResultCode.FETCH_FAILED, ResultCode.NO_SPACE})
"""Results that say nothing of the version: the device is offered it again."""


class IllegalInState(InputError):
    """An operator's command does not fit the state that the rollout is in."""

    grpc_status = "FAILED_PRECONDITION"


def step(rollout: Rollout, event: Event, now: float, fleet: Mapping[str, Device]) -> tuple[Rollout, tuple[Action, ...]]:
    """Takes one event into account.

    Args:
        rollout: As it was stored.
        event: What happened.
        now: Seconds since the epoch; if it goes back, deadlines just come later.
        fleet: The devices that match the selector now, and those that have joined, by id.

    Returns:
        The rollout, the same object if nothing changed, and what is to be done, in this order.

    Raises:
        IllegalInState: A command does not fit the state.
        InputError: A result names a state that is no end.
    """
    work = _Step(rollout, now, fleet)
    work.take(event)
    work.settle()
    return work.finish()


def order(rollout_id: str, device: str) -> bytes:
    """The key by which devices join a rollout and its control group: random to whatever they have in common."""
    return hashlib.sha256(f"{rollout_id}/{device}".encode()).digest()


class _Step(Draft):
    """The rules."""

    readings: Mapping[Metric, tuple[Reading, ...]] | None = None

    # Events.

    def take(self, event: Event) -> None:
        match event:
            case Tick():
                pass
            case Progressed():
                self._progressed(event)
            case ResultArrived():
                self._result(event)
            case Measured():
                self._measured(event)
            case Superseded():
                self._superseded(event)
            case _:
                self._command(event)

    def _find(self, assignment_id: str) -> Assignment | None:
        return next((item for item in self.assignments.values() if item.assignment_id == assignment_id), None)

    def _progressed(self, event: Progressed) -> None:
        item = self._find(event.assignment_id)
        if item is None or event.state not in UNDER_WAY or item.attempt != event.attempt or event.state == item.state:
            return
        if item.state is AssignmentState.OFFERED or item.state in UNDER_WAY:
            self.assign(item, event.state, attempted=item.attempted or event.state in TRIED)

    def _result(self, event: ResultArrived) -> None:
        state, ends = event.state, AssignmentState
        if state not in (ends.COMMITTED, ends.DISCARDED, ends.REVERTED, ends.SUPERSEDED):
            raise InputError(f"[rollout] result of {event.assignment_id} in state {state}, an end is wanted")
        item = self._find(event.assignment_id)
        if item is None or event.attempt < item.attempt or (item.ended and item.state is not ends.TIMED_OUT):
            return  # unknown to a restored server, late, or a repetition
        if item.state is ends.QUEUED:
            item = self.assign(item, ends.OFFERED)  # a server restored from a backup has forgotten that it did
        late = item.state is ends.TIMED_OUT and not self.rollout.terminal
        item = replace(item, attempt=event.attempt, stage=self.index if late else item.stage)
        changes = {"code": event.code, "detail": event.detail}
        if state is ends.COMMITTED:
            self.assign(item, state, attempted=True, failed=False, **changes)
        elif state is ends.SUPERSEDED:
            self.assign(item, state, failed=False, **changes)
        elif event.code in EXCUSED:
            self._excused(item, state, changes)
        else:
            self.assign(item, state, attempted=True, failed=True, **changes)
            self._set_back(item)

    def _excused(self, item: Assignment, state: AssignmentState, changes: dict[str, Any]) -> None:
        again = self.rollout.state in (RolloutState.RUNNING, RolloutState.PAUSED) and not item.superseded_by
        if again and item.state is not AssignmentState.TIMED_OUT and item.attempt < self.spec.max_attempts:
            self.assign(item, AssignmentState.QUEUED, attempt=item.attempt + 1, **changes)
        else:
            self.assign(item, state, attempted=False, failed=False, **changes)
            self._set_back(item)

    def _set_back(self, item: Assignment) -> None:
        withdrawn = (RolloutState.ABORTED, RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK)
        if not item.superseded_by and self.rollout.state not in withdrawn:
            self.actions.append(Restore(item.device, item.former_version))

    def _measured(self, event: Measured) -> None:
        self.readings = event.readings
        for metric in (Metric.CRASHES, Metric.DRIFT):
            for reading in event.readings.get(metric, ()):
                item = self.assignments.get(reading.device)
                if item and reading.arm is Arm.CANDIDATE and reading.value > 0 and metric not in item.flags:
                    flags = tuple(sorted((*item.flags, metric)))
                    self.assignments[item.device] = replace(item, flags=flags, attempted=True)

    def _superseded(self, event: Superseded) -> None:
        for device in event.devices:
            item = self.assignments.get(device)
            if item is None:
                taken_over = tuple(sorted({*self.rollout.taken_over, device}))
                self.rollout = replace(self.rollout, taken_over=taken_over)
                continue
            if item.superseded_by:
                continue
            item = replace(item, superseded_by=event.rollout_id)
            self.assignments[device] = item
            if not item.ended:
                detail = f"by rollout {event.rollout_id}"
                self.assign(item, AssignmentState.SUPERSEDED, code=ResultCode.SUPERSEDED, detail=detail)

    def _command(self, event: Command) -> None:
        if isinstance(event, Promote) and event.stage not in (None, self.index):
            self._promoted_before(event.stage)
            return
        allowed = self._allowed()
        name = type(event).__name__
        if name not in allowed:
            stage = self.rollout.stages[self.index].state
            raise IllegalInState(
                f"[rollout] {name} of rollout {self.rollout.rollout_id}, which is {self.rollout.state} with its stage "
                f"{stage}. Allowed now: {', '.join(allowed) or 'nothing'}"
            )
        match event:
            case Pause():
                self.enter(RolloutState.PAUSED, f"by {event.by}: {event.reason}")
            case Abort():
                self._abort(f"by {event.by}: {event.reason}")
            case RollBack():
                self._roll_back(f"by {event.by}: {event.reason}")
            case Resume():
                self._resume(event.by)
            case Promote():
                if self.rollout.state is RolloutState.PAUSED:
                    self.enter(RolloutState.RUNNING, f"promoted by {event.by}, against its gates")
                self.note(f"stage {self.spec.stages[self.index].name}: promoted by {event.by}")
                self.set_stage(self.index, StageState.PASSED, ended_at=self.now)

    def _promoted_before(self, index: int) -> None:
        """A repeated request whose first answer was lost; anything else is refused."""
        stages = self.rollout.stages
        if index >= len(stages) or stages[index].state is not StageState.PASSED:
            raise IllegalInState(
                f"[rollout] Promote of stage {index} of rollout {self.rollout.rollout_id}, which is at stage "
                f"{self.index} of {len(stages)}. Look again: sanderling rollout status {self.rollout.rollout_id}"
            )

    def _allowed(self) -> tuple[str, ...]:
        stage = self.rollout.stages[self.index].state
        if self.rollout.state is RolloutState.RUNNING:
            return ("Pause", "Abort", "RollBack", *(["Promote"] if stage is StageState.HOLDING else []))
        if self.rollout.state is not RolloutState.PAUSED:
            return ()
        judged = stage in (StageState.FAILED, StageState.INCONCLUSIVE)
        resume = [] if stage is StageState.FAILED else ["Resume"]
        return (*resume, "Abort", "RollBack", *(["Promote"] if judged else []))

    def _resume(self, by: str) -> None:
        index, stage = self.index, self.rollout.stages[self.index]
        paused = self.now - self.rollout.state_at
        self.enter(RolloutState.RUNNING, f"resumed by {by}")
        if stage.state is StageState.INCONCLUSIVE:
            deadline = self.now + self.spec.stages[index].deadline_seconds
            self.set_stage(index, StageState.ACTIVE, deadline_at=deadline, soak_began_at=0.0, ended_at=0.0)
            if all(item.stage != index for item in self.assignments.values()):
                self._admit(index)  # it found nobody when it became active
        elif stage.state in OPEN_STAGES:
            self.change_stage(index, deadline_at=stage.deadline_at + max(0.0, paused))

    # What follows from state, time and fleet.

    def settle(self) -> None:
        self._end_assignments()
        if self.rollout.state in (RolloutState.RUNNING, RolloutState.PAUSED):
            self._judge()
        while self.rollout.state is RolloutState.RUNNING and self._advance():
            pass
        paused_for = self.spec.pause_deadline_seconds
        if self.rollout.state is RolloutState.PAUSED and self.now >= self.rollout.state_at + paused_for:
            self._abort(f"paused for {paused_for:.0f} s, which nobody ended; it was {self.rollout.reason}")
        if self.rollout.state is RolloutState.ROLLING_BACK:
            self._confirm_roll_back()

    def _end_assignments(self) -> None:
        timed_out = AssignmentState.TIMED_OUT
        for item in list(self.assignments.values()):
            if item.ended:
                continue
            blocked = self.fleet[item.device].blocked if item.device in self.fleet else ""
            if blocked:
                self.assign(item, timed_out, detail=blocked, attempted=False)
            elif item.state is not AssignmentState.QUEUED and self.now >= item.deadline_at:
                detail = f"no result in {self.spec.device_deadline_seconds:.0f} s, last seen in {item.state}"
                self.assign(item, timed_out, detail=detail, failed=item.attempted)

    def _judge(self) -> None:
        index, stage = self.index, self.rollout.stages[self.index]
        if stage.state not in OPEN_STAGES:
            return
        seen = self._observe(index)
        statuses = []
        for gate, status in zip(self.spec.stages[index].gates, stage.gates, strict=True):
            decision = judge(gate, seen)
            # What telemetry tells is known when it is looked at; a crash that a result tells is known at once.
            known = self.readings is not None or gate.metric is Metric.FAILURES
            known = known or decision.decision is GateDecision.BREACH
            if known and (decision != status.decision or not status.judged_at):
                status = GateStatus(decision, self.now)
            statuses.append(status)
        self.change_stage(index, gates=tuple(statuses))
        breached = [s.decision.reason for s in statuses if s.decision.decision is GateDecision.BREACH]
        if breached:
            self._breach(index, "; ".join(breached))

    def _observe(self, index: int) -> Observations:
        members = self.members(index)
        soak = self.rollout.stages[index].soak_began_at
        # Devices that join in the soak of the last stage are judged when they end, and not waited for.
        waited = [item for item in members if not item.ended and not (soak and item.offered_at >= soak)]
        counted = {
            Metric.FAILURES: frozenset(item.device for item in members if item.failed),
            Metric.CRASHES: frozenset(
                item.device for item in members if Metric.CRASHES in item.flags or item.code is ResultCode.CRASH
            ),
            Metric.DRIFT: frozenset(item.device for item in members if Metric.DRIFT in item.flags),
        }
        attempted = frozenset(item.device for item in members if item.attempted)
        return Observations(attempted, counted, len(waited), self.readings or {})

    def _breach(self, index: int, reason: str) -> None:
        name = self.spec.stages[index].name
        self.set_stage(index, StageState.FAILED, ended_at=self.now)
        what = f"stage {name} breached its gate: {reason}"
        bad = tuple(item.device for item in self.members(index) if item.failed or item.flags)
        self.alert("rollout.breach", Severity.ERROR, f"{what} ({self.spec.on_breach})", bad)
        if self.spec.on_breach is OnBreach.ABORT:
            self._abort(what)
        elif self.spec.on_breach is OnBreach.ROLL_BACK:
            self._roll_back(what)
        elif self.rollout.state is RolloutState.RUNNING:
            self.enter(RolloutState.PAUSED, what)
        else:
            self.rollout = replace(self.rollout, reason=what)

    def _advance(self) -> bool:
        """Moves the current stage on by one state; False when it has to wait."""
        index, stage = self.index, self.rollout.stages[self.index]
        spec = self.spec.stages[index]
        if stage.state is StageState.PENDING:
            self._activate(index)
            self._judge()
            return self.rollout.state is RolloutState.RUNNING
        if stage.state is StageState.PASSED:
            self._offer()  # what was waiting when the last stage was promoted
            self.enter(RolloutState.SUCCEEDED, f"all {len(self.rollout.stages)} stages passed")
            return False
        if self.is_last:
            self._admit(index)
        self._offer()
        waiting = self._observe(index).outstanding
        has_it = any(item.state is AssignmentState.COMMITTED for item in self.members(index))
        if stage.state is StageState.ACTIVE and has_it and not waiting:
            self.set_stage(index, StageState.SOAKING, soak_began_at=self.now)
            self._judge()
            return self.rollout.state is RolloutState.RUNNING
        soaked = self.now >= stage.soak_began_at + spec.soak_seconds
        if stage.state is StageState.SOAKING and soaked and all(status.passed for status in stage.gates):
            if spec.hold:
                self.set_stage(index, StageState.HOLDING, deadline_at=self.now + spec.deadline_seconds)
                self.alert("rollout.holding", Severity.INFO, f"stage {spec.name} passed and waits to be promoted")
                return False
            self.set_stage(index, StageState.PASSED, ended_at=self.now)
            return True
        if self.now >= stage.deadline_at:
            self._inconclusive(index)
        return False

    def _inconclusive(self, index: int) -> None:
        stage, spec = self.rollout.stages[index], self.spec.stages[index]
        if stage.state is StageState.HOLDING:
            why = "nobody promoted it"
        else:
            open_gates = [status.decision.reason for status in stage.gates if not status.passed]
            members = self.members(index)
            has_it = sum(item.state is AssignmentState.COMMITTED for item in members)
            why = "; ".join([f"{has_it} of {len(members)} devices have the version", *open_gates])
        reason = f"stage {spec.name} is undecided after {spec.deadline_seconds:.0f} s: {why}"
        self.set_stage(index, StageState.INCONCLUSIVE, ended_at=self.now)
        self.enter(RolloutState.PAUSED, reason)
        self.alert("rollout.inconclusive", Severity.WARNING, reason)

    def _activate(self, index: int) -> None:
        deadline = self.now + self.spec.stages[index].deadline_seconds
        self.set_stage(index, StageState.ACTIVE, activated_at=self.now, deadline_at=deadline)
        self.rollout = replace(self.rollout, reason=f"stage {self.spec.stages[index].name} is active")
        self._admit(index)

    def _candidates(self) -> list[str]:
        """Devices that may join, in their order."""
        free = [name for name, device in self.fleet.items() if not device.blocked and name not in self.assignments]
        kept_back = set(self.rollout.taken_over) | (set() if self.is_last else set(self.rollout.controls))
        key = self.rollout.rollout_id
        return sorted((name for name in free if name not in kept_back), key=lambda name: order(key, name))

    def _admit(self, index: int) -> None:
        if index == 0 and not self.assignments and len(self.spec.stages) > 1:
            queue = self._candidates()
            kept = math.floor(self.spec.control_percent * len(queue) / 100)
            self.rollout = replace(self.rollout, controls=tuple(queue[len(queue) - kept :]))
        matching = sum(not device.blocked for device in self.fleet.values())
        size = max(self.rollout.stages[index].size, self.spec.stages[index].size(matching))
        if size != self.rollout.stages[index].size:
            self.change_stage(index, size=size)
        for name in self._candidates()[: max(0, size - len(self.assignments))]:
            version = self.fleet[name].version
            item = Assignment(f"{self.rollout.rollout_id}/{name}", name, index, former_version=version)
            self.assignments[name] = item
            if version == self.spec.version:
                done = {"code": ResultCode.OK, "detail": "it had the version", "attempted": True}
                self.assign(item, AssignmentState.COMMITTED, **done)

    def _offer(self) -> None:
        deadline = self.now + self.spec.device_deadline_seconds
        for item in list(self.assignments.values()):
            if item.state is AssignmentState.QUEUED:
                self.assign(item, AssignmentState.OFFERED, offered_at=self.now, deadline_at=deadline)
                self.actions.append(WantVersion(item.device, self.spec.version, item.assignment_id, item.attempt))

    # Ends.

    def _close_stage(self) -> None:
        if self.rollout.stages[self.index].state in OPEN_STAGES:
            self.set_stage(self.index, StageState.INCONCLUSIVE, ended_at=self.now)

    def _abort(self, reason: str) -> None:
        self._close_stage()
        self._withdraw(committed=False)
        self.enter(RolloutState.ABORTED, reason)

    def _roll_back(self, reason: str) -> None:
        self._close_stage()
        self._withdraw(committed=True)
        self.enter(RolloutState.ROLLING_BACK, reason)

    def _withdraw(self, committed: bool) -> None:
        """Takes the offers back, and where `committed` the version too; devices under way will still report."""
        set_back = (AssignmentState.DISCARDED, AssignmentState.REVERTED)  # when their results came
        for item in list(self.assignments.values()):
            if item.superseded_by or item.state in set_back or item.former_version == self.spec.version:
                continue
            if item.state is AssignmentState.COMMITTED and not committed:
                continue
            if item.offered_at:
                self.actions.append(Restore(item.device, item.former_version))
            if item.state in (AssignmentState.QUEUED, AssignmentState.OFFERED):
                self.assign(
                    item, AssignmentState.SUPERSEDED, code=ResultCode.SUPERSEDED, detail="the offer was withdrawn"
                )

    def _confirm_roll_back(self) -> None:
        touched, missing = 0, []
        for item in list(self.assignments.values()):
            if item.superseded_by or item.former_version == self.spec.version:
                continue
            device = self.fleet.get(item.device)
            if item.state is AssignmentState.COMMITTED:
                touched += 1
                if device and device.version == item.former_version:
                    self.assign(item, AssignmentState.REVERTED, detail="rolled back")
                elif not (device and device.blocked):
                    missing.append(item.device)
            elif not item.ended:
                touched += 1
                missing.append(item.device)
        overdue = self.now >= self.rollout.state_at + self.spec.device_deadline_seconds
        if missing and not overdue:
            return
        reason = self.rollout.reason
        if missing:
            reason += (
                f"; {len(missing)} of {touched} devices did not confirm in time: {', '.join(sorted(missing)[:10])}"
            )
            self.alert("rollout.incomplete", Severity.ERROR, reason, tuple(missing))
        self.enter(RolloutState.ROLLED_BACK, reason)
