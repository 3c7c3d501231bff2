"""The fleet server under virtual time: the whole core over a store in memory, called by a simulator.

Operations, rules, signatures, TUF repository and telemetry are those of a running server; what is left out is what lies
around the core: sockets, TLS and the event loop. The core's coroutines never suspend on a `MemoryStore`, so each call
runs to its end. Devices speak to it in the protocols' own messages, and hand telemetry to a broker that keeps it until
the next `ingest`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sanderling import trust
from sanderling.api.device.v1 import device_pb2, enrolment_pb2
from sanderling.api.rollout.v1 import rollout_pb2
from sanderling.errors import InputError, InternalError
from sanderling.versions import Manifest
from sanderling_fleet.core import enrolment, registry, rollouts
from sanderling_fleet.core.alerts import KIND as ALERT
from sanderling_fleet.core.check_in import check_in
from sanderling_fleet.core.context import Core, Settings
from sanderling_fleet.core.fleet_watch import fleet_windows
from sanderling_fleet.core.messages import Addresses, Broker
from sanderling_fleet.core.readings import measure
from sanderling_fleet.core.telemetry import Intake
from sanderling_fleet.core.telemetry_rows import Identity, Received
from sanderling_fleet.rollout_events import Abort, Command, Pause, Promote, Resume, RollBack
from sanderling_fleet.rollout_wire import rollout_message, spec_of
from sanderling_fleet.services.translate import addresses_message, answer_message, check_in_of, facts_of
from sanderling_fleet.store import (
    Document,
    DriftRow,
    EventRow,
    MemoryStore,
    MetricsRow,
    Result,
    VersionMetrics,
)
from sanderling_fleet.store.blobs import MemoryBlobs, put_blob
from sanderling_fleet.store.records import Record
from sanderling_fleet.trust.ca import CertificateAuthority
from sanderling_fleet.trust.director import Director
from sanderling_fleet.trust.release import ReleaseFolder
from sanderling_fleet.trust.tuf_repository import OnlineRoles

T = TypeVar("T")
R = TypeVar("R", bound=Record)
_OPERATOR = "olga"
_PART_BYTES = 256 << 10


@dataclass(frozen=True)
class Backup:
    """A copy of everything that a server stores; its keys are kept elsewhere."""

    records: tuple[Record, ...]
    blobs: tuple[bytes, ...]


class VirtualServer:
    """A fleet server, its operator and the release role.

    Args:
        folder: For the release role's files; empty.
        now: Seconds since the epoch.
        seed: Of ids and waits. Keys are fresh each time; nothing that is reported depends on them.
        check_in_s: Mean wait between two check-ins of a device.
        probation: What devices are told.
        telemetry: What devices are told.
    """

    def __init__(
        self,
        folder: Path,
        now: Callable[[], float],
        *,
        seed: int,
        check_in_s: float,
        probation: device_pb2.Probation,
        telemetry: device_pb2.TelemetryPlan,
    ) -> None:
        self._clock = _Clock(now)
        snapshot, timestamp, director = (Ed25519PrivateKey.generate() for _ in range(3))
        self._core = Core(
            store=MemoryStore(),
            blobs=MemoryBlobs(),
            clock=self._clock,
            authority=CertificateAuthority.create("simulated fleet", now()),
            roles=OnlineRoles(snapshot, timestamp),
            director=Director(director),
            settings=Settings(
                Addresses("device:1", "enrolment:2", Broker("memory:")),
                check_in_seconds=check_in_s,
                probation=probation,
                telemetry=telemetry,
            ),
            entropy=random.Random(seed).randbytes,
        )
        self._release = ReleaseFolder.create(
            folder,
            snapshot=snapshot.public_key(),
            timestamp=timestamp.public_key(),
            director=director.public_key(),
            now=now(),
        )
        self._uploads: list[bytes] = []
        self._held: dict[bytes, None] = {}
        self._waiting: list[Received] = []
        self._read_before: dict[str, tuple[Document, rollout_pb2.Rollout]] = {}
        self._known: dict[bytes, tuple[str, str, float]] = {}
        self._upload(trust.director_document(director.public_key()))
        self._run(registry.initialise(self._core, self._release.root.to_bytes(), self._release.targets.to_bytes()))
        self._start()

    # Devices.

    def enroll(
        self, csr: bytes, facts: enrolment_pb2.DeviceFacts, labels: Mapping[str, str]
    ) -> enrolment_pb2.EnrollResponse:
        """Makes a device, approved, with a join token of its own."""
        token, _ = self._run(enrolment.create_join_token(self._core, labels=labels, approved=True))
        enrolled = self._run(
            enrolment.enroll(
                self._core,
                protocol_version=trust.PROTOCOL_VERSION,
                request_id="simulated",
                secret=token.secret,
                csr=csr,
                facts=facts_of(facts),
            )
        )
        return enrolment_pb2.EnrollResponse(
            protocol_version=trust.PROTOCOL_VERSION,
            device_id=enrolled.device_id,
            certificate_chain=enrolled.certificate_chain,
            ca_certificate=enrolled.ca_certificate,
            tuf_root=enrolled.tuf_root,
            addresses=addresses_message(enrolled.addresses),
            approved=enrolled.approved,
        )

    def check_in(self, chain: bytes, request: device_pb2.CheckInRequest) -> device_pb2.CheckInResponse:
        """A device's check-in.

        Args:
            chain: Its certificate, PEM, which TLS would have shown.
            request: What it says.

        Raises:
            SanderlingError: As the device listener would answer.
        """
        return answer_message(self._run(check_in(self._core, self._who(chain), check_in_of(request))))

    def renew(self, chain: bytes, csr: bytes) -> bytes:
        """A new certificate chain for a device."""
        device_id = self._who(chain)
        issued = enrolment.renew(self._core, device_id, protocol_version=trust.PROTOCOL_VERSION, csr=csr)
        return self._run(issued).encode()

    def metadata(self, name: str) -> bytes | None:
        """A file of TUF metadata."""
        return self._run(registry.metadata_file(self._core, name))

    def read_blob(self, digest: str, offset: int) -> Iterator[bytes]:
        """Parts of a blob.

        Raises:
            InputError: There is none.
        """
        while part := self._run(self._core.blobs.read(bytes.fromhex(digest), offset, _PART_BYTES)):
            yield part
            offset += len(part)

    def send(self, device_id: str, payloads: Sequence[bytes]) -> None:
        """Takes telemetry as the broker does: it is kept, also while the server is down, and may come twice."""
        self._waiting += [Received(device_id, payload, Identity.VERIFIED) for payload in payloads]

    def _who(self, chain: bytes) -> str:
        if chain not in self._known:
            name, serial, expires_at, _ = self._core.authority.read_device(chain)
            self._known[chain] = (name, serial, expires_at)
        return self._run(enrolment.identify(self._core, *self._known[chain])).device_id

    # What a server does by itself.

    def ingest(self) -> None:
        """Takes what waits at the broker, in one transaction."""
        batch, self._waiting = self._waiting, []

        async def body() -> None:
            async with self._core.store.transaction() as tx:
                await self._core.telemetry.take(tx, batch, self._clock.now())

        if batch:
            self._run(body())

    def tend(self) -> None:
        """Overdue windows, gaps and expiring signatures."""

        async def body() -> None:
            async with self._core.store.transaction() as tx:
                await self._core.telemetry.tend(tx, self._clock.now())

        self._run(body())
        self._run(registry.warn_of_expiry(self._core))
        self._run(registry.resign(self._core))

    def advance(self) -> list[str]:
        """Lets time pass in rollouts, with what was measured; returns the devices that the broker gives a hint."""
        return self._run(rollouts.tick(self._core, self._measure))

    # Operators and the release role.

    def publish(self, manifest: Manifest, blobs: Sequence[bytes]) -> None:
        """Signs a version and pushes it."""
        for data in (*blobs, manifest.to_bytes()):
            self._upload(data)
        content = self._release.add([manifest], self._clock.now())
        self._run(registry.publish(self._core, "targets", content))
        self._release.keep(content)

    def push_again(self) -> None:
        """Pushes the release file that was signed last, and everything that it names."""
        for data in self._uploads:
            self._hold(data)
        self._run(registry.publish(self._core, "targets", self._release.targets.to_bytes()))

    def create_rollout(self, spec: rollout_pb2.RolloutSpec, request_id: str) -> str:
        """Begins a rollout; the same request id again is the same rollout. Returns its id."""
        made = rollouts.create(self._core, spec_of(spec), request_id=request_id, created_by=_OPERATOR)
        return self._run(made)[0].rollout.rollout_id

    def command(self, rollout_id: str, word: str) -> None:
        """What an operator says of a rollout: "pause", "resume", "abort", "roll_back" or "promote".

        Raises:
            InputError: It is another word, or does not fit the rollout's state.
        """
        commands: dict[str, Command] = {
            "pause": Pause(_OPERATOR),
            "resume": Resume(_OPERATOR),
            "abort": Abort(_OPERATOR),
            "roll_back": RollBack(_OPERATOR),
            "promote": Promote(_OPERATOR),
        }
        if word not in commands:
            raise InputError(f"[rollout] {word!r} is no command, expected one of {', '.join(commands)}")
        self._run(rollouts.command(self._core, rollout_id, commands[word]))

    def backup(self) -> Backup:
        """A copy of what the server stores."""

        async def body() -> tuple[Record, ...]:
            async with self._core.store.transaction() as tx:
                return tuple([record for kind in Record.__subclasses__() for record in await tx.find(kind)])

        return Backup(self._run(body()), tuple(self._held))

    def restore(self, backup: Backup) -> None:
        """A new server over a backup, with the same keys; what was stored since is gone."""

        async def body() -> None:
            async with store.transaction() as tx:
                for record in backup.records:
                    await tx.put(record)

        store = MemoryStore()
        self._run(body())
        self._core = replace(self._core, store=store, blobs=MemoryBlobs(), telemetry=Intake(), wanted=set())
        self._held = {}
        for data in backup.blobs:
            self._hold(data)
        self._start()

    # What there is to see.

    def rollouts(self) -> list[rollout_pb2.Rollout]:
        """All rollouts, oldest first; those that have not changed are the same objects."""
        documents = sorted(self._find(Document, {"kind": rollouts.KIND}), key=lambda d: d.created_at)
        for document in documents:
            known = self._read_before.get(document.document_id)
            if known is None or known[0] is not document:
                stored = self._run(rollouts.get(self._core, document.document_id))
                message = rollout_message(stored.rollout, stored.created_by)
                self._read_before[document.document_id] = (document, message)
        return [self._read_before[document.document_id][1] for document in documents]

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts: kind, subject, state, severity, summary, devices, when."""
        documents = self._find(Document, {"kind": ALERT})
        return [
            {"subject": d.subject, "state": d.state, "at": d.created_at, "until": d.updated_at, **d.body}
            for d in sorted(documents, key=lambda d: (d.created_at, d.document_id))
        ]

    def results(self) -> set[tuple[str, str, int]]:
        """(device, assignment, attempt) of every result that is stored."""
        return {(item.device_id, item.assignment_id, item.attempt) for item in self._find(Result)}

    def telemetry(self) -> list[tuple[str, str, int]]:
        """(device, boot id, sequence) of every row that is stored, as often as it is."""
        rows: list[MetricsRow | DriftRow | EventRow] = [*self._find(MetricsRow), *self._find(DriftRow)]
        return sorted((row.device_id, row.boot_id, row.sequence) for row in [*rows, *self._find(EventRow)])

    def counted(self) -> tuple[int, int]:
        """Inferences by the stored rows of metrics, and by the totals of versions: equal if nothing counts twice."""
        return (
            sum(row.inferences for row in self._find(MetricsRow)),
            sum(item.inferences for item in self._find(VersionMetrics)),
        )

    def windows(self) -> list[dict[str, Any]]:
        """Fleet windows that were judged, oldest first."""

        async def body() -> list[dict[str, Any]]:
            async with self._core.store.transaction() as tx:
                return await fleet_windows(tx, "", 1 << 30)

        return self._run(body())[::-1]

    # Inside.

    def _start(self) -> None:
        """What a server's process does when it begins."""
        self._run(registry.resign(self._core, force=True))
        rollouts.join(self._core)
        self._measure = measure(self._core)

    def _upload(self, data: bytes) -> None:
        self._uploads.append(data)
        self._hold(data)

    def _hold(self, data: bytes) -> None:
        self._held[data] = None
        self._run(put_blob(self._core.blobs, data))

    def _find(self, kind: type[R], where: Mapping[str, Any] | None = None) -> list[R]:
        async def body() -> list[R]:
            async with self._core.store.transaction() as tx:
                return await tx.find(kind, where)

        return self._run(body())

    @staticmethod
    def _run(coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            coroutine.send(None)
        except StopIteration as end:
            return cast(T, end.value)
        raise InternalError("[virtual server] an operation waits, and virtual time has nobody to wake it. Report this")


class _Clock:
    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
