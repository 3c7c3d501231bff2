"""A fleet under virtual time: the agent's own rules, driver and ports, and the server's own core, in one thread.

    result = simulate(load_scenario("bad-version"))
    result.passed                       # whether every assertion of the scenario held
    print(result.report.text())

Only runners, the network and the world are made up, by a scenario: a TOML file of curves, times and assertions. The
same scenario and seed give the same report, byte for byte.
"""

from sanderling_devices.simulator.catalogue import find_scenario, packaged_scenarios
from sanderling_devices.simulator.report import Report
from sanderling_devices.simulator.scenario import Scenario, parse_scenario
from sanderling_devices.simulator.simulation import Simulation, simulate

__all__ = [
    "Report",
    "Scenario",
    "Simulation",
    "find_scenario",
    "packaged_scenarios",
    "parse_scenario",
    "simulate",
]
