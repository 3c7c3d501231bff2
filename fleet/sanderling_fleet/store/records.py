"""What is stored, one frozen dataclass a table. Times are seconds since the epoch, UTC.

A field of type dict or list holds plain JSON and belongs to the store once it is put: make a new one, never change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Standing(StrEnum):
    """Where a device stands in the fleet."""

    PENDING = "pending"
    ACTIVE = "active"
    REVOKED = "revoked"
    CONFLICT = "conflict"


class Record:
    """The root of what a `Store` takes. `KEY` names the fields that name a record."""

    KEY: ClassVar[tuple[str, ...]]

    def key(self) -> tuple[Any, ...]:
        """The values of `KEY`."""
        return tuple(getattr(self, name) for name in self.KEY)


@dataclass(frozen=True)
class Device(Record):
    """A device, and what it said last.

    Attributes:
        device_id: Chosen by the server; [a-z0-9-], so that it is a plain topic and common name.
        standing: A `Standing`.
        reason: Why it is revoked or in conflict.
        labels: Set by operators.
        facts: As the device says itself (proto DeviceFacts, by field name).
        boot_id: Of its last check-in.
        former_boot_ids: Those before, newest last: a machine never returns to one.
        sequence: Of its last check-in.
        slots: As reported (proto SlotStatus, by field name).
        reported_counter: Of the desired state that it holds.
    """

    KEY = ("device_id",)
    device_id: str
    standing: str
    reason: str
    labels: dict[str, str]
    facts: dict[str, Any]
    enrolled_at: float
    last_seen_at: float
    boot_id: str
    former_boot_ids: list[str]
    sequence: int
    slots: list[dict[str, Any]]
    reported_counter: int
    certificate_expires_at: float


@dataclass(frozen=True)
class Certificate(Record):
    """A device's certificate; `revoked_at` is 0 while it is good."""

    KEY = ("serial",)
    serial: str
    device_id: str
    issued_at: float
    expires_at: float
    revoked_at: float


@dataclass(frozen=True)
class JoinToken(Record):
    """A join token: only the SHA-256 of its secret, hexadecimal, is kept. `root_version` is the root that it names."""

    KEY = ("secret_digest",)
    secret_digest: str
    root_version: int
    created_at: float
    expires_at: float
    labels: dict[str, str]
    approved: bool
    used_at: float
    request_id: str
    device_id: str


@dataclass(frozen=True)
class UsedNonce(Record):
    """A recovery nonce that has served; kept until it would have expired anyway."""

    KEY = ("nonce_digest",)
    nonce_digest: str
    expires_at: float


@dataclass(frozen=True)
class Metadata(Record):
    """A file of TUF metadata; the newest version of a role is the current one."""

    KEY = ("role", "version")
    role: str
    version: int
    content: bytes
    expires_at: float


@dataclass(frozen=True)
class Version(Record):
    """A version of a model as a TUF role named it; `withdrawn` when the role names it no longer."""

    KEY = ("name",)
    name: str
    model: str
    release_counter: int
    manifest_digest: bytes
    size: int
    role: str
    published_at: float
    manifest: str
    withdrawn: bool


@dataclass(frozen=True)
class Group(Record):
    """A name for a selector."""

    KEY = ("name",)
    name: str
    selector: str


@dataclass(frozen=True)
class OperatorToken(Record):
    """A bearer token: only its SHA-256, hexadecimal, is kept. `expires_at` is 0 for none."""

    KEY = ("token_digest",)
    token_digest: str
    name: str
    role: str
    created_at: float
    expires_at: float


@dataclass(frozen=True)
class AuditLine(Record):
    """Who did what. `digest` covers the line and `former_digest`, so that no line can be changed or taken out."""

    KEY = ("sequence",)
    sequence: int
    at: float
    actor: str
    action: str
    subject: str
    outcome: str
    detail: str
    former_digest: str
    digest: str


@dataclass(frozen=True)
class DesiredState(Record):
    """What the fleet wants of a device, signed.

    Attributes:
        counter: Strictly increasing.
        payload: The signed bytes, a device.v1.DesiredState.
    """

    KEY = ("device_id",)
    device_id: str
    counter: int
    issued_at: float
    payload: bytes
    key_id: str
    signature: bytes


@dataclass(frozen=True)
class Result(Record):
    """The end of an assignment as its device reported it; each is taken once (`content`: proto AssignmentResult)."""

    KEY = ("device_id", "assignment_id", "attempt")
    device_id: str
    assignment_id: str
    attempt: int
    received_at: float
    content: bytes


@dataclass(frozen=True)
class TelemetryProgress(Record):
    """Everything that a device sent in this boot, up to and including `sequence`, is in the database."""

    KEY = ("device_id", "boot_id")
    device_id: str
    boot_id: str
    sequence: int
    updated_at: float


@dataclass(frozen=True)
class TelemetryAhead(Record):
    """Rows of a boot that are in the database beyond a gap, while there is one.

    Attributes:
        ranges: First and last sequence of each run, ascending.
        since: When the lowest gap was seen.
    """

    KEY = ("device_id", "boot_id")
    device_id: str
    boot_id: str
    ranges: list[list[int]]
    since: float


@dataclass(frozen=True)
class MetricsRow(Record):
    """What a device counted since its last row of metrics (proto Metrics, by field name).

    Attributes:
        day: Of `received_at`, in days since the epoch: rows are kept for so many days.
        identity: "verified" if the sender's certificate was checked, "asserted" if it only says who it is.
        at: By the device's clock, and not later than `received_at`.
    """

    KEY = ("day", "device_id", "boot_id", "sequence")
    day: int
    device_id: str
    boot_id: str
    sequence: int
    slot: str
    version: str
    identity: str
    at: float
    received_at: float
    inferences: int
    errors: int
    latency_p50_us: float
    latency_p95_us: float
    mean_confidence: float
    runner_restarts: int
    resident_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class DriftRow(Record):
    """A window as a device judged it; `content` is the whole message, a telemetry.v1.DriftWindow. See `MetricsRow`."""

    KEY = ("day", "device_id", "boot_id", "sequence")
    day: int
    device_id: str
    boot_id: str
    sequence: int
    slot: str
    version: str
    identity: str
    at: float
    received_at: float
    window: int
    verdict: str
    content: bytes


@dataclass(frozen=True)
class EventRow(Record):
    """Something that happened on a device (proto Event, by field name). See `MetricsRow`."""

    KEY = ("day", "device_id", "boot_id", "sequence")
    day: int
    device_id: str
    boot_id: str
    sequence: int
    slot: str
    version: str
    identity: str
    at: float
    received_at: float
    kind: str
    severity: str
    message: str
    fields: dict[str, str]


@dataclass(frozen=True)
class VersionMetrics(Record):
    """A version on a device, all its rows of metrics together: counts are sums, gauges are of the newest row.

    Attributes:
        rows: How many were summed.
        mean_confidence: Weighted by inferences.
        windows_moved: Windows that the device judged as moved.
        at: By the device's clock, of the newest row.
    """

    KEY = ("slot", "version", "identity", "device_id")
    slot: str
    version: str
    identity: str
    device_id: str
    rows: int
    at: float
    received_at: float
    inferences: int
    errors: int
    latency_p50_us: float
    latency_p95_us: float
    mean_confidence: float
    runner_restarts: int
    windows_moved: int
    resident_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class Presence(Record):
    """Whether a device is connected to the broker, as its retained status or its will says."""

    KEY = ("device_id",)
    device_id: str
    online: bool
    boot_id: str
    agent_version: str
    identity: str
    changed_at: float


@dataclass(frozen=True)
class Document(Record):
    """A rollout, a fleet verdict, an alert, a job: one JSON document of its own rules, found by indexed columns.

    Attributes:
        kind: "rollout", "alert", ...
        document_id: Unique in its kind.
        version: 1 when made, one more with every `Transaction.swap`.
        state: In the words of its kind; indexed.
        subject: What it is about, such as a slot; indexed.
        body: JSON.
    """

    KEY = ("kind", "document_id")
    kind: str
    document_id: str
    version: int
    state: str
    subject: str
    created_at: float
    updated_at: float
    body: dict[str, Any]
