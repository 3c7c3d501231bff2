"""Small fleets under virtual time: kills, losses, refusals, and that chance comes from the seed alone."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest
from fleets import KEPT, SECOND, SMALL, broken, run

from sanderling.agent import files
from sanderling.errors import InputError
from sanderling_devices.simulator import parse_scenario, simulate
from sanderling_devices.simulator.scenario import NetworkSpec, Outage
from sanderling_fleet.core import rollouts

HOLDS = """
[[expect]]
check = "running"
version = "m-2.0"
at_least = 6
[[expect]]
check = "rollout"
rollout = "second"
state = "succeeded"
"""


def test_a_fleet_takes_two_versions():
    result = run(SECOND, HOLDS, KEPT)
    assert broken(result) == []
    assert [v["exposed"] for v in result.report.versions] == [6, 6]
    assert result.report.traffic["results_reported"] == 12


def test_four_calls_in_ten_lost_lose_nothing():
    result = run(SECOND, HOLDS, KEPT, duration=16 * 3600.0, network=NetworkSpec(loss=0.4))
    assert broken(result) == []
    assert result.report.traffic["calls_that_failed"] > 100


@pytest.mark.parametrize("reboot", [False, True])
@pytest.mark.parametrize("minute", [3, 8, 15, 25])
def test_agents_killed_in_a_rollout_take_the_version_all_the_same(minute, reboot):
    kill = f'[[event]]\nat = "4h {minute}m"\ndo = "kill"\nreboot = {str(reboot).lower()}\nlasts = "1m"\n'
    result = run(SECOND, kill, HOLDS, KEPT)
    assert broken(result) == []
    assert sum(event["what"] == "killed" for event in result.events) == 6


@pytest.mark.parametrize("how", ["crash", "hang"])
def test_a_version_whose_runners_die_is_reverted(how):
    dies = SECOND.replace('version = "m-2.0"', 'version = "m-3.0"')
    third = f'[[version]]\nname = "m-3.0"\ncounter = 3\nbehaves = {{ {how}_chance = 1.0 }}\n'
    scenario = parse_scenario(SMALL + third + dies + KEPT)
    # Rows for an hour and a half: it dies in its first.
    result = simulate(dataclasses.replace(scenario, fleet=dataclasses.replace(scenario.fleet, probation_rows=300)))
    assert broken(result) == []
    outcomes = {(e["outcome"], e["code"]) for e in result.events if e["what"] == "result" and e["version"] == "m-3.0"}
    assert ("REVERTED", how.upper()) in outcomes
    assert outcomes <= {("REVERTED", how.upper()), ("REVERTED", "SUPERSEDED"), ("SUPERSEDED", "SUPERSEDED")}
    assert [v["running"] for v in result.report.versions] == [6, 0, 0]
    assert {a["kind"] for a in result.report.alerts} >= {f"device.runner.{how}", "rollout.breach"}


def test_a_version_whose_golden_samples_fail_is_never_served():
    bad = '[[version]]\nname = "m-3.0"\ncounter = 3\nbehaves = { golden = 9 }\n'
    result = run(bad, SECOND.replace('version = "m-2.0"', 'version = "m-3.0"'))
    assert result.report.versions[2]["exposed"] == 0
    assert {e["code"] for e in result.events if e["what"] == "result" and e["version"] == "m-3.0"} == {
        "SELFTEST_FAILED"
    }


def test_slow_devices_reject_what_is_too_slow_for_them_only():
    slow = (
        '[[version]]\nname = "m-3.0"\ncounter = 3\non = { raspberry-pi-5 = { latency_us = 9000 } }\n'
        + SECOND.replace('version = "m-2.0"', 'version = "m-3.0"').replace('"abort"', '"pause"')
    )
    scenario = parse_scenario(SMALL + slow)
    fleet = dataclasses.replace(scenario.fleet, count=8, profiles={"raspberry-pi-5": 1.0, "x86-gateway": 1.0})
    result = simulate(dataclasses.replace(scenario, fleet=fleet))
    ends = {e["outcome"] for e in result.events if e["what"] == "result" and e["version"] == "m-3.0"}
    assert ends == {"COMMITTED", "DISCARDED"}


@pytest.mark.parametrize("kind", ["stuck", "saturated", "missing"])
def test_a_sensor_that_breaks_is_named_until_it_is_repaired(kind):
    broken_at = f'[[event]]\nat = "4h"\ndo = "fault"\nselector = "site=b"\nkind = "{kind}"\nlasts = "2h"\n'
    result = run(broken_at, KEPT)
    assert broken(result) == []
    (alerts,) = (a for a in result.report.alerts if a["kind"] == "sensor.fault")
    assert (alerts["count"], alerts["devices"]) == (2, 2)
    assert f"sensor fault: {kind} x" in alerts["summary"]


BACK = """
[[event]]
at = "4h"
do = "rollout"
name = "back"
version = "m-1.0"
stages = [{ name = "all", percent = 100, soak = "10m" }]
[[expect]]
check = "no_downgrade"
"""
NEWER_FIRST = SMALL.replace('version = "m-1.0"', 'version = "m-2.0"').replace(
    "[[event]]\n", '[[event]]\nat = "0s"\ndo = "publish"\nversion = "m-1.0"\n[[event]]\n', 1
)


def test_going_back_is_refused_twice_and_seen_when_it_is_not(monkeypatch):
    scenario = parse_scenario(NEWER_FIRST + BACK)
    with pytest.raises(InputError, match="no token of the release role permits going back"):
        simulate(scenario)

    async def allow(tx, stored, has, wanted):
        return ""

    monkeypatch.setattr(rollouts, "_older", allow)
    result = simulate(scenario)
    assert broken(result) == []
    assert {e["code"] for e in result.events if e["what"] == "result" and e["version"] == "m-1.0"} == {"INTEGRITY"}
    monkeypatch.setattr(files, "downgrade_allowed", lambda *_: True)
    assert broken(simulate(scenario)) == ["nothing is downgraded"]


CANARY = 'stages = [{ name = "canary", count = 2, hold = true, soak = "10m" }, '
HELD = SECOND.replace("stages = [", CANARY)


@pytest.mark.parametrize(
    ("words", "state", "running"),
    [
        ((), "running", 2),
        (("promote",), "succeeded", 6),
        (("pause",), "paused", 2),
        (("pause", "resume", "promote"), "succeeded", 6),
        (("abort",), "aborted", 2),
    ],
)
def test_operators_command_a_rollout(words, state, running):
    said = "".join(
        f'[[event]]\nat = "6h {10 + number}m"\ndo = "command"\nname = "second"\nword = "{word}"\n'
        for number, word in enumerate(words)
    )
    result = run(HELD, said, KEPT)
    assert broken(result) == []
    assert result.report.rollouts[1]["state"] == state
    assert result.report.versions[1]["running"] == running


def test_a_server_that_is_down_loses_nothing():
    down = NetworkSpec(outages=(Outage(at=4.2 * 3600.0, lasts=3600.0),))
    result = run(SECOND, HOLDS, KEPT, network=down)
    assert broken(result) == []
    assert result.report.traffic["check_ins_that_failed"] > 12
    during = [event for event in result.events if 4.2 * 3600 < event["at"] < 5.2 * 3600]
    assert not any(event["what"] in ("rollout", "alert") for event in during)


def test_operators_are_refused_as_by_a_real_server():
    with pytest.raises(InputError, match=r"m-2\.0"):
        run(SECOND.replace('do = "publish"', 'do = "push_again"'))


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    (tmp_path / "mine.toml").write_text(SMALL + SECOND + HOLDS + "[network]\nloss = 0.1\n")

    def bytes_of(name, seed, hash_seed):
        events = tmp_path / name
        code = "from sanderling.cli import main; import sys; main(sys.argv[1:])"
        arguments = ["simulate", str(tmp_path / "mine.toml"), "--seed", str(seed), "-o", "json", "--events", events]
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, env=environment, timeout=120, check=True
        )
        return done.stdout, events.read_bytes()

    first = bytes_of("a", 1, 1)
    assert bytes_of("b", 1, 2) == first
    assert bytes_of("c", 2, 1) != first
    assert json.loads(first[0])["passed"]
