"""The device half's fleet monitor, made anew from what was stored for every window.

`FleetMonitor` has a fixed set of devices and keeps its state in memory; a fleet's devices come and go and a server
stops. This is the only place that reaches into it, so that its rules stand in one place.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sanderling.drift import (
    DeviceState,
    DeviceVerdict,
    EDetector,
    FleetMonitor,
    FleetVerdict,
    SensorFault,
    Settings,
    ordered_tilts,
)
from sanderling_fleet.plain import Array
from sanderling_fleet.verdict_state import CELLS, Entry, FleetState


class StoredMonitor(FleetMonitor):
    """A `FleetMonitor` that goes on from what was stored, for the devices of one window."""

    def __init__(self, state: FleetState, devices: list[str]) -> None:
        policy = state.policy
        super().__init__(
            devices, settings=Settings(average_run_length=policy.average_run_length, tolerance=policy.tolerance)
        )
        self._names = state.names
        self._window = state.window - 1
        self._moved = {device: window for device, window in state.moved if device in set(devices)}
        self._scope = state.scope
        self._all, self._rest = self._detector(state.everyone), self._detector(state.rest)
        absent = {device for device, _ in state.moved} - set(devices)
        for entries in state.recent:
            ranks = {entry.device: entry.ranks(state.names) for entry in entries if entry.device not in absent}
            self._recent.append({device: item for device, item in ranks.items() if item is not None})

    def judge(self, entries: Iterable[Entry]) -> FleetVerdict:
        """Judges the window that these devices sent."""
        verdicts: list[FleetVerdict] = []
        for entry in entries:
            device_state = DeviceState.MOVED if entry.moved else DeviceState.QUIET
            faults = (SensorFault(entry.fault.split()[0], "", 1.0, entry.fault),) if entry.fault else ()
            verdicts += self.add(
                DeviceVerdict(
                    device=entry.device,
                    window=self._window + 1,
                    rows=entry.rows,
                    state=DeviceState.FAULTY if faults else device_state,
                    faults=faults,
                    ranks=entry.ranks(self._names),
                )
            )
        (verdict,) = verdicts
        return verdict

    @property
    def moved(self) -> dict[str, int]:
        """Its devices that have moved, with the window."""
        return dict(self._moved)

    @property
    def evidence(self) -> tuple[Array | None, Array | None]:
        """What the two detectors have accumulated."""
        parts = [None if item is None else Array.pack(item._state[0]) for item in (self._all, self._rest)]
        return parts[0], parts[1]

    @property
    def replayed(self) -> int:
        """How many windows are kept."""
        return self._recent.maxlen or 1

    def _detector(self, stored: Array | None) -> EDetector | None:
        if stored is None:
            return None
        tilts = ordered_tilts(self._names, np.ones((len(self._names), CELLS), np.int64))
        detector = EDetector([tilts], average_run_length=self.settings.average_run_length)
        detector._state = [stored.unpack()]
        return detector
