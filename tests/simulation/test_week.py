"""The largest scenario: its assertions, and that they fail without the fleet's verdict."""

from __future__ import annotations

import dataclasses

from fleets import broken, changed

from sanderling_devices.simulator import find_scenario, simulate
from sanderling_devices.simulator.expectations import Check
from sanderling_fleet.core import fleet_watch


def test_two_hundred_devices_through_a_week():
    result = simulate(find_scenario("week"))
    assert broken(result) == []
    assert result.report.devices == 200
    assert result.report.traffic["check_ins"] > 130_000
    assert result.report.traffic["calls_that_failed"] > 1000


def test_who_does_not_look_at_windows_names_neither_fault_nor_cohort(monkeypatch):
    watched = tuple(
        dataclasses.replace(item, version="digits-1.0" if item.version else "")
        for item in find_scenario("week").expect
        if item.check in (Check.ALERT, Check.SCOPE)
    )
    scenario = changed("week", fleet={"count": 24}, keep=lambda event: event.version != "digits-1.1", expect=watched)

    async def nothing(self, tx, rows, now):
        return []

    monkeypatch.setattr(fleet_watch.FleetWatch, "take", nothing)
    assert len(broken(simulate(scenario))) == 2
