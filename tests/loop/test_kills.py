"""kill -9 of every kind of process, in steady state and during rollouts, under requests that never stop."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from tests.fleet.telemetry.brokers import MOSQUITTO, Mosquitto, needs_mosquitto
from tests.loop.processes import SLOT, Application, Device, Fleet, active, fork_server, serves, state_of, wait_for

from sanderling.agent.processes import Process
from sanderling.api.rollout.v1 import assignment_pb2

pytest.importorskip("sklearn", reason="the images come with scikit-learn (extra 'demo')")

BACK_S = 2.0
"""Within so long answers return after a runner or the router was killed, on a machine that has the time to."""
QUIET_START_S = 0.25
"""What it takes to start a Python with NumPy and gRPC, which is most of a runner's start, on two quiet cores."""


def back_s() -> float:
    """`BACK_S`, and where other work keeps the machine from starting processes, so many times longer."""
    starts = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import numpy, grpc"], check=True)
        starts.append(time.monotonic() - began)
    return BACK_S * max(1.0, max(starts) / QUIET_START_S)


class Scene:
    """A device that has committed a version and is asked all the time; versions enough to roll out."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.number = fleet, 1
        self.device = fleet.device()
        self.application = fleet.application(self.device)
        fleet.push("good", *range(1, 260))
        done = fleet.ended(fleet.roll_out("digits-1", canary=100))
        assert state_of(done) == "SUCCEEDED", done.reason
        wait_for(serves(self.device, "digits-1"), "digits-1")

    def roll_out(self) -> str:
        """The next version."""
        self.number += 1
        return self.fleet.roll_out(f"digits-{self.number}", canary=100)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with Fleet(tmp_path_factory.mktemp("kills"), mosquitto=MOSQUITTO is not None) as fleet:
        yield Scene(fleet)


@pytest.fixture
def scene(stage):
    """As the test before has left it: serving, with all processes there."""
    stage.application.asked.clear()
    yield stage
    stage.fleet.print_logs()


def answers(application: Application, count: int) -> None:
    before = len(application.answered)
    wait_for(lambda: len(application.answered) >= before + count, "answers")


def gap(application: Application, killed: float) -> float:
    """Seconds from a kill to the end of the first request that was begun after it and answered."""
    return min(request.at + request.seconds for request in application.answered if request.at > killed) - killed


def sequence(device: Device) -> int:
    state = device.remembered()
    return 0 if state is None else state.sequence


def test_one_of_each_kind_in_steady_state(scene):
    fleet, device, application = scene.fleet, scene.device, scene.application
    runner, router = device.runner(SLOT), device.processes()["router"]

    fork_server(device).kill()
    answers(application, 50)
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
    if fleet.broker is not None:
        fleet.broker.kill()
        answers(application, 50)
        assert fleet.broker.start()
    assert application.failures == []
    assert (device.runner(SLOT), device.processes()["router"]) == (runner, router)

    gaps = {}
    for name, process in {"runner": runner, "router": router}.items():
        process.kill()
        killed = time.monotonic()  # it is gone: a request that begins now needs the next one
        answers(application, 20)
        gaps[name] = gap(application, killed)
    print("answers return after", {name: f"{seconds:.2f} s" for name, seconds in gaps.items()})
    assert max(gaps.values()) < back_s()
    assert not runner.is_alive()
    assert not router.is_alive()
    assert application.wrong == []


AGENT_POINTS = ["switch:after", "probation:before", "commit:before", "report:after"]
MORE_AGENT_POINTS = [
    f"{phase}:{place}"
    for phase in ("fetch", "verify", "build", "selftest", "switch", "probation", "commit", "report", "checkedin")
    for place in ("before", "after")
]


def kill_the_agent_at(scene: Scene, points: list[str]) -> None:
    device = scene.device
    for point in points:
        device.end(signal.SIGTERM)
        device.start(SANDERLING_KILL_AT=point)
        rollout = scene.roll_out()
        assert device.agent.wait(60) == -signal.SIGKILL, point
        device.start()
        done = scene.fleet.ended(rollout)
        assert state_of(done) == "SUCCEEDED", f"{point}: {done.reason}"
        wait_for(serves(device, done.spec.version), f"{done.spec.version} after {point}")
    assert scene.application.failures == []
    assert scene.application.wrong == []


def test_the_agent_at_points_of_a_rollout(scene):
    kill_the_agent_at(scene, AGENT_POINTS)


@pytest.mark.slow
def test_the_agent_at_every_point_of_a_rollout(scene):
    kill_the_agent_at(scene, MORE_AGENT_POINTS)


def kill_the_server_at(scene: Scene, commits: list[int]) -> None:
    """Rollouts while the server dies before and after these commits since its start, and is started again."""
    fleet, deaths = scene.fleet, []

    def die_again_and_again() -> None:
        for point in [f"{commit}:{place}" for commit in commits for place in ("before", "after")]:
            fleet.server.kill()
            fleet.server.start(SANDERLING_FLEET_KILL_AT=point)
            deaths.append(fleet.server.process.wait(60))
        fleet.restart()

    dying = threading.Thread(target=die_again_and_again)
    dying.start()
    try:
        # A server that dies at its first commits gets nowhere; a rollout ends with one that lives longer.
        done = [scene.fleet.ended(scene.roll_out(), seconds=900.0)]
        while dying.is_alive():
            done.append(scene.fleet.ended(scene.roll_out(), seconds=900.0))
    finally:
        dying.join()
    assert [state_of(rollout) for rollout in done] == ["SUCCEEDED"] * len(done)
    assert deaths == [-signal.SIGKILL] * 2 * len(commits)
    wait_for(lambda: not scene.device.remembered().results, "the confirmation of every result")
    assert active(scene.device) == done[-1].spec.version
    assert scene.application.failures == []


def test_the_server_at_commits_of_a_rollout(scene):
    kill_the_server_at(scene, [6, 9, 14])


@pytest.mark.slow
def test_the_server_at_every_commit(scene):
    kill_the_server_at(scene, list(range(4, 40)))


def storm(scene: Scene, seed: int, kills: int) -> None:
    """Random kills at random times while one rollout follows the other."""
    fleet, device, application = scene.fleet, scene.device, scene.application
    chance, rollouts, disturbed, former = random.Random(seed), [], [], active(scene.device)
    for _ in range(kills):
        if not rollouts or state_of(fleet.operator.rollout(rollouts[-1])) != "RUNNING":
            rollouts.append(scene.roll_out())
        time.sleep(chance.uniform(0.0, 0.8))  # when chance hits is what is tried
        victim = chance.choice([*VICTIMS, *(["broker"] if fleet.broker else [])])
        if victim == "agent":
            before = sequence(device)
            device.end(signal.SIGKILL)
            device.start()
            wait_for(lambda before=before: sequence(device) > before, "the next agent")
        elif victim == "server":
            fleet.restart()
        elif victim == "broker":
            fleet.broker.kill()
            assert fleet.broker.start()
        elif victim == "fork server":
            if (process := fork_server(device)) is not None:  # the one before may have ended just now
                process.kill()
        else:
            there = {name: process for name, process in device.processes().items() if name.startswith(victim)}
            process = there[chance.choice(sorted(there))]
            sent = time.monotonic()
            process.kill()
            gone = time.monotonic()
            answers(application, 5)
            disturbed.append((sent, gone, gap(application, gone)))
    finished = [fleet.ended(rollout) for rollout in rollouts]
    wait_for(lambda: not device.remembered().results, "the confirmation of every result")
    wait_for(serves(device, active(device)), "the active version")
    # The server and the device tell the same story, to its end.
    committed = [done.spec.version for done in finished if is_committed(done)]
    assert active(device) == (committed or [former])[-1]
    for done in finished:
        (item,) = done.assignments
        assert item.state in ENDS, done
        assert state_of(done) == ("SUCCEEDED" if is_committed(done) else "ABORTED"), done
        assert is_committed(done) or item.code == assignment_pb2.RESULT_CODE_CRASH, item
    worst = max((seconds for *_, seconds in disturbed), default=0.0)
    print(f"{kills} kills, {len(finished)} rollouts, {len(committed)} committed; worst gap {worst:.2f} s")
    limit = back_s()
    for request in application.failures:
        # It was under way when the process ended, or began soon after.
        end = request.at + request.seconds
        assert any(sent <= end and request.at <= gone + limit for sent, gone, _ in disturbed), request
    assert worst < limit
    assert application.wrong == []
    check_telemetry(fleet, device)


VICTIMS = ["agent", "server", "router", "runner", "fork server"]


def check_telemetry(fleet: Fleet, device: Device) -> None:
    """Each row that the device has made is in the database once; so is each window."""
    tables = ("metrics", "drift", "event")
    with contextlib.closing(
        sqlite3.connect(f"file:{fleet.server.folder}/server/fleet.db?mode=ro", uri=True)
    ) as database:
        sent = [
            number
            for table in tables
            for (number,) in database.execute(f"SELECT sequence FROM {table} WHERE device_id = ?", (device.device_id,))
        ]
        windows = database.execute("SELECT version, window FROM drift").fetchall()
    print(f"{len(sent)} rows of telemetry, {len(windows)} of them windows")
    assert sorted(sent) == list(range(1, len(sent) + 1))
    assert len(set(windows)) == len(windows) > 0


ENDS = (
    assignment_pb2.ASSIGNMENT_STATE_COMMITTED,
    assignment_pb2.ASSIGNMENT_STATE_REVERTED,
    assignment_pb2.ASSIGNMENT_STATE_DISCARDED,
)


def is_committed(done) -> bool:
    return done.assignments[0].state == assignment_pb2.ASSIGNMENT_STATE_COMMITTED


def victim_of(scene: Scene, name: str, candidate: str) -> Process | Mosquitto:
    if name == "broker":
        return scene.fleet.broker
    if name == "incumbent":
        return scene.device.runner(SLOT)
    return scene.device.processes()[f"runner/{SLOT}/{candidate}" if name == "candidate" else name]


def kill_at(scene: Scene, victim: str, points: list[str]) -> None:
    """Kills while the agent stands still at a point of a rollout, then lets it go on."""
    device = scene.device
    for point in points:
        device.end(signal.SIGTERM)
        device.start(SANDERLING_STOP_AT=point)
        rollout = scene.roll_out()
        _, status = os.waitpid(device.agent.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), point
        victim_of(scene, victim, scene.fleet.operator.rollout(rollout).spec.version).kill()
        killed = time.monotonic()
        device.agent.send_signal(signal.SIGCONT)
        answers(scene.application, 5)
        assert gap(scene.application, killed) < back_s(), point
        if victim == "broker":
            assert scene.fleet.broker.start()
        done = scene.fleet.ended(rollout)
        print(f"{victim} killed at {point}: {state_of(done)}")
        (item,) = done.assignments
        assert item.state in ENDS, point
        assert is_committed(done) or item.code == assignment_pb2.RESULT_CODE_CRASH, f"{point}: {done.reason}"
        if is_committed(done):
            wait_for(serves(device, done.spec.version), f"{done.spec.version} after {point}")
    if victim == "broker":
        assert scene.application.failures == []
    assert scene.application.wrong == []
    check_telemetry(scene.fleet, device)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["incumbent", "router", pytest.param("broker", marks=needs_mosquitto)])
def test_another_process_at_every_point_of_a_rollout(scene, victim):
    kill_at(scene, victim, MORE_AGENT_POINTS)


@pytest.mark.slow
def test_the_candidate_at_every_point_at_which_it_runs(scene):
    phases = ("selftest", "switch", "probation", "commit")
    kill_at(scene, "candidate", [f"{phase}:{place}" for phase in phases for place in ("before", "after")])


def test_twenty_random_kills(scene):
    storm(scene, 1, 20)


@pytest.mark.slow
def test_two_hundred_random_kills(scene):
    storm(scene, 2, 200)
