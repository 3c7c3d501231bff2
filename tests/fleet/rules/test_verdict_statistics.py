"""The fleet's verdict keeps its rate of false alarms, and finds what is there, while devices come, go, lag and lose."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fleet.rules.windows import FEATURES, HOUR, ROWS, Server, window

from sanderling.drift import Scope

DEVICES = [f"d{i:02}" for i in range(12)]
REFERENCE_ROWS = 2000
ARL = 50.0


def judged(seed, windows, shift=0.0, change=10**9, liar=False):
    """Plays windows; returns the server and the fleet windows in which it called the world. Each is acknowledged.

    A device's own reference has the error of 2,000 rows, so its cells are a little uneven for ever. Of its windows one
    in ten comes a window late and one in twenty never; one device in eight is away for a while.
    """
    rng = np.random.default_rng(seed)
    server = Server([], restart=False, average_run_length=ARL, deadline_seconds=HOUR)
    uneven = {d: rng.dirichlet(np.full(32, REFERENCE_ROWS / 32), size=FEATURES) for d in DEVICES}
    numbers, late, alarms = dict.fromkeys(DEVICES, 0), [], []
    tilt = np.exp(shift * np.linspace(-1, 1, 32))

    def send(item):
        for found in server.send(item).windows:
            if found.scope is Scope.WORLD:
                alarms.append(found.window)
                server.acknowledge()

    for step in range(windows):
        due, late = late, []
        for item in due:
            send(item)
        away = set(rng.choice(DEVICES, 2)) if step // 20 % 2 else set()
        for device in DEVICES:
            numbers[device] += 1
            shares = uneven[device] * (tilt if step >= change else 1.0)
            cells = np.stack([rng.multinomial(ROWS, p / p.sum()) for p in shares])
            if liar and device == "d00":
                cells[:] = 0
            chance = rng.random()
            if device in away or chance < 0.05:
                continue
            if chance < 0.15:
                late.append(window(device, numbers[device], cells))
            else:
                send(window(device, numbers[device], cells))
        for found in server.expire(after=HOUR).windows:
            if found.scope is Scope.WORLD:
                alarms.append(found.window)
                server.acknowledge()
    return server, alarms


@pytest.mark.parametrize("seed", range(2))
def test_an_unchanged_fleet_calls_the_world_no_more_often_than_stated(seed):
    windows = 400
    server, alarms = judged(seed, windows)
    assert len(alarms) <= windows / ARL
    assert sum(len(w.missing) > 0 for w in server.windows) > 50
    assert server.windows[-1].window >= windows - 5


@pytest.mark.parametrize("seed", range(3))
def test_a_change_too_small_for_any_device_is_found_soon(seed):
    """Each device's mean rank moves by 0.07, the fleet's windows have 2,000 rows at most."""
    _, alarms = judged(seed, 40, shift=0.4, change=20)
    assert alarms
    assert 20 <= alarms[0] <= 28


def test_a_device_that_counts_nothing_is_no_evidence_of_anything():
    _, alarms = judged(0, 40, shift=0.4, change=20, liar=True)
    assert alarms
    assert 20 <= alarms[0] <= 28
