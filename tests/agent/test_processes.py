"""Processes known by pid, start time and boot id: never another one that got the pid. Waiting for their end."""

import os
import signal
import sys
import threading
import time
from dataclasses import replace

import pytest

from sanderling.agent.processes import Process, boot_id, find, start, wait_for, wait_for_an_end

LONG_S = 20.0


@pytest.fixture
def process(tmp_path):
    (tmp_path / "sleeper_of_the_test.py").write_text("import time\ntime.sleep(60)\n")
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        made = start([sys.executable, "-m", "sleeper_of_the_test", "--state", "here"], tmp_path / "log")
    finally:
        os.chdir(before)
    yield made
    made.kill()


def test_a_process_is_known_until_it_ends(process):
    assert process.is_alive()
    assert Process.from_text(process.to_text()) == process
    assert process.boot_id == boot_id()
    process.kill()
    assert not process.is_alive()
    assert not process.send(signal.SIGTERM)


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another"}])
def test_another_process_with_the_same_pid_is_left_alone(process, change):
    former = replace(process, **change)
    assert not former.is_alive()
    assert not former.send(signal.SIGKILL)
    former.kill()
    assert process.is_alive()


def test_it_has_a_session_of_its_own(process):
    assert os.getsid(process.pid) == process.pid


def test_it_is_found_by_module_and_path(process, tmp_path):
    # The word is there once Python has replaced the fork.
    assert wait_for(lambda: find("sleeper_of_the_test", "--state", tmp_path / "here") == [process], 5.0)
    assert find("sleeper_of_the_test", "--state", tmp_path / "elsewhere") == []
    assert find("sleeper_of_the_test", "--socket", tmp_path / "here") == []
    assert find("another_module", "--state", tmp_path / "here") == []


def test_a_large_log_is_put_aside(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"x" * (2 << 20))
    process = start([sys.executable, "-c", "print('new')"], log)
    assert process.wait_gone(10.0)
    assert log.read_text() == "new\n"
    assert (tmp_path / "log.log.1").stat().st_size == 2 << 20


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
