"""Between messages on the wire and what `core` speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sanderling.api.device.v1 import device_admin_pb2, device_pb2, enrolment_pb2
from sanderling.api.registry.v1 import registry_pb2
from sanderling.api.rollout.v1 import assignment_pb2
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.trust import PROTOCOL_VERSION
from sanderling_fleet.core.devices import Known
from sanderling_fleet.core.messages import Addresses, Answer, CheckIn, ReportedResult, TelemetryRow
from sanderling_fleet.store import AuditLine, Standing, Version
from sanderling_fleet.wire import duration, timestamp

_STANDINGS = {
    Standing.PENDING: device_admin_pb2.DEVICE_STANDING_PENDING,
    Standing.ACTIVE: device_admin_pb2.DEVICE_STANDING_ACTIVE,
    Standing.REVOKED: device_admin_pb2.DEVICE_STANDING_REVOKED,
    Standing.CONFLICT: device_admin_pb2.DEVICE_STANDING_CONFLICT,
}


def facts_of(message: enrolment_pb2.DeviceFacts) -> dict[str, Any]:
    """Facts as they are stored."""
    return {
        "machine": message.machine,
        "isas": list(message.isas),
        "memory_bytes": message.memory_bytes,
        "accelerator": message.accelerator,
        "runtime_version": message.runtime_version,
        "profile": message.profile,
    }


def slot_of(message: device_pb2.SlotStatus) -> dict[str, Any]:
    """A slot as it is stored; the digest in hexadecimal."""
    return {
        "slot": message.slot,
        "active_version": message.active_version,
        "manifest_digest": message.manifest_digest.hex(),
        "state": int(message.state),
        "assignment_id": message.assignment_id,
        "inferences": message.inferences,
        "runner_restarts": message.runner_restarts,
    }


def slot_message(slot: Mapping[str, Any]) -> device_pb2.SlotStatus:
    """The inverse of `slot_of`."""
    return device_pb2.SlotStatus(**{**slot, "manifest_digest": bytes.fromhex(slot["manifest_digest"])})


def check_in_of(request: device_pb2.CheckInRequest) -> CheckIn:
    """A check-in as `core` takes it."""
    return CheckIn(
        protocol_version=request.protocol_version,
        boot_id=request.boot_id,
        sequence=request.sequence,
        facts=facts_of(request.facts),
        slots=[slot_of(slot) for slot in request.slots],
        desired_counter=request.desired_counter,
        results=[
            ReportedResult(item.id.assignment_id, item.id.attempt, item.SerializeToString()) for item in request.results
        ],
        telemetry=[TelemetryRow(row.boot_id, row.sequence, row.SerializeToString()) for row in request.telemetry],
        telemetry_dropped=request.telemetry_dropped,
    )


def answer_message(answer: Answer) -> device_pb2.CheckInResponse:
    """An answer on the wire."""
    state = answer.desired_state
    return device_pb2.CheckInResponse(
        protocol_version=PROTOCOL_VERSION,
        next_check_in_after=duration(answer.next_check_in_seconds),
        desired_state=None
        if state is None
        else device_pb2.SignedDesiredState(desired_state=state.payload, key_id=state.key_id, signature=state.signature),
        tuf_timestamp_version=answer.timestamp_version,
        committed_results=[
            assignment_pb2.ResultId(assignment_id=assignment, attempt=attempt)
            for assignment, attempt in answer.committed_results
        ],
        telemetry_committed_through=[
            telemetry_pb2.Committed(boot_id=boot, sequence=sequence)
            for boot, sequence in answer.committed_through.items()
        ],
        approved=answer.approved,
        addresses=addresses_message(answer.addresses) if answer.addresses else None,
    )


def addresses_message(addresses: Addresses) -> enrolment_pb2.FleetAddresses:
    """Addresses on the wire."""
    broker = addresses.broker
    return enrolment_pb2.FleetAddresses(
        device=addresses.device,
        enrolment=addresses.enrolment,
        broker=None
        if broker is None
        else enrolment_pb2.BrokerAddress(url=broker.url, username=broker.username, password=broker.password),
    )


def device_message(known: Known) -> device_admin_pb2.Device:
    """A device as operators see it."""
    device, presence = known.device, known.presence
    return device_admin_pb2.Device(
        device_id=device.device_id,
        standing=_STANDINGS[Standing(device.standing)],
        reason=device.reason,
        labels=device.labels,
        facts=enrolment_pb2.DeviceFacts(**device.facts),
        enrolled_at=timestamp(device.enrolled_at),
        last_seen_at=timestamp(device.last_seen_at),
        online=presence.online if presence else None,
        online_changed_at=timestamp(presence.changed_at) if presence else None,
        slots=[slot_message(slot) for slot in device.slots],
        desired_counter=known.desired_counter,
        reported_counter=device.reported_counter,
        certificate_expires_at=timestamp(device.certificate_expires_at),
    )


def audit_messages(lines: Sequence[AuditLine]) -> list[device_admin_pb2.AuditLine]:
    """Lines of the audit log on the wire."""
    return [
        device_admin_pb2.AuditLine(
            sequence=line.sequence,
            recorded_at=timestamp(line.at),
            actor=line.actor,
            action=line.action,
            subject=line.subject,
            outcome=line.outcome,
            detail=line.detail,
        )
        for line in lines
    ]


def version_message(version: Version) -> registry_pb2.Version:
    """A version as operators see it."""
    return registry_pb2.Version(
        version=version.name,
        model=version.model,
        release_counter=version.release_counter,
        manifest_digest=version.manifest_digest,
        size_bytes=version.size,
        role=version.role,
        published_at=timestamp(version.published_at),
        manifest=version.manifest,
    )
