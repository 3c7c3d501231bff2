"""What a scenario of the simulator costs: seconds of CPU, simulated seconds in each, and the peak of memory.

    python benchmarks/simulator_week.py
    python benchmarks/simulator_week.py bad-version --runs 3

Each run is a process of its own, so that none has the other's memory; the figures are of the quickest, since what else
the machine does only adds. Every run must hold its scenario's assertions and give the same report.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from hashlib import sha256
from typing import Any

from sanderling_devices.simulator import find_scenario, simulate


def main() -> None:
    """Prints a table, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="?", default="week", help="a packaged scenario or a TOML file")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.one:
        print(json.dumps(_one(wanted.scenario)))
        return
    runs = [_apart(wanted.scenario) for _ in range(max(wanted.runs, 1))]
    reports = {run.pop("report") for run in runs}
    if len(reports) != 1:
        sys.exit(f"the runs of {wanted.scenario} gave {len(reports)} different reports")
    best = min(runs, key=lambda run: float(run["cpu_s"]))
    print(f"{wanted.scenario}: {best['devices']} devices, {best['simulated_s'] / 86400:g} days")
    print(f"{best['cpu_s']:9.1f} s of CPU")
    print(f"{best['simulated_s_per_cpu_s']:9,.0f} simulated seconds in each")
    print(f"{best['check_ins_per_cpu_s']:9,.0f} check-ins in each")
    print(f"{best['peak_mb']:9.0f} MB of memory at the peak")
    print(json.dumps({"scenario": wanted.scenario, "runs": wanted.runs, **best, "machine": platform.machine()}))


def _apart(scenario: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, scenario, "--one"], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _one(name: str) -> dict[str, Any]:
    scenario = find_scenario(name)
    began = time.process_time()
    report = simulate(scenario).report
    cpu_s = time.process_time() - began
    if not report.passed:
        sys.exit(f"{name}: {[outcome.asserted for outcome in report.outcomes if not outcome.passed]} does not hold")
    return {
        "devices": report.devices,
        "simulated_s": scenario.duration,
        "cpu_s": round(cpu_s, 2),
        "simulated_s_per_cpu_s": round(scenario.duration / cpu_s),
        "check_ins_per_cpu_s": round(report.traffic["check_ins"] / cpu_s),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "report": sha256(report.to_json().encode()).hexdigest(),
    }


if __name__ == "__main__":
    main()
