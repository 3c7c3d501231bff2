"""How fleet commands print messages of the protocols."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp


def duration(text: str) -> float:
    """Reads a span of time for an option's type; seconds.

    Raises:
        ValueError: It is none.
    """
    from sanderling_fleet.rollout_text import seconds

    return seconds(text)


def plain(message: Message) -> dict[str, Any]:
    """A message as JSON values, with its field names and all fields."""
    from google.protobuf.json_format import MessageToDict

    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found


def when(message: Message, field: str) -> str | None:
    """A time field as people read it, in UTC; None if it is unset."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    return dt.datetime.fromtimestamp(stamp.seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def pairs(labels: Any) -> str | None:
    """Labels in one cell."""
    return " ".join(f"{key}={value}" for key, value in sorted(labels.items())) or None
