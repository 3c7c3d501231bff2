"""Runners of one device, made up: rows, confidence, latency, crashes and drift windows come from a scenario's curves.

Everything is computed when somebody looks, for the time since the last look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from sanderling.agent.actions import Keep, Launch, Load, Observe, SelfTest, Serve
from sanderling.agent.events import Died, Loaded, Observed, SelfTested, Served, Window
from sanderling.agent.ports import Later
from sanderling.agent.state import Code
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling_devices.simulator.catalogue import Profile
from sanderling_devices.simulator.scenario import Behaviour, FleetSpec
from sanderling_devices.simulator.world import Inputs

_MOST_CONFIDENCES = 8192  # as a real runner keeps
_SELF_TEST_S = 2.0
_SERVE_S = 0.3
_LOOK_S = 0.02
_GOLDEN = 10
_FEATURES, _CELLS, _TILTS = 2, 32, 24
_EVEN = np.full(_CELLS, 1 / _CELLS)
_RISING = np.linspace(-1.0, 1.0, _CELLS)


@dataclass
class Instance:
    """One runner process.

    Attributes:
        name: Unique on the device, as a process is.
        launch: How it was started.
        behaves: The version, here.
        rows_before: Answered until the route last came to it.
        routed_at: Since when the route has come to it; None while it does not.
        windows: Closed and not acknowledged.
        closed: Windows closed so far.
    """

    name: str
    launch: Launch
    behaves: Behaviour
    rows_before: int = 0
    routed_at: float | None = None
    windows: dict[int, Window] = field(default_factory=dict)
    closed: int = 0


class Runners:
    """Performs Load, SelfTest, Serve, Observe and Keep.

    Args:
        profile: Of the device.
        fleet: Rows per hour, and of a window.
        behaves: How a version behaves on this device.
        inputs: What happens to its inputs.
        chance: Seeded.
        now: Seconds since the epoch.
        later: Calls a function at a time, for what happens unasked.
        died: Told of a runner that died.
        served: Told which version answers from now on; empty for none.
    """

    def __init__(
        self,
        profile: Profile,
        fleet: FleetSpec,
        behaves: Callable[[str], Behaviour],
        inputs: Inputs,
        chance: np.random.Generator,
        now: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
        died: Callable[[Died], None],
        served: Callable[[str, str], None],
    ) -> None:
        self._profile, self._fleet, self._behaves = profile, fleet, behaves
        self._inputs, self._chance, self._now, self._later = inputs, chance, now, later
        self._died, self._served = died, served
        self._instances: dict[tuple[str, str], Instance] = {}
        self._routes: dict[str, str] = {}
        self._count = 0

    def perform(self, action: Load | SelfTest | Serve | Observe | Keep) -> Iterable[Later]:
        """Does it; answers with what happens then."""
        now = self._now()
        if isinstance(action, Load):
            self._instance(action.slot, action.launch)
            return [(now + self._profile.build, Loaded(action.slot, action.step))]
        if isinstance(action, SelfTest):
            return [(now + _SELF_TEST_S, self._self_test(action))]
        if isinstance(action, Serve):
            self._route(action.slot, action.launch)
            return [(now + _SERVE_S, Served(action.slot, action.step))]
        if isinstance(action, Observe):
            found = self._observe(action)
            return [(now + _LOOK_S, found)] if found else []
        for key in set(self._instances) - set(action.runners):
            del self._instances[key]
        return []

    def power_cut(self) -> None:
        """The machine restarts: no runner is left, and nobody answers until the agent has started one."""
        self._instances.clear()
        self._routes.clear()

    def _instance(self, slot: str, launch: Launch) -> Instance:
        key = (slot, launch.release.version)
        if key not in self._instances:
            self._count += 1
            behaves = self._behaves(launch.release.version)
            made = Instance(f"{key[1]}#{self._count}", launch, behaves)
            self._instances[key] = made
        return self._instances[key]

    def _self_test(self, action: SelfTest) -> SelfTested:
        candidate = self._behaves(action.candidate.release.version)
        incumbent = self._behaves(action.incumbent.release.version).latency_us if action.incumbent else 0.0
        slowness = self._profile.slowness
        return SelfTested(
            action.slot,
            action.step,
            _GOLDEN,
            candidate.golden,
            candidate.latency_us * slowness,
            incumbent * slowness,
            "golden sample 1" if candidate.golden < _GOLDEN else "",
        )

    def _route(self, slot: str, launch: Launch | None) -> None:
        now = self._now()
        wanted = launch.release.version if launch else ""
        former = self._routes.get(slot, "")
        if former and former != wanted and (old := self._instances.get((slot, former))) is not None:
            old.rows_before, old.routed_at = self._rows(old), None
        if launch is not None:
            instance = self._instance(slot, launch)
            if instance.routed_at is None:
                instance.routed_at = now
                if not instance.rows_before:
                    self._draw_death(slot, instance)
        if former != wanted:
            self._routes[slot] = wanted
            self._served(slot, wanted)

    def _draw_death(self, slot: str, instance: Instance) -> None:
        """A crash or a hang within the first hour of a runner's work."""
        word = float(self._chance.random())
        crash, hang = instance.behaves.crash_chance, instance.behaves.hang_chance
        if word >= crash + hang:
            return
        code = Code.CRASH if word < crash else Code.HANG
        version = instance.launch.release.version

        def happen() -> None:
            if self._instances.get((slot, version)) is instance and instance.routed_at is not None:
                del self._instances[slot, version]
                how = "ended by signal 11" if code is Code.CRASH else "did not answer Health, killed"
                self._died(Died(slot, version, code, f"runner of {version} {how}"))

        self._later(self._now() + float(self._chance.uniform(60.0, 3600.0)), happen)

    def _rows(self, instance: Instance) -> int:
        if instance.routed_at is None:
            return instance.rows_before
        hours = (self._now() - instance.routed_at) / 3600.0
        return instance.rows_before + int(hours * self._fleet.rows_per_hour)

    def _observe(self, action: Observe) -> Observed | None:
        instance = self._instances.get((action.slot, action.version))
        if instance is None:
            return None
        mine = action.instance == instance.name
        rows = self._rows(instance)
        first = max(action.stored_row + 1, 1) if mine else 1
        first = max(first, rows - _MOST_CONFIDENCES + 1)
        for number in [n for n in instance.windows if n <= action.stored_window]:
            del instance.windows[number]
        self._close_windows(instance, rows)
        latency = instance.behaves.latency_us * self._profile.slowness * float(np.exp(self._chance.normal(0.0, 0.03)))
        return Observed(
            action.slot,
            action.version,
            instance.name,
            rows=rows,
            errors=0,
            latency_p95_us=latency,
            first_row=first,
            confidences=self._confidences(instance.behaves, max(rows - first + 1, 0)),
            windows=tuple(instance.windows.values()),
            latency_p50_us=latency * 0.8,
            resident_bytes=60 << 20,
            cpu_seconds=rows * latency / 1e6,
        )

    def _confidences(self, behaves: Behaviour, rows: int) -> tuple[float, ...]:
        if not rows:
            return ()
        drift = self._inputs.drift(self._now())
        moved = min(drift.strength, 1.0) if drift else 0.0
        mean = behaves.confidence + moved * (behaves.drifted_confidence - behaves.confidence)
        drawn = self._chance.normal(mean, behaves.confidence_spread, rows)
        return tuple(np.clip(drawn, 0.0, 1.0).tolist())

    # Drift windows.

    def _close_windows(self, instance: Instance, rows: int) -> None:
        size = self._fleet.window_rows
        while (instance.closed + 1) * size <= rows:
            number = instance.launch.next_window + instance.closed
            instance.closed += 1
            behind = (rows - instance.closed * size) / self._fleet.rows_per_hour * 3600.0
            ended = self._now() - behind
            body = self._window(number, ended).SerializeToString()
            instance.windows[number] = Window(number, body)

    def _window(self, number: int, ended: float) -> telemetry_pb2.DriftWindow:
        fleet = self._fleet
        message = telemetry_pb2.DriftWindow(window=number, rows=fleet.window_rows)
        lasted = fleet.window_rows / fleet.rows_per_hour * 3600.0
        middle = ended - lasted / 2
        fault = self._inputs.fault(middle)
        if fault:
            message.verdict = telemetry_pb2.DEVICE_VERDICT_SENSOR_FAULT
            kind = telemetry_pb2.SensorFaultKind.Value(f"SENSOR_FAULT_KIND_{fault.upper()}")
            message.faults.add(kind=kind, input="x", detail="feature 0")
            return message
        if number < fleet.warmup_rows // fleet.window_rows:
            message.verdict = telemetry_pb2.DEVICE_VERDICT_WARMING_UP
            return message
        drift = self._inputs.drift(middle)
        shares = _EVEN
        message.verdict = telemetry_pb2.DEVICE_VERDICT_QUIET
        if drift is not None:
            weights = np.exp(drift.strength * _RISING)
            shares = weights / weights.sum()
            windows = int((middle - drift.begin) / lasted) + 1
            if windows % drift.alarm_after == 0:
                message.verdict = telemetry_pb2.DEVICE_VERDICT_MOVED
                message.causes.append("x[0] higher")
        counts = self._chance.multinomial(fleet.window_rows, shares, size=_FEATURES)
        message.ranks.add(
            input="x",
            features=_FEATURES,
            cells=_CELLS,
            counts=counts.reshape(-1).tolist(),
            design_effects=_NO_EFFECT,
            reference_rows=fleet.warmup_rows,
        )
        return message


_NO_EFFECT = [1.0] * (_FEATURES * _TILTS)
