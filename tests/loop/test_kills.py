"""kill -9 of every kind of process, in steady state and during rollouts, under requests that never stop."""

from __future__ import annotations

import signal
import time

import pytest
from tests.loop.processes import SLOT, Application, Device, Fleet, serves, state_of, wait_for

pytest.importorskip("sklearn", reason="the images come with scikit-learn (extra 'demo')")

BACK_S = 2.0
"""Within so long answers return after a runner or the router was killed."""


@pytest.fixture
def fleet(tmp_path):
    with Fleet(tmp_path) as started:
        yield started


def serving(fleet: Fleet) -> tuple[Device, Application]:
    """A device that has committed the first version, and its application."""
    device = fleet.device()
    application = fleet.application(device)
    first = fleet.push("good", "1", 1)
    done = fleet.ended(fleet.roll_out(first, canary=100))
    assert state_of(done) == "SUCCEEDED", done.reason
    wait_for(serves(device, first), first)
    application.asked.clear()
    return device, application


def answers(application: Application, count: int) -> None:
    before = len(application.answered)
    wait_for(lambda: len(application.answered) >= before + count, "answers")


def gap(application: Application, killed: float) -> float:
    """Seconds from a kill to the end of the first request that was begun after it and answered."""
    return min(request.at + request.seconds for request in application.answered if request.at > killed) - killed


def sequence(device: Device) -> int:
    state = device.remembered()
    return 0 if state is None else state.sequence


def test_one_of_each_kind_in_steady_state(fleet):
    device, application = serving(fleet)
    runner, router = device.runner(SLOT), device.processes()["router"]

    device.end(signal.SIGKILL)
    answers(application, 50)
    before = sequence(device)
    device.start()
    wait_for(lambda: sequence(device) > before + 1, "the next agent")
    fleet.server.kill()
    answers(application, 50)
    fleet.server.start()
    before = sequence(device)
    wait_for(lambda: sequence(device) > before + 2, "check-ins with the next server")
    assert application.failures == []
    assert (device.runner(SLOT), device.processes()["router"]) == (runner, router)

    gaps = {}
    for name, process in {"runner": runner, "router": router}.items():
        killed = time.monotonic()
        process.kill()
        answers(application, 20)
        gaps[name] = gap(application, killed)
    print("answers return after", {name: f"{seconds:.2f} s" for name, seconds in gaps.items()})
    assert max(gaps.values()) < BACK_S
    assert not runner.is_alive()
    assert not router.is_alive()
    assert application.wrong == []
