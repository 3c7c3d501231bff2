"""Looks at what was answered, on a thread of its own: windows, confidence and samples cost no request any time."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from sanderling._windows import ClosedWindow, Windows, confidences, drift_window
from sanderling.agent.runner.counters import Confidences
from sanderling.agent.runner.samples import Samples
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import InputError

Array = npt.NDArray[Any]
MOST_WINDOW_BYTES = 16 << 20
"""Of windows kept until acknowledged; the oldest are dropped."""
MOST_ANSWER_BYTES = 2 << 20
"""Of windows handed out at once: a gRPC message has 4 MiB at most by default, and more than the windows is in it."""
_MOST_WAITING, _MOST_WAITING_BYTES = 512, 64 << 20
_log = logging.getLogger("sanderling.runner")


@dataclass(frozen=True, eq=False)
class Answered:
    """One request: inputs and outputs by name in the model's order; outputs None if it was refused because of NaN."""

    inputs: dict[str, Array]
    outputs: dict[str, Array] | None

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(array.nbytes for array in (*self.inputs.values(), *(self.outputs or {}).values()))


class Observer:
    """Closes windows over what was answered.

    Args:
        windows: Judges; None for a version without a reference.
        samples: Rows for retraining.
    """

    def __init__(self, windows: Windows | None, samples: Samples) -> None:
        self.confidences = Confidences()
        self._windows, self._samples = windows, samples
        self._lock = threading.Lock()
        self._closed = deque[telemetry_pb2.DriftWindow]()
        self._closed_bytes = 0
        self._last_window = 0
        self._learned: tuple[int, bytes] | None = None
        self._unfit = self._failed = 0
        self._waiting = self._waiting_bytes = 0
        self._queue: queue.SimpleQueue[Answered | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._thread.start()

    def put(self, answered: Answered) -> None:
        """Hands over a request; the arrays must not change any more."""
        with self._lock:
            self._waiting += 1
            self._waiting_bytes += answered.size
        self._queue.put(answered)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be looked at that no more should be answered for now."""
        return self._waiting > _MOST_WAITING or self._waiting_bytes > _MOST_WAITING_BYTES

    def close(self) -> None:
        """Looks at what waits, then ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def take(self, acknowledged_window: int) -> tuple[list[telemetry_pb2.DriftWindow], bytes]:
        """Drops the windows up to `acknowledged_window`.

        Returns:
            The oldest of those that are left, as many as fit into an answer; and the device's own reference, until the
            window that it was learned with is dropped.
        """
        with self._lock:
            while self._closed and self._closed[0].window <= acknowledged_window:
                self._drop_oldest()
            if self._learned is not None and self._learned[0] <= acknowledged_window:
                self._learned = None
            fitting: list[telemetry_pb2.DriftWindow] = []
            room = MOST_ANSWER_BYTES
            for window in self._closed:
                room -= window.ByteSize()
                if fitting and room < 0:
                    break
                fitting.append(window)
            return fitting, b"" if self._learned is None else self._learned[1]

    def _drop_oldest(self) -> None:
        self._closed_bytes -= self._closed.popleft().ByteSize()

    def _run(self) -> None:
        while (answered := self._queue.get()) is not None:
            try:
                self._look(answered)
            except InputError as error:
                self._unfit += 1
                if self._unfit == 1:
                    _log.warning("rows are not watched: %s", error)
            except Exception:
                self._failed += 1
                if self._failed == 1:  # what fails once may fail at each request, and a log has no end
                    _log.exception("a request could not be looked at")
            with self._lock:
                self._waiting -= 1
                self._waiting_bytes -= answered.size

    def _look(self, answered: Answered) -> None:
        inputs = list(answered.inputs.values())
        outputs = None if answered.outputs is None else list(answered.outputs.values())
        if outputs is not None and answered.outputs is not None:
            found = confidences(outputs)
            if found is not None:
                self.confidences.add(found)
            self._samples.offer(answered.inputs, answered.outputs, window=self._last_window + 1)
        if self._windows is not None:
            for closed in self._windows.observe(inputs, outputs):
                self._close(closed, self._windows)

    def _close(self, closed: ClosedWindow, windows: Windows) -> None:
        message = drift_window(closed)
        with self._lock:
            self._closed.append(message)
            self._closed_bytes += message.ByteSize()
            while self._closed_bytes > MOST_WINDOW_BYTES and len(self._closed) > 1:
                _log.warning("window %d is dropped: nobody took it", self._closed[0].window)
                self._drop_oldest()
            self._last_window = closed.number
            if closed.learned is not None:
                self._learned = (closed.number, closed.learned.to_bytes())
        if closed.learned is None and not closed.verdict.faults:
            self._samples.learn(windows.reference, closed.sketches)
