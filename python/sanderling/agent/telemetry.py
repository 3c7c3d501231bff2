"""Rows of the outbox as the wire has them: telemetry.v1.Envelope."""

from __future__ import annotations

from sanderling.agent.actions import Emit
from sanderling.agent.bodies import Metrics
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.trust import PROTOCOL_VERSION

_SEVERITY = {
    "info": telemetry_pb2.SEVERITY_INFO,
    "warning": telemetry_pb2.SEVERITY_WARNING,
    "error": telemetry_pb2.SEVERITY_ERROR,
}


def envelope(row: Emit, boot_id: str, sequence: int, now: float) -> telemetry_pb2.Envelope:
    """The message of one row; (boot_id, sequence) names it for ever.

    Args:
        row: What the rules emitted.
        boot_id: Of the running kernel.
        sequence: From 1, without gaps.
        now: Seconds since the epoch.
    """
    message = telemetry_pb2.Envelope(
        protocol_version=PROTOCOL_VERSION, boot_id=boot_id, sequence=sequence, slot=row.slot, version=row.version
    )
    message.recorded_at.FromNanoseconds(int(now * 1e9))
    if isinstance(row.body, bytes):
        message.drift.ParseFromString(row.body)
    elif isinstance(row.body, Metrics):
        message.metrics.CopyFrom(
            telemetry_pb2.Metrics(
                inferences=row.body.inferences,
                errors=row.body.errors,
                latency_p50_us=row.body.latency_p50_us,
                latency_p95_us=row.body.latency_p95_us,
                mean_confidence=row.body.mean_confidence,
                runner_restarts=row.body.runner_restarts,
                resident_bytes=row.body.resident_bytes,
                cpu_seconds=row.body.cpu_seconds,
            )
        )
    else:
        message.event.kind = row.body.kind
        message.event.severity = _SEVERITY[row.body.severity]
        message.event.message = row.body.message
        if row.body.code is not None:
            message.event.fields["code"] = row.body.code.value
    return message


def topic_end(message: telemetry_pb2.Envelope) -> str:
    """The last word of its MQTT topic: "metrics", "drift" or "events"."""
    body = message.WhichOneof("body")
    return "events" if body in (None, "event") else str(body)
