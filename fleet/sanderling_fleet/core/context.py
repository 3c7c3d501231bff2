"""What every operation needs, in one object."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sanderling.api.device.v1 import device_pb2
from sanderling_fleet.clock import Clock
from sanderling_fleet.core.messages import Addresses, ReportedResult
from sanderling_fleet.core.telemetry import Intake
from sanderling_fleet.store import Device, Store, Transaction
from sanderling_fleet.store.blobs import Blobs
from sanderling_fleet.trust.ca import CertificateAuthority
from sanderling_fleet.trust.director import Director
from sanderling_fleet.trust.tuf_repository import OnlineRoles

OnResult = Callable[[Transaction, Device, ReportedResult], Awaitable[None]]
OnSlots = Callable[[Transaction, Device], Awaitable[None]]


@dataclass(frozen=True)
class Settings:
    """How the fleet is run.

    Attributes:
        addresses: Where devices find it.
        check_in_seconds: Mean time between two check-ins of a device.
        check_in_jitter: Share of that by which single waits differ, so that a fleet does not come all at once.
        join_token_seconds: Life of a join token for which none is asked.
        recovery_seconds: How long after its end a certificate may still be recovered.
        nonce_seconds: Life of a recovery nonce.
        probation: How long a device tries a version before it commits; unset fields are the agent's defaults.
        telemetry: What devices send.
    """

    addresses: Addresses
    check_in_seconds: float = 900.0
    check_in_jitter: float = 0.2
    join_token_seconds: float = 86400.0
    recovery_seconds: float = 180 * 86400.0
    nonce_seconds: float = 300.0
    probation: device_pb2.Probation = field(default_factory=device_pb2.Probation)
    telemetry: device_pb2.TelemetryPlan = field(default_factory=device_pb2.TelemetryPlan)


async def _nothing(tx: Transaction, device: Device, item: object = None) -> None:
    """Takes no notice."""


@dataclass
class Core:
    """The parts of a fleet server.

    Attributes:
        store: Records.
        blobs: Manifests and what they name.
        clock: The time.
        authority: Signs certificates.
        roles: Signs TUF's snapshots and timestamps.
        director: Signs desired states.
        settings: How the fleet is run.
        on_slots: Gets a device whose check-in said how its slots stand.
        on_result: Gets every result of an assignment once, in the transaction that stores it.
        telemetry: Takes what devices report, by check-in or by broker.
        wanted: Devices of which something new is wanted since they were last told to come and ask.
        entropy: Random bytes; a simulation gives a seeded source.
        nonce_key: Signs recovery nonces; a restart makes those on the way worthless, and devices ask again.
    """

    store: Store
    blobs: Blobs
    clock: Clock
    authority: CertificateAuthority
    roles: OnlineRoles
    director: Director
    settings: Settings
    on_slots: OnSlots = _nothing
    on_result: OnResult = _nothing
    telemetry: Intake = field(default_factory=Intake)
    wanted: set[str] = field(default_factory=set)
    entropy: Callable[[int], bytes] = secrets.token_bytes
    nonce_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
