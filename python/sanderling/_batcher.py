"""`Batcher`: gathers requests of many callers into batches and runs them on one session."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling._session import Session
from sanderling.backends.native import NativeBackend
from sanderling.errors import InputError

Array = npt.NDArray[Any]
# The future of a request, and the names of its outputs if its inputs came by name.
_Ticket = tuple["Future[Any]", tuple[str, ...] | None]


class Batcher:
    """Runs the requests of many threads as few batches. Thread-safe; works with every backend.

    A request holds one or several rows, [n, ...]; its result holds as many. The rows are copied when it is submitted.
    One thread runs the batches, oldest first. Requests are not mixed with those of other row shapes. A request with
    more rows than `max_batch_size` is cut and joined again. What fails a request, such as a NaN, fails it alone.
    Results of models that compute in integers are the bits that single runs give.

    A batch closes when it is full; when its oldest request has waited `max_queue_delay_us`; with a delay of 0, as
    soon as nothing runs, so that whatever came in during one batch is the next. The delay buys larger batches and
    costs every request of a quiet time that long.

    Args:
        session: What runs the batches. Others may run it as well; closing it does not close the batcher.
        max_batch_size: Rows of a batch.
        max_queue_delay_us: Longest wait for other requests, in microseconds, up to a minute.
        max_queue_size: Requests that wait for their batch; more are refused.

    Raises:
        InputError: A setting is out of range, or the session is closed.
        UnsupportedError: The model's batch size is fixed, an input has no batch axis, or a tensor is of a dtype that
            the engine does not have.
    """

    def __init__(
        self,
        session: Session,
        *,
        max_batch_size: int = 8,
        max_queue_delay_us: int = 0,
        max_queue_size: int = 64,
    ) -> None:
        settings = (max_batch_size, max_queue_delay_us, max_queue_size)
        for name, value in zip(("max_batch_size", "max_queue_delay_us", "max_queue_size"), settings, strict=True):
            if not isinstance(value, int) or isinstance(value, bool):
                raise InputError(f"[batcher] {name} is {value!r}, expected an integer")
        policy = _core.BatchPolicy(*settings)
        self._session = session
        backend = session._run
        if isinstance(backend, NativeBackend):
            self._core = _core.Batcher(backend.core, _deliver, policy)
        else:
            specs = [(spec.name, spec.dtype or "", list(spec.shape or ())) for spec in backend.inputs]
            self._core = _core.Batcher(specs, backend.run, _deliver, policy)
        _open.add(self)

    def submit(self, inputs: Any) -> Future[Any] | None:
        """Puts a request into the queue.

        Args:
            inputs: As for `Session.run`; axis 0 of every array is the request's rows.

        Returns:
            A future of what `Session.run` would return, or None if the queue is full. The future's callbacks run on the
            batcher's thread, which does nothing else meanwhile. A future that is cancelled while it waits is still run.

        Raises:
            InputError: A name, dtype or shape is wrong, or the batcher is closed. A NaN is reported by
                the future.
        """
        return self._submit(inputs, wait=False)

    def run(self, inputs: Any) -> Any:
        """Submits a request, waits for room in the queue and for the result, and returns it.

        Raises:
            InputError: As for `submit`; also for a NaN, or if a callback of a future calls it: it would wait for
                itself.
            CancelledError: The batcher was closed without drain.
        """
        if self._core.on_own_thread:
            raise InputError("[batcher] run() in a future's callback would wait for itself. Use submit()")
        future = self._submit(inputs, wait=True)
        assert future is not None
        return future.result()

    def stats(self) -> dict[str, Any]:
        """Says what the batcher did so far.

        Returns:
            requests and rows that were accepted; rejected: requests that found the queue full; waiting: requests in the
            queue now; batches; mean_batch_size in rows; closed: why batches closed, as counts of "full", "delay",
            "idle" and "drain"; queue_p50_us and queue_p99_us: from submission to the start of the batch, in
            microseconds, over the latest 4,096 requests. A request with NaN is a request but in no batch.
        """
        stats = self._core.stats()
        batches, rows = stats["batches"], stats.pop("batched_rows")
        return {**stats, "mean_batch_size": rows / batches if batches else 0.0}

    def close(self, *, drain: bool = True) -> None:
        """Refuses further requests and waits for the batcher's thread to end. May be called again.

        Called by a future's callback, on that thread, it does not wait.

        Args:
            drain: Run what waits in the queue; else those futures are cancelled.
        """
        self._core.close(drain)
        _open.discard(self)

    def __enter__(self) -> Batcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain=kind is None)

    def _submit(self, inputs: Any, *, wait: bool) -> Future[Any] | None:
        arrays, names = self._session._unpack(inputs)
        future: Future[Any] = Future()
        ticket: _Ticket = (future, names)
        plain = [np.require(array, requirements=["C", "A"]) for array in arrays]
        return future if self._core.submit(plain, ticket, wait) else None


def _deliver(finished: Sequence[tuple[_Ticket, list[Array] | None, BaseException | None]]) -> None:
    """Settles futures; called by the threads of batchers. It holds no batcher, so that one out of use can go."""
    for (future, names), outputs, error in finished:
        try:
            if outputs is None and error is None:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            if error is not None:
                future.set_exception(error)
            elif outputs is not None:
                future.set_result(outputs[0] if names is None else dict(zip(names, outputs, strict=True)))
        except InvalidStateError:
            continue  # someone else settled it


_open: weakref.WeakSet[Batcher] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # A thread must not ask for the interpreter once that is gone.
    for batcher in list(_open):
        batcher.close()
