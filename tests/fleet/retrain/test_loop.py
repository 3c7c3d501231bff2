"""From samples to a draft, with a real server, a real device's certificate and a real trainer."""

import asyncio
import json

import pytest
from tests.fleet.retrain.retraining_fleet import RetrainingFleet, changed_samples, draft, label_all

from sanderling.api.retrain.v1 import retrain_pb2 as pb
from sanderling.errors import AuthError, InputError
from sanderling.versions import read_bundle
from sanderling_fleet.core import audit
from sanderling_fleet.core.operators import Role
from sanderling_fleet.retrain import judge_process
from sanderling_fleet.retrain.driver import Retrainer
from sanderling_fleet.store import Document
from sanderling_fleet.trust.release import ReleaseFolder


def alerts(fleet):
    async def find():
        async with fleet.core.store.transaction() as tx:
            return [(d.body["kind"], d.state) for d in await tx.find(Document, {"kind": "alert"})]

    return fleet.run(find())


def test_from_samples_to_a_draft(fleet, release, tmp_path):
    manifest = fleet.release_champion(release)
    camera, client = fleet.camera(manifest), fleet.client()
    assert camera.budget() == 0

    job = client.start("r1", "main", "the world moved")
    assert (job.state, job.champion_version) == (pb.JOB_STATE_COLLECTING, "linear-1")
    assert job.trigger == "admin: the world moved"
    assert client.start("r1", "main", "the world moved") == job, "a request that is repeated opens nothing"
    fleet.look()
    assert camera.budget() == 100_000

    answer = camera.upload(*changed_samples(1, 100))
    assert list(answer.committed_sample_ids) == list(range(1, 101))
    assert 0 < answer.remaining_budget_bytes < 100_000
    answer = camera.upload(*changed_samples(101, 30))
    assert list(answer.committed_sample_ids) == list(range(101, 121)), "the job wants no more than 120"
    assert answer.remaining_budget_bytes == 0
    fleet.look()
    assert camera.budget() == 0

    job = label_all(client, job.job_id, only=50)
    assert (job.state, job.labels, job.reason) == (pb.JOB_STATE_AWAITING_LABELS, 50, "waits for labels: 50 of 110")
    fleet.look()
    fleet.settle()
    assert client.job(job.job_id) == job, "it never labels by itself"
    job = label_all(client, job.job_id, wrong=5)
    assert (job.state, job.labels) == (pb.JOB_STATE_TRAINING, 120)
    assert job.label_cost == pytest.approx(0.05 * 170)

    fleet.look()
    fleet.settle()
    job = client.job(job.job_id)
    assert job.state == pb.JOB_STATE_DRAFT, job
    assert [(item.rows_name, item.passed) for item in job.gate] == [
        ("holdout", True),
        ("drifted", True),
        ("slice first hundred", True),
    ]
    assert [item.rows for item in job.gate] == [300, 30, 100]
    drifted = job.gate[1]
    assert drifted.champion_accuracy < 0.7 < 0.9 < drifted.challenger_accuracy
    assert 0 < drifted.lower < drifted.challenger_accuracy - drifted.champion_accuracy < drifted.upper
    assert "learning from 90 labels" in job.log_tail, "the gate's 30 rows train nothing"
    assert [item.job_id for item in client.drafts()] == [job.job_id]
    assert ("retrain.draft", "standing") in alerts(fleet)
    assert ("retrain.labels", "resolved") in alerts(fleet)

    path = tmp_path / "draft.sanderling"
    path.write_bytes(client.download(job.draft_digest))
    bundle = read_bundle(path)
    made = bundle.manifest
    assert (made.full_name, made.release_counter, made.labels) == ("linear-2", 2, ("no", "yes"))
    assert (made.lineage.parent, made.lineage.job) == ("linear-1", job.job_id)
    assert set(bundle.blobs) == {"model.onnx", "version.reference", "golden.npz", "quantization.json"}
    assert json.loads(bundle.blobs["quantization.json"])["int8_layers"] == 1


def until(fleet, condition):
    for _ in range(1000):
        if condition():
            return
        fleet.run(asyncio.sleep(0.02))
    raise AssertionError("it did not come to pass in 20 seconds")


def test_by_itself(fleet, release):
    """What the other tests do by looking, the server does when something happens."""
    camera, client = fleet.camera(fleet.release_champion(release)), fleet.client()
    running = asyncio.run_coroutine_threadsafe(Retrainer.run(fleet.retrainer), fleet.loop)
    job = client.start("r1", "main", "")
    until(fleet, lambda: camera.budget() == 100_000)
    camera.upload(*changed_samples(1, 120))
    until(fleet, lambda: client.job(job.job_id).samples_digest)
    label_all(client, job.job_id)
    until(fleet, lambda: client.job(job.job_id).state == pb.JOB_STATE_DRAFT)
    running.cancel()


def test_a_rejected_draft_ends_and_its_folder_goes(fleet, release):
    job = draft(fleet, release)
    client = fleet.client()
    ended = client.reject(job.job_id, "the season is over")
    assert (ended.state, ended.reason) == (pb.JOB_STATE_REFUSED, "admin said no: the season is over")
    assert client.drafts() == []
    fleet.look()
    assert not (fleet.folder / "server" / "retrain" / job.job_id).exists()
    with pytest.raises(InputError, match="is refused"):
        client.reject(job.job_id, "again")
    with pytest.raises(InputError, match="is refused"):
        label_all(client, job.job_id, only=1)


def test_a_challenger_that_is_worse_is_refused(tmp_path):
    with RetrainingFleet(tmp_path / "fleet", entry_point="tests.fleet.retrain.trainers:worse") as fleet:
        job = draft(fleet, ReleaseFolder(fleet.folder / "release"))
        assert job.state == pb.JOB_STATE_REFUSED
        assert "holdout" in job.reason
        assert not job.draft_digest
        assert [item.passed for item in job.gate] == [False, False, False]
        assert ("retrain.ended", "standing") in alerts(fleet)


@pytest.mark.parametrize(
    ("entry_point", "said"),
    [("tests.fleet.retrain.trainers:fails", "too dark"), ("no_such_package:train", "No module named")],
)
def test_a_trainer_that_fails_fails_its_job_and_nothing_else(entry_point, said, tmp_path):
    with RetrainingFleet(tmp_path / "fleet", entry_point=entry_point, plan={"most_attempts": 2}) as fleet:
        job = draft(fleet, ReleaseFolder(fleet.folder / "release"))
        assert job.state == pb.JOB_STATE_FAILED
        assert said in job.log_tail
        assert fleet.client().jobs("main")[0].job_id == job.job_id


def test_a_server_that_was_stopped_in_training_trains_again(tmp_path):
    folder = tmp_path / "fleet"
    with RetrainingFleet(folder, entry_point="tests.fleet.retrain.trainers:hangs") as fleet:
        camera = fleet.camera(fleet.release_champion(ReleaseFolder(folder / "release")))
        client = fleet.client()
        job = client.start("r1", "main", "")
        camera.upload(*changed_samples(1, 120))
        fleet.look()
        label_all(client, job.job_id)
        fleet.look()
        work = folder / "server" / "retrain" / job.job_id / "work"
        until(fleet, (work / "child").exists)
        until(fleet, lambda: client.job(job.job_id).progress == 0.25)
    config = folder / "server" / "retrain.toml"
    config.write_text(config.read_text().replace(":hangs", ":nearest_mean"))
    with RetrainingFleet(folder) as fleet:
        fleet.look()
        fleet.settle()
        assert fleet.client().job(job.job_id).state == pb.JOB_STATE_DRAFT


def test_a_job_whose_champion_is_withdrawn_is_cancelled(fleet, release):
    fleet.camera(fleet.release_champion(release))
    client = fleet.client()
    job = client.start("r1", "main", "")
    content = release.withdraw(["linear-1"], fleet.core.clock.now())
    client.publish("targets", content)
    fleet.look()
    ended = client.job(job.job_id)
    assert (ended.state, ended.reason) == (pb.JOB_STATE_CANCELLED, "linear-1 was withdrawn")


def test_who_may_do_what_and_what_is_written_down(fleet, release):
    fleet.camera(fleet.release_champion(release))
    viewer, publisher = fleet.client(fleet.token_of(Role.VIEWER)), fleet.client(fleet.token_of(Role.PUBLISHER))
    for client in (viewer, publisher):
        with pytest.raises(AuthError, match="StartRetrain is for admin, operator"):
            client.start("r1", "main", "")
    operator = fleet.client(fleet.token_of(Role.OPERATOR))
    job = operator.start("r1", "main", "hunch")
    assert viewer.job(job.job_id) == job
    assert publisher.drafts() == []
    with pytest.raises(AuthError):
        viewer.drafts()
    with pytest.raises(AuthError):
        viewer.download(b"0" * 32)
    lines = [
        (line.actor, line.action, line.subject, line.outcome) for line in fleet.run(audit.lines(fleet.core, 0, 99))
    ]
    assert ("a operator", "retrain.start", "main", "ok") in lines
    assert ("a viewer", "retrain.start", "", "AuthError") in lines
    assert ("a viewer", "retrain.get", job.job_id, "ok") in lines


def test_jobs_that_cannot_be(fleet, release):
    client = fleet.client()
    with pytest.raises(InputError, match="no active device runs a known version in slot 'main'"):
        client.start("r1", "main", "")
    fleet.camera(fleet.release_champion(release))
    client.start("r1", "main", "")
    with pytest.raises(InputError, match="has an open job"):
        client.start("r2", "main", "")
    with pytest.raises(InputError, match="was for slot 'main'"):
        client.start("r1", "other", "")
    with pytest.raises(InputError, match="there is no job"):
        client.job("job-unknown")


TAKEN_OVER = """
import json, os, sys
from pathlib import Path
task = json.loads(Path(sys.argv[1]).read_text())
work = Path(task["workdir"])
for name in ("model.onnx", "version.reference", "golden.npz", "quantization.json"):
    (work / name).write_bytes(b"x")
{body}
"""
BOMB = "import zipfile; z = zipfile.ZipFile(work / 'outcomes.npz', 'w', zipfile.ZIP_DEFLATED)"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("(work / 'outcomes.npz').symlink_to(work.parents[2] / 'ca.key')", "outcomes.npz cannot be read"),
        ("os.mkfifo(work / 'outcomes.npz')", "is no plain file"),
        ("pass", "outcomes.npz cannot be read"),
        ("(work / 'outcomes.npz').write_bytes(b'PK')", "no readable .npz"),
        (f"{BOMB}; z.writestr('a.npy', bytes(1 << 24)); z.close()", "unpacked"),
        (
            "import numpy; from sanderling_fleet.retrain.rows import write_arrays;"
            "(work / 'outcomes.npz').write_bytes(write_arrays({'champion:set0': numpy.ones(3)}))",
            "no outcomes of",
        ),
    ],
)
def test_a_judging_process_that_the_model_took_over_gets_nothing_of_the_servers(body, said, tmp_path, monkeypatch):
    """What a trainer made is run there: its files may be links, pipes and bombs."""
    (tmp_path / "taken_over.py").write_text(TAKEN_OVER.format(body=body))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(judge_process, "__name__", "taken_over")
    with RetrainingFleet(tmp_path / "fleet") as fleet:
        job = draft(fleet, ReleaseFolder(fleet.folder / "release"))
        assert (job.state, job.draft_digest) == (pb.JOB_STATE_FAILED, b"")
        assert said in job.reason
