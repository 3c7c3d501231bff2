"""What happened in a simulation, as it is seen from outside: which version answers where, what devices report."""

from __future__ import annotations

from typing import Any

from sanderling.agent.state import AgentState
from sanderling.api.rollout.v1 import rollout_pb2
from sanderling_devices.simulator.device import Device
from sanderling_devices.simulator.server import VirtualServer


class Journal:
    """Collects events.

    Attributes:
        events: In order; `at` is seconds since the start.
        exposed: By version, the devices on which it ever answered requests.
        committed: By device and slot, the version that is committed.
        downgrades: (device, from, to) of commits of a lower release counter.
        reported: (device, assignment, attempt) of every result that a device ever stored.
        reached: By rollout, the states that it was seen in, each with the time of the first.
        alerts: Subject and number of every alert ever seen, with what it said last.

    Args:
        start: Seconds since the epoch.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self.events: list[dict[str, Any]] = []
        self.exposed: dict[str, set[str]] = {}
        self.committed: dict[tuple[str, str], str] = {}
        self.downgrades: list[tuple[str, str, str]] = []
        self.reported: set[tuple[str, str, int]] = set()
        self.reached: dict[str, list[tuple[float, str, str]]] = {}
        self.alerts: dict[tuple[str, float], dict[str, Any]] = {}
        self._seen: dict[str, AgentState] = {}
        self._counters: dict[tuple[str, str], int] = {}
        self._stages: dict[str, tuple[str, ...]] = {}

    def note(self, now: float, what: str, about: str, **more: Any) -> None:
        """Adds an event."""
        self.events.append({"at": round(now - self._start, 3), "what": what, "about": about, **more})

    def served(self, now: float, device_id: str, slot: str, version: str) -> None:
        """New requests go to this version."""
        if version:
            self.exposed.setdefault(version, set()).add(device_id)
        self.note(now, "served", device_id, slot=slot, version=version)

    def look(self, now: float, device: Device) -> None:
        """Notes what has changed in a device's stored state."""
        state = device.store.state
        if state is None or self._seen.get(device.device_id) is state:
            return
        former = self._seen.get(device.device_id)
        self._seen[device.device_id] = state
        if former is None or former.results is not state.results:
            for result in state.results:
                key = (device.device_id, result.assignment, result.attempt)
                if key not in self.reported:
                    self.reported.add(key)
                    outcome = {"outcome": result.outcome.value, "code": result.code.value, "detail": result.detail}
                    self.note(now, "result", device.device_id, version=result.version, **outcome)
        for name, slot in state.slots.items():
            if slot.active is None:
                continue
            release, key2 = slot.active.release, (device.device_id, name)
            if self.committed.get(key2) == release.version:
                continue
            if release.counter < self._counters.get(key2, 0):
                self.downgrades.append((device.device_id, self.committed[key2], release.version))
            self.committed[key2], self._counters[key2] = release.version, release.counter
            self.note(now, "committed", device.device_id, slot=name, version=release.version)

    def look_at_server(self, now: float, server: VirtualServer) -> None:
        """Notes what has changed in rollouts and alerts."""
        for rollout in server.rollouts():
            state = state_word(rollout)
            states = self.reached.setdefault(rollout.rollout_id, [])
            if not states or states[-1][1:] != (state, rollout.reason):
                states.append((now - self._start, state, rollout.reason))
                self.note(now, "rollout", rollout.rollout_id, state=state, reason=rollout.reason)
        for alert in server.alerts():
            key = (alert["subject"], alert["at"])
            if key not in self.alerts:
                self.note(now, "alert", alert["subject"], kind=alert["kind"], summary=alert["summary"])
            self.alerts[key] = alert


def state_word(rollout: rollout_pb2.Rollout) -> str:
    """A rollout's state in small letters."""
    return rollout_pb2.RolloutState.Name(rollout.state).removeprefix("ROLLOUT_STATE_").lower()
