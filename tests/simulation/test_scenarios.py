"""Each packaged scenario holds, and does not when what it is about is broken."""

from __future__ import annotations

import dataclasses

import pytest
from fleets import broken, changed

from sanderling_devices.simulator import find_scenario, packaged_scenarios, simulate
from sanderling_devices.simulator.scenario import Deed
from sanderling_fleet import gates, rollout, virtual
from sanderling_fleet.core import check_in
from sanderling_fleet.core.telemetry_progress import Progress
from sanderling_fleet.gates import Decision, GateDecision

WEEK = "week"


def test_every_scenario_is_tried():
    assert set(packaged_scenarios()) == {
        "bad-version",
        "offline-third",
        "quiet-confidence",
        "restored-backup",
        WEEK,
    }


@pytest.mark.parametrize("name", ["bad-version", "offline-third", "quiet-confidence", "restored-backup"])
def test_it_holds(name):
    result = simulate(find_scenario(name))
    assert broken(result) == []
    assert result.report.traffic["check_ins"] > 5000


def test_without_probation_the_bad_version_gets_beyond_the_canary():
    result = simulate(changed("bad-version", agent={"confidence_evidence": float("inf")}))
    assert len(broken(result)) >= 3
    assert any("ever answered" in text for text in broken(result))
    assert any("second is aborted" in text for text in broken(result))


def test_without_hard_limits_the_bad_version_is_tried_everywhere(monkeypatch):
    passes = Decision(GateDecision.PASS, 0.0, 0.0, 0.0, 0, 0, "failures are not looked at")
    monkeypatch.setattr(rollout, "judge", lambda gate, seen: passes if seen.outstanding == 0 else gates.NOT_JUDGED)
    found = broken(simulate(changed("bad-version")))
    assert any("second is aborted" in text for text in found)


def test_rows_that_are_not_told_apart_are_counted_twice(monkeypatch):
    monkeypatch.setattr(Progress, "has", lambda self, sequence: False)
    found = broken(simulate(changed("offline-third", **_until("offline-third", 1.5))))
    assert "no row of telemetry is lost or counted twice" in found


def _until(name, days):
    """What a shorter run of it can have: its events, and assertions that hold from the first day on."""
    scenario = find_scenario(name)
    early = [item for item in scenario.expect if item.check.value in ("no_result_lost", "telemetry_once", "alert")]
    return {"duration": days * 86400, "keep": lambda event: event.at <= days * 86400, "expect": tuple(early)}


def test_results_that_are_confirmed_and_not_stored_are_lost(monkeypatch):
    async def forget(core, tx, device, said, now):
        return tuple((result.assignment_id, result.attempt) for result in said.results)

    monkeypatch.setattr(check_in, "_take_results", forget)
    found = broken(simulate(changed("offline-third", **_until("offline-third", 1.0))))
    assert "no result of an assignment is lost" in found


def test_without_readings_the_comparison_stops_nothing(monkeypatch):
    async def nothing(tx, rollout):
        return {}

    monkeypatch.setattr(virtual, "measure", lambda core: nothing)
    found = broken(simulate(changed("quiet-confidence", duration=1.7 * 86400)))
    assert any("second is paused" in text for text in found)
    assert any("rollout.breach" in text for text in found)


def test_a_version_that_is_as_good_passes_the_comparison():
    scenario = changed("quiet-confidence")
    worse = scenario.version[1]
    same = dataclasses.replace(worse, behaves=dataclasses.replace(worse.behaves, confidence=0.9))
    result = simulate(dataclasses.replace(scenario, version=(scenario.version[0], same)))
    assert [r["state"] for r in result.report.rollouts] == ["succeeded", "succeeded"]


def test_a_restored_server_that_does_not_compare_says_nothing(monkeypatch):
    async def nothing(tx, device, said, now):
        """Looks at nothing."""

    monkeypatch.setattr(check_in, "_compare_registry", nothing)
    found = broken(simulate(changed("restored-backup", **_until("restored-backup", 2.2))))
    assert any("registry.stale" in text and "at least 1" in text for text in found)


def test_without_the_release_file_the_rollout_does_not_go_on():
    def keep(event):
        return event.do is not Deed.PUSH_AGAIN and event.at <= 2 * 86400 + 6 * 3600

    found = broken(simulate(changed("restored-backup", keep=keep, duration=2.5 * 86400)))
    assert any("second is succeeded" in text for text in found)
    assert any("registry.stale" in text for text in found)
