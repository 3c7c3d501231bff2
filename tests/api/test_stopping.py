"""A run that does not end: by a timeout, or by `cancel` of another thread."""

import concurrent.futures
import math
import threading
from collections.abc import Callable

import numpy as np
import pytest
from long_models import chain, endless, idle
from small_models import affine

import sanderling
from sanderling import Batcher, CancelledError, DeadlineError, InputError, Session, UnsupportedError

X = np.zeros((2, 4), np.float32)


def cancel_until(session: Session, running: threading.Thread) -> None:
    """Stops a thread's run, whether or not it has begun."""
    while running.is_alive():
        session.cancel()
        running.join(0.01)


def in_thread(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Starts a call; the list gets what it returns or raises."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except sanderling.SanderlingError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("model", [endless, idle], ids=["loop", "a loop of nothing"])
def test_a_timeout_ends_a_run_and_the_session_goes_on(model, threads):
    session = Session(model(), threads=threads)
    for _ in range(2):
        with pytest.raises(DeadlineError, match=r"\[run\] the run did not end within 0.05 s"):
            session.run(X, timeout_s=0.05)
    y = np.empty_like(X)
    with pytest.raises(DeadlineError):
        session.run_into(X, y, timeout_s=0.05)
    with pytest.raises(DeadlineError):
        session.run({"x": X}, timeout_s=0.05)


def test_a_bound_call_has_its_timeout():
    session = Session(chain())
    y = np.empty_like(X)
    session.bind(X, y, timeout_s=60)()
    np.testing.assert_array_equal(y, session.run(X))
    with pytest.raises(DeadlineError):
        session.bind(X, y, timeout_s=1e-9)()


def test_steps_are_not_begun_after_the_deadline():
    rows = np.zeros((200_000, 4), np.float32)  # more than a second of 2000 steps, none of them long
    session = Session(chain(2000), threads=2)
    with pytest.raises(DeadlineError):
        session.run(rows, timeout_s=0.01)
    np.testing.assert_array_equal(session.run(X), session.run(X, timeout_s=600))


def test_a_run_within_its_time_is_as_any_other():
    session = Session(endless(trips=1000))
    np.testing.assert_array_equal(session.run(X, timeout_s=600), X + 1000)
    np.testing.assert_array_equal(session.run(X, timeout_s=math.inf), X + 1000)


@pytest.mark.parametrize("timeout_s", [0, -1.0, math.nan, True, "1"])
def test_a_timeout_is_a_positive_number(timeout_s):
    session = Session(endless(trips=3))
    for call in (session.run, lambda x, **given: session.run_into(x, np.empty_like(x), **given)):
        with pytest.raises(InputError, match=r"\[run\] timeout_s is .*, expected a positive number of seconds"):
            call(X, timeout_s=timeout_s)


@pytest.mark.parametrize("threads", [1, 3])
def test_another_thread_cancels(threads):
    session = Session(endless(), threads=threads)
    y = np.empty_like(X)
    bound = session.bind(X, y)
    for call in (lambda: session.run(X), lambda: session.run_into(X, y), bound):
        thread, results = in_thread(call)
        cancel_until(session, thread)
        assert isinstance(results[0], CancelledError)
        assert "[run] the run was cancelled by cancel()" in str(results[0])


def test_cancel_ends_those_that_wait_and_not_those_that_come():
    session = Session(endless())
    running = [in_thread(lambda: session.run(X)) for _ in range(4)]
    for thread, _ in running:
        cancel_until(session, thread)
    assert all(isinstance(results[0], CancelledError) for _, results in running)
    other = Session(endless(trips=5))
    other.cancel()
    np.testing.assert_array_equal(other.run(X), X + 5)


def test_the_wait_for_a_turn_counts():
    session = Session(endless())
    thread, results = in_thread(lambda: session.run(X))
    try:
        with pytest.raises(DeadlineError):
            session.run(X, timeout_s=0.05)
        assert thread.is_alive()
    finally:
        cancel_until(session, thread)
    assert isinstance(results[0], CancelledError)


def test_futures_of_a_batch_hear_of_it():
    session = Session(endless())
    with Batcher(session, max_batch_size=4) as batcher:
        futures = [batcher.submit(X) for _ in range(3)]
        while not all(future.done() for future in futures):
            session.cancel()
            concurrent.futures.wait(futures, timeout=0.01)
        for future in futures:
            assert isinstance(future.exception(), CancelledError)
    ends = Session(endless(trips=2))
    with Batcher(ends) as batcher:
        np.testing.assert_array_equal(batcher.run(X), X + 2)


def test_other_backends_cannot_be_stopped():
    session = Session(affine(), backend="onnxruntime")
    x = np.zeros((1, 6), np.float32)
    with pytest.raises(UnsupportedError, match=r"a run of backend 'onnxruntime' cannot be stopped"):
        session.run(x, timeout_s=1)
    with pytest.raises(UnsupportedError, match="cannot be stopped"):
        session.cancel()


def test_a_closed_session_is_not_cancelled():
    session = Session(affine())
    session.close()
    with pytest.raises(InputError, match="the session is closed"):
        session.cancel()


def test_nothing_leaks():
    """What a stopped run made is let go: the session's memory does not grow with runs that were stopped."""
    session = Session(endless())
    sizes = set()
    for _ in range(20):
        with pytest.raises(DeadlineError):
            session.run(X, timeout_s=0.002)
        sizes.add(session.info()["arena_bytes"])
    assert len(sizes) == 1
