"""Small scenarios, and packaged ones made smaller."""

from __future__ import annotations

import dataclasses

from sanderling_devices.simulator import find_scenario, parse_scenario, simulate

SMALL = """
title = "small"
duration = "8h"
[fleet]
count = 6
labels = [{ key = "site", value = "a" }, { key = "site", value = "b", first = 2 }]
probation_rows = 100
tick = "5m"
[agent]
observe = "10m"
observe_trial = "2m"
[[version]]
name = "m-1.0"
counter = 1
[[version]]
name = "m-2.0"
counter = 2
[[event]]
at = "0s"
do = "publish"
version = "m-1.0"
[[event]]
at = "1m"
do = "rollout"
name = "first"
version = "m-1.0"
stages = [{ name = "all", percent = 100, soak = "10m" }]
"""

SECOND = """
[[event]]
at = "4h"
do = "publish"
version = "m-2.0"
[[event]]
at = "4h 1m"
do = "rollout"
name = "second"
version = "m-2.0"
on_breach = "abort"
stages = [{ name = "all", percent = 100, soak = "10m" }]
"""

KEPT = """
[[expect]]
check = "no_result_lost"
[[expect]]
check = "telemetry_once"
[[expect]]
check = "no_downgrade"
"""


def run(*parts, **changes):
    return simulate(dataclasses.replace(parse_scenario("".join((SMALL, *parts))), **changes))


def broken(result):
    """What did not hold."""
    return [outcome.asserted for outcome in result.report.outcomes if not outcome.passed]


def changed(name, *, agent=None, fleet=None, version=None, keep=lambda event: True, **changes):
    """A packaged scenario with other numbers, and without some events."""
    scenario = find_scenario(name)
    return dataclasses.replace(
        scenario,
        agent=dataclasses.replace(scenario.agent, **(agent or {})),
        fleet=dataclasses.replace(scenario.fleet, **(fleet or {})),
        event=tuple(event for event in scenario.event if keep(event)),
        **changes,
    )
