"""What attached applications send to the agent's socket SLOT.socket, a Unix stream socket.

One frame per message: 4 bytes, little-endian, the length of what follows, then a `telemetry.v1.Envelope`. Boot id and
sequence are left empty: the agent numbers. Slot and version are what the application says; who may write there is up to
the socket's group. Needs no NumPy: the agent imports it; needs the extra `agent` for protobuf.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sanderling.errors import InputError

if TYPE_CHECKING:
    from sanderling.api.telemetry.v1 import telemetry_pb2

MOST_FRAME_BYTES = 16 << 20
"""Of one message: a window of 4,096 features has under a megabyte."""
_LENGTH = struct.Struct("<I")


def write_frame(envelope: telemetry_pb2.Envelope) -> bytes:
    """One message as it is sent."""
    data = envelope.SerializeToString()
    return _LENGTH.pack(len(data)) + data


def read_frames(data: bytes) -> tuple[list[telemetry_pb2.Envelope], bytes]:
    """Takes whole frames off the front of what a socket gave.

    Returns:
        The envelopes, and the bytes of a frame that is not whole yet.

    Raises:
        InputError: A frame is longer than any that an application sends, or is no envelope.
    """
    from google.protobuf.message import DecodeError

    from sanderling.api.telemetry.v1 import telemetry_pb2

    envelopes = []
    while len(data) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(data)
        if length > MOST_FRAME_BYTES:
            raise InputError(f"[attach] a frame of {length:,} bytes, at most {MOST_FRAME_BYTES:,} are taken. Hang up")
        end = _LENGTH.size + length
        if len(data) < end:
            break
        try:
            envelopes.append(telemetry_pb2.Envelope.FromString(data[_LENGTH.size : end]))
        except DecodeError as error:
            raise InputError(f"[attach] a frame is no envelope: {error}. Hang up") from error
        data = data[end:]
    return envelopes, data
