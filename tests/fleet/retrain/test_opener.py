"""Jobs that the fleet's verdict opens: of a world that moved, once; never of a broken sensor or another's word."""

from __future__ import annotations

import pytest
from tests.fleet.retrain.retraining_fleet import RetrainingFleet, changed_samples

from sanderling_fleet.core.fleet_watch import WINDOW_KIND
from sanderling_fleet.retrain import book
from sanderling_fleet.retrain.events import Cancelled
from sanderling_fleet.retrain.job import JobState
from sanderling_fleet.store import Document
from sanderling_fleet.trust.release import ReleaseFolder


@pytest.fixture
def fleet(tmp_path):
    with RetrainingFleet(tmp_path / "fleet", trigger={"cooldown_seconds": 0.0}) as running:
        running.release = ReleaseFolder(running.folder / "release")
        running.manifest = running.release_champion(running.release)
        running.device_of_it = running.camera(running.manifest)
        yield running


def judged(fleet, number, scope, *, version="linear-1", identity="verified", faulty=()):
    """A fleet window, as telemetry leaves one behind."""

    async def keep():
        now = fleet.core.clock.now()
        body = {
            "slot": "main",
            "version": version,
            "identity": identity,
            "window": number,
            "scope": scope,
            "judged_at": now,
            "faulty": list(faulty),
        }
        async with fleet.core.store.transaction() as tx:
            name = f"{round(now * 1e6):020d}/{number}"
            await tx.put(Document(WINDOW_KIND, name, 1, scope, "main", now, now, body))

    fleet.run(keep())
    fleet.run(fleet.server.opener.look())


def jobs(fleet):
    async def found():
        async with fleet.core.store.transaction() as tx:
            return await book.find_jobs(tx, slot="main")

    return fleet.run(found())


def test_a_world_that_moved_opens_one_job(fleet):
    judged(fleet, 1, "quiet")
    assert jobs(fleet) == []
    judged(fleet, 2, "world")
    (job,) = jobs(fleet)
    assert (job.state, job.champion_version) == (JobState.COLLECTING, "linear-1")
    assert job.trigger == "drift: fleet window 2 of linear-1: world moved"
    for number in (3, 4):
        judged(fleet, number, "world")
    assert len(jobs(fleet)) == 1
    fleet.look()
    assert fleet.device_of_it.budget() > 0, "devices are asked for samples"


def test_it_is_found_again_after_the_server_was_killed_in_between(fleet, monkeypatch):
    """The trigger's state is stored before the job is."""

    async def killed(*_, **__):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(book, "start", killed)
        with pytest.raises(RuntimeError, match="killed"):
            judged(fleet, 1, "world")
    assert jobs(fleet) == []
    fleet.run(fleet.server.opener.look())
    assert len(jobs(fleet)) == 1


@pytest.mark.parametrize(
    "window",
    [
        {"scope": "quiet", "faulty": ["dv-1"]},
        {"scope": "device"},
        {"scope": "world", "version": "linear-0"},
        {"scope": "world", "identity": "asserted"},
    ],
    ids=["sensor", "one device", "a former version", "asserted"],
)
def test_what_opens_none(fleet, window):
    judged(fleet, 1, **window)
    assert jobs(fleet) == []


def test_the_drift_that_ends_ends_the_collecting(fleet):
    judged(fleet, 1, "world")
    judged(fleet, 2, "quiet")
    (job,) = jobs(fleet)
    assert job.state is JobState.CANCELLED
    assert "the drift is over" in job.reason


def cancel(fleet, job):
    async def body():
        async with fleet.core.store.transaction() as tx:
            await book.apply(tx, fleet.core.clock.now(), job.job_id, Cancelled("by hand"))

    fleet.run(body())


def test_a_job_that_ended_while_samples_were_waited_for_is_not_opened_again(fleet):
    judged(fleet, 1, "world")
    (job,) = jobs(fleet)
    cancel(fleet, job)
    for number in (2, 3):
        judged(fleet, number, "world")
    assert len(jobs(fleet)) == 1, "the phase has had its job"


def another_champion(fleet):
    fleet.device_of_it._manifest = fleet.release_champion(fleet.release, "2", 2)
    fleet.device_of_it.check_in()


def test_drift_of_a_former_champion_collects_no_more(fleet):
    judged(fleet, 1, "world")
    another_champion(fleet)
    fleet.run(fleet.server.opener.look())
    (job,) = jobs(fleet)
    assert job.state is JobState.CANCELLED
    judged(fleet, 2, "world", version="linear-2")
    assert [job.champion_version for job in jobs(fleet) if job.open] == ["linear-2"], "its own drift does"


@pytest.mark.parametrize("changed", [False, True])
def test_drift_of_a_former_champion_opens_no_job_when_the_cooldown_is_over(fleet, changed):
    judged(fleet, 1, "world")
    (job,) = jobs(fleet)
    fleet.look()
    fleet.device_of_it.upload(*changed_samples(1, 120))
    fleet.look()
    fleet.run(fleet.server.opener.look())
    cancel(fleet, job)
    if changed:
        another_champion(fleet)
    for _ in range(2):
        fleet.run(fleet.server.opener.look())
    assert len(jobs(fleet)) == (1 if changed else 2)
