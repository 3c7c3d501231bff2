"""Envelopes as rows of the database, checked so that none can fail to be stored. Pure."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from google.protobuf.message import DecodeError

from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import InputError
from sanderling_fleet.alerts import Severity
from sanderling_fleet.store import DriftRow, EventRow, MetricsRow, VersionMetrics
from sanderling_fleet.verdict import DeviceWindow, InputRanks, WindowVerdict

DAY_SECONDS = 86400
_MOST_INTEGER = (1 << 63) - 1
_MOST_NAME, _MOST_TEXT, _MOST_FIELDS, _MOST_REFERENCE = 256, 500, 32, 32
_EVENT_KIND = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERDICTS = {
    telemetry_pb2.DEVICE_VERDICT_WARMING_UP: WindowVerdict.WARMING,
    telemetry_pb2.DEVICE_VERDICT_QUIET: WindowVerdict.QUIET,
    telemetry_pb2.DEVICE_VERDICT_SENSOR_FAULT: WindowVerdict.FAULT,
    telemetry_pb2.DEVICE_VERDICT_MOVED: WindowVerdict.MOVED,
}
_SEVERITIES = {
    telemetry_pb2.SEVERITY_INFO: Severity.INFO,
    telemetry_pb2.SEVERITY_WARNING: Severity.WARNING,
    telemetry_pb2.SEVERITY_ERROR: Severity.ERROR,
}
_FAULTS = {
    telemetry_pb2.SENSOR_FAULT_KIND_STUCK: "stuck",
    telemetry_pb2.SENSOR_FAULT_KIND_SATURATED: "saturated",
    telemetry_pb2.SENSOR_FAULT_KIND_MISSING: "missing",
}

StoredRow = MetricsRow | DriftRow | EventRow


class Identity(StrEnum):
    """How it is known who sent a row."""

    VERIFIED = "verified"  # by a certificate: the server's device listener, or a broker with mutual TLS
    ASSERTED = "asserted"  # the sender says so: the embedded broker knows the fleet, not the device


@dataclass(frozen=True)
class Received:
    """One envelope as it came.

    Attributes:
        device_id: From the topic or the certificate, never from the payload.
        content: A telemetry.v1.Envelope.
        identity: How the id is known.
    """

    device_id: str
    content: bytes
    identity: Identity


def open_envelope(content: bytes) -> telemetry_pb2.Envelope:
    """Reads an envelope so far that it can be counted.

    Raises:
        InputError: It is none, or has no usable name.
    """
    try:
        envelope = telemetry_pb2.Envelope.FromString(content)
    except DecodeError as error:
        raise InputError(f"[telemetry] {len(content)} bytes are no Envelope: {error}") from error
    named = 0 < len(envelope.boot_id) <= _MOST_NAME and "\0" not in envelope.boot_id
    if not named or not 0 < envelope.sequence <= _MOST_INTEGER:
        raise InputError(
            f"[telemetry] boot id of {len(envelope.boot_id)} characters and sequence {envelope.sequence}, at most "
            f"{_MOST_NAME} characters and at least 1 are wanted"
        )
    return envelope


def row_of(received: Received, envelope: telemetry_pb2.Envelope, now: float) -> StoredRow:
    """The row that an envelope becomes.

    Raises:
        InputError: It has no body of a known kind, or one that cannot be stored.
    """
    if max(len(envelope.slot), len(envelope.version)) > _MOST_NAME:
        raise InputError(f"[telemetry] slot or version of more than {_MOST_NAME} characters")
    if "\0" in envelope.slot + envelope.version:
        raise InputError("[telemetry] slot or version with a NUL")
    shared: dict[str, Any] = {
        "day": int(now // DAY_SECONDS),
        "device_id": received.device_id,
        "boot_id": envelope.boot_id,
        "sequence": envelope.sequence,
        "slot": envelope.slot,
        "version": envelope.version,
        "identity": received.identity.value,
        # A clock that was ahead and was put right must not leave a newest row that nothing is newer than.
        "at": min(envelope.recorded_at.seconds + envelope.recorded_at.nanos / 1e9, now),
        "received_at": now,
    }
    match envelope.WhichOneof("body"):
        case "metrics":
            return MetricsRow(**shared, **_metrics(envelope.metrics))
        case "drift":
            verdict = _VERDICTS.get(envelope.drift.verdict)
            if verdict is None:
                raise InputError(f"[telemetry] drift verdict {envelope.drift.verdict}, 1 to 4 are known")
            content = envelope.drift.SerializeToString()
            return DriftRow(**shared, window=_integer(envelope.drift.window), verdict=verdict.value, content=content)
        case "event":
            return EventRow(**shared, **_event(envelope.event))
    raise InputError("[telemetry] an envelope without a body. The agent may be newer than this server: upgrade it")


def window_of(row: DriftRow) -> DeviceWindow:
    """A row of drift as the fleet's verdict takes it."""
    message = telemetry_pb2.DriftWindow.FromString(row.content)
    return DeviceWindow(
        device=row.device_id,
        window=row.window,
        verdict=WindowVerdict(row.verdict),
        rows=message.rows,
        fault="; ".join(_fault(fault) for fault in message.faults[:_MOST_FIELDS])[:_MOST_TEXT],
        ranks=[
            InputRanks(
                ranks.input[:_MOST_NAME],
                ranks.features,
                ranks.cells,
                list(ranks.counts),
                list(ranks.design_effects),
                ranks.reference_rows,
            )
            for ranks in message.ranks
        ],
        log_evidence=message.log_evidence if message.HasField("log_evidence") else float("-inf"),
        alarm_level=message.alarm_level,
        causes=tuple(cause[:_MOST_TEXT] for cause in message.causes[:_MOST_FIELDS]),
        reference=message.reference_id[:_MOST_REFERENCE].hex(),
    )


def with_row(total: VersionMetrics | None, row: MetricsRow | DriftRow) -> VersionMetrics:
    """Adds a row to its version's totals on its device."""
    if total is None:
        total = VersionMetrics(
            row.slot, row.version, row.identity, row.device_id, 0, 0.0, 0.0, 0, 0, 0.0, 0.0, 0.0, 0, 0, 0, 0.0
        )
    if isinstance(row, DriftRow):
        moved = total.windows_moved + (row.verdict == WindowVerdict.MOVED)
        at = row.at if total.rows == 0 else total.at
        return dataclasses.replace(total, windows_moved=moved, at=at, received_at=row.received_at)
    inferences = total.inferences + row.inferences
    share = row.inferences / inferences if inferences else 0.0
    summed = dataclasses.replace(
        total,
        rows=total.rows + 1,
        received_at=row.received_at,
        inferences=min(inferences, _MOST_INTEGER),
        errors=min(total.errors + row.errors, _MOST_INTEGER),
        mean_confidence=total.mean_confidence + share * (row.mean_confidence - total.mean_confidence),
        runner_restarts=min(total.runner_restarts + row.runner_restarts, _MOST_INTEGER),
        cpu_seconds=min(total.cpu_seconds + row.cpu_seconds, _MOST_INTEGER),
    )
    if total.rows and row.at < total.at:
        return summed
    return dataclasses.replace(
        summed,
        at=row.at,
        latency_p50_us=row.latency_p50_us,
        latency_p95_us=row.latency_p95_us,
        resident_bytes=row.resident_bytes,
    )


def _metrics(message: telemetry_pb2.Metrics) -> dict[str, Any]:
    values = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    for name, value in values.items():
        if not 0 <= value <= _MOST_INTEGER:  # NaN too
            raise InputError(f"[telemetry] metrics have {name} {value}, a finite number from 0 on is wanted")
    if message.mean_confidence > 1:
        raise InputError(f"[telemetry] metrics have mean_confidence {message.mean_confidence}, at most 1 is wanted")
    return values


def _event(message: telemetry_pb2.Event) -> dict[str, Any]:
    severity = _SEVERITIES.get(message.severity)
    if severity is None or not _EVENT_KIND.fullmatch(message.kind):
        raise InputError(
            f"[telemetry] event {message.kind[:80]!r} of severity {message.severity}, a plain word such as "
            "'runner.crash' and 1 to 3 are wanted"
        )
    fields = {key[:_MOST_NAME]: value[:_MOST_TEXT] for key, value in sorted(message.fields.items())[:_MOST_FIELDS]}
    return {
        "kind": message.kind,
        "severity": severity.value,
        "message": message.message[:_MOST_TEXT],
        "fields": fields,
    }


def _fault(message: telemetry_pb2.SensorFault) -> str:
    return f"{_FAULTS.get(message.kind, 'faulty')} {message.input[:_MOST_NAME]}: {message.detail}"


def _integer(value: int) -> int:
    if value > _MOST_INTEGER:
        raise InputError(f"[telemetry] the number {value} is above {_MOST_INTEGER}")
    return value
