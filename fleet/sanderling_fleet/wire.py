"""Times on the wire."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(seconds: float) -> Timestamp | None:
    """Seconds since the epoch as a message; None, which leaves the field unset, for 0."""
    if not seconds:
        return None
    message = Timestamp()
    message.FromMicroseconds(round(seconds * 1e6))
    return message


def duration(seconds: float) -> Duration:
    """Seconds as a message."""
    message = Duration()
    message.FromMicroseconds(round(seconds * 1e6))
    return message


def seconds_of(message: Duration) -> float:
    """The inverse of `duration`."""
    return message.ToMicroseconds() / 1e6
