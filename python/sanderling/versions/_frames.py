"""What attached applications send to the agent's socket SLOT.socket, a Unix stream socket.

One frame per message: 4 bytes, little-endian, the length of what follows, then a `telemetry.v1.Envelope`. Boot id and
sequence are left empty: the agent numbers. Slot and version are what the application says; who may write there is up to
the socket's group. Needs no NumPy: the agent imports it; needs the extra `agent` for protobuf.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sanderling.api.telemetry.v1 import telemetry_pb2

MOST_FRAME_BYTES = 2 << 20
"""Of one message: a window of 4,096 features has under a megabyte, and the fleet takes no more in a row."""
LENGTH = struct.Struct("<I")


def write_frame(envelope: telemetry_pb2.Envelope) -> bytes:
    """One message as it is sent."""
    data = envelope.SerializeToString()
    return LENGTH.pack(len(data)) + data
