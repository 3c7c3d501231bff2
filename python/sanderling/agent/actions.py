"""What the rules ask of the ports. Each may be asked again after a restart and then changes nothing that was done."""

from __future__ import annotations

from dataclasses import dataclass

from sanderling.agent.bodies import Metrics, Notice
from sanderling.agent.events import Event
from sanderling.agent.state import Phase, Release, Result, TelemetryPlan, Wanted


@dataclass(frozen=True)
class Wake:
    """Deliver `event` at `at`. A later Wake of the same event class and slot takes its place."""

    at: float
    event: Event


@dataclass(frozen=True)
class SlotReport:
    """One slot in a check-in."""

    slot: str
    active_version: str
    manifest_digest: str
    phase: Phase
    assignment: str
    inferences: int
    runner_restarts: int


@dataclass(frozen=True)
class CheckIn:
    """Ask the fleet. Answers: CheckedIn, CheckInFailed."""

    boot_id: str
    sequence: int
    desired_counter: int
    slots: tuple[SlotReport, ...]
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Resolve:
    """Find the version in the signed metadata and read its manifest. Answers: Resolved, StepFailed."""

    slot: str
    step: int
    wanted: Wanted


@dataclass(frozen=True)
class Fetch:
    """Get the blobs that are missing, going on where it was cut off. Answers: Fetched, StepFailed."""

    slot: str
    step: int
    release: Release


@dataclass(frozen=True)
class Verify:
    """Check all blobs. Answers: Verified, StepFailed."""

    slot: str
    step: int
    release: Release


@dataclass(frozen=True)
class Launch:
    """How a runner is started."""

    release: Release
    own_reference: str
    next_window: int
    plan: TelemetryPlan


@dataclass(frozen=True)
class Load:
    """Have a runner that has loaded the version. Answers: Loaded, StepFailed; with step 0 none that matters."""

    slot: str
    step: int
    launch: Launch


@dataclass(frozen=True)
class SelfTest:
    """Run golden samples on the candidate, and latency on both. Answers: SelfTested, StepFailed."""

    slot: str
    step: int
    candidate: Launch
    incumbent: Launch | None


@dataclass(frozen=True)
class Serve:
    """Have the version loaded and activated, and the router send new requests to it; None: to nobody.

    Answers: Served, StepFailed.
    """

    slot: str
    step: int
    launch: Launch | None


@dataclass(frozen=True)
class Observe:
    """Ask a runner what it counted; what was stored is acknowledged. Answers: Observed or nothing."""

    slot: str
    version: str
    instance: str
    stored_window: int
    stored_row: int
    sample_budget_bytes: int = 0


@dataclass(frozen=True)
class Keep:
    """Drain and end every runner that is none of these (slot, version)."""

    runners: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Collect:
    """Delete blobs that none of these manifests (digests) and none of these blobs need.

    Without the manifest of a version that runs nothing is deleted: what it needs is not known.

    Attributes:
        manifests: Of versions that run.
        blobs: Kept besides.
        spare: Manifests of versions that ran or are wanted; they need not be here.
    """

    manifests: tuple[str, ...]
    blobs: tuple[str, ...]
    spare: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForgetTelemetry:
    """The fleet has stored telemetry of this boot up to this sequence."""

    boot_id: str
    sequence: int


@dataclass(frozen=True)
class Emit:
    """A row for the outbox, stored in the same transaction as the state. Bytes are a serialized DriftWindow."""

    slot: str
    version: str
    body: bytes | Metrics | Notice


SlotAction = Wake | Resolve | Fetch | Verify | Load | SelfTest | Serve | Observe | Emit
Action = SlotAction | CheckIn | Keep | Collect | ForgetTelemetry
