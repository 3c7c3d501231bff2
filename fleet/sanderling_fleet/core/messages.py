"""What goes in and out of the operations. The protocols (proto/sanderling/api) say what each field means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sanderling_fleet.store import Version
from sanderling_fleet.trust.director import SignedState


@dataclass(frozen=True)
class Broker:
    """How devices reach the MQTT broker."""

    url: str
    username: str = ""
    password: str = ""


@dataclass(frozen=True)
class Addresses:
    """Where devices find the fleet: "host:port" each."""

    device: str
    enrolment: str
    broker: Broker | None = None


@dataclass(frozen=True)
class Enrolled:
    """A machine that became a device."""

    device_id: str
    certificate_chain: str
    ca_certificate: str
    tuf_root: bytes
    addresses: Addresses
    approved: bool


@dataclass(frozen=True)
class ReportedResult:
    """The end of an assignment; `content` is the whole message, a rollout.v1.AssignmentResult."""

    assignment_id: str
    attempt: int
    content: bytes


@dataclass(frozen=True)
class TelemetryRow:
    """One envelope; `content` is the whole message, a telemetry.v1.Envelope."""

    boot_id: str
    sequence: int
    content: bytes


@dataclass(frozen=True)
class CheckIn:
    """What a device says. `facts` and `slots` have the fields of their messages by name."""

    protocol_version: int
    boot_id: str
    sequence: int
    facts: Mapping[str, Any]
    slots: Sequence[Mapping[str, Any]]
    desired_counter: int
    results: Sequence[ReportedResult] = ()
    telemetry: Sequence[TelemetryRow] = ()
    telemetry_dropped: int = 0


@dataclass(frozen=True)
class Answer:
    """What a device is told. One that is not approved is told when to come again, and no more."""

    next_check_in_seconds: float
    approved: bool
    desired_state: SignedState | None = None
    timestamp_version: int = 0
    committed_results: Sequence[tuple[str, int]] = ()
    committed_through: Mapping[str, int] = field(default_factory=dict)
    addresses: Addresses | None = None


@dataclass(frozen=True)
class Published:
    """What publishing metadata made: the versions that snapshot and timestamp have now, and models newly visible."""

    snapshot_version: int
    timestamp_version: int
    versions: Sequence[Version] = ()
