"""`sanderling agent` as it is typed: enrol, run, status, reset."""

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.agent.site import WAIT_S, version, wait_until


def sanderling(*arguments, check=0, **environment):
    run = subprocess.run(
        [sys.executable, "-m", "sanderling.cli", "agent", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )
    assert run.returncode == check, run.stderr
    return run


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def test_a_device_from_token_to_reset(fleet, state):
    run = sanderling("enroll", "--state", state, "-o", "json", SANDERLING_JOIN_TOKEN=fleet.token().to_text())
    assert json.loads(run.stdout)["device"] == "dv-1"
    assert json.loads(sanderling("status", "--state", state, "-o", "json").stdout)["agent"] == "has never run"

    fleet.next_s = 0.3
    fleet.want("main", version(fleet, 1, 0.5))
    agent = subprocess.Popen([sys.executable, "-m", "sanderling.cli", "agent", "run", "--state", state, "--port", "0"])
    try:
        wait_until(lambda: fleet.check_ins and fleet.check_ins[-1].slots, "a slot")
        wait_until(lambda: fleet.check_ins[-1].slots[0].state == 8, "probation")
        found = json.loads(sanderling("status", "--state", state, "-o", "json").stdout)
        assert found["agent"] == "runs"
        assert found["router"].startswith("127.0.0.1:")
        (slot,) = found["slots"]
        assert (slot["slot"], slot["phase"], slot["candidate"]) == ("main", "probation", "linear-1")
        assert "main" in sanderling("status", "--state", state).stdout

        second = sanderling("run", "--state", state, check=1)
        assert "used by another agent" in second.stderr
        assert "Stop that one first" in second.stderr
        assert "Stop it first" in sanderling("reset", "--yes", "--state", state, check=1).stderr
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(WAIT_S) == 0
    sanderling("reset", "--yes", "--state", state)
    assert sorted(path.name for path in state.iterdir()) == []
    assert not any(_command_line(pid).find(str(state)) >= 0 for pid in os.listdir("/proc") if pid.isdigit())


def test_a_fleet_that_is_away_and_a_database_that_is_damaged(fleet, state):
    sanderling("enroll", "--state", state, SANDERLING_JOIN_TOKEN=fleet.token().to_text())
    fleet.next_s = 0.3
    fleet.want("main", version(fleet, 1, 0.5))
    agent = subprocess.Popen([sys.executable, "-m", "sanderling.cli", "agent", "run", "--state", state, "--port", "0"])
    try:
        wait_until(lambda: fleet.check_ins and fleet.check_ins[-1].slots, "a slot")
        wait_until(lambda: fleet.check_ins[-1].slots[0].state == 8, "probation")
        assert json.loads(sanderling("status", "--state", state, "-o", "json").stdout)["check_in_error"] == ""
        fleet.stop()

        def error() -> str:
            return json.loads(sanderling("status", "--state", state, "-o", "json").stdout)["check_in_error"]

        wait_until(lambda: "cannot be reached" in error(), "what is wrong")
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(WAIT_S) == 0
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and str(state) in _command_line(pid)]
    assert len(left) == 2, "a router and a runner"
    (state / "state.db-wal").unlink(missing_ok=True)
    (state / "state.db").write_bytes(b"no database at all" * 100)
    sanderling("reset", "--yes", "--state", state)
    assert not any(str(state) in _command_line(pid) for pid in left), "found without their records"


def _command_line(pid) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def test_who_is_not_enrolled(state):
    state.mkdir()
    run = sanderling("run", "--state", state, check=4)
    assert "not enrolled" in run.stderr
    assert "sanderling agent enroll JOIN_TOKEN" in run.stderr
    assert "not enrolled" in sanderling("status", "--state", state, check=4).stderr


def test_a_token_of_another_ca(fleet, state):
    token = fleet.token(ca_digest=b"x" * 32).to_text()
    run = sanderling("enroll", token, "--state", state, check=6)
    assert "was not sent" in run.stderr
    assert fleet.enrolments == []


def test_nobody_there(fleet, state):
    sanderling("enroll", fleet.token(address="127.0.0.1:1").to_text(), "--state", state, check=5)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: (p.mkdir(), (p / "x").touch())])
def test_reset_deletes_only_what_is_an_agents(state, make):
    make(state)
    sanderling("reset", "--yes", "--state", state, check=1)
    assert not (state / "x").exists() or list(state.iterdir()) == [state / "x"]
