"""Threads for slow ports: work under one key runs in order, work under different keys side by side."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

_log = logging.getLogger("sanderling.agent")


class Workers:
    """One thread per key, made when it is first needed."""

    def __init__(self) -> None:
        self._queues: dict[str, queue.SimpleQueue[Callable[[], None] | None]] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def submit(self, key: str, work: Callable[[], None]) -> None:
        """Queues work; after `close` it is dropped."""
        with self._lock:
            if key not in self._queues:
                self._queues[key] = queue.SimpleQueue()
                thread = threading.Thread(target=self._run, args=(self._queues[key],), name=f"agent {key}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._queues[key].put(work)

    def close(self, timeout_s: float) -> None:
        """Lets what is under way end, for at most so long; what was queued behind it is dropped."""
        with self._lock:
            for waiting in self._queues.values():
                while not waiting.empty():
                    waiting.get()
                waiting.put(None)
        for thread in self._threads:
            thread.join(timeout_s)

    @staticmethod
    def _run(waiting: queue.SimpleQueue[Callable[[], None] | None]) -> None:
        while (work := waiting.get()) is not None:
            try:
                work()
            except Exception:  # the thread serves whatever comes next too; the phase's deadline ends what waits for it
                _log.exception("a port failed")
