"""Judges a scenario's assertions by what was seen of devices and server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sanderling_devices.simulator.expectations import SCOPES, Assertion, Check
from sanderling_devices.simulator.journal import state_word
from sanderling_devices.simulator.reading import duration_text

if TYPE_CHECKING:
    from sanderling_devices.simulator.simulation import Simulation


@dataclass(frozen=True)
class Outcome:
    """What became of an assertion.

    Attributes:
        passed: Whether it held.
        asserted: What was asserted.
        found: What was found instead, or as well.
    """

    passed: bool
    asserted: str
    found: str


def judge(sim: Simulation, rollouts: Mapping[str, str], samples: Mapping[int, list[str]]) -> list[Outcome]:
    """Judges all of them.

    Args:
        sim: At its end.
        rollouts: Id by name.
        samples: Devices that ran a version at the time of an assertion, by its number.
    """
    return [_judge(sim, item, rollouts, samples.get(number)) for number, item in enumerate(sim.scenario.expect)]


def running(sim: Simulation, item: Assertion) -> list[str]:
    """Devices that have a version committed now."""
    wanted = {device.device_id for device in sim.select(item.selector or "")}
    return sorted(
        device for (device, _), version in sim.journal.committed.items() if version == item.version and device in wanted
    )


def _judge(sim: Simulation, item: Assertion, rollouts: Mapping[str, str], sample: list[str] | None) -> Outcome:
    match item.check:
        case Check.EXPOSED:
            wanted = {device.device_id for device in sim.select(item.selector or "")}
            seen = sim.journal.exposed.get(item.version, set()) & wanted
            return _count(item, f"devices on which {item.version} ever answered", len(seen))
        case Check.RUNNING:
            when = f"after {duration_text(item.at)}" if item.at is not None else "at the end"
            devices = sample if sample is not None else running(sim, item)
            return _count(item, f"devices with {item.version} {when}", len(devices))
        case Check.ROLLOUT:
            return _rollout(sim, item, rollouts.get(item.rollout, ""))
        case Check.ALERT:
            return _alert(sim, item)
        case Check.SCOPE:
            return _scope(sim, item)
        case Check.NO_RESULT_LOST:
            return _results(sim)
        case Check.TELEMETRY_ONCE:
            return _telemetry(sim)
    found = "; ".join(f"{device} went from {a} to {b}" for device, a, b in sim.journal.downgrades[:5])
    return Outcome(not found, "nothing is downgraded", found or "no downgrade")


def _count(item: Assertion, what: str, found: int) -> Outcome:
    least = item.at_least if item.at_least is not None else 0
    most = item.at_most if item.at_most is not None else 1 << 62
    bounds = [f"at least {least}"] * (item.at_least is not None) + [f"at most {most}"] * (item.at_most is not None)
    where = f" ({item.selector})" if item.selector else ""
    return Outcome(least <= found <= most, f"{what}{where}: {', '.join(bounds) or 'any'}", str(found))


def _rollout(sim: Simulation, item: Assertion, rollout_id: str) -> Outcome:
    limits = (("after", item.after), ("before", item.before))
    bounds = [f"{word} {duration_text(limit)}" for word, limit in limits if limit is not None]
    said = f", because of {item.reason!r}" if item.reason else ""
    asserted = f"rollout {item.rollout} is {item.state} {' and '.join(bounds)}".rstrip() + said
    last = next((state_word(r) for r in sim.server.rollouts() if r.rollout_id == rollout_id), "not there")
    reached = sim.journal.reached.get(rollout_id, [])
    fits = [
        entry
        for entry in reached
        if entry[1] == item.state
        and item.reason in entry[2]
        and (item.after is None or entry[0] >= item.after)
        and (item.before is None or entry[0] <= item.before)
    ]
    found = "; ".join(f"{state} after {duration_text(at)}: {reason}" for at, state, reason in reached[-2:])
    return Outcome(bool(fits) and last == item.state, asserted, found or last)


def _alert(sim: Simulation, item: Assertion) -> Outcome:
    devices = None if item.selector is None else sorted(device.device_id for device in sim.select(item.selector))
    alerts = [alert for alert in sim.journal.alerts.values() if alert["kind"] == item.kind]
    fits = [alert for alert in alerts if _fits(sim, item, alert)]
    named = sorted({device for alert in fits for device in alert["devices"]})
    outcome = _count(item, f"alerts {item.kind}{f' that say {item.reason!r}' if item.reason else ''}", len(fits))
    found = f"{len(fits)}: {fits[0]['summary']}" if fits else f"none of {len(alerts)} of this kind"
    if devices is not None and named != devices:
        return Outcome(False, outcome.asserted, f"they name {len(named)} devices, expected {len(devices)}")
    return Outcome(outcome.passed, outcome.asserted, found)


def _fits(sim: Simulation, item: Assertion, alert: Mapping[str, Any]) -> bool:
    at = alert["at"] - (sim.clock.now() - sim.scenario.duration)
    return (
        item.reason in alert["summary"]
        and item.state in ("", alert["state"])
        and (item.before is None or at <= item.before)
        and (item.after is None or at >= item.after)
    )


def _scope(sim: Simulation, item: Assertion) -> Outcome:
    windows = [w for w in sim.server.windows() if w["version"] == item.version]
    widest = max((w["scope"] for w in windows), key=SCOPES.index, default="none")
    asserted = f"the fleet's verdict on {item.version} goes as far as {item.scope}"
    return Outcome(widest == item.scope, asserted, f"{widest}, in {len(windows)} fleet windows")


def _results(sim: Simulation) -> Outcome:
    waiting = {
        (device.device_id, result.assignment, result.attempt)
        for device in sim.devices.values()
        if device.store.state
        for result in device.store.state.results
    }
    lost = sim.journal.reported - sim.server.results() - waiting
    found = f"{len(sim.journal.reported)} reported, {len(waiting)} on their way, {len(lost)} lost"
    return Outcome(not lost, "no result of an assignment is lost", found)


def _telemetry(sim: Simulation) -> Outcome:
    made = {
        (device.device_id, boot, sequence)
        for device in sim.devices.values()
        for boot, last in device.store.last.items()
        for sequence in range(1, last + 1)
    }
    waiting = {
        (device.device_id, row.boot_id, row.sequence) for device in sim.devices.values() for row in device.store.outbox
    }
    stored = Counter(sim.server.telemetry())
    lost = made - set(stored) - waiting
    twice = [name for name, count in stored.items() if count > 1]
    by_rows, by_totals = sim.server.counted()
    found = (
        f"{len(made)} made, {len(stored)} stored, {len(waiting)} waiting, {len(lost)} lost, {len(twice)} stored twice; "
        f"inferences by rows {by_rows:,}, by totals {by_totals:,}"
    )
    passed = not lost and not twice and by_rows == by_totals and set(stored) <= made
    return Outcome(passed, "no row of telemetry is lost or counted twice", found)
