"""What a rollout is: its settings, its state, and the transitions that are allowed. docs/rollout-states.md draws them.

Times are seconds since the epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from sanderling.errors import InputError
from sanderling_fleet import selector
from sanderling_fleet.gates import NOT_JUDGED, NOT_READ, Comparison, Decision, Gate, GateDecision, HardLimit, Metric
from sanderling_fleet.plain import dumps, loads

_DAY = 86400.0
_SCHEMA = 1


class RolloutState(StrEnum):
    """Where a rollout stands."""

    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


class StageState(StrEnum):
    """Where a stage stands."""

    PENDING = "pending"
    ACTIVE = "active"
    SOAKING = "soaking"
    HOLDING = "holding"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class AssignmentState(StrEnum):
    """Where one device stands with the version."""

    QUEUED = "queued"
    OFFERED = "offered"
    FETCH = "fetch"
    VERIFY = "verify"
    BUILD = "build"
    SELFTEST = "selftest"
    SWITCH = "switch"
    PROBATION = "probation"
    COMMITTED = "committed"
    DISCARDED = "discarded"
    REVERTED = "reverted"
    SUPERSEDED = "superseded"
    TIMED_OUT = "timed_out"


class ResultCode(StrEnum):
    """Why an assignment ended as it did."""

    NONE = "none"
    OK = "ok"
    INCOMPATIBLE = "incompatible"
    NO_SPACE = "no_space"
    FETCH_FAILED = "fetch_failed"
    INTEGRITY = "integrity"
    BUILD_FAILED = "build_failed"
    SELFTEST_FAILED = "selftest_failed"
    CRASH = "crash"
    HANG = "hang"
    LATENCY = "latency"
    CONFIDENCE = "confidence"
    PROBATION_TIMEOUT = "probation_timeout"
    SUPERSEDED = "superseded"
    INTERNAL = "internal"


class OnBreach(StrEnum):
    """What a rollout does by itself when a gate is breached."""

    PAUSE = "pause"
    ABORT = "abort"
    ROLL_BACK = "roll_back"


_R, _S, _A = RolloutState, StageState, AssignmentState

TERMINAL = frozenset({_R.SUCCEEDED, _R.ABORTED, _R.ROLLED_BACK})
"""States that a rollout does not leave."""

ENDED = frozenset({_A.COMMITTED, _A.DISCARDED, _A.REVERTED, _A.SUPERSEDED, _A.TIMED_OUT})
"""States in which no result is waited for. One that timed out still takes a late result."""

UNDER_WAY = (_A.FETCH, _A.VERIFY, _A.BUILD, _A.SELFTEST, _A.SWITCH, _A.PROBATION)
"""What a device reports in between, in this order, though a power cut may set it back."""

TRIED = frozenset(UNDER_WAY[2:])
"""States of a device that has begun with the version itself: it counts as attempted."""

OPEN_STAGES = frozenset({_S.ACTIVE, _S.SOAKING, _S.HOLDING})
"""Stages whose gates are judged."""

ROLLOUT_TRANSITIONS = frozenset(
    {
        *((_R.RUNNING, to) for to in (_R.PAUSED, _R.SUCCEEDED, _R.ABORTED, _R.ROLLING_BACK)),
        *((_R.PAUSED, to) for to in (_R.RUNNING, _R.ABORTED, _R.ROLLING_BACK)),
        (_R.ROLLING_BACK, _R.ROLLED_BACK),
    }
)

STAGE_TRANSITIONS = frozenset(
    {
        (_S.PENDING, _S.ACTIVE),
        (_S.ACTIVE, _S.SOAKING),
        (_S.SOAKING, _S.HOLDING),
        (_S.SOAKING, _S.PASSED),
        (_S.HOLDING, _S.PASSED),
        *((state, _S.FAILED) for state in OPEN_STAGES),
        *((state, _S.INCONCLUSIVE) for state in OPEN_STAGES),
        (_S.INCONCLUSIVE, _S.ACTIVE),
        (_S.INCONCLUSIVE, _S.PASSED),
        (_S.FAILED, _S.PASSED),
    }
)

_REPORTED = (_A.COMMITTED, _A.DISCARDED, _A.REVERTED, _A.SUPERSEDED)

ASSIGNMENT_TRANSITIONS = frozenset(
    {
        *((_A.QUEUED, to) for to in (_A.OFFERED, _A.COMMITTED, _A.SUPERSEDED, _A.TIMED_OUT)),
        *((old, new) for old in (_A.OFFERED, *UNDER_WAY) for new in UNDER_WAY if old != new),
        *((old, new) for old in (_A.OFFERED, *UNDER_WAY) for new in (*_REPORTED, _A.TIMED_OUT, _A.QUEUED)),
        *((_A.TIMED_OUT, new) for new in _REPORTED),
        (_A.COMMITTED, _A.REVERTED),
    }
)


@dataclass(frozen=True)
class StageSpec:
    """One step of a rollout.

    Attributes:
        name: For people.
        count: Devices that have the version when the stage is over, those of earlier stages included...
        percent: ...or their share of the matching devices, in (0, 100]. Exactly one of both is given.
        soak_seconds: How long the gates go on being judged after the last device of the stage has ended.
        deadline_seconds: From activation; then the stage is inconclusive. Waiting for a person has as long again.
        gates: All must pass. None given means the default hard limit on failures.
        hold: Whether the next stage waits for a person.
    """

    name: str
    count: int | None = None
    percent: float | None = None
    soak_seconds: float = 0.0
    deadline_seconds: float = 7 * _DAY
    gates: tuple[Gate, ...] = (HardLimit(),)
    hold: bool = False

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            InputError: One is out of range.
        """
        if not self.gates:
            object.__setattr__(self, "gates", (HardLimit(),))
        if (self.count is None) == (self.percent is None):
            raise InputError(
                f"[stage] {self.name!r} has count {self.count} and percent {self.percent}. Give one of them"
            )
        if (self.count is not None and self.count < 1) or (self.percent is not None and not 0 < self.percent <= 100):
            raise InputError(f"[stage] {self.name!r} has count {self.count}, percent {self.percent}; above 0 is wanted")
        if not 0 <= self.soak_seconds < self.deadline_seconds < float("inf"):
            raise InputError(
                f"[stage] {self.name!r} soaks {self.soak_seconds} s of a deadline of {self.deadline_seconds} s. "
                "Give the deadline more"
            )

    def size(self, matching: int) -> int:
        """Devices that have the version when the stage is over, of so many that match."""
        wanted = self.count if self.percent is None else math.ceil(self.percent * matching / 100)
        return min(wanted or 0, matching)


@dataclass(frozen=True)
class RolloutSpec:
    """What an operator asks for.

    Attributes:
        slot: Model slot on the devices.
        version: "NAME-VERSION".
        selector: The devices; see `selector`.
        stages: At least one.
        on_breach: What happens by itself when a gate is breached.
        control_percent: Share of the matching devices that stay on their former version until the last stage, [0, 90].
        device_deadline_seconds: How long one device may take from the offer to a result.
        pause_deadline_seconds: How long a pause waits for a person; then the rollout is aborted.
        max_attempts: How often a device is offered the version when it could not fetch or store it.
    """

    slot: str
    version: str
    selector: str
    stages: tuple[StageSpec, ...]
    on_breach: OnBreach = OnBreach.PAUSE
    control_percent: float = 0.0
    device_deadline_seconds: float = _DAY
    pause_deadline_seconds: float = 14 * _DAY
    max_attempts: int = 3

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            InputError: One is out of range, or a gate could never be decided.
        """
        selector.parse(self.selector)
        if not self.slot or not self.version or not self.stages or self.max_attempts < 1:
            raise InputError(
                f"[rollout] slot {self.slot!r}, version {self.version!r}, {len(self.stages)} stages, "
                f"{self.max_attempts} attempts. Give each"
            )
        if not 0 <= self.control_percent <= 90:
            raise InputError(f"[rollout] control_percent {self.control_percent}, 0 to 90 is wanted")
        if not 0 < self.device_deadline_seconds < float("inf") or not 0 < self.pause_deadline_seconds < float("inf"):
            raise InputError(
                f"[rollout] deadlines of {self.device_deadline_seconds} s for a device and "
                f"{self.pause_deadline_seconds} s for a pause, above 0 is wanted"
            )
        for index, stage in enumerate(self.stages):
            self._check_stage(stage, last=index == len(self.stages) - 1)

    def _check_stage(self, stage: StageSpec, last: bool) -> None:
        if stage.deadline_seconds < self.device_deadline_seconds + stage.soak_seconds:
            raise InputError(
                f"[rollout] stage {stage.name!r} has a deadline of {stage.deadline_seconds} s; a device may take "
                f"{self.device_deadline_seconds} s and the soak takes {stage.soak_seconds} s. Give it their sum"
            )
        for gate in stage.gates:
            if gate.metric in NOT_READ:
                raise InputError(
                    f"[rollout] stage {stage.name!r} has a gate on {gate.metric}, of which there are no readings: "
                    f"{NOT_READ[gate.metric]}. Gates can be on {', '.join(m for m in Metric if m not in NOT_READ)}"
                )
        compares = any(isinstance(gate, Comparison) for gate in stage.gates)
        if compares and (last or self.control_percent == 0):
            raise InputError(
                f"[rollout] stage {stage.name!r} compares with a control group, but control_percent is "
                f"{self.control_percent} and the last stage has none. Compare in an earlier stage, with one"
            )


@dataclass(frozen=True)
class GateStatus:
    """A gate's last decision.

    Attributes:
        decision: What it said.
        judged_at: When; 0 for never.
    """

    decision: Decision = NOT_JUDGED
    judged_at: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it passes."""
        return self.decision.decision is GateDecision.PASS


@dataclass(frozen=True)
class Stage:
    """Where a stage stands; its settings are in the spec.

    Attributes:
        state: See `StageState`.
        gates: In the order of the spec.
        size: Devices that it allows in all, 0 before it is active.
        activated_at: 0 for not yet.
        deadline_at: When the state it is in ends by force.
        soak_began_at: When the last device had ended; 0 for not yet.
        ended_at: 0 for not yet.
    """

    state: StageState
    gates: tuple[GateStatus, ...]
    size: int = 0
    activated_at: float = 0.0
    deadline_at: float = 0.0
    soak_began_at: float = 0.0
    ended_at: float = 0.0


@dataclass(frozen=True)
class Assignment:
    """One device of a rollout.

    Attributes:
        assignment_id: With `attempt` it names a result.
        device: Its id.
        stage: Where it counts: the stage that it joined, or that was active when its late result arrived.
        state: See `AssignmentState`.
        code: Why it ended.
        detail: One line for people.
        attempt: From 1.
        former_version: What the device had before; empty for none.
        offered_at: Of this attempt; 0 for never.
        deadline_at: Of this attempt.
        ended_at: 0 for not yet.
        attempted: Whether it began with the version itself.
        failed: Whether the version failed on it.
        flags: Crashes and drift that were measured while it had the version.
        superseded_by: The newer rollout that the device belongs to now.
    """

    assignment_id: str
    device: str
    stage: int
    state: AssignmentState = AssignmentState.QUEUED
    code: ResultCode = ResultCode.NONE
    detail: str = ""
    attempt: int = 1
    former_version: str = ""
    offered_at: float = 0.0
    deadline_at: float = 0.0
    ended_at: float = 0.0
    attempted: bool = False
    failed: bool = False
    flags: tuple[Metric, ...] = ()
    superseded_by: str = ""

    @property
    def ended(self) -> bool:
        """Whether no result is waited for."""
        return self.state in ENDED


@dataclass(frozen=True)
class Rollout:
    """A rollout as it stands. Change it by `rollout.step` only.

    Attributes:
        rollout_id: Its id; with the device's it decides the order of devices.
        spec: What was asked for.
        state: See `RolloutState`.
        reason: Why it is in that state.
        stages: In the order of the spec.
        assignments: In the order in which devices joined.
        controls: Devices that are kept on their former version until the last stage.
        taken_over: Devices that a newer rollout took before they joined this one: they will not.
        version: Counts changes: store it only over the one before.
        created_at: When it was made.
        state_at: When it came into its state.
        ended_at: 0 for not yet.
    """

    rollout_id: str
    spec: RolloutSpec
    state: RolloutState
    reason: str
    stages: tuple[Stage, ...]
    assignments: tuple[Assignment, ...] = ()
    controls: tuple[str, ...] = ()
    taken_over: tuple[str, ...] = ()
    version: int = 1
    created_at: float = 0.0
    state_at: float = 0.0
    ended_at: float = 0.0

    @property
    def current(self) -> int:
        """Index of the first stage that is not passed; the last one's when all are."""
        waiting = (i for i, stage in enumerate(self.stages) if stage.state is not StageState.PASSED)
        return next(waiting, len(self.stages) - 1)

    @property
    def terminal(self) -> bool:
        """Whether it is over."""
        return self.state in TERMINAL

    def to_json(self) -> str:
        """Everything, so that a server can stop at any time."""
        return dumps(self, schema=_SCHEMA)

    @classmethod
    def from_json(cls, text: str) -> Rollout:
        """Reads what `to_json` wrote, equal.

        Raises:
            InputError: It is damaged or of another schema.
        """
        return loads(cls, text, schema=_SCHEMA)


def create(rollout_id: str, spec: RolloutSpec, now: float) -> Rollout:
    """Makes a rollout; its first stage becomes active at the first step."""
    stages = tuple(Stage(StageState.PENDING, tuple(GateStatus() for _ in stage.gates)) for stage in spec.stages)
    return Rollout(rollout_id, spec, RolloutState.RUNNING, "created", stages, created_at=now, state_at=now)


def next_due(rollout: Rollout) -> float | None:
    """When the passing of time alone will change something, at the earliest; None for never."""
    waiting = [item for item in rollout.assignments if not item.ended and item.state is not AssignmentState.QUEUED]
    due = [item.deadline_at for item in waiting]
    if rollout.state is RolloutState.PAUSED:
        due.append(rollout.state_at + rollout.spec.pause_deadline_seconds)
    elif rollout.state is RolloutState.ROLLING_BACK:
        due.append(rollout.state_at + rollout.spec.device_deadline_seconds)
    elif rollout.state is RolloutState.RUNNING:
        stage, spec = rollout.stages[rollout.current], rollout.spec.stages[rollout.current]
        if stage.state is StageState.PENDING:
            return rollout.state_at
        soak_ends = stage.soak_began_at + spec.soak_seconds
        due.append(stage.deadline_at)
        if stage.state is StageState.SOAKING and all(status.passed for status in stage.gates):
            due.append(soak_ends)
    return min(due, default=None)
