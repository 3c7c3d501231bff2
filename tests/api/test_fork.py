"""Sessions and batchers in a child that os.fork() made: they work there, or say what to do."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

import numpy as np
import pytest
from long_models import endless
from small_models import affine, affine_numpy, quantized_mlp

from sanderling import Batcher, CancelledError, Session, UnsupportedError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
SECONDS = 60  # a child that hangs is ended by the kernel, and the test fails


def in_child(call: Callable[[], None]) -> None:
    """Asserts that `call` returns in a child process."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        try:
            call()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("ran_before", [False, True])
def test_a_session_works_in_the_child_and_in_the_parent(threads, ran_before):
    x = np.random.default_rng(0).standard_normal((64, 37)).astype(np.float32)
    wanted = Session(quantized_mlp()).run(x)
    session = Session(quantized_mlp(), threads=threads)
    if ran_before:
        np.testing.assert_array_equal(session.run(x), wanted)

    def use() -> None:
        for rows in (64, 3, 64):
            np.testing.assert_array_equal(session.run(x[:rows]), wanted[:rows])

    in_child(use)
    use()
    in_child(lambda: in_child(use))
    use()


def test_the_child_has_its_own_threads():
    session = Session(affine(), threads=4)
    x = np.zeros((8, 6), np.float32)
    session.run(x)

    def count() -> None:
        assert len(os.listdir("/proc/self/task")) == 1
        session.run(x)
        assert len(os.listdir("/proc/self/task")) == 4

    if not os.path.isdir("/proc/self/task"):
        pytest.skip("no /proc to count threads in")
    in_child(count)


def test_a_session_that_never_runs_in_the_child_ends_there():
    session = Session(affine(), threads=3)

    def end() -> None:
        nonlocal session
        del session

    in_child(end)
    np.testing.assert_allclose(session.run(np.ones((1, 6), np.float32)), affine_numpy(np.ones((1, 6))), rtol=1e-5)


def test_a_fork_while_another_thread_runs_is_said_in_the_child():
    session, x = Session(endless(), threads=2), np.zeros((1, 4), np.float32)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            session.run(x)
        except CancelledError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while session.info()["arena_bytes"] == 0:  # it has its turn
        pass

    def use() -> None:
        for _ in range(2):
            with pytest.raises(UnsupportedError, match="Make a new session in the child"):
                session.run(x)
        with pytest.raises(UnsupportedError, match="Make a new session in the child"):
            session.run(x, timeout_s=5)
        other = Session(affine())
        assert other.run(np.zeros((1, 6), np.float32)).shape == (1, 3)

    in_child(use)
    while thread.is_alive():
        session.cancel()
        thread.join(0.01)
    assert len(errors) == 1


def test_a_batcher_stays_in_the_parent():
    x = np.ones((1, 6), np.float32)
    with Batcher(Session(affine())) as batcher:
        batcher.run(x)

        def use() -> None:
            for call in (batcher.submit, batcher.run):
                with pytest.raises(UnsupportedError, match="Make a batcher in the child"):
                    call(x)
            with pytest.raises(UnsupportedError, match="Make a batcher in the child"):
                batcher.stats()
            batcher.close()
            with Batcher(batcher._session) as own:
                np.testing.assert_allclose(own.run(x), affine_numpy(x), rtol=1e-5, atol=1e-5)

        in_child(use)
        np.testing.assert_allclose(batcher.run(x), affine_numpy(x), rtol=1e-5, atol=1e-5)
        assert batcher.stats()["requests"] == 2


def test_many_children_at_once():
    session, x = Session(affine(), threads=2), np.ones((5, 6), np.float32)
    wanted = session.run(x)
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)
            os._exit(0 if np.array_equal(session.run(x), wanted) else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 8
    np.testing.assert_array_equal(session.run(x), wanted)
