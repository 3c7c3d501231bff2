"""How an attached application's windows, counts and errors get to the agent.

A thread of its own looks at what ran and writes to the agent's socket as `versions/_frames.py` says. When a window
closes, its counts go first (`Metrics`), then the window (`DriftWindow`); an `Event` says what went wrong. Nothing of
this waits for the agent or raises into the application: what cannot go is dropped and counted.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sanderling._protocol import PROTOCOL_VERSION
from sanderling._session import Session
from sanderling._windows import ClosedWindow, Windows, confidences, drift_window
from sanderling.errors import InputError, UnsupportedError
from sanderling.versions._frames import MOST_FRAME_BYTES, write_frame

if TYPE_CHECKING:
    from sanderling.api.telemetry.v1 import telemetry_pb2

Array = npt.NDArray[Any]
_MOST_WAITING = 256
_MOST_WAITING_BYTES = 64 << 20
_SEND_S = 0.5
_PAUSE_S = 1.0  # after a failure, so that an agent that hangs delays nothing but itself
_CLOSE_S = 3.0
_log = logging.getLogger("sanderling.attach")


class HandOver:
    """What one version saw since the last message; used by the sender's thread only."""

    def __init__(self, windows: Windows | None, *, version: str, window_rows: int) -> None:
        self.version, self._windows, self._window_rows = version, windows, window_rows
        self._latencies = deque[float](maxlen=1024)
        self._confidences: list[float] = []
        self._rows = self._requests = self._errors = 0

    def look(self, seen: Seen) -> list[telemetry_pb2.Metrics | telemetry_pb2.DriftWindow]:
        """Takes a request into account; returns what is to be sent because of it."""
        rows = len(seen.inputs[0]) if seen.inputs else 0
        self._requests += 1
        if seen.outputs is None:
            self._errors += 1
        else:
            self._rows += rows
            self._latencies.append(seen.latency_us)
            found = confidences(seen.outputs)
            self._confidences += [] if found is None else found.tolist()
        closed: list[ClosedWindow] = []
        if self._windows is not None and rows:
            closed = self._windows.observe(seen.inputs, seen.outputs)
        if not closed and self._requests < self._window_rows:
            return []
        return [self.metrics(), *(drift_window(window) for window in closed)]

    def metrics(self) -> telemetry_pb2.Metrics:
        """The counts since the last call."""
        from sanderling.api.telemetry.v1 import telemetry_pb2

        p50, p95 = np.quantile(list(self._latencies), (0.5, 0.95)) if self._latencies else (0.0, 0.0)
        message = telemetry_pb2.Metrics(
            inferences=self._rows,
            errors=self._errors,
            latency_p50_us=float(p50),
            latency_p95_us=float(p95),
            mean_confidence=float(np.mean(self._confidences)) if self._confidences else 0.0,
        )
        self._confidences = []
        self._rows = self._requests = self._errors = 0
        return message

    @property
    def empty(self) -> bool:
        """Whether nothing was seen since the last message."""
        return self._requests == 0


@dataclass(frozen=True, eq=False)
class Seen:
    """One request, copied: the application goes on with its arrays.

    Attributes:
        hand_over: Of the version that ran.
        inputs: In the model's order; empty if they are not to be watched.
        outputs: In the model's order; None if the request was refused.
        latency_us: Of the run, in microseconds.
    """

    hand_over: HandOver
    inputs: list[Array]
    outputs: list[Array] | None
    latency_us: float

    @classmethod
    def answered(cls, hand_over: HandOver, session: Session, inputs: Any, outputs: Any, latency_us: float) -> Seen:
        """A request that ran."""
        results = [outputs[spec.name] for spec in session.outputs] if isinstance(outputs, Mapping) else [outputs]
        return cls(
            hand_over, [array.copy() for array in session._input_list(inputs)], [r.copy() for r in results], latency_us
        )

    @classmethod
    def refused(cls, hand_over: HandOver, session: Session, inputs: Any) -> Seen:
        """A request that the model refused; its rows are watched if NaN was the reason, as from a broken sensor."""
        try:
            arrays = session._input_list(inputs)
        except InputError:
            arrays = []
        missing = any(array.dtype.kind == "f" and array.ndim and bool(np.isnan(array).any()) for array in arrays)
        return cls(hand_over, [array.copy() for array in arrays] if missing else [], None, 0.0)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(array.nbytes for array in (*self.inputs, *(self.outputs or ())))


class Sender:
    """Looks at requests on a thread and writes frames to the agent.

    Args:
        slot: Of the model.
        path: The agent's socket.

    Raises:
        UnsupportedError: The extra `agent` is not installed.
    """

    def __init__(self, slot: str, path: Path) -> None:
        try:
            from sanderling.api.telemetry.v1 import telemetry_pb2
        except ImportError as error:
            raise UnsupportedError("[attach] needs protobuf. Install sanderling[agent]") from error
        self._messages = telemetry_pb2
        self._slot, self._path = slot, path
        self._queue: queue.SimpleQueue[Seen | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._dropped = 0
        self._versions: dict[int, HandOver] = {}
        self._socket: socket.socket | None = None
        self._send_lock = threading.Lock()
        self._silent_until, self._ended = 0.0, False
        self._thread = threading.Thread(target=self._run, name="sanderling hand-over", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Requests that were not looked at and messages that were not sent."""
        return self._dropped

    def put(self, seen: Seen) -> None:
        """Hands a request to the thread, or drops it when too many wait."""
        with self._lock:
            if self._queue.qsize() >= _MOST_WAITING or self._waiting_bytes + seen.size > _MOST_WAITING_BYTES:
                self._dropped += 1
                return
            self._waiting_bytes += seen.size
        self._queue.put(seen)

    def report(self, hand_over: HandOver, kind: str, message: str) -> None:
        """Sends an event; called by any thread but the application's."""
        event = self._messages.Event(kind=kind, severity=self._messages.SEVERITY_ERROR, message=message)
        self._send(self._envelope(hand_over, event=event))

    def close(self) -> None:
        """Looks at what waits, sends the counts that are left, and ends; but does not wait long for the agent."""
        self._queue.put(None)
        self._thread.join(_CLOSE_S)
        with self._send_lock:
            self._ended = True
            self._hang_up()

    def _run(self) -> None:
        failed = False
        while (seen := self._queue.get()) is not None:
            with self._lock:
                self._waiting_bytes -= seen.size
            self._versions[id(seen.hand_over)] = seen.hand_over
            try:
                self._forward(seen.hand_over, seen.hand_over.look(seen))
            except Exception:
                self._count_drop()
                if not failed:  # what fails once may fail at each request, and a log has no end
                    _log.exception("slot %s: a request could not be looked at", self._slot)
                failed = True
            self._let_go(seen.hand_over)
        for hand_over in self._versions.values():
            if not hand_over.empty:
                self._forward(hand_over, [hand_over.metrics()])

    def _let_go(self, current: HandOver) -> None:
        """Sends what a former version counted; late calls of it, in other threads, count once more."""
        for key, hand_over in list(self._versions.items()):
            if hand_over is not current:
                del self._versions[key]
                if not hand_over.empty:
                    self._forward(hand_over, [hand_over.metrics()])

    def _forward(self, hand_over: HandOver, messages: list[telemetry_pb2.Metrics | telemetry_pb2.DriftWindow]) -> None:
        for message in messages:
            if isinstance(message, self._messages.Metrics):
                self._send(self._envelope(hand_over, metrics=message))
            else:
                self._send(self._envelope(hand_over, drift=message))

    def _envelope(self, hand_over: HandOver, **body: Any) -> telemetry_pb2.Envelope:
        envelope = self._messages.Envelope(
            protocol_version=PROTOCOL_VERSION, slot=self._slot, version=hand_over.version, **body
        )
        envelope.recorded_at.FromNanoseconds(time.time_ns())
        return envelope

    def _send(self, envelope: telemetry_pb2.Envelope) -> None:
        frame = write_frame(envelope)
        with self._send_lock:
            now = time.monotonic()
            if self._ended or now < self._silent_until or len(frame) > MOST_FRAME_BYTES:
                self._count_drop()
            elif not self._write(frame):
                self._silent_until = now + _PAUSE_S
                self._count_drop()

    def _write(self, frame: bytes) -> bool:
        """Writes a whole frame, if need be on a new connection: the agent may have started anew."""
        while True:
            used = self._socket is not None
            try:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                    self._socket.settimeout(_SEND_S)
                    self._socket.connect(str(self._path))
                self._socket.sendall(frame)
                return True
            except OSError as error:
                self._hang_up()  # a part of the frame may be out, which ends with its connection
                if not used or isinstance(error, TimeoutError):
                    return False

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _count_drop(self) -> None:
        with self._lock:
            self._dropped += 1
