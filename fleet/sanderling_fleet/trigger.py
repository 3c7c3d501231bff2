"""When to retrain: a world or a cohort that moved, enough samples, and neither too soon nor too often.

    state, actions = decide(state, DriftJudged(...), now)

A sensor fault makes a ticket, never a job: retraining on what a broken sensor sees teaches the model the fault. One
device that moved makes neither: look at its site. `next_due` says when to ask again with `Tick`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from sanderling.drift import Scope
from sanderling.errors import InputError, InternalError
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.plain import dumps, loads

_DAY = 86400.0
_SCHEMA = 1


class Phase(StrEnum):
    """What is under way."""

    IDLE = "idle"
    COLLECTING = "collecting"  # samples of the changed data
    TRAINING = "training"  # a job is open


PHASE_TRANSITIONS = frozenset(
    {
        (Phase.IDLE, Phase.COLLECTING),
        (Phase.IDLE, Phase.TRAINING),
        (Phase.COLLECTING, Phase.TRAINING),
        (Phase.COLLECTING, Phase.IDLE),
        (Phase.TRAINING, Phase.IDLE),
    }
)


class IllegalInPhase(InputError):
    """A request does not fit what is under way."""

    grpc_status = "FAILED_PRECONDITION"


@dataclass(frozen=True)
class TriggerPolicy:
    """What must hold before a job is opened.

    Attributes:
        scopes: How much must have moved: WORLD, COHORT or both.
        cooldown_seconds: From the end of one job, or of collecting in vain, to the next.
        minimum_samples: Of the changed data.
        max_jobs: In `period_seconds`, those of operators included.
        period_seconds: See `max_jobs`.
        collect_seconds: How long samples are waited for.
        job_seconds: How long a job may take, labels included; then it is cancelled.
    """

    scopes: tuple[Scope, ...] = (Scope.COHORT, Scope.WORLD)
    cooldown_seconds: float = 7 * _DAY
    minimum_samples: int = 100
    max_jobs: int = 4
    period_seconds: float = 30 * _DAY
    collect_seconds: float = 2 * _DAY
    job_seconds: float = 7 * _DAY

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            InputError: One is out of range.
        """
        if not self.scopes or not set(self.scopes) <= {Scope.COHORT, Scope.WORLD}:
            raise InputError(f"[trigger] scopes {self.scopes}. Give cohort, world or both: one device is no reason")
        if self.cooldown_seconds < 0 or self.minimum_samples < 1 or self.max_jobs < 0:
            raise InputError(
                f"[trigger] cooldown {self.cooldown_seconds} s, minimum_samples {self.minimum_samples}, max_jobs "
                f"{self.max_jobs}; at least 0, 1 and 0 are wanted"
            )
        if not min(self.period_seconds, self.collect_seconds, self.job_seconds) > 0:
            raise InputError(
                f"[trigger] period {self.period_seconds} s, collect {self.collect_seconds} s, job "
                f"{self.job_seconds} s; above 0 is wanted"
            )


@dataclass(frozen=True)
class TriggerState:
    """Everything that is remembered of one slot.

    Attributes:
        slot: Model slot.
        policy: See `TriggerPolicy`.
        phase: What is under way.
        phase_at: Since when.
        scope: How much of the fleet has moved, by the last fleet window.
        reason: Why, in words.
        samples: Collected in this phase.
        started_at: When jobs of the period were opened.
        rested_at: From when the cooldown counts; None before the first job.
        deferred: Why the drift that stands has opened no job yet; empty for no such reason.
        faulty: Devices that have a ticket.
    """

    slot: str
    policy: TriggerPolicy = field(default_factory=TriggerPolicy)
    phase: Phase = Phase.IDLE
    phase_at: float = 0.0
    scope: Scope = Scope.QUIET
    reason: str = ""
    samples: int = 0
    started_at: tuple[float, ...] = ()
    rested_at: float | None = None
    deferred: str = ""
    faulty: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Everything, so that a server can stop at any time."""
        return dumps(self, schema=_SCHEMA)

    @classmethod
    def from_json(cls, text: str) -> TriggerState:
        """Reads what `to_json` wrote, equal.

        Raises:
            InputError: It is damaged or of another schema.
        """
        return loads(cls, text, schema=_SCHEMA)


@dataclass(frozen=True)
class DriftJudged:
    """A fleet window was judged."""

    scope: Scope
    reason: str = ""
    faulty: tuple[str, ...] = ()


@dataclass(frozen=True)
class SamplesArrived:
    """So many samples have been collected since `CollectSamples`, in all."""

    samples: int


@dataclass(frozen=True)
class JobEnded:
    """The job was published, refused, failed or cancelled."""

    outcome: str


@dataclass(frozen=True)
class DriftOver:
    """An operator acknowledged the drift, or another version runs: what stood does not stand any more."""


@dataclass(frozen=True)
class Requested:
    """An operator wants a job now, whatever cooldown and samples say; the budget still holds."""

    by: str
    reason: str = ""


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Event = DriftJudged | SamplesArrived | JobEnded | DriftOver | Requested | Tick


@dataclass(frozen=True)
class CollectSamples:
    """Ask the devices for samples of what they see."""

    slot: str
    reason: str


@dataclass(frozen=True)
class StopCollecting:
    """Samples are not wanted any more."""

    slot: str


@dataclass(frozen=True)
class StartJob:
    """Open a retraining job."""

    slot: str
    reason: str


@dataclass(frozen=True)
class CancelJob:
    """End the open job."""

    slot: str
    reason: str


@dataclass(frozen=True)
class RaiseAlert:
    """Tell an operator. A ticket for a sensor has the kind and devices of the verdict's alert: it is one with it."""

    alert: Alert


Action = CollectSamples | StopCollecting | StartJob | CancelJob | RaiseAlert


def decide(state: TriggerState, event: Event, now: float) -> tuple[TriggerState, tuple[Action, ...]]:
    """Takes one event into account; repeating one changes nothing more.

    Raises:
        IllegalInPhase: A request while a job is open, or beyond the budget.
        InputError: Fewer than no samples.
    """
    actions: list[Action] = []
    match event:
        case DriftJudged():
            actions += [RaiseAlert(_ticket(device)) for device in sorted(set(event.faulty) - set(state.faulty))]
            reason = event.reason if state.phase is Phase.IDLE else state.reason
            state = replace(state, scope=event.scope, reason=reason, faulty=tuple(sorted(set(event.faulty))))
        case DriftOver():
            state = replace(state, scope=Scope.QUIET)
        case SamplesArrived():
            if event.samples < 0:
                raise InputError(f"[trigger] {event.samples} samples, at least 0 are wanted")
            if state.phase is Phase.COLLECTING:
                state = replace(state, samples=event.samples)
        case JobEnded():
            if state.phase is Phase.TRAINING:
                state = _enter(replace(state, rested_at=now), Phase.IDLE, now)
        case Requested():
            state = _requested(state, event, now, actions)
        case Tick():
            pass
    return _settle(state, now, actions), tuple(actions)


def next_due(state: TriggerState) -> float | None:
    """When the passing of time alone will change something, at the earliest; None for never."""
    policy = state.policy
    if state.phase is Phase.COLLECTING:
        return state.phase_at + policy.collect_seconds
    if state.phase is Phase.TRAINING:
        return state.phase_at + policy.job_seconds
    allowed_at = _allowed_at(state)
    return allowed_at if state.scope in policy.scopes and allowed_at < float("inf") else None


def _settle(state: TriggerState, now: float, actions: list[Action]) -> TriggerState:
    policy = state.policy
    if state.phase is Phase.TRAINING and now >= state.phase_at + policy.job_seconds:
        late = f"the job has taken {policy.job_seconds:.0f} s, more than it may"
        actions += [CancelJob(state.slot, late), _alert(state, "retrain.stuck", late)]
        state = _enter(replace(state, rested_at=now), Phase.IDLE, now)
    if state.phase is Phase.COLLECTING:
        state = _collecting(state, now, actions)
    if state.phase is Phase.IDLE:
        state = _idle(state, now, actions)
    return state


def _collecting(state: TriggerState, now: float, actions: list[Action]) -> TriggerState:
    policy = state.policy
    if state.scope not in policy.scopes:
        actions.append(StopCollecting(state.slot))
        return _enter(state, Phase.IDLE, now)
    if state.samples >= policy.minimum_samples:
        return _start(state, now, actions)
    if now >= state.phase_at + policy.collect_seconds:
        few = f"{state.samples} of {policy.minimum_samples} samples in {policy.collect_seconds:.0f} s: {state.reason}"
        actions += [StopCollecting(state.slot), _alert(state, "retrain.starved", few)]
        return _enter(replace(state, rested_at=now), Phase.IDLE, now)
    return state


def _idle(state: TriggerState, now: float, actions: list[Action]) -> TriggerState:
    if state.scope not in state.policy.scopes:
        return replace(state, deferred="")
    allowed_at = _allowed_at(state)
    if now >= allowed_at:
        actions.append(CollectSamples(state.slot, state.reason))
        return _enter(replace(state, deferred=""), Phase.COLLECTING, now)
    why = "cooldown" if len(_in_period(state, now)) < state.policy.max_jobs else "budget"
    if state.deferred != why:
        what = {
            "cooldown": f"the cooldown lasts {allowed_at - now:.0f} s more",
            "budget": f"the budget of {state.policy.max_jobs} jobs in {state.policy.period_seconds:.0f} s is spent",
        }
        actions.append(_alert(state, "retrain.deferred", f"{what[why]}: {state.reason}"))
    return replace(state, deferred=why)


def _requested(state: TriggerState, event: Requested, now: float, actions: list[Action]) -> TriggerState:
    spent = len(_in_period(state, now))
    if state.phase is Phase.TRAINING or spent >= state.policy.max_jobs:
        raise IllegalInPhase(
            f"[trigger] a job for slot {state.slot!r}, which is {state.phase} with {spent} of {state.policy.max_jobs} "
            f"jobs in {state.policy.period_seconds:.0f} s. Wait for the job's end, or raise the budget"
        )
    return _start(replace(state, reason=f"by {event.by}: {event.reason}"), now, actions)


def _start(state: TriggerState, now: float, actions: list[Action]) -> TriggerState:
    actions.append(StartJob(state.slot, state.reason))
    started = (*_in_period(state, now), now)
    return _enter(replace(state, started_at=started, deferred=""), Phase.TRAINING, now)


def _enter(state: TriggerState, phase: Phase, now: float) -> TriggerState:
    if (state.phase, phase) not in PHASE_TRANSITIONS:
        raise InternalError(f"[trigger] {state.phase} to {phase} is not in the table. Report this")
    return replace(state, phase=phase, phase_at=now, samples=0)


def _in_period(state: TriggerState, now: float) -> tuple[float, ...]:
    return tuple(at for at in state.started_at if at + state.policy.period_seconds > now)


def _allowed_at(state: TriggerState) -> float:
    """From when cooldown and budget allow a job."""
    policy = state.policy
    if policy.max_jobs == 0:
        return float("inf")
    rested = float("-inf") if state.rested_at is None else state.rested_at + policy.cooldown_seconds
    if len(state.started_at) < policy.max_jobs:
        return rested
    # The budget is free again when the job that is max_jobs back leaves the period.
    return max(rested, state.started_at[len(state.started_at) - policy.max_jobs] + policy.period_seconds)


def _ticket(device: str) -> Alert:
    summary = f"{device}: sensor fault. Repair the sensor; its samples are not used for training"
    return Alert("sensor.fault", Severity.ERROR, summary, (device,))


def _alert(state: TriggerState, kind: str, text: str) -> RaiseAlert:
    return RaiseAlert(Alert(kind, Severity.WARNING, f"slot {state.slot}: {text}"))
