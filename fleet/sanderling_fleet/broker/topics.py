"""The fleet's MQTT topics. Who publishes below a device's topic is that device: the broker sees to it."""

from __future__ import annotations

ROOT = "sanderling/v1"
UP = ("metrics", "drift", "events")
"""Last words of the topics that carry telemetry."""

SHARED = "$share/ingest/"
"""Prefix of a subscription that all ingest processes share: each message goes to one of them."""


CONTENT_TYPE = "application/x-protobuf"
"""Of all payloads: messages of sanderling.api.telemetry.v1."""


def up(device_id: str, kind: str) -> str:
    """Where a device says something: one of `UP`, or "status"."""
    return f"{ROOT}/d/{device_id}/up/{kind}"


def device_hint(device_id: str) -> str:
    """Where one device is told to come and ask."""
    return f"{ROOT}/d/{device_id}/down/hint"


def sender(topic: str) -> tuple[str, str] | None:
    """The device and kind of an upward topic; None for any other."""
    match topic.split("/"):
        case ["sanderling", "v1", "d", device_id, "up", kind]:
            return device_id, kind
    return None
