"""The fleet: one device, a cohort or the world, as drift.md 3.6 measured it, scaled down."""

from __future__ import annotations

import numpy as np
import pytest

from sanderling.drift import (
    DeviceMonitor,
    DeviceState,
    DeviceVerdict,
    FleetMemory,
    FleetMonitor,
    FleetVerdict,
    Reference,
    Scope,
    Settings,
)
from sanderling.errors import InputError

DEVICES = 20
SETTINGS = Settings(window_rows=100, warmup_rows=2000, devices=DEVICES)
CHANGE = 5


class Fleet:
    """Twenty devices with offsets of their own (standard deviation 0.2), two features, 100 rows a window."""

    def __init__(self, seed: int, settings: Settings = SETTINGS) -> None:
        self._rng = np.random.default_rng(seed)
        self._offsets = self._rng.normal(0, 0.2, (DEVICES, 1, 2))
        version = Reference.fit(self._rows(2000).reshape(-1, 2))
        self.names = [f"device {i:02}" for i in range(DEVICES)]
        self.monitors = [DeviceMonitor(version, device=name, settings=settings) for name in self.names]
        for monitor, rows in zip(self.monitors, self._rows(2000), strict=True):
            monitor.observe(rows)
        self.fleet = FleetMonitor(self.names, settings=settings)

    def _rows(self, rows: int) -> np.ndarray:
        return (self._offsets + self._rng.standard_normal((DEVICES, rows, 2))).astype(np.float32)

    def windows(self, count: int, shift: np.ndarray | float = 0.0) -> list[FleetVerdict]:
        """Shift is one number per device, added to its first feature."""
        verdicts = []
        for _ in range(count):
            rows = self._rows(100)
            rows[:, :, 0] += np.broadcast_to(np.asarray(shift, np.float32), DEVICES)[:, None]
            for monitor, own in zip(self.monitors, rows, strict=True):
                for verdict in monitor.observe(own):
                    verdicts += self.fleet.add(verdict)
        return verdicts


def of(devices: int, shift: float) -> np.ndarray:
    return np.where(np.arange(DEVICES) < devices, shift, 0.0)


@pytest.mark.parametrize("seed", range(2))
def test_nothing_happens(seed: int) -> None:
    verdicts = Fleet(seed).windows(40)
    assert [verdict.scope for verdict in verdicts] == [Scope.QUIET] * 40
    assert not any(verdict.changed for verdict in verdicts)
    assert [verdict.window for verdict in verdicts] == list(range(1, 41))


@pytest.mark.parametrize("seed", range(3))
def test_one_device_moves(seed: int) -> None:
    fleet = Fleet(seed)
    assert {verdict.scope for verdict in fleet.windows(CHANGE)} == {Scope.QUIET}
    verdicts = fleet.windows(20, of(1, 1.0))
    first = next(i for i, verdict in enumerate(verdicts) if verdict.scope is not Scope.QUIET)
    assert first < 2
    assert {(verdict.scope, verdict.moved) for verdict in verdicts[first:]} == {(Scope.DEVICE, ("device 00",))}
    assert verdicts[first].changed
    assert verdicts[first].summary == "one device moved: device 00"


@pytest.mark.parametrize("seed", range(3))
def test_all_move_less_than_any_of_them_could_tell(seed: int) -> None:
    fleet = Fleet(seed)
    fleet.windows(CHANGE)
    verdicts = fleet.windows(10, 0.12)
    first = next(i for i, verdict in enumerate(verdicts) if verdict.scope is not Scope.QUIET)
    assert first < 8
    assert verdicts[first].scope is Scope.WORLD
    assert verdicts[first].moved == ()
    assert verdicts[first].causes[0].name == "input[0]"
    assert verdicts[first].causes[0].change == "higher"
    assert verdicts[-1].scope is Scope.WORLD  # until acknowledged


def test_all_move_far() -> None:
    fleet = Fleet(0)
    fleet.windows(CHANGE)
    verdicts = fleet.windows(3, 1.0)
    assert [verdict.scope for verdict in verdicts] == [Scope.WORLD] * 3
    assert len(verdicts[-1].moved) == DEVICES


@pytest.mark.parametrize("seed", range(3))
def test_a_fifth_of_the_devices_moves(seed: int) -> None:
    fleet = Fleet(seed)
    fleet.windows(CHANGE)
    verdicts = fleet.windows(15, of(4, 0.9))
    assert verdicts[-1].scope is Scope.COHORT
    assert verdicts[-1].moved == tuple(fleet.names[:4])
    assert Scope.WORLD not in {verdict.scope for verdict in verdicts}


def test_what_was_acknowledged_starts_anew() -> None:
    fleet = Fleet(0)
    assert fleet.windows(3, of(1, 1.0))[-1].scope is Scope.DEVICE
    fleet.fleet.acknowledge()
    assert {verdict.scope for verdict in fleet.windows(3)} == {Scope.QUIET}


def test_a_fault_is_no_drift_and_takes_back_the_alarm_of_its_first_rows() -> None:
    fleet = Fleet(0)
    fleet.windows(2)
    names, monitors = fleet.names, fleet.monitors
    stuck = np.repeat(np.array([[3.0, 3.0]], np.float32), 100, axis=0)

    def window(first: np.ndarray) -> FleetVerdict:
        rows = fleet._rows(100)
        done = [
            v for m, own in zip(monitors[1:], rows[1:], strict=True) for d in m.observe(own) for v in fleet.fleet.add(d)
        ]
        assert done == []  # the last device is missing
        (verdict,) = monitors[0].observe(first)
        return fleet.fleet.add(verdict)[0]

    half = fleet._rows(100)[0]
    half[20:] = stuck[20:]
    assert window(half).scope is Scope.DEVICE  # moved, for all that is known by now
    verdict = window(stuck)
    assert verdict.scope is Scope.QUIET
    assert verdict.moved == ()
    assert {device: faults[0].kind for device, faults in verdict.faulty.items()} == {names[0]: "stuck"}
    assert verdict.summary == "quiet; device 00: stuck sensor"
    assert [verdict.scope for verdict in fleet.windows(5)] == [Scope.QUIET] * 5


def test_the_order_of_devices_does_not_matter() -> None:
    first, second = Fleet(0), Fleet(0)
    second.monitors.reverse()
    ordered = first.windows(4, of(1, 0.5))
    verdicts = []
    rows_of = Fleet(0)
    for _ in range(4):
        rows = rows_of._rows(100)
        rows[:, :, 0] += of(1, 0.5)[:, None].astype(np.float32)
        for monitor, own in zip(second.monitors, rows[::-1], strict=True):
            for verdict in monitor.observe(own):
                verdicts += second.fleet.add(verdict)
    assert [(v.scope, v.moved, v.log_e, v.log_e_rest) for v in verdicts] == [
        (v.scope, v.moved, v.log_e, v.log_e_rest) for v in ordered
    ]


def test_a_window_waits_for_every_device() -> None:
    fleet = FleetMonitor(["a", "b"])
    assert fleet.add(DeviceVerdict("a", 0, 200, DeviceState.WARMING_UP)) == []
    assert fleet.add(DeviceVerdict("a", 1, 200, DeviceState.SETTLING)) == []
    assert fleet.add(DeviceVerdict("a", 2, 200, DeviceState.SETTLING)) == []
    assert [v.window for v in fleet.add(DeviceVerdict("b", 1, 200, DeviceState.SETTLING))] == [1]
    assert [v.window for v in fleet.add(DeviceVerdict("b", 2, 200, DeviceState.SETTLING))] == [2]
    for device, window, message in (("b", 2, "sent before"), ("a", 1, "sent before"), ("c", 1, "unknown device 'c'")):
        with pytest.raises(InputError, match=message):
            fleet.add(DeviceVerdict(device, window, 200, DeviceState.QUIET))


@pytest.mark.parametrize("devices", [[], ["a", "a"]])
def test_fleets_that_are_none(devices: list[str]) -> None:
    with pytest.raises(InputError, match="at least one and none twice"):
        FleetMonitor(devices)


def test_one_device_alone_is_not_the_world() -> None:
    fleet = FleetMonitor(["a"])
    moved = DeviceVerdict("a", 1, 200, DeviceState.MOVED, log_e=20.0)
    assert fleet.add(moved)[0].scope is Scope.DEVICE


def test_a_monitor_goes_on_from_its_memory() -> None:
    """Made anew before each window, through an alarm of one device and one of the world: the same to the last bit."""
    fleet, memory, scopes = Fleet(3), FleetMemory(), []
    for shift in [0.0] * 3 + [of(1, 1.0)] * 2 + [0.3] * 5:
        rows = fleet._rows(100)
        rows[:, :, 0] += np.broadcast_to(np.asarray(shift, np.float32), DEVICES)[:, None]
        parts = FleetMonitor(fleet.names, settings=SETTINGS, memory=memory)
        for monitor, own in zip(fleet.monitors, rows, strict=True):
            for device in monitor.observe(own):
                whole = fleet.fleet.add(device)
                assert parts.add(device) == whole
        memory = parts.memory
        scopes += [verdict.scope for verdict in whole]
    assert list(dict.fromkeys(scopes)) == [Scope.QUIET, Scope.DEVICE, Scope.WORLD]
    assert memory.window == 10
    assert len(memory.recent) == 8


def test_a_memory_of_other_devices_is_refused() -> None:
    with pytest.raises(InputError, match=r"\['b'\] have moved"):
        FleetMonitor(["a"], memory=FleetMemory(moved={"b": 1}))
