"""Runners from the fork server: there at once, never one that nobody knows."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from sanderling.agent import fork_server
from sanderling.agent.fork_server import ForkServer
from sanderling.agent.processes import Process, wait_for
from sanderling.api.runner.v1 import runner_pb2, runner_pb2_grpc

LONG_S = 30.0


@pytest.fixture
def forks(tmp_path):
    (tmp_path / "run").mkdir()
    server = ForkServer(tmp_path / "run", tmp_path)
    yield server
    server.close()
    for process in server.forked():
        process.kill()


def fork(forks: ForkServer, tmp_path: Path, name: str = "a.sock", record=lambda process: None) -> Process:
    return forks.fork(tmp_path / "run" / name, "runner.log", record)


def health(path: Path) -> runner_pb2.HealthResponse:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        stub = runner_pb2_grpc.RunnerServiceStub(channel)
        return stub.Health(runner_pb2.HealthRequest(), timeout=LONG_S, wait_for_ready=True)


def test_a_runner_is_a_process_of_its_own(forks, tmp_path):
    recorded = []
    process = fork(forks, tmp_path, record=recorded.append)
    assert recorded == [process]
    answer = health(tmp_path / "run" / "a.sock")
    assert (answer.pid, answer.start_ticks, answer.boot_id) == (process.pid, process.start_ticks, process.boot_id)
    assert os.getsid(process.pid) == process.pid
    opened = set()
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            opened.add(os.readlink(entry))
    assert str(tmp_path / "runner.log") in opened
    assert not any(target.startswith("pipe:") for target in opened), "it holds no end of the fork server's pipes"
    assert Path(f"/proc/{process.pid}/comm").read_text().startswith("sanderling")


def test_runners_differ_and_outlive_the_fork_server(forks, tmp_path):
    first, second = fork(forks, tmp_path, "a.sock"), fork(forks, tmp_path, "b.sock")
    assert {health(tmp_path / "run" / name).pid for name in ("a.sock", "b.sock")} == {first.pid, second.pid}
    assert len(forks.forked()) == 3
    forks.close()
    assert set(forks.forked()) == {first, second}
    assert first.is_alive()
    assert health(tmp_path / "run" / "b.sock").pid == second.pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_successor_is_asked_when_it_was_killed(forks, tmp_path, number):
    first = fork(forks, tmp_path)
    (former,) = set(forks.forked()) - {first}
    former.send(number)
    assert former.wait_gone(LONG_S)
    process = fork(forks, tmp_path, "b.sock")
    assert health(tmp_path / "run" / "b.sock").pid == process.pid
    assert former not in forks.forked()
    process.kill()
    assert not process.is_alive()


def test_it_rests_when_nothing_was_started_for_long(forks, tmp_path, monkeypatch):
    process = fork(forks, tmp_path)
    assert health(tmp_path / "run" / "a.sock").pid == process.pid, "it was let go: it needs no fork server any more"
    forks.rest()
    assert len(forks.forked()) == 2
    monkeypatch.setattr(fork_server, "REST_S", 0.0)
    forks.rest()
    assert forks.forked() == [process]
    second = fork(forks, tmp_path, "b.sock")
    assert health(tmp_path / "run" / "b.sock").pid == second.pid


def test_a_runner_that_cannot_be_recorded_never_runs(forks, tmp_path):
    seen = []

    def full(process: Process) -> None:
        seen.append(process)
        raise OSError(28, "no space")

    with pytest.raises(OSError, match="no space"):
        fork(forks, tmp_path, record=full)
    assert seen
    assert not any(process.is_alive() for process in seen)
    assert not (tmp_path / "run" / "a.sock").exists()


def test_who_asked_dies_before_it_has_recorded_the_runner(tmp_path):
    """Then the fork server ends, and the runner that waits with it; one that was let go stays."""
    (tmp_path / "run").mkdir()
    code = (
        "import os, signal, sys, pathlib\n"
        "from sanderling.agent.fork_server import ForkServer\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "forks = ForkServer(folder / 'run', folder)\n"
        "forks.fork(folder / 'run' / 'a.sock', 'runner.log', lambda process: None)\n"
        "forks.fork(folder / 'run' / 'b.sock', 'runner.log', lambda process: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=LONG_S)
    assert done.returncode == -signal.SIGKILL
    forks = ForkServer(tmp_path / "run", tmp_path)
    try:
        assert health(tmp_path / "run" / "a.sock").pid
        assert wait_for(lambda: len(forks.forked()) == 1, LONG_S)
        assert not (tmp_path / "run" / "b.sock").exists()
    finally:
        for process in forks.forked():
            process.kill()
