"""What can happen to a device: what ports answer, and what falls due.

`step` names the slot's step that asked; 0 is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from sanderling.agent.bodies import Metrics, Notice
from sanderling.agent.state import Code, Release, TelemetryPlan, Wanted


@dataclass(frozen=True)
class Started:
    """The agent's process began. Another boot id than the stored one means that the machine was restarted."""

    boot_id: str


@dataclass(frozen=True)
class CheckInDue:
    """It is time to ask the fleet."""


@dataclass(frozen=True)
class Hinted:
    """The broker said "come and ask"; `spread_s` of 0 means the default."""

    spread_s: float = 0.0


@dataclass(frozen=True)
class Desired:
    """A desired state whose signature was checked."""

    device_id: str
    counter: int
    slots: tuple[tuple[str, Wanted], ...]
    plan: TelemetryPlan | None = None


@dataclass(frozen=True)
class CheckedIn:
    """The fleet answered.

    Attributes:
        next_s: When to come again.
        approved: By an operator.
        desired: If there is a newer one than the device's.
        committed: (assignment, attempt) of results that the fleet has stored.
        telemetry: (boot id, sequence) up to which it has stored telemetry.
        refused: Why a desired state in the answer was not believed, or empty.
    """

    next_s: float
    approved: bool
    desired: Desired | None = None
    committed: tuple[tuple[str, int], ...] = ()
    telemetry: tuple[tuple[str, int], ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class CheckInFailed:
    """The fleet did not answer, or refused."""

    detail: str


@dataclass(frozen=True)
class Resolved:
    """The signed metadata names the version.

    Attributes:
        slot: Which.
        step: That asked.
        release: With the counter of its manifest.
        why_not: What keeps it from running here, or empty.
        downgrade_allowed: The downgrade token is the release role's, names this version and has not expired.
    """

    slot: str
    step: int
    release: Release
    why_not: str = ""
    downgrade_allowed: bool = False


@dataclass(frozen=True)
class Fetched:
    """All blobs of the candidate are here."""

    slot: str
    step: int


@dataclass(frozen=True)
class Verified:
    """The candidate's blobs have their digests and are of allowed formats."""

    slot: str
    step: int


@dataclass(frozen=True)
class Loaded:
    """A runner has loaded the version."""

    slot: str
    step: int


@dataclass(frozen=True)
class SelfTested:
    """The candidate ran its golden samples.

    Attributes:
        slot: Which.
        step: That asked.
        samples: Golden samples.
        within: Of them within tolerance.
        latency_us: Median of the candidate.
        incumbent_latency_us: Of the incumbent in the same test, 0 without one.
        detail: The first that failed.
    """

    slot: str
    step: int
    samples: int
    within: int
    latency_us: float
    incumbent_latency_us: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class Served:
    """New requests go to the version that was asked for."""

    slot: str
    step: int


@dataclass(frozen=True)
class StepFailed:
    """What was asked could not be done; `retry` where it may pass by itself."""

    slot: str
    step: int
    code: Code
    detail: str
    retry: bool = False


@dataclass(frozen=True)
class StepDue:
    """The deadline of a phase."""

    slot: str
    step: int


@dataclass(frozen=True)
class RetryDue:
    """The wait after a failure that may pass is over."""

    slot: str
    step: int


@dataclass(frozen=True)
class HealDue:
    """The active version's runner is to be started again."""

    slot: str


@dataclass(frozen=True)
class ObserveDue:
    """It is time to look at the slot's runner."""

    slot: str


@dataclass(frozen=True)
class Window:
    """A closed drift window: its number and the serialized telemetry.v1.DriftWindow."""

    number: int
    body: bytes


@dataclass(frozen=True)
class Observed:
    """What a runner counted since it started.

    Attributes:
        slot: Which.
        version: That the runner runs.
        instance: Of the runner process.
        rows: Inferences.
        errors: Of them failed.
        latency_p95_us: Over its recent rows.
        first_row: Of `confidences`.
        confidences: In [0, 1].
        windows: Closed and not acknowledged.
        own_reference: Digest of the stored reference, if it was just made.
        latency_p50_us: Over its recent rows.
        resident_bytes: Of the process.
        cpu_seconds: Of the process.
    """

    slot: str
    version: str
    instance: str
    rows: int
    errors: int
    latency_p95_us: float
    first_row: int = 0
    confidences: tuple[float, ...] = ()
    windows: tuple[Window, ...] = ()
    own_reference: str = ""
    latency_p50_us: float = 0.0
    resident_bytes: int = 0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Attached:
    """What an application saw that runs the version itself; bytes are a serialized DriftWindow."""

    slot: str
    version: str
    body: bytes | Metrics | Notice


@dataclass(frozen=True)
class Died:
    """A runner is gone: CRASH by itself, HANG killed since it did not answer."""

    slot: str
    version: str
    code: Code
    detail: str


SlotEvent = (
    Resolved
    | Fetched
    | Verified
    | Loaded
    | SelfTested
    | Served
    | StepFailed
    | StepDue
    | RetryDue
    | HealDue
    | ObserveDue
    | Observed
    | Attached
    | Died
)
Event = Started | CheckInDue | Hinted | CheckedIn | CheckInFailed | SlotEvent
