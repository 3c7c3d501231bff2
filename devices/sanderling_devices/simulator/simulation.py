"""Runs a scenario: one heap of what is due, one virtual clock, devices and server in one thread.

Devices are looked at only when their driver has something due, so an idle fleet costs its check-ins and nothing else.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sanderling.agent.fakes import VirtualClock
from sanderling.agent.state import Settings
from sanderling.api.device.v1 import device_pb2
from sanderling_devices.simulator import checks
from sanderling_devices.simulator.catalogue import load_profile
from sanderling_devices.simulator.device import Device, Place, enroll
from sanderling_devices.simulator.expectations import Assertion, Check
from sanderling_devices.simulator.journal import Journal
from sanderling_devices.simulator.network import Link, deal_silences, is_down, matching
from sanderling_devices.simulator.report import Report, make_report
from sanderling_devices.simulator.runners import Runners
from sanderling_devices.simulator.scenario import Behaviour, FleetSpec, Scenario
from sanderling_devices.simulator.server import MakeServer, VirtualServer, find_server
from sanderling_devices.simulator.timeline import Timeline
from sanderling_devices.simulator.world import Inputs

START = 1_800_000_000.0
"""Seconds since the epoch when a simulation begins."""
_TEND_S = 1800.0
_AWAY_S = 5.0  # until systemd has started an agent again
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Result:
    """What a simulation came to.

    Attributes:
        report: For people and programs.
        events: What happened, in order.
    """

    report: Report
    events: tuple[Mapping[str, Any], ...]

    @property
    def passed(self) -> bool:
        """Whether every assertion held."""
        return self.report.passed


class Simulation:
    """A scenario at work.

    Attributes:
        scenario: Which.
        clock: The only time there is.
        server: The fleet's.
        devices: By id.
        inputs: Of each device, by id.
        journal: What happened.
        settings: Of the agents' rules.

    Args:
        scenario: Which.
        folder: For files of agents and of the release role; empty.
        make: The server side.
    """

    def __init__(self, scenario: Scenario, folder: Path, make: MakeServer | None = None) -> None:
        self.scenario, self._folder = scenario, folder
        self.clock = VirtualClock(START)
        fleet, agent = scenario.fleet, scenario.agent
        self.server: VirtualServer = (make or find_server())(
            folder / "release",
            self.clock.now,
            seed=scenario.seed,
            check_in_s=fleet.check_in,
            probation=_probation(fleet),
            telemetry=_plan(fleet),
        )
        self.settings = Settings(
            observe_s=agent.observe,
            observe_trial_s=agent.observe_trial,
            confidence_margin=agent.confidence_margin,
            confidence_evidence=agent.confidence_evidence,
        )
        self.journal = Journal(START)
        self.devices: dict[str, Device] = {}
        self.inputs: dict[str, Inputs] = {}
        self._links: list[Link] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._wakes: dict[str, float] = {}
        self._enroll_all()

    # Time.

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Calls `do` at a time, seconds since the epoch; at one time in the order of asking."""
        heapq.heappush(self._heap, (when, next(self._numbers), do))

    def run(self, progress: Callable[[float], None] = lambda _: None) -> Result:
        """Runs to the end.

        Args:
            progress: Told the seconds that have passed, now and then.
        """
        scenario, end = self.scenario, START + self.scenario.duration
        for selector in {item.selector or "" for item in scenario.expect}:
            self.select(selector)  # one that names nobody is told before the days have passed
        timeline = Timeline(self)
        timeline.schedule()
        self._repeat(scenario.fleet.ingest, self._unless_down(self.server.ingest))
        self._repeat(scenario.fleet.tick, self._unless_down(self._tick))
        self._repeat(_TEND_S, self._unless_down(self.server.tend))
        self._repeat(max(scenario.duration / 100, 1.0), lambda: progress(self.clock.now() - START))
        samples: dict[int, list[str]] = {}
        for number, item in enumerate(scenario.expect):
            if item.check is Check.RUNNING and item.at is not None:
                self.at(START + item.at, partial(self._sample, samples, number, item))
        while self._heap and self._heap[0][0] <= end:
            due, _, do = heapq.heappop(self._heap)
            self.clock.wait_until(due)
            do()
        self.clock.wait_until(end)
        self.server.ingest()
        self._tick()
        outcomes = checks.judge(self, timeline.rollouts, samples)
        report = make_report(self, timeline.rollouts, outcomes)
        return Result(report, tuple(self.journal.events))

    def wake(self, device: Device) -> None:
        """Looks at what a device has due, and comes back when more is."""
        device.run_due()
        self.journal.look(self.clock.now(), device)
        due = device.next_due()
        if due < float("inf") and self._wakes.get(device.device_id) != due:
            self._wakes[device.device_id] = due
            self.at(due, lambda: self._wake_if(device, due))

    def restart(self, device: Device, *, power_cut: bool, away_s: float) -> None:
        """Kills a device's agent, or the whole machine, and starts it again."""
        device.stop(power_cut=power_cut)
        self._wakes.pop(device.device_id, None)

        def back() -> None:
            if device.driver is None:
                device.start(device.runners, reboot=power_cut)
                self.wake(device)

        self.at(self.clock.now() + (away_s or _AWAY_S), back)

    def calls(self) -> tuple[int, int]:
        """Calls that devices have made, and those that did not come back."""
        return sum(link.calls for link in self._links), sum(link.failures for link in self._links)

    def labels(self, device: Device) -> dict[str, str]:
        """A device's labels, its profile and its id among them."""
        return {**device.place.labels, "profile": device.place.profile, "device_id": device.device_id}

    def select(self, selector: str) -> list[Device]:
        """Devices by labels.

        Raises:
            InputError: It names none.
        """
        devices = list(self.devices.values())
        return [devices[i] for i in matching(selector, [self.labels(device) for device in devices])]

    def _sample(self, samples: dict[int, list[str]], number: int, item: Assertion) -> None:
        samples[number] = checks.running(self, item)

    def _wake_if(self, device: Device, due: float) -> None:
        if self._wakes.get(device.device_id) == due:
            del self._wakes[device.device_id]
            self.wake(device)

    def _repeat(self, every: float, do: Callable[[], None]) -> None:
        def again() -> None:
            do()
            self.at(self.clock.now() + every, again)

        self.at(START + every, again)

    def _unless_down(self, do: Callable[[], None]) -> Callable[[], None]:
        def perhaps() -> None:
            if not is_down(self.scenario.network.outages, self.clock.now() - START):
                do()

        return perhaps

    def _tick(self) -> None:
        for device_id in self.server.advance():
            device = self.devices[device_id]
            device.hint()
            self.wake(device)
        self.journal.look_at_server(self.clock.now(), self.server)

    # The fleet.

    def _enroll_all(self) -> None:
        scenario, chance = self.scenario, random.Random(f"{self.scenario.seed} fleet")
        profiles = list(scenario.fleet.profiles)
        weights = list(scenario.fleet.profiles.values())
        kinds = chance.choices(profiles, weights, k=scenario.fleet.count)
        labels = _deal_labels(scenario.fleet, kinds, chance)
        silences = deal_silences(
            scenario.network.offline,
            [{**mine, "profile": kind} for mine, kind in zip(labels, kinds, strict=True)],
            chance,
        )
        transfer = {v.name: v.megabytes * 8 / scenario.network.megabits_per_s for v in scenario.version}
        for number, (kind, mine, silence) in enumerate(zip(kinds, labels, silences, strict=True)):
            place = Place(kind, mine, self._folder / f"device-{number}", transfer)
            link = Link(
                self.server,
                scenario.network,
                silence,
                random.Random(f"{scenario.seed} network {number}"),
                self.clock.now,
                START,
            )
            facts = load_profile(kind).facts(kind)
            identity = enroll(self.server, place, facts)
            link.chain = identity.chain
            device = Device(place, facts, identity, link, self.clock, self.settings)
            self._links.append(link)
            self.devices[device.device_id] = device
            self.inputs[device.device_id] = Inputs()
            device.start(self._runners(device, number))
            self.at(START + chance.uniform(0.0, scenario.fleet.check_in), partial(self.wake, device))

    def _runners(self, device: Device, number: int) -> Runners:
        def died(event: Any) -> None:
            self.journal.note(self.clock.now(), "died", device.device_id, version=event.version, code=event.code.value)
            device.died(event)
            self.wake(device)

        return Runners(
            load_profile(device.place.profile),
            self.scenario.fleet,
            lambda version: self._behaviour(version, device.place.profile),
            self.inputs[device.device_id],
            np.random.default_rng([self.scenario.seed, number]),
            self.clock.now,
            self.at,
            died,
            lambda slot, version: self.journal.served(self.clock.now(), device.device_id, slot, version),
        )

    def _behaviour(self, version: str, profile: str) -> Behaviour:
        return next(item for item in self.scenario.version if item.name == version).behaviour(profile)


def simulate(
    scenario: Scenario, progress: Callable[[float], None] = lambda _: None, make: MakeServer | None = None
) -> Result:
    """Runs a scenario in a temporary folder, in memory where the machine has such a file system.

    Args:
        scenario: Which.
        progress: Told the seconds that have passed, now and then.
        make: The server side; the installed one if not given.

    Raises:
        UnsupportedError: No server side is installed.
        InputError: The scenario names a profile that is not known, or what it asks for is refused.
    """
    folder = Path(tempfile.mkdtemp(prefix="sanderling-simulate-", dir=_MEMORY if _MEMORY.is_dir() else None))
    collects = gc.isenabled()
    # Next to nothing here is in a cycle: looking for them takes a tenth of the time, and memory peaks no lower.
    gc.disable()
    try:
        return Simulation(scenario, folder, make).run(progress)
    finally:
        if collects:
            gc.enable()
        shutil.rmtree(folder, ignore_errors=True)


def _deal_labels(fleet: FleetSpec, kinds: list[str], chance: random.Random) -> list[dict[str, str]]:
    labels: list[dict[str, str]] = [{} for _ in kinds]
    for rule in fleet.labels:
        concerned = [i for i, kind in enumerate(kinds) if rule.profile in ("", kind)]
        for i in concerned[: rule.first or None]:
            value = rule.value or chance.choices(list(rule.shares), list(rule.shares.values()))[0]
            labels[i][rule.key] = value
    return labels


def _probation(fleet: FleetSpec) -> device_pb2.Probation:
    message = device_pb2.Probation(rows=fleet.probation_rows)
    message.duration.FromNanoseconds(int(fleet.probation * 1e9))
    return message


def _plan(fleet: FleetSpec) -> device_pb2.TelemetryPlan:
    plan = device_pb2.TelemetryPlan(window_rows=fleet.window_rows, warmup_rows=fleet.warmup_rows)
    plan.metrics_interval.FromNanoseconds(int(fleet.metrics * 1e9))
    return plan
