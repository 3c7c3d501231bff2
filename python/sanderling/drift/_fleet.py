"""The fleet: is it one device, a cohort or the world?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from sanderling.drift._detector import Cause, EDetector, Evidence
from sanderling.drift._device import DeviceState, DeviceVerdict, RankCounts
from sanderling.drift._faults import SensorFault
from sanderling.drift._ranks import CELLS, Floats
from sanderling.drift._settings import Settings
from sanderling.drift._tilts import TILTS, Tilts, ordered_tilts
from sanderling.errors import InputError

_FEWEST_UNMOVED = 1 / 3
_REPLAYED_WINDOWS = 8
_UNIFORM = ordered_tilts(["cell"], np.ones((1, CELLS), np.int64))


class Scope(StrEnum):
    """How much of the fleet has moved."""

    QUIET = "quiet"
    DEVICE = "device"  # one device: look at its site
    COHORT = "cohort"  # several, and the rest has not: look at what they share
    WORLD = "world"  # also the devices that do not alarm by themselves


@dataclass(frozen=True)
class FleetVerdict:
    """What the fleet says of one window.

    Attributes:
        window: 1, 2, ...
        scope: How much of the fleet has moved by now; it stays until acknowledged.
        moved: The devices that alarmed by themselves, sorted; a device stays until acknowledged.
        faulty: Sensor faults of this window by device; such a device is no evidence of drift.
        changed: Whether scope or moved differ from the window before.
        log_e: Natural logarithm of the fleet's e-value.
        log_e_rest: The same without the devices that moved.
        causes: What the evidence without them (in the fleet, when they are all) points to.
    """

    window: int
    scope: Scope
    moved: tuple[str, ...]
    faulty: Mapping[str, tuple[SensorFault, ...]]
    changed: bool
    log_e: float
    log_e_rest: float
    causes: tuple[Cause, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        faults = [f"{device}: {found[0].kind} sensor" for device, found in sorted(self.faulty.items())]
        causes = ", ".join(f"{cause.name} {cause.change}" for cause in self.causes[:3])
        words = {
            Scope.QUIET: "quiet",
            Scope.DEVICE: f"one device moved: {', '.join(self.moved)}",
            Scope.COHORT: f"a cohort of {len(self.moved)} devices moved: {', '.join(self.moved)}",
            Scope.WORLD: f"the world moved: {causes}" if causes else "the world moved",
        }
        return "; ".join([words[self.scope], *faults])


@dataclass(frozen=True, eq=False)
class FleetMemory:
    """All that a `FleetMonitor` remembers between two windows, to be stored.

    Attributes:
        window: Number of the last window that was judged; 0 for none.
        moved: Devices that alarmed by themselves, with the window; until acknowledged.
        scope: How much of the fleet has moved; until acknowledged.
        everyone: Evidence over all devices, float64 [streams, alternatives] in logarithms; None for none.
        rest: The same without the devices that moved.
        recent: Counts by device of the last windows, oldest first, at most 8.
    """

    window: int = 0
    moved: Mapping[str, int] = field(default_factory=dict)
    scope: Scope = Scope.QUIET
    everyone: Floats | None = None
    rest: Floats | None = None
    recent: Sequence[Mapping[str, RankCounts]] = ()


class FleetMonitor:
    """Puts the devices' windows together. No IO; the same verdicts in any order of devices give the same answers.

    Window k is judged when every device has sent its window k. Counts add in rank cells, each device's own, so
    devices that differ in what is normal for them still add. Two detectors watch the sum over all devices and the
    sum without those that alarmed by themselves; when the latter alarms, or under a third of the devices is left
    unmoved, it is the world.

    Args:
        devices: Those that are waited for from window 1 on.
        settings: The devices' settings; `settings.devices` is set to their number.
        memory: To go on from, also with other devices than before; windows that wait are not in it.

    Raises:
        InputError: No device, or one twice; or the memory is of a device that is none of these.
    """

    def __init__(
        self, devices: Iterable[str], *, settings: Settings | None = None, memory: FleetMemory | None = None
    ) -> None:
        self._devices = list(devices)
        if not self._devices or len(set(self._devices)) != len(self._devices):
            raise InputError(f"[fleet] devices {self._devices}, at least one and none twice are wanted")
        self.settings = replace(settings or Settings(), devices=len(self._devices))
        self._waiting: dict[str, dict[int, DeviceVerdict]] = {device: {} for device in self._devices}
        memory = memory or FleetMemory()
        if not set(memory.moved) <= set(self._devices):
            raise InputError(
                f"[fleet] {sorted(memory.moved)} have moved, the fleet has {self._devices}. Leave out others"
            )
        self._window = memory.window
        self._moved = dict(memory.moved)  # device to window of its alarm
        self._scope = memory.scope
        self._everyone, self._rest = memory.everyone, memory.rest
        self._recent: deque[Mapping[str, RankCounts]] = deque(memory.recent, maxlen=_REPLAYED_WINDOWS)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are waited for."""
        return tuple(self._devices)

    @property
    def memory(self) -> FleetMemory:
        """What it remembers now."""
        return FleetMemory(
            self._window, dict(self._moved), self._scope, self._everyone, self._rest, tuple(self._recent)
        )

    def add(self, verdict: DeviceVerdict) -> list[FleetVerdict]:
        """Takes one device's verdict.

        Args:
            verdict: From `DeviceMonitor`; those of the warm-up (window 0) are ignored.

        Returns:
            Verdicts of the fleet windows that it completes, in order.

        Raises:
            InputError: The device is unknown, or its window was sent before.
        """
        if verdict.device not in self._waiting:
            raise InputError(f"[fleet] unknown device {verdict.device!r}, the fleet has {self._devices}")
        if verdict.window == 0:
            return []
        waiting = self._waiting[verdict.device]
        if verdict.window <= self._window or verdict.window in waiting:
            raise InputError(f"[fleet] window {verdict.window} of {verdict.device!r} was sent before")
        waiting[verdict.window] = verdict
        done = []
        while all(self._window + 1 in windows for windows in self._waiting.values()):
            self._window += 1
            done.append(self._judge([self._waiting[device].pop(self._window) for device in self._devices]))
        return done

    def acknowledge(self) -> None:
        """Forgets what moved and all evidence: someone has looked, and repaired it or let the devices learn anew."""
        self._moved.clear()
        self._scope = Scope.QUIET
        self._recent.clear()
        self._everyone = self._rest = None

    def _judge(self, verdicts: list[DeviceVerdict]) -> FleetVerdict:
        before = (self._scope, tuple(sorted(self._moved)))
        faulty = {v.device: v.faults for v in verdicts if v.state is DeviceState.FAULTY}
        for verdict in verdicts:
            if verdict.state is DeviceState.MOVED:
                self._moved.setdefault(verdict.device, verdict.window)
            elif verdict.device in faulty and self._moved.get(verdict.device, 0) >= verdict.window - 1:
                self._moved.pop(verdict.device, None)  # that alarm was the fault's first rows
        self._recent.append({v.device: v.ranks for v in verdicts if v.ranks is not None})
        if set(self._moved) != set(before[1]):
            self._rest = None  # starts anew without them, by the windows that are still here
        everyone, rest = self._detect()
        healthy = len(verdicts) - len(faulty)
        self._scope = self._widen(rest.alarm, healthy)
        moved = tuple(sorted(self._moved))
        return FleetVerdict(
            window=self._window,
            scope=self._scope,
            moved=moved,
            faulty=faulty,
            changed=(self._scope, moved) != before,
            log_e=everyone.log_e,
            log_e_rest=rest.log_e,
            causes=rest.causes or everyone.causes,
        )

    def _widen(self, rest_alarms: bool, healthy: int) -> Scope:
        moved = len(self._moved)
        if self._scope is Scope.WORLD or rest_alarms:
            return Scope.WORLD
        if moved > 1 and healthy - moved < _FEWEST_UNMOVED * healthy:
            return Scope.WORLD  # too few are left to say that the rest has not moved
        return (Scope.QUIET, Scope.DEVICE)[moved] if moved <= 1 else Scope.COHORT

    def _detect(self) -> tuple[Evidence, Evidence]:
        nothing = Evidence(float("-inf"), False, ())
        now = self._recent[-1]
        everyone = nothing
        if now:
            self._everyone, everyone = self._step(self._everyone, now, ())
        rest, replay = nothing, self._rest is None
        for window in self._recent if replay else [now]:
            if set(window) - set(self._moved):
                self._rest, step = self._step(self._rest, window, self._moved)
                rest = replace(step, alarm=step.alarm or rest.alarm)
        return everyone, rest

    def _step(
        self, state: Floats | None, window: Mapping[str, RankCounts], without: Iterable[str]
    ) -> tuple[Floats, Evidence]:
        ranks = [counts for device, counts in sorted(window.items()) if device not in set(without)]
        detector = EDetector(
            [_fleet_tilts(ranks, self.settings.tolerance)],
            average_run_length=self.settings.average_run_length,
            state=None if state is None else [state],
        )
        evidence = detector.update([np.sum([item.cells for item in ranks], axis=0)])
        return detector.state[0], evidence


def _fleet_tilts(ranks: list[RankCounts], tolerance: float) -> Tilts:
    """Alternatives to uniform cells. Each device's reference errs on its own: the sum errs as one of all their rows."""
    rows = np.array([item.cells.sum(axis=1) for item in ranks], np.float64)  # [devices, streams]
    effects = np.array([item.design_effects for item in ranks])
    weights = np.where(rows.sum(axis=0) > 0, rows, 1.0)
    mean = np.einsum("ds,dsk->sk", weights, effects) / weights.sum(axis=0)[:, None]
    streams = rows.shape[1]
    return replace(
        _UNIFORM,
        names=ranks[0].names,
        weights=np.broadcast_to(_UNIFORM.weights, (streams, *_UNIFORM.weights.shape[1:])),
        variances=np.broadcast_to(_UNIFORM.variances, (streams, TILTS)),
        rows=sum(item.reference_rows for item in ranks),
        design_effects=mean,
        tolerance=tolerance,
    )
