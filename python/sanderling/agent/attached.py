"""What applications saw that run the active version in their own process (`sanderling.attach`).

Each slot has a socket in the folder `attach`; a frame is 4 bytes, little-endian, the length of the serialized
Envelope that follows. Senders are of the group of that folder: what they say is telemetry, and counts in the
trial of the version that they name.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from sanderling.agent.bodies import Metrics, Notice
from sanderling.agent.events import Attached
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import InputError
from sanderling.versions._active import socket_path
from sanderling.versions._frames import LENGTH, MOST_FRAME_BYTES

_MOST_SENDERS = 64
_READ_BYTES = 1 << 18
_MOST_COUNT = 1 << 32  # of rows in one message: sums stay within the 64 bits that a check-in has for them
_MOST_WAITING, _PAUSE_S = 256, 0.02
_SEVERITIES = {telemetry_pb2.SEVERITY_WARNING: "warning", telemetry_pb2.SEVERITY_ERROR: "error"}
_log = logging.getLogger("sanderling.agent")


@dataclass(eq=False)
class _Sender:
    slot: str
    connection: socket.socket
    data: bytearray = field(default_factory=bytearray)


class AttachedListener:
    """Listens for every slot, on one thread.

    Args:
        folder: Of the sockets.
        take: Called with what was seen.
        waiting: How much of it waits to be looked at; while that is too much, senders wait too.
    """

    def __init__(self, folder: Path, take: Callable[[Attached], None], waiting: Callable[[], int]) -> None:
        self._folder, self._take, self._waiting = folder, take, waiting
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._open: dict[str, socket.socket] = {}
        self._senders: set[_Sender] = set()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="agent attached", daemon=True)

    def start(self) -> None:
        """Begins to listen."""
        self._thread.start()

    def open(self, slot: str) -> None:
        """Listens for a slot; again it changes nothing.

        Raises:
            InputError: The path is too long for a Unix socket.
        """
        with self._lock:
            if slot in self._open or self._stop:
                return
            path = socket_path(self._folder, slot)
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                listener.bind(str(path))
            except OSError as error:
                listener.close()
                raise InputError(f"[attach] cannot listen at {path}: {error}. Use a shorter state folder") from error
            os.chmod(path, 0o660)
            listener.listen(_MOST_SENDERS)
            self._open[slot] = listener
            self._selector.register(listener, selectors.EVENT_READ, slot)
        self._wake.send(b"x")

    def close(self) -> None:
        """Ends the thread and closes all sockets."""
        self._stop = True
        self._wake.send(b"x")
        self._thread.join(5.0)
        for sender in list(self._senders):
            self._drop(sender)
        for slot, listener in self._open.items():
            listener.close()
            socket_path(self._folder, slot).unlink(missing_ok=True)
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _run(self) -> None:
        while not self._stop:
            while self._waiting() > _MOST_WAITING and not self._stop:
                time.sleep(_PAUSE_S)
            for key, _ in self._selector.select():
                if isinstance(key.data, str):
                    self._accept(key.data)
                elif isinstance(key.data, _Sender):
                    self._read(key.data)
                else:
                    self._woken.recv(4096)

    def _accept(self, slot: str) -> None:
        try:
            connection, _ = self._open[slot].accept()
        except OSError:
            return  # gone before it was met
        if len(self._senders) >= _MOST_SENDERS:
            connection.close()
            return
        connection.setblocking(False)
        sender = _Sender(slot, connection)
        self._senders.add(sender)
        self._selector.register(connection, selectors.EVENT_READ, sender)

    def _read(self, sender: _Sender) -> None:
        try:
            data = sender.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(sender)
            return
        sender.data += data
        while len(sender.data) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(sender.data)
            if length > MOST_FRAME_BYTES:
                _log.warning("attached application of slot %s sends %d bytes at once: closed", sender.slot, length)
                self._drop(sender)
                return
            if len(sender.data) < LENGTH.size + length:
                return
            frame = bytes(sender.data[LENGTH.size : LENGTH.size + length])
            del sender.data[: LENGTH.size + length]
            self._frame(sender, frame)

    def _frame(self, sender: _Sender, frame: bytes) -> None:
        try:
            message = telemetry_pb2.Envelope.FromString(frame)
        except DecodeError:
            _log.warning("attached application of slot %s sends no Envelope", sender.slot)
            return
        seen = read(sender.slot, message)
        if seen is not None:
            self._take(seen)

    def _drop(self, sender: _Sender) -> None:
        self._senders.discard(sender)
        self._selector.unregister(sender.connection)
        sender.connection.close()


def read(slot: str, message: telemetry_pb2.Envelope) -> Attached | None:
    """The rules' form of a message; None for an empty or absurd one. The slot is the socket's, whatever it says."""
    kind = message.WhichOneof("body")
    if kind == "drift":
        return Attached(slot, message.version, message.drift.SerializeToString())
    if kind == "metrics":
        seen = message.metrics
        if max(seen.inferences, seen.errors) > _MOST_COUNT:
            _log.warning("attached application of slot %s counts %d rows at once: passed over", slot, seen.inferences)
            return None
        return Attached(
            slot,
            message.version,
            Metrics(
                inferences=seen.inferences,
                errors=seen.errors,
                latency_p50_us=seen.latency_p50_us,
                latency_p95_us=seen.latency_p95_us,
                mean_confidence=seen.mean_confidence,
                runner_restarts=0,
                resident_bytes=0,
                cpu_seconds=0.0,
            ),
        )
    if kind == "event":
        severity = _SEVERITIES.get(message.event.severity, "info")
        return Attached(slot, message.version, Notice(message.event.kind[:100], severity, message.event.message[:1000]))
    return None
