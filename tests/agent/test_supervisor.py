"""Whole devices: real processes, real TLS, real models."""

import grp
import os
import signal
import stat
import time

import pytest
from tests.agent.site import Site, version, wait_until

from sanderling.agent.enrolment import enroll
from sanderling.agent.store import SqliteStore
from sanderling.agent.supervisor import Options, Supervisor, share
from sanderling.api.device.v1 import device_pb2, enrolment_pb2
from sanderling.api.rollout.v1 import assignment_pb2
from sanderling.errors import InputError

FACTOR = 0.5


def probation(rows=30, seconds=1):
    trial = device_pb2.Probation(rows=rows)
    trial.duration.FromSeconds(seconds)
    trial.deadline.FromSeconds(60)
    return trial


@pytest.fixture
def site(fleet, tmp_path):
    fleet.next_s = 0.3
    enroll(fleet.token(), tmp_path / "identity", enrolment_pb2.DeviceFacts())
    machine = Site(tmp_path, fleet)
    yield machine
    machine.close()


@pytest.fixture
def running(site):
    """A device that serves version 1 under load."""
    site.fleet.want("main", version(site.fleet, 1, FACTOR), probation=probation(1, 0))
    site.start()
    wait_until(lambda: site.serves(1), "version 1")
    wait_until(lambda: [s.active_version for s in site.fleet.check_ins[-1].slots] == ["linear-1"], "its commit")
    site.load()
    return site


def offer(site, manifest, assignment, **more):
    site.fleet.want("main", manifest, assignment_id=assignment, attempt=1, probation=probation(**more))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give folders to any group")
def test_folders_are_shared_with_a_group_or_nobody(tmp_path):
    share(tmp_path, group="daemon")
    (tmp_path / "inner").mkdir()
    found = os.stat(tmp_path / "inner")
    assert found.st_gid == grp.getgrnam("daemon").gr_gid
    assert stat.S_IMODE(os.stat(tmp_path).st_mode) == 0o2750
    share(tmp_path, group="no-such-group-here")
    assert stat.S_IMODE(os.stat(tmp_path).st_mode) == 0o700


def test_a_state_folder_with_too_long_a_path(fleet, tmp_path):
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    enroll(fleet.token(), deep / "identity", enrolment_pb2.DeviceFacts())
    with pytest.raises(InputError, match="shorter state folder"):
        Supervisor(Options(deep))


def test_versions_come_and_are_taken_back(running):
    site, fleet = running, running.fleet
    good = version(fleet, 2, FACTOR * 1.01)
    wait_until(lambda: len(site.answered) > 150, "rows of the incumbent")
    offer(site, good, "a-good")
    result = site.result("a-good")
    assert (result.state, result.code) == (assignment_pb2.ASSIGNMENT_STATE_COMMITTED, assignment_pb2.RESULT_CODE_OK)
    assert result.candidate.rows >= 30
    assert result.candidate.golden_score == 1.0
    assert 0.3 < result.incumbent.mean_confidence <= 1.0
    wait_until(lambda: "runner/main/linear-1" not in site.processes(), "the end of the former runner")

    offer(site, version(fleet, 3, 1.0, golden_factor=2.0), "a-golden")
    result = site.result("a-golden")
    assert (result.state, result.code) == (
        assignment_pb2.ASSIGNMENT_STATE_DISCARDED,
        assignment_pb2.RESULT_CODE_SELFTEST_FAILED,
    )

    wait_until(lambda: len(site.answered) > 400, "more rows of the incumbent")
    offer(site, version(fleet, 4, 0.0001), "a-unsure", rows=100_000)
    result = site.result("a-unsure")
    assert (result.state, result.code) == (
        assignment_pb2.ASSIGNMENT_STATE_REVERTED,
        assignment_pb2.RESULT_CODE_CONFIDENCE,
    )
    assert result.candidate.confidence_evidence >= 1000

    assert site.serves(2)
    assert site.failures == []
    assert {"linear-1", "linear-2", "linear-4"} <= set(site.answered)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, assignment_pb2.RESULT_CODE_CRASH),
        (signal.SIGSTOP, assignment_pb2.RESULT_CODE_HANG),
    ],
)
def test_a_candidate_that_crashes_or_hangs_is_reverted(running, number, code):
    site = running
    offer(site, version(site.fleet, 2, FACTOR), "a-1", rows=100_000)
    wait_until(lambda: site.serves(2), "the trial")
    site.runner(2).send(number)
    result = site.result("a-1")
    assert (result.state, result.code) == (assignment_pb2.ASSIGNMENT_STATE_REVERTED, code)
    assert result.candidate.crashes == 1
    assert site.serves(1)


def test_kill_9_of_the_agent_costs_no_request_and_its_runner_is_adopted(running):
    site = running
    before = site.processes()
    site.agent.kill()
    site.agent.wait(10)
    count = len(site.answered)
    wait_until(lambda: len(site.answered) > count + 20, "answers without an agent")
    check_ins = len(site.fleet.check_ins)
    site.start()
    wait_until(lambda: len(site.fleet.check_ins) > check_ins, "the next agent")
    offer(site, version(site.fleet, 2, FACTOR), "a-1")
    assert site.result("a-1").state == assignment_pb2.ASSIGNMENT_STATE_COMMITTED
    assert site.failures == []
    assert site.processes()["router"] == before["router"]
    sequences = [request.sequence for request in site.fleet.check_ins]
    assert sequences == sorted(set(sequences))
    assert site.fleet.check_ins[-1].slots[0].runner_restarts == 0
    names = sorted(site.fleet.telemetry)
    assert [sequence for _, sequence in names] == list(range(1, len(names) + 1))


def test_an_agent_of_another_protocol_replaces_the_runner_and_counts_no_restart(running):
    site = running
    old = site.runner(1)
    assert site.end(signal.SIGTERM) == 0
    assert old.is_alive()
    site.start(TESTED_PROTOCOL_VERSION="2")
    wait_until(lambda: site.processes().get("runner/main/linear-1", old) != old, "a runner of its own")
    assert not old.is_alive()
    wait_until(lambda: site.serves(1), "answers")
    check_ins = len(site.fleet.check_ins)
    wait_until(lambda: len(site.fleet.check_ins) > check_ins + 1, "check-ins")
    status = site.fleet.check_ins[-1].slots[0]
    assert (status.active_version, status.runner_restarts) == ("linear-1", 0)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["switch:after", "probation:after", "commit:before", "report:after"])
def test_kill_9_at_a_phase_with_real_processes(running, place):
    site = running
    site.end(signal.SIGTERM)
    site.start(SANDERLING_KILL_AT=place)
    offer(site, version(site.fleet, 2, FACTOR), "a-1")
    assert site.agent.wait(30) == -signal.SIGKILL
    site.start()
    assert site.result("a-1").state == assignment_pb2.ASSIGNMENT_STATE_COMMITTED
    wait_until(lambda: site.serves(2), "version 2")
    wait_until(lambda: "runner/main/linear-1" not in site.processes(), "the end of the former runner")
    assert site.failures == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_runner_that_dies_or_hangs_is_started_again(running, number):
    site = running
    old = site.runner(1)
    old.send(number)
    wait_until(lambda: site.processes().get("runner/main/linear-1", old) != old, "another runner")
    wait_until(lambda: site.serves(1), "answers")
    assert not old.is_alive()
    wait_until(lambda: site.fleet.check_ins[-1].slots[0].runner_restarts == 1, "the count of restarts")


def test_a_router_that_dies_comes_back_at_its_port(running):
    site = running
    old = site.processes()["router"]
    address = (site.state / "router" / "router.json").read_text()
    old.kill()
    killed = time.monotonic()
    wait_until(lambda: site.serves(1), "answers")
    assert time.monotonic() - killed < 10
    again = (site.state / "router" / "router.json").read_text()
    assert address.split('"pid"')[0] == again.split('"pid"')[0]
    wait_until(lambda: site.processes()["router"] != old, "its record")


@pytest.mark.slow
def test_a_model_that_a_power_cut_took_is_fetched_again(running):
    site = running
    assert site.end(signal.SIGINT) == 0
    blobs = [path for path in (site.state / "blobs").glob("??/*") if path.stat().st_size > 100]
    for path in blobs:
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    (site.state / "blobs" / "mark").write_text("running another-boot")
    site.start()
    wait_until(lambda: site.serves(1), "version 1")


@pytest.mark.slow
def test_processes_that_were_started_and_not_recorded_are_found(running):
    """Killed between the two: an orphaned router is adopted, since it has the port; an orphaned runner is ended."""
    site = running
    before = site.processes()
    site.agent.kill()
    site.agent.wait(10)
    store = SqliteStore(site.state / "state.db")
    for name in before:
        store.record_process(name, None)
    store.close()
    site.start()
    wait_until(lambda: set(site.processes()) == set(before), "their records")
    wait_until(lambda: site.serves(1), "answers")
    assert site.processes()["router"] == before["router"]
    assert not before["runner/main/linear-1"].is_alive()


@pytest.mark.slow
def test_samples_come_when_the_fleet_asks_for_them(site):
    fleet, fleet_budget = site.fleet, 200_000
    site.fleet.sample_budget = fleet_budget
    fleet.want("main", version(fleet, 1, FACTOR), probation=probation(1, 0))
    site.start()
    wait_until(lambda: site.serves(1), "version 1")
    site.load()
    wait_until(lambda: len(fleet.samples) >= 20, "samples")
    assert all(len(found) == 1 for found in fleet.samples.values()), "none comes twice"
    sample = next(iter(fleet.samples.values()))[0]
    assert (sample.slot, sample.version, set(sample.inputs)) == ("main", "linear-1", {"x"})
    assert sample.weight >= 1.0


@pytest.mark.slow
def test_sigterm_leaves_runners_and_sigint_ends_them(running):
    site = running
    processes = site.processes()
    assert site.end(signal.SIGTERM) == 0, "it must have loaded no NumPy"
    assert all(process.is_alive() for process in processes.values())
    assert site.serves(1)
    site.start()
    count = len(site.fleet.check_ins)
    wait_until(lambda: len(site.fleet.check_ins) > count, "the next agent")
    assert site.processes() == processes
    site._quiet.set()
    assert site.end(signal.SIGINT) == 0
    assert not any(process.is_alive() for process in processes.values())
    assert site.processes() == {}
