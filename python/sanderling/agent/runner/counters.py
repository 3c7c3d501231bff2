"""What a runner counts: requests, latency, confidence, and whether inference makes progress. Thread-safe."""

from __future__ import annotations

import resource
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LATENCIES = 1024
"""The latest so many requests give p50 and p95."""
MOST_CONFIDENCES = 8192
"""Rows whose confidence is kept until acknowledged; older ones are dropped."""


@dataclass(frozen=True)
class Counts:
    """Counted since the runner started; latencies in microseconds over the latest requests."""

    rows: int
    requests: int
    errors: int
    latency_p50_us: float
    latency_p95_us: float
    resident_bytes: int
    cpu_seconds: float


class Counters:
    """Counts requests and their latency."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows = self._requests = self._errors = 0
        self._latencies = deque[float](maxlen=LATENCIES)

    def answered(self, rows: int, latency_us: float) -> None:
        """Counts a request that got its answer."""
        with self._lock:
            self._requests += 1
            self._rows += rows
            self._latencies.append(latency_us)

    def failed(self) -> None:
        """Counts a request that failed."""
        with self._lock:
            self._requests += 1
            self._errors += 1

    def look(self) -> Counts:
        """The counts now."""
        with self._lock:
            counted = (self._rows, self._requests, self._errors)
            latencies = list(self._latencies)
        p50, p95 = (float(q) for q in np.quantile(latencies, (0.5, 0.95))) if latencies else (0.0, 0.0)
        return Counts(*counted, p50, p95, _resident_bytes(), time.process_time())


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Progress:
    """Knows how long inference has made no progress while there was something to do.

    Args:
        hang_s: No progress for so long is a hang.
    """

    def __init__(self, hang_s: float) -> None:
        self.hang_s = hang_s
        self._lock = threading.Lock()
        self._running = 0
        self._since = 0.0

    def __enter__(self) -> None:
        """An inference begins."""
        with self._lock:
            if self._running == 0:
                self._since = time.monotonic()
            self._running += 1

    def __exit__(self, *_: object) -> None:
        """An inference ended."""
        with self._lock:
            self._running -= 1
            self._since = time.monotonic()

    @property
    def running(self) -> int:
        """Inferences that have begun and not ended."""
        return self._running

    def stuck_s(self) -> float:
        """How long nothing has ended although something runs; 0 when nothing runs."""
        with self._lock:
            return time.monotonic() - self._since if self._running else 0.0


class Confidences:
    """One confidence in [0, 1] per row answered, numbered from 1, until acknowledged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = deque[float]()
        self._next = 1

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Appends rows."""
        with self._lock:
            self._values.extend(values.tolist())
            self._next += len(values)
            while len(self._values) > MOST_CONFIDENCES:
                self._values.popleft()

    def look(self, acknowledged_row: int) -> tuple[int, list[float]]:
        """Drops the rows up to `acknowledged_row`; returns the number of the first one left, and the values."""
        with self._lock:
            first = self._next - len(self._values)
            for _ in range(min(max(acknowledged_row + 1 - first, 0), len(self._values))):
                self._values.popleft()
            return self._next - len(self._values), list(self._values)
