"""What a simulation came to: tables for people, JSON for programs, the same bytes for the same seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sanderling_devices.simulator.checks import Outcome
from sanderling_devices.simulator.journal import state_word
from sanderling_devices.simulator.reading import duration_text

if TYPE_CHECKING:
    from sanderling_devices.simulator.simulation import Simulation

_WIDEST = 120


@dataclass(frozen=True)
class Report:
    """The figures.

    Attributes:
        title: Of the scenario.
        seed: Of the scenario.
        duration_s: Simulated.
        devices: How many.
        versions: Per version: ever exposed, running at the end, mean accuracy where it runs.
        rollouts: Per rollout: name, version, state, reason, when it came to it, seconds from the start.
        alerts: Per kind: how many, devices, the last summary.
        traffic: Counts of check-ins, calls, results and rows.
        outcomes: Of the assertions.
    """

    title: str
    seed: int
    duration_s: float
    devices: int
    versions: Sequence[Mapping[str, Any]]
    rollouts: Sequence[Mapping[str, Any]]
    alerts: Sequence[Mapping[str, Any]]
    traffic: Mapping[str, int]
    outcomes: Sequence[Outcome]

    @property
    def passed(self) -> bool:
        """Whether every assertion held."""
        return all(outcome.passed for outcome in self.outcomes)

    def to_json(self) -> str:
        """Everything; the same simulation gives the same bytes."""
        return json.dumps({**asdict(self), "passed": self.passed}, indent=2, sort_keys=True)

    def text(self) -> str:
        """Tables."""
        from sanderling.commands.output import table

        parts = [f"{self.title}: {self.devices} devices, {duration_text(self.duration_s)}, seed {self.seed}"]
        rows: list[Sequence[Any]] = [
            (v["version"], v["exposed"], v["running"], f"{v['accuracy']:.3f}" if v["running"] else None)
            for v in self.versions
        ]
        if rows:
            parts.append(table(("VERSION", "EVER ON", "AT THE END", "ACCURACY"), rows))
        rows = [
            (r["name"], r["version"], r["state"], duration_text(r["at_s"]), _short(r["reason"])) for r in self.rollouts
        ]
        if rows:
            parts.append(table(("ROLLOUT", "VERSION", "STATE", "AFTER", "REASON"), rows))
        rows = [(a["kind"], a["count"], a["devices"], _short(a["summary"])) for a in self.alerts]
        if rows:
            parts.append(table(("ALERT", "TIMES", "DEVICES", "LAST"), rows))
        parts.append(table(("COUNT", "OF"), [(count, name.replace("_", " ")) for name, count in self.traffic.items()]))
        rows = [("held" if o.passed else "BROKEN", o.asserted, _short(o.found)) for o in self.outcomes]
        if rows:
            parts.append(table(("", "EXPECTED", "FOUND"), rows))
        return "\n\n".join(parts)


def _short(text: str) -> str:
    """For a table; the JSON has all of it."""
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def make_report(sim: Simulation, rollouts: Mapping[str, str], outcomes: Sequence[Outcome]) -> Report:
    """Reads the figures off a simulation at its end."""
    journal = sim.journal
    states = [device.store.state for device in sim.devices.values() if device.store.state]
    made = sum(sum(device.store.last.values()) for device in sim.devices.values())
    calls, failed = sim.calls()
    return Report(
        title=sim.scenario.title,
        seed=sim.scenario.seed,
        duration_s=sim.scenario.duration,
        devices=len(sim.devices),
        versions=[_version(sim, item.name) for item in sim.scenario.version],
        rollouts=[_rollout(sim, name, found) for name, found in rollouts.items()],
        alerts=_alerts(sim),
        traffic={
            "check_ins": sum(device.check_ins[0] for device in sim.devices.values()),
            "check_ins_that_failed": sum(device.check_ins[1] for device in sim.devices.values()),
            "calls": calls,
            "calls_that_failed": failed,
            "results_reported": len(journal.reported),
            "results_on_their_way": sum(len(state.results) for state in states),
            "telemetry_rows_made": made,
            "telemetry_rows_stored": len(sim.server.telemetry()),
            "telemetry_rows_waiting": sum(len(device.store.outbox) for device in sim.devices.values()),
            "fleet_windows_judged": len(sim.server.windows()),
        },
        outcomes=list(outcomes),
    )


def _version(sim: Simulation, name: str) -> dict[str, Any]:
    spec = next(item for item in sim.scenario.version if item.name == name)
    running = [device for (device, _), version in sim.journal.committed.items() if version == name]
    shares = [spec.behaviour(sim.devices[device].place.profile).accuracy for device in running]
    return {
        "version": name,
        "exposed": len(sim.journal.exposed.get(name, ())),
        "running": len(running),
        "accuracy": round(sum(shares) / len(shares), 6) if shares else 0.0,
    }


def _rollout(sim: Simulation, name: str, rollout_id: str) -> dict[str, Any]:
    found = next((r for r in sim.server.rollouts() if r.rollout_id == rollout_id), None)
    reached = sim.journal.reached.get(rollout_id, [(0.0, "", "")])
    if found is None:
        return {"name": name, "version": "", "state": "lost", "reason": "", "at_s": reached[-1][0]}
    return {
        "name": name,
        "version": found.spec.version,
        "state": state_word(found),
        "reason": found.reason,
        "at_s": round(reached[-1][0], 3),
    }


def _alerts(sim: Simulation) -> list[dict[str, Any]]:
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for alert in sim.journal.alerts.values():
        kinds.setdefault(alert["kind"], []).append(alert)
    return [
        {
            "kind": kind,
            "count": len(found),
            "devices": len({device for alert in found for device in alert["devices"]}),
            "summary": found[-1]["summary"],
        }
        for kind, found in sorted(kinds.items())
    ]
