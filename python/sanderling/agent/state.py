"""What an agent knows and stores: the device, its slots, updates under way, results that wait to be confirmed.

Frozen, free of IO, and JSON by `codec`. Times (`..._at`) are seconds since the epoch, digests hexadecimal SHA-256.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from sanderling.agent.confidence import ConfidenceTest

RECENT_ROWS = 500
"""Rows of the incumbent that a candidate's confidence is compared with."""


class Phase(StrEnum):
    """Where a slot's update stands.

    IDLE and REPORT take a new one; REPORT has a result that the fleet has not confirmed.
    """

    IDLE = "idle"
    FETCH = "fetch"
    VERIFY = "verify"
    BUILD = "build"
    SELFTEST = "selftest"
    SWITCH = "switch"
    PROBATION = "probation"
    COMMIT = "commit"
    REVERT = "revert"
    REPORT = "report"


BEFORE_SWITCH = frozenset({Phase.FETCH, Phase.VERIFY, Phase.BUILD, Phase.SELFTEST})
ON_TRIAL = frozenset({Phase.SWITCH, Phase.PROBATION})


class Outcome(StrEnum):
    """How an assignment ended: the names of proto AssignmentState."""

    COMMITTED = "COMMITTED"
    DISCARDED = "DISCARDED"
    REVERTED = "REVERTED"
    SUPERSEDED = "SUPERSEDED"


class Code(StrEnum):
    """Why: the names of proto ResultCode."""

    OK = "OK"
    INCOMPATIBLE = "INCOMPATIBLE"
    NO_SPACE = "NO_SPACE"
    FETCH_FAILED = "FETCH_FAILED"
    INTEGRITY = "INTEGRITY"
    BUILD_FAILED = "BUILD_FAILED"
    SELFTEST_FAILED = "SELFTEST_FAILED"
    CRASH = "CRASH"
    HANG = "HANG"
    LATENCY = "LATENCY"
    CONFIDENCE = "CONFIDENCE"
    PROBATION_TIMEOUT = "PROBATION_TIMEOUT"
    SUPERSEDED = "SUPERSEDED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True)
class Release:
    """A version as its signed manifest names it.

    Attributes:
        version: "NAME-VERSION".
        digest: Of the manifest.
        counter: Release counter.
    """

    version: str
    digest: str
    counter: int

    @property
    def model(self) -> str:
        """NAME."""
        return self.version.rpartition("-")[0]


@dataclass(frozen=True)
class Trial:
    """How long a version is on trial: until both `rows` and `duration_s` are reached, at most `deadline_s`."""

    rows: int = 500
    duration_s: float = 600.0
    deadline_s: float = 86_400.0


@dataclass(frozen=True)
class Wanted:
    """What the fleet wants of one slot.

    Attributes:
        version: "NAME-VERSION"; empty takes the model away.
        digest: Of its manifest.
        assignment: Empty outside a rollout: then no result is reported.
        attempt: Of the assignment.
        counter: Of the desired state that said so.
        trial: Probation.
        downgrade_token: A SignedDowngradeToken, or empty.
    """

    version: str
    digest: str = ""
    assignment: str = ""
    attempt: int = 0
    counter: int = 0
    trial: Trial = Trial()
    downgrade_token: bytes = b""

    def same_as(self, other: Wanted) -> bool:
        """Whether both ask for one and the same update."""
        return (self.version, self.digest, self.assignment, self.attempt) == (
            other.version,
            other.digest,
            other.assignment,
            other.attempt,
        )

    @property
    def key(self) -> str:
        """Names the update once it has ended, so that it is not begun again."""
        return f"{self.assignment}/{self.attempt}" if self.assignment else f"{self.version}@{self.counter}"


@dataclass(frozen=True)
class TelemetryPlan:
    """What the runner counts and the device sends.

    `sample_budget_bytes` of 0 collects no samples; a device alarms at `fleet_devices` times the fleet's alarm level.
    """

    window_rows: int = 200
    warmup_rows: int = 2000
    metrics_interval_s: float = 900.0
    sample_budget_bytes: int = 0
    fleet_devices: int = 1


@dataclass(frozen=True)
class Running:
    """A version that a runner of this device runs, and what was seen of it.

    Attributes:
        release: Which.
        instance: Of the runner process that the counts below are of; another one starts from 0.
        rows: Of this instance.
        errors: Of this instance.
        rows_before: Of former instances, as `errors_before`.
        errors_before: Of former instances.
        next_row: First row of this instance whose confidence has not been counted.
        next_window: First drift window that has not been stored.
        own_reference: Digest of the device's own reference, empty until its warm-up ended.
        latency_p50_us: As last seen.
        latency_p95_us: As last seen.
        resident_bytes: As last seen.
        cpu_seconds: As last seen.
        recent: (rows, sum of confidences) of the latest observations, RECENT_ROWS or a little more.
        crashes: Crashes and hangs.
    """

    release: Release
    instance: str = ""
    rows: int = 0
    errors: int = 0
    rows_before: int = 0
    errors_before: int = 0
    next_row: int = 0
    next_window: int = 0
    own_reference: str = ""
    latency_p50_us: float = 0.0
    latency_p95_us: float = 0.0
    resident_bytes: int = 0
    cpu_seconds: float = 0.0
    recent: tuple[tuple[int, float], ...] = ()
    crashes: int = 0

    @property
    def all_rows(self) -> int:
        """Of all instances."""
        return self.rows_before + self.rows

    @property
    def all_errors(self) -> int:
        """Of all instances."""
        return self.errors_before + self.errors

    @property
    def recent_rows(self) -> int:
        """Rows behind `mean_confidence`."""
        return sum(rows for rows, _ in self.recent)

    @property
    def mean_confidence(self) -> float:
        """Of the recent rows; 0 without any."""
        rows = self.recent_rows
        return sum(total for _, total in self.recent) / rows if rows else 0.0

    def with_confidences(self, values: tuple[float, ...]) -> Running:
        """The state after these rows."""
        if not values:
            return self
        blocks = list(self.recent)
        # Small blocks are merged, so that a slow stream of rows does not make a long list.
        rows, total = blocks.pop() if blocks and blocks[-1][0] < RECENT_ROWS // 10 else (0, 0.0)
        blocks.append((rows + len(values), total + sum(values)))
        kept = sum(rows for rows, _ in blocks)
        while kept - blocks[0][0] >= RECENT_ROWS:
            kept -= blocks.pop(0)[0]
        return replace(self, recent=tuple(blocks))


@dataclass(frozen=True)
class Measured:
    """What a result says of one version."""

    rows: int = 0
    errors: int = 0
    crashes: int = 0
    latency_p95_us: float = 0.0
    golden_score: float = 0.0
    mean_confidence: float = 0.0
    confidence_evidence: float = 0.0


@dataclass(frozen=True)
class Result:
    """How an assignment ended here. Kept until the fleet says that it has stored it."""

    assignment: str
    attempt: int
    slot: str
    version: str
    outcome: Outcome
    code: Code
    detail: str
    ended_at: float
    candidate: Measured = Measured()
    incumbent: Measured = Measured()


@dataclass(frozen=True)
class Update:
    """An update under way.

    Attributes:
        wanted: What was asked.
        started_at: When.
        candidate: Known once the manifest is.
        transitions: Stored so far, restarts included; the loop breaker ends an update that has too many.
        retries: Of the present phase.
        boots: Restarts of the machine while on trial.
        golden_score: Share of golden samples within tolerance.
        switched_at: When the router moved.
        test: Of confidence; None where the incumbent has too few rows.
        slow_looks: Looks in a row at which the candidate was too slow.
        told_rows: Of the candidate's rows, those that attached applications told the fleet, as `told_errors`.
        told_errors: Of its errors.
        failure: Why it is being reverted, or why the last try to fetch it failed; with the detail.
    """

    wanted: Wanted
    started_at: float
    candidate: Running | None = None
    transitions: int = 0
    retries: int = 0
    boots: int = 0
    golden_score: float = 0.0
    switched_at: float = 0.0
    test: ConfidenceTest | None = None
    slow_looks: int = 0
    told_rows: int = 0
    told_errors: int = 0
    failure: tuple[Code, str] | None = None


@dataclass(frozen=True)
class Slot:
    """One model slot.

    Attributes:
        name: Of the slot.
        phase: Of its update.
        step: Grows with each change of phase; answers to a former one are ignored.
        deadline_at: When the phase is forced to end.
        active: The version that answers, unless one is on trial.
        previous: The version before; its files are kept.
        floors: By model, the release counter below which a version needs a downgrade token.
        update: Under way.
        pending: What the fleet asked for meanwhile.
        ended: `Wanted.key` of the last update that ended.
        heals: Failed attempts in a row to serve the active version.
        metrics_at: When metrics were last sent.
        sent_rows: Rows of the active version in metrics so far, as `sent_errors`.
        sent_errors: Errors in metrics so far.
        sent_restarts: Runner restarts in metrics so far.
        restarts: Of runners since the slot exists.
    """

    name: str
    phase: Phase = Phase.IDLE
    step: int = 0
    deadline_at: float = 0.0
    active: Running | None = None
    previous: Release | None = None
    floors: dict[str, int] = field(default_factory=dict)
    update: Update | None = None
    pending: Wanted | None = None
    ended: str = ""
    heals: int = 0
    metrics_at: float = 0.0
    sent_rows: int = 0
    sent_errors: int = 0
    sent_restarts: int = 0
    restarts: int = 0


@dataclass(frozen=True)
class AgentState:
    """The whole device.

    Attributes:
        device_id: As enrolled.
        boot_id: Of the running kernel.
        sequence: Of the last check-in that was begun.
        desired_counter: Of the desired state held.
        slots: By name.
        results: Not yet confirmed.
        plan: Telemetry.
        check_in_interval_s: As the fleet last said.
        check_in_failures: In a row.
        check_in_error: Why the last one failed, empty after one that did not.
        check_in_at: When the next one is due; while one is under way, when another is wanted after it. 0 for none.
        checking_in: One is under way.
        checked_in_at: Last success, 0 for none.
        approved: By an operator; without it the device is given nothing.
    """

    device_id: str
    boot_id: str = ""
    sequence: int = 0
    desired_counter: int = 0
    slots: dict[str, Slot] = field(default_factory=dict)
    results: tuple[Result, ...] = ()
    plan: TelemetryPlan = TelemetryPlan()
    check_in_interval_s: float = 900.0
    check_in_failures: int = 0
    check_in_error: str = ""
    check_in_at: float = 0.0
    checking_in: bool = False
    checked_in_at: float = 0.0
    approved: bool = False


@dataclass(frozen=True)
class Settings:
    """Numbers that the rules are run with; what the fleet may choose is in `Trial` and `TelemetryPlan`.

    Attributes:
        deadlines_s: Of each phase; PROBATION's is the trial's.
        retry_s: First wait after a failed fetch, check-in or start of a runner; doubles up to `retry_most_s`.
        retry_most_s: Longest such wait.
        heal_most_s: Longest wait before a crashed runner is started again.
        observe_s: Between looks at a runner.
        observe_trial_s: The same, while on trial.
        jitter: Share of an interval that is random, both ways.
        check_in_lost_s: A check-in without an answer for so long, which is longer than one can take, is begun anew.
        hint_spread_s: After a hint that names no spread.
        latency_ratio: Most that p95 may be of the incumbent's.
        latency_slack_us: Added to that limit: below it, differences are the scheduler's and not the model's
            (docs/agent-states.md has numbers).
        latency_rows: Fewest rows behind a judgement of latency before the trial's end.
        slow_looks: Looks in a row over the limit that end a trial before its time.
        confidence_margin: How far mean confidence may fall.
        confidence_evidence: E-value at which it has fallen further.
        confidence_rows: Fewest rows of the incumbent for a comparison.
        most_transitions: Stored transitions per update.
        most_boots: Restarts of the machine while on trial.
    """

    deadlines_s: dict[Phase, float] = field(
        default_factory=lambda: {
            Phase.FETCH: 86_400.0,
            Phase.VERIFY: 600.0,
            Phase.BUILD: 300.0,
            Phase.SELFTEST: 120.0,
            Phase.SWITCH: 60.0,
            Phase.COMMIT: 60.0,
            Phase.REVERT: 60.0,
        }
    )
    retry_s: float = 5.0
    retry_most_s: float = 900.0
    heal_most_s: float = 60.0
    observe_s: float = 10.0
    observe_trial_s: float = 1.0
    jitter: float = 0.2
    check_in_lost_s: float = 3600.0
    hint_spread_s: float = 5.0
    latency_ratio: float = 1.5
    latency_slack_us: float = 500.0
    latency_rows: int = 200
    slow_looks: int = 3
    confidence_margin: float = 0.1
    confidence_evidence: float = 1000.0
    confidence_rows: int = 100
    most_transitions: int = 28
    most_boots: int = 3
