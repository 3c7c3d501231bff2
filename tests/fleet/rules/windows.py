"""A fleet that sends windows, for tests: restarted before every message."""

from __future__ import annotations

import numpy as np

from sanderling_fleet.verdict import (
    DeviceWindow,
    FleetState,
    InputRanks,
    Judgement,
    Policy,
    WindowVerdict,
    acknowledge,
    expect,
    expire,
    forget,
    observe,
)
from sanderling_fleet.verdict_state import Entry

HOUR = 3600.0
ROWS, FEATURES = 200, 2
NAMES = [f"d{i}" for i in range(6)]
LABELS = {name: {"device_id": name, "site": f"hall-{i // 2}", "kind": "camera"} for i, name in enumerate(NAMES)}
# They differ by feature and tilt, so that none can be mistaken for another.
EFFECTS = (1.25 + np.arange(FEATURES * 24) / 128).tolist()  # as float32, in which they are sent, the same numbers
QUIET, MOVED, FAULT, WARMING = WindowVerdict.QUIET, WindowVerdict.MOVED, WindowVerdict.FAULT, WindowVerdict.WARMING


def counts(rng, shift=0.0):
    """Rank cells of 200 rows; a shift tilts them upwards."""
    weights = 1 + shift * np.linspace(-1, 1, 32)
    return rng.multinomial(ROWS, weights / weights.sum(), size=FEATURES)


def window(device, number, cells=None, verdict=QUIET, fault="", reference=""):
    ranks = () if cells is None else (InputRanks("image", FEATURES, 32, cells.ravel().tolist(), EFFECTS, 2000),)
    return DeviceWindow(device, number, verdict, ROWS, fault, ranks, reference=reference)


class Server:
    """Hands windows in, and restarts before every message."""

    def __init__(self, devices=NAMES, restart=True, **policy):
        self.state = FleetState("main", "digits-1", Policy(**policy))
        for device in devices:
            self.state = expect(self.state, device)
        self.restart = restart
        self.now = 0.0
        self.windows = []
        self.last = Judgement()

    def send(self, item, after=0.0):
        self.now += after
        return self._take(*observe(self._state(), item, self.now, LABELS))

    def expire(self, after=0.0):
        self.now += after
        return self._take(*expire(self._state(), self.now, LABELS))

    def forget(self, device):
        return self._take(*forget(self._state(), device, self.now, LABELS))

    def acknowledge(self):
        return self._take(*acknowledge(self._state()))

    def all(self, number, rng, shifts=None, verdicts=None, devices=NAMES, **settings):
        for device in devices:
            cells = counts(rng, (shifts or {}).get(device, 0.0))
            self.send(window(device, number, cells, (verdicts or {}).get(device, QUIET), **settings))

    def _state(self):
        if self.restart:
            stored = {key: Entry.from_json(entry.to_json()) for key, entry in self.state.entries().items()}
            again = FleetState.from_json(self.state.to_json(), stored)
            assert again == self.state
            return again
        return self.state

    def _take(self, state, judged):
        self.state, self.last = state, judged
        self.windows += judged.windows
        return judged
