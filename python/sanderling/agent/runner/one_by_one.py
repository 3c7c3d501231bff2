"""For models whose batch size is fixed: requests run one after the other, as they are."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from sanderling._session import Session


class OneByOne:
    """Has the face of a `Batcher`.

    Args:
        session: What runs them.
        max_queue_size: Requests that wait; more are refused.
    """

    def __init__(self, session: Session, *, max_queue_size: int) -> None:
        self._session = session
        self._room = threading.Semaphore(max_queue_size + 1)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")

    def submit(self, inputs: Mapping[str, Any]) -> Future[Any] | None:
        """A future of what `Session.run` returns, or None if the queue is full."""
        if not self._room.acquire(blocking=False):
            return None
        future = self._thread.submit(self._session.run, inputs)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def close(self, *, drain: bool = True) -> None:
        """Refuses further requests and waits for those that run."""
        self._thread.shutdown(wait=drain, cancel_futures=not drain)
