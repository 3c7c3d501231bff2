"""kill -9 before and after each store of the state, then a new start: the update ends as it would, told once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.agent.killed import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
PHASES = {
    "commit": {"fetch", "verify", "build", "selftest", "switch", "probation", "commit", "report", "idle"},
    "revert": {"fetch", "verify", "build", "selftest", "switch", "probation", "revert", "report", "idle"},
    "discard": {"fetch", "verify", "build", "selftest", "report", "idle"},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_every_point(scenario, tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "tests.agent.killed", str(tmp_path), scenario],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=True,
    )
    report = json.loads(run.stdout)
    points = {entry["point"].partition(":")[0] for entry in report}
    assert points >= PHASES[scenario] | {"started", "checkindue", "checkedin", "resolved", "observed"}
    _, active, outcome = SCENARIOS[scenario]
    for entry in report:
        point = entry["point"]
        assert entry["killed"], f"{point}: the process was not killed there"
        assert entry["ended"] == 0, f"{point}: {run.stderr}"
        assert entry["results"] == [["a-1", 1, outcome]], point
        assert (entry["served"], entry["active"]) == (active, active), point
        assert entry["kept"] == [["main", active]], point
        assert entry["numbered"], f"{point}: a row of telemetry is missing or has its name twice"
