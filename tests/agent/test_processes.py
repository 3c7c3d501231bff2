"""Processes known by pid, start time and boot id: never another one that got the pid."""

import os
import signal
import sys
from dataclasses import replace

import pytest

from sanderling.agent.processes import Process, boot_id, find, start, wait_for


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
