"""Samples over mutual TLS: budgets, repetition, hostile rows; and the files in which they go to who labels them."""

import dataclasses
import io
import pickle

import numpy as np
import pytest
from tests.fleet.retrain.retraining_fleet import PLAN, RetrainingFleet, changed_samples, label_all, sample
from tests.fleet.retrain.trainers import world

from sanderling.api.retrain.v1 import retrain_pb2 as pb
from sanderling.api.retrain.v1 import samples_pb2 as pb2
from sanderling.errors import InputError
from sanderling_fleet.core import samples
from sanderling_fleet.retrain.config import load_models
from sanderling_fleet.retrain.labels import class_number, load_labeller, read_labels, write_labels
from sanderling_fleet.retrain.rows import SampleRows, read_array, read_rows, write_array, write_rows
from sanderling_fleet.store import Document
from sanderling_fleet.store.blobs import read_blob

ROW = world(3, 1, changed=True)[0][0]


@pytest.fixture
def collecting(fleet, release):
    """A camera, and the job that collects from it."""
    camera = fleet.camera(fleet.release_champion(release))
    return camera, fleet.client().start("r1", "main", "")


def refusals(fleet, camera):
    """The alert that tells of them; `repeats` is their number less one."""

    async def body():
        async with fleet.core.store.transaction() as tx:
            found = await tx.find(Document, {"kind": "alert", "subject": f"{samples.REFUSED_ALERT}/{camera.device_id}"})
            return found[0].body if found else None

    return fleet.run(body())


def on_disk(fleet):
    folder = fleet.folder / "server" / "blobs"
    return {bytes.fromhex(path.name) for path in folder.glob("??/*")}


def test_nothing_is_taken_that_nobody_asked_for(fleet, release):
    camera = fleet.camera(fleet.release_champion(release))
    answer = camera.upload(*changed_samples(1, 3))
    assert (list(answer.committed_sample_ids), answer.remaining_budget_bytes) == ([], 0)
    fleet.client().start("r1", "main", "")
    answer = camera.upload(sample(1, ROW, slot="other"))
    assert (list(answer.committed_sample_ids), answer.remaining_budget_bytes) == ([], 0)


def test_what_is_sent_again_is_taken_once(fleet, collecting):
    camera, job = collecting
    sent = changed_samples(1, 5)
    first, again = camera.upload(*sent), camera.upload(*sent)
    assert list(first.committed_sample_ids) == list(again.committed_sample_ids) == [1, 2, 3, 4, 5]
    assert first.remaining_budget_bytes == again.remaining_budget_bytes
    assert fleet.client().job(job.job_id).samples == 5
    other = fleet.camera(camera._manifest)
    assert list(other.upload(*sent).committed_sample_ids) == [1, 2, 3, 4, 5], "numbers are each device's own"
    assert fleet.client().job(job.job_id).samples == 10
    answer = camera.upload(sample(3, ROW), *changed_samples(6, 1))
    assert list(answer.committed_sample_ids) == [3, 6]
    assert "sent sample 3 before, with another row" in refusals(fleet, camera)["summary"]
    twice = camera.upload(sample(7, ROW), sample(7, ROW), sample(7, ROW * 2))
    assert list(twice.committed_sample_ids) == [7]
    assert fleet.client().job(job.job_id).samples == 12
    assert refusals(fleet, camera)["repeats"] == 1


def test_a_device_has_its_budget_and_no_more(tmp_path):
    with RetrainingFleet(tmp_path / "fleet", plan={"device_budget_bytes": 1000}) as fleet:
        from sanderling_fleet.trust.release import ReleaseFolder

        camera = fleet.camera(fleet.release_champion(ReleaseFolder(fleet.folder / "release")))
        job = fleet.client().start("r1", "main", "")
        answer = camera.upload(*changed_samples(1, 20))
        # 128 bytes of header and 16 of numbers each.
        assert list(answer.committed_sample_ids) == [1, 2, 3, 4, 5, 6]
        assert answer.remaining_budget_bytes == 1000 - 6 * 144
        before = on_disk(fleet)
        assert list(camera.upload(*changed_samples(7, 1)).committed_sample_ids) == []
        assert on_disk(fleet) == before, "what has no room is not kept"
        other = fleet.camera(camera._manifest)
        assert len(other.upload(*changed_samples(1, 20)).committed_sample_ids) == 6
        assert fleet.client().job(job.job_id).sample_bytes == 12 * 144


class Boom:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was opened')",))


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


HOSTILE = {
    "a pickle": pickle.dumps(Boom()),
    "objects": npy(np.array([Boom()], object), allow_pickle=True),
    "a header of objects": header(b"{'descr': '|O', 'fortran_order': False, 'shape': (4,), }\n") + b"x" * 32,
    "a shape of petabytes": header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }\n"),
    "a negative shape": header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }\n"),
    "a header that is code": header(b"__import__('os').abort()\n"),
    "a cut row": npy(ROW)[:-1],
    "bytes behind": npy(ROW) + b"!",
    "float64": npy(ROW.astype(np.float64)),
    "another shape": npy(ROW[:3]),
    "a batch": npy(ROW[None]),
    "nothing": b"",
}


def test_hostile_rows_are_refused(fleet, collecting):
    camera, job = collecting
    before = on_disk(fleet)
    for number, (what, data) in enumerate(HOSTILE.items(), 1):
        item = sample(number, ROW)
        item.inputs["x"] = data
        answer = camera.upload(item)
        assert list(answer.committed_sample_ids) == [number], what
        assert answer.remaining_budget_bytes == PLAN["device_budget_bytes"], what
        assert f"sample {number}: [" in refusals(fleet, camera)["summary"], what
    assert refusals(fleet, camera)["repeats"] == len(HOSTILE) - 1
    assert fleet.client().job(job.job_id).samples == 0
    assert on_disk(fleet) == before


def test_one_bad_row_takes_no_other_along(fleet, collecting):
    camera, job = collecting
    bad = sample(3, ROW)
    bad.inputs["x"] = b"no row"
    answer = camera.upload(*changed_samples(1, 2), bad, sample(4, ROW, weight=0.5), *changed_samples(5, 3))
    assert list(answer.committed_sample_ids) == [1, 2, 3, 4, 5, 6, 7]
    assert fleet.client().job(job.job_id).samples == 5
    assert (refusals(fleet, camera)["repeats"], refusals(fleet, camera)["devices"]) == (1, [camera.device_id])


def test_rows_that_fit_nothing_are_refused(fleet, collecting):
    camera, _ = collecting
    for item, said in (
        (sample(1 << 63, ROW), "the largest that is kept"),
        (sample(1, ROW, version="v" * 300), "a version of 300 characters"),
        (sample(1, ROW, name="y"), "has inputs ['y'], linear-1 has ['x']"),
        (sample(1, ROW, weight=0.5), "weight is 0.5"),
        (sample(1, ROW, weight=float("nan")), "weight is nan"),
    ):
        assert list(camera.upload(item).committed_sample_ids) == [item.sample_id]
        assert said in refusals(fleet, camera)["summary"]


def test_rows_with_nan_are_taken_and_not_kept(fleet, collecting):
    camera, job = collecting
    row = ROW.copy()
    row[2] = np.nan
    answer = camera.upload(sample(1, row), sample(2, ROW))
    assert list(answer.committed_sample_ids) == [1, 2]
    assert fleet.client().job(job.job_id).samples == 1


def test_labels_that_name_no_class_are_refused_and_the_last_one_holds(fleet, collecting):
    camera, job = collecting
    client = fleet.client()
    camera.upload(*changed_samples(1, 120))
    fleet.look()
    with pytest.raises(InputError, match="'maybe' is no label of this model, it has no, yes"):
        client.import_labels(job.job_id, {(camera.device_id, 1): "maybe"}, 0.0)
    with pytest.raises(InputError, match="cost is -1"):
        client.import_labels(job.job_id, {(camera.device_id, 1): "yes"}, -1.0)
    after, unknown = client.import_labels(
        job.job_id, {(camera.device_id, 1): "yes", (camera.device_id, 999): "no", ("dev-x", 1): "no"}, 0.0
    )
    assert (after.labels, unknown) == (1, 2)
    client.import_labels(job.job_id, {(camera.device_id, 1): "no"}, 0.0)
    _, labels = fleet.run(samples.load(fleet.core, job.job_id, labelled=True))
    assert labels == ("no",)


def test_samples_are_forgotten_some_time_after_their_job(fleet, collecting):
    camera, job = collecting
    camera.upload(*changed_samples(1, 120))
    fleet.look()
    label_all(fleet.client(), job.job_id)
    assert fleet.run(samples.forget(fleet.core, 0.0)) == 0, "the job is open"
    fleet.look()
    fleet.settle()
    fleet.client().reject(job.job_id, "no")
    assert fleet.run(samples.forget(fleet.core, 3600.0)) == 0
    assert fleet.run(samples.forget(fleet.core, -1.0)) == 120
    assert fleet.client().job(job.job_id).state == pb.JOB_STATE_REFUSED


def test_what_is_forgotten_leaves_the_disk_and_what_others_name_stays(fleet, collecting):
    """Two jobs share a row, and a model's blob is a sample's; the second job and the model go on."""
    camera, first = collecting
    before = on_disk(fleet)
    camera.upload(*changed_samples(1, 119), sample(120, ROW))
    fleet.look()
    label_all(fleet.client(), first.job_id)
    fleet.look()
    fleet.settle()
    fleet.client().reject(first.job_id, "no")
    second = fleet.client().start("r2", "main", "")
    other = fleet.camera(camera._manifest)
    other.upload(sample(1, ROW), *changed_samples(500, 2))
    during = on_disk(fleet)
    assert len(during - before) == 120 + 2 + 3, "rows; the file of samples, challenger and draft"
    assert fleet.run(samples.forget(fleet.core, -1.0)) == 120
    rows, _ = fleet.run(samples.load(fleet.core, second.job_id, labelled=False))
    assert len(rows) == 3
    assert before < on_disk(fleet)
    assert len(on_disk(fleet) - before) == 3
    assert fleet.run(samples.forget(fleet.core, -1.0)) == 0
    for blob in on_disk(fleet):
        fleet.run(read_blob(fleet.core.blobs, blob))


def test_what_is_forgotten_in_part_is_forgotten_by_the_next(fleet, collecting):
    """The server died after it had deleted blobs and before it committed."""
    camera, job = collecting
    before = on_disk(fleet)
    camera.upload(*changed_samples(1, 120))
    fleet.look()
    label_all(fleet.client(), job.job_id)
    fleet.look()
    fleet.settle()
    fleet.client().reject(job.job_id, "no")
    for blob in sorted(on_disk(fleet) - before)[::2]:
        fleet.run(fleet.core.blobs.delete(blob))
    assert fleet.run(samples.forget(fleet.core, -1.0)) == 120
    assert on_disk(fleet) == before


def test_uploads_side_by_side_keep_within_the_budget_on_the_disk_too(tmp_path):
    with RetrainingFleet(tmp_path / "fleet", plan={"device_budget_bytes": 1000}) as fleet:
        from sanderling_fleet.trust.release import ReleaseFolder

        camera = fleet.camera(fleet.release_champion(ReleaseFolder(fleet.folder / "release")))
        job, before = fleet.client().start("r1", "main", ""), on_disk(fleet)
        calls = [
            camera.samples.UploadSamples.future(pb2.UploadSamplesRequest(samples=changed_samples(1 + 6 * n, 6)))
            for n in range(8)
        ]
        taken = [list(call.result(60).committed_sample_ids) for call in calls]
        assert sum(map(len, taken)) == 6 == fleet.client().job(job.job_id).samples
        assert len(on_disk(fleet) - before) == 6


ROWS = SampleRows(
    inputs={"x": np.arange(400, dtype=np.float32).reshape(100, 4)},
    device_id=np.array(["a"] * 50 + ["b"] * 50),
    sample_id=np.arange(100, dtype=np.uint64),
    uniform=np.arange(100) % 2 == 0,
    weight=np.ones(100),
    window=np.zeros(100, np.uint64),
)


def test_a_file_of_samples_comes_back_equal():
    data = write_rows(ROWS)
    back = read_rows(data)
    assert write_rows(back) == data
    assert back.keys() == ROWS.keys()
    for wrong in (b"", data[:-30], write_rows(dataclasses.replace(ROWS, weight=np.ones(7)))):
        with pytest.raises(InputError, match="samples"):
            read_rows(wrong)
    assert np.array_equal(read_array(write_array(np.asfortranarray(ROWS.inputs["x"])), "x"), ROWS.inputs["x"])


def test_the_gates_rows_are_uniform_few_and_always_the_same():
    chosen = ROWS.for_gate()
    assert chosen.sum() == 25
    assert not (chosen & ~ROWS.uniform).any()
    order = np.random.default_rng(1).permutation(100)
    assert np.array_equal(ROWS.take(order).for_gate(), chosen[order])
    assert dataclasses.replace(ROWS, uniform=np.zeros(100, bool)).for_gate().sum() == 0


def test_labels_by_file():
    labels = {("b", 2): "yes", ("a", 10): "no, not yet", ("a", 9): 'say "no"'}
    assert read_labels(write_labels(labels)) == labels
    assert read_labels("\ufeffdevice_id,sample_id,label\na,1, yes \n\na,2,\n") == {("a", 1): "yes"}
    for text, said in (
        ("", "first line is None"),
        ("a,b,c\n", "expected device_id,sample_id,label"),
        ("device_id,sample_id,label\na,x,yes\n", "line 2"),
        ("device_id,sample_id,label\na,1,yes\na,1,no\n", "has the labels 'yes' and 'no'"),
        ("device_id;sample_id;label\na;1;yes\n", "expected device_id,sample_id,label"),
        ("device_id,sample_id,label\na,1\n", "line 2"),
        ("device_id,sample_id,label\na,²,yes\n", "line 2"),
        ("device_id,sample_id,label\na,18446744073709551616,yes\n", "line 2"),
        (f"device_id,sample_id,label\na,{'9' * 5000},yes\n", "line 2"),
        (f"device_id,sample_id,label\na,1,{'x' * 200_000}\n", "line 2"),
        ('device_id,sample_id,label\na,1,"yes', "line 2"),
        ("device_id,sample_id,label\ra,1,yes\r", "cannot be read"),
    ):
        with pytest.raises(InputError, match=said):
            read_labels(text)


def test_labels_without_names_are_class_numbers():
    assert class_number("3", (), 10) == 3
    for wrong in ("10", "-1", "three", "²", "9" * 5000):
        with pytest.raises(InputError, match="no class number from 0 to 9"):
            class_number(wrong, (), 10)


@pytest.mark.parametrize("name", ["nocolon", "no_such_module:x", "json:nothing", "json:dumps"])
def test_labellers_that_are_none(name):
    with pytest.raises(InputError):
        load_labeller(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[m]\nentry_point = 'x'", "expected module:function"),
        ("[m]\nentry_point = 'a:b'", "calibration is ''"),
        ("[m]\nentry_point = 'a:b'\ncalibration = 'c'\nholdout = 'gone'", "holdout is 'gone'"),
        ("[m]\nentry_pont = 'a:b'", "Did you mean 'entry_point'"),
        ("[m.plan]\nleast_labels = 0", "least_labels is 0"),
        ("[m.gate]\nalpha = 2", "alpha 2"),
        ("[m.limits]\ncpu_seconds = 0", "more than 0"),
        ("m = 1", "expected a table"),
        ("[", "cannot be read"),
    ],
)
def test_configurations_that_cannot_be(text, said, tmp_path):
    (tmp_path / "c").touch()
    (tmp_path / "retrain.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        load_models(tmp_path / "retrain.toml")
    assert load_models(tmp_path / "none.toml") == {}
