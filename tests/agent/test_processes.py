"""Waiting for the end of processes, without asking them."""

import os
import threading
import time

import pytest

from sanderling.agent.processes import Process, start, wait_for_an_end

LONG_S = 20.0


@pytest.fixture
def sleeper(tmp_path):
    process = start(["sleep", "60"], tmp_path / "log")
    yield process
    process.kill()


@pytest.fixture
def interrupt():
    descriptor = os.eventfd(0)
    yield descriptor
    os.close(descriptor)


def test_an_end_is_known_at_once(sleeper, interrupt):
    begin = time.monotonic()
    threading.Timer(0.1, lambda: os.kill(sleeper.pid, 9)).start()
    wait_for_an_end([sleeper], LONG_S, interrupt)
    assert time.monotonic() - begin < LONG_S / 4
    assert not sleeper.is_alive()


def test_what_has_ended_before_is_not_waited_for_in_a_circle(sleeper, interrupt):
    sleeper.kill()
    begin = time.monotonic()
    wait_for_an_end([sleeper, Process(os.getpid(), 0, "another boot")], 0.2, interrupt)
    assert time.monotonic() - begin >= 0.2


def test_the_wait_can_be_interrupted(sleeper, interrupt):
    begin = time.monotonic()
    threading.Timer(0.1, lambda: os.eventfd_write(interrupt, 1)).start()
    wait_for_an_end([sleeper], LONG_S, interrupt)
    assert time.monotonic() - begin < LONG_S / 4
    assert sleeper.is_alive()


def test_no_descriptor_is_left_open(sleeper, interrupt):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        wait_for_an_end([sleeper], 0.0, interrupt)
    assert len(os.listdir("/proc/self/fd")) == before
