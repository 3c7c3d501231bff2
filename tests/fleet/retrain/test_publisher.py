"""The publisher with a real server: what it signs, what it refuses, and that being killed anywhere changes nothing."""

import dataclasses
import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fleet.retrain.retraining_fleet import NAMES, ROOT, RetrainingFleet, champion, draft
from tests.fleet.retrain.trainers import world
from tuf.api.metadata import Targets

from sanderling.api.retrain.v1 import retrain_pb2 as pb
from sanderling.errors import GateRefused, InputError, IntegrityError
from sanderling.trust import version_target
from sanderling_fleet.core.operators import Role
from sanderling_fleet.publisher.folder import PublisherFolder, PublisherSettings, load_public
from sanderling_fleet.publisher.inspect_process import Found
from sanderling_fleet.publisher.policy import AUTO_CANARY, Canary, Draft, Figure, Known, why_not
from sanderling_fleet.publisher.publish import Publisher
from sanderling_fleet.retrain.rows import write_arrays
from sanderling_fleet.trust import tuf_repository
from sanderling_fleet.trust.keys import to_pem, write_private
from sanderling_fleet.trust.release import ReleaseFolder, sign_delegated

AUTO = PublisherSettings(model="linear", policy=AUTO_CANARY, canary=Canary(devices=3, soak_seconds=60.0))
FIGURES = (Figure("holdout", 300, -0.01, True), Figure("drifted", 30, 0.2, True))
TOLD = Draft("job-1", "linear-1", "linear-2", FIGURES)
KNOWN = [Known("linear-1", 1)]


@pytest.fixture(scope="module")
def drafted(tmp_path_factory):
    """The folder of a fleet that has a draft; made once, since training and judging take seconds."""
    folder = tmp_path_factory.mktemp("drafted") / "fleet"
    with RetrainingFleet(folder) as running:
        draft(running, ReleaseFolder(folder / "release"))
    return folder


@pytest.fixture
def fleet(drafted, tmp_path):
    shutil.copytree(drafted, tmp_path / "fleet")
    with RetrainingFleet(tmp_path / "fleet") as running:
        yield running


@pytest.fixture
def job(fleet):
    return fleet.client().drafts()[0]


def publisher_of(fleet, release, folder, settings=AUTO):
    """Makes a publisher's folder, and the release role delegates to it."""
    made = PublisherFolder.create(folder, settings)
    content = release.delegate(settings.model, load_public(folder / "publisher.pub"), fleet.core.clock.now())
    fleet.client().publish("targets", content)
    release.keep(content)
    return made


def publisher(fleet, folder, **options):
    return Publisher(PublisherFolder(folder), fleet.client(fleet.admin_token), **options)


def versions(fleet):
    return [(item.version, item.role) for item in fleet.client().versions("linear")]


def test_auto_canary_signs_publishes_and_asks_for_a_canary_that_holds(fleet, release, job, tmp_path):
    publisher_of(fleet, release, tmp_path / "publisher")
    token = fleet.token_of(Role.PUBLISHER)
    look = Publisher(PublisherFolder(tmp_path / "publisher"), fleet.client(token)).look
    (said,) = look()
    assert look() == []
    assert versions(fleet) == [("linear-1", "targets"), ("linear-2", "auto/linear")]
    assert fleet.client().job(job.job_id).reason == "signed by the role auto/linear"
    (asked,) = fleet.rollouts()
    assert said == f"published linear-2 of {job.job_id}, rollout {asked.rollout.rollout_id}"
    assert asked.created_by == "a publisher"
    spec = asked.rollout.spec
    assert (spec.slot, spec.version) == ("main", "linear-2")
    assert [(stage.name, stage.count, stage.percent, stage.hold) for stage in spec.stages] == [
        ("canary", 3, None, True),
        ("all", None, 100.0, False),
    ]
    # A client of the fleet that trusts its root believes the delegated role, for this model and no other.
    updater = fleet.device().updater(tmp_path / "device")
    assert updater.get_targetinfo(version_target("linear-2")) is not None


def test_manual_waits_for_a_person(fleet, release, job, tmp_path):
    publisher_of(fleet, release, tmp_path / "publisher", dataclasses.replace(AUTO, policy="manual"))
    person = publisher(fleet, tmp_path / "publisher")
    assert "waits for a person" in person.look()[0]
    assert person.look() == [], "it is told once"
    assert versions(fleet) == [("linear-1", "targets")]
    with pytest.raises(InputError, match="no draft of linear"):
        person.sign("job-unknown", canary=False)
    assert person.sign(job.job_id, canary=False) == f"published linear-2 of {job.job_id}"
    assert versions(fleet)[1] == ("linear-2", "auto/linear")
    assert fleet.rollouts() == []


def test_what_its_own_holdout_does_not_bear_out_is_rejected(fleet, release, job, tmp_path):
    publisher_of(
        fleet, release, tmp_path / "publisher", dataclasses.replace(AUTO, holdout="own.npz", least_accuracy=0.9)
    )
    rows, classes = world(5, 200)
    own = tmp_path / "publisher" / "own.npz"
    own.write_bytes(write_arrays({"in:x": rows, "label": np.array(NAMES)[1 - classes]}))
    with pytest.raises(GateRefused, match="own holdout it gets 0 of 200 right"):
        publisher(fleet, tmp_path / "publisher").sign(job.job_id, canary=True)
    (line,) = publisher(fleet, tmp_path / "publisher").look()
    assert line.startswith("rejected linear-2")
    assert fleet.client().job(job.job_id).state == pb.JOB_STATE_REFUSED
    assert versions(fleet) == [("linear-1", "targets")]


def test_a_version_that_came_in_between_makes_a_draft_stale(fleet, release, tmp_path):
    publisher_of(fleet, release, tmp_path / "publisher")
    fleet.operator().push(release, [champion("3", 3)], fleet.core.clock.now())
    (line,) = publisher(fleet, tmp_path / "publisher").look()
    assert "its release counter is 2, linear has reached 3" in line


def test_a_draft_whose_blob_was_changed_is_never_signed(fleet, release, job, tmp_path):
    publisher_of(fleet, release, tmp_path / "publisher")
    blob = fleet.folder / "server" / "blobs" / job.draft_digest.hex()[:2] / job.draft_digest.hex()
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(IntegrityError, match="asked for was"):
        publisher(fleet, tmp_path / "publisher").look()
    assert versions(fleet) == [("linear-1", "targets")]


def test_metadata_that_another_key_signed_is_not_built_upon(fleet, release, tmp_path):
    """A server that slips a version into the role must not get it signed along."""
    publisher_of(fleet, release, tmp_path / "publisher")
    forged = sign_delegated("linear", Ed25519PrivateKey.generate(), None, [champion("9", 9).manifest], 2e9)
    with pytest.raises(IntegrityError, match="was not signed by this folder's key"):
        signed_before(tmp_path / "publisher").adopt(forged, 1.8e9)
    with pytest.raises(IntegrityError, match="trusts"):
        fleet.client().publish("auto/linear", forged)


def signed_before(folder):
    made = PublisherFolder(folder)
    made.sign(champion("2", 2).manifest, 1.8e9)
    return made


def test_a_version_is_never_signed_twice_with_another_manifest(tmp_path):
    """A server that hides a version that was signed must not get another one of that name."""
    folder = PublisherFolder.create(tmp_path / "publisher", AUTO)
    manifest = champion("2", 2).manifest
    folder.sign(manifest, 1.8e9)
    assert folder.names(manifest)
    with pytest.raises(IntegrityError, match="A version never changes"):
        folder.names(dataclasses.replace(manifest, labels=("yes", "no")))


def test_a_folder_restored_from_a_backup_goes_on_from_what_the_server_has(fleet, release, tmp_path):
    folder = tmp_path / "publisher"
    publisher_of(fleet, release, folder)
    publisher(fleet, folder).look()
    signed = (folder / "auto.json").read_bytes()
    (folder / "auto.json").unlink()
    assert publisher(fleet, folder).look() == []
    assert (folder / "auto.json").read_bytes() == signed


def test_a_draft_that_was_rejected_after_the_publisher_died_is_dropped(fleet, release, job, tmp_path):
    folder = tmp_path / "publisher"
    publisher_of(fleet, release, folder)

    def dies(step):
        if step == "decide:after":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publisher(fleet, folder, reached=dies).look()
    assert PublisherFolder(folder).pending() is not None
    fleet.client().reject(job.job_id, "on second thought")
    (line,) = publisher(fleet, folder).look()
    assert line == f"dropped linear-2 of {job.job_id}: admin said no: on second thought"
    assert publisher(fleet, folder).look() == []
    assert versions(fleet) == [("linear-1", "targets")]


def test_a_server_restored_from_a_backup_gets_the_version_again(fleet, release, drafted, tmp_path):
    folder = tmp_path / "publisher"
    publisher_of(fleet, release, folder)
    # A folder that knows of the signature, and a server that never saw it: the backup is older than the signature.
    with RetrainingFleet(shutil.copytree(drafted, tmp_path / "newer")) as newer:
        newer_release = ReleaseFolder(newer.folder / "release")
        content = newer_release.delegate("linear", load_public(folder / "publisher.pub"), newer.core.clock.now())
        newer.client().publish("targets", content)
        publisher(newer, folder).look()
    for blob in (fleet.folder / "server" / "blobs").glob("*/*"):
        if blob.parent.name != "partial" and blob.read_bytes()[:4] == b"PK\x03\x04":
            blob.unlink()
    assert versions(fleet) == [("linear-1", "targets")]
    line, *_ = publisher(fleet, folder).look()
    assert "the server did not have it" in line
    assert versions(fleet) == [("linear-1", "targets"), ("linear-2", "auto/linear")]


def test_metadata_is_signed_for_longer_before_it_expires(fleet, release, tmp_path):
    folder = tmp_path / "publisher"
    publisher_of(fleet, release, folder)
    publisher(fleet, folder).look()
    later = fleet.core.clock.now() + 60 * 86400
    assert "was about to expire" in publisher(fleet, folder, now=lambda: later).look()[0]
    signed = tuf_repository.read(Targets, fleet.client().role_metadata("auto/linear"), "auto/linear").signed
    assert signed.version == 2
    assert list(signed.targets) == [version_target("linear-2")]


KILLED = """
import os, signal, sys
from pathlib import Path
from sanderling_fleet.client import OperatorClient
from sanderling_fleet.publisher.client import RetrainClient
from sanderling_fleet.publisher.folder import PublisherFolder
from sanderling_fleet.publisher.publish import Publisher
folder, address, ca, token, left = sys.argv[1:]
left = int(left)
def reached(step):
    global left
    left -= 1
    if left == 0:
        print(step, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
with OperatorClient(address, Path(ca).read_bytes(), token) as client:
    Publisher(PublisherFolder(Path(folder)), RetrainClient(client), reached=reached).look()
print("ended")
"""


def look_and_die(fleet, folder, left):
    """A publisher in a process of its own that dies by SIGKILL at its step number `left`; the step, or "ended"."""
    ca = fleet.folder / "operator" / "ca.pem"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, folder, fleet.server.operator_address, ca, fleet.admin_token, str(left)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
    )
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.stdout.strip()


def around(*names):
    return [f"{name}:{place}" for name in names for place in ("before", "after")]


STEPS = around("keep", "decide", *["upload a blob"] * 5, "sign", "publish", "ask for a rollout", "done")
"""The durable steps of one draft: it has four blobs and a manifest."""


class Witness:
    """Whoever reads along: every signature of the publisher, from its folder and from the server."""

    def __init__(self, fleet, folder):
        self._fleet, self._folder, self.signed = fleet, folder, {}

    def look(self):
        path = self._folder / "auto.json"
        for content in (
            path.read_bytes() if path.exists() else None,
            self._fleet.client().role_metadata("auto/linear"),
        ):
            if content is not None:
                version = tuf_repository.read(Targets, content, "auto/linear").signed.version
                assert self.signed.setdefault(version, content) == content, f"version {version} was signed twice"


def is_published_once(fleet, folder):
    assert versions(fleet) == [("linear-1", "targets"), ("linear-2", "auto/linear")]
    assert len(fleet.rollouts()) == 1
    assert PublisherFolder(folder).signed_version() == 1
    assert PublisherFolder(folder).pending() is None


def test_killed_at_every_step_one_process_after_the_other(fleet, release, tmp_path):
    """Each is killed where the one before it has not come to, until one ends: it makes one version and one rollout."""
    folder = tmp_path / "publisher"
    publisher_of(fleet, release, folder)
    witness, seen, left = Witness(fleet, folder), [], 1
    while not seen or seen[-1] != "ended":
        seen.append(look_and_die(fleet, folder, left))
        witness.look()
        # What is decided is not decided again; what is on the server is asked for again and counts again.
        left = left + 1 if seen[-1] not in ("decide:after", "sign:after") else left + 1 - (4 if left == 4 else 2)
        assert len(seen) <= 40
    assert [step for i, step in enumerate(seen[:-1]) if seen.index(step) == i] == list(dict.fromkeys(STEPS))
    is_published_once(fleet, folder)
    assert list(witness.signed) == [1]


@pytest.mark.parametrize("left", [STEPS.index(step) + 1 for step in ("keep:after", "sign:before", "sign:after")])
def test_killed_at_one_step(left, fleet, release, tmp_path):
    kill_once(fleet, release, tmp_path, left)


@pytest.mark.slow
@pytest.mark.parametrize("left", range(1, len(STEPS) + 1))
def test_killed_at_each_step(left, fleet, release, tmp_path):
    kill_once(fleet, release, tmp_path, left)


def kill_once(fleet, release, tmp_path, left):
    folder = tmp_path / "publisher"
    publisher_of(fleet, release, folder)
    witness = Witness(fleet, folder)
    assert look_and_die(fleet, folder, left) == STEPS[left - 1]
    witness.look()
    publisher(fleet, folder).look()
    witness.look()
    is_published_once(fleet, folder)
    assert list(witness.signed) == [1]


def test_a_release_that_comes_between_signing_and_publishing_is_no_dead_end(fleet, release, job, tmp_path):
    """Killed before it could publish, overtaken by a person: nothing that names the old draft can be published now."""
    folder = tmp_path / "publisher"
    publisher_of(fleet, release, folder)
    assert look_and_die(fleet, folder, STEPS.index("sign:after") + 1) == "sign:after"
    fleet.operator().push(release, [champion("3", 3)], fleet.core.clock.now())
    (line,) = publisher(fleet, folder).look()
    assert line == f"gave up linear-2 of {job.job_id}: its release counter is 2, linear has reached 3 meanwhile"
    assert fleet.client().job(job.job_id).state == pb.JOB_STATE_REFUSED
    assert versions(fleet) == [("linear-1", "targets"), ("linear-3", "targets")]
    assert "published auto/linear again" in publisher(fleet, folder).look()[0]
    assert publisher(fleet, folder).look() == []
    signed = tuf_repository.read(Targets, fleet.client().role_metadata("auto/linear"), "auto/linear").signed
    assert (signed.version, signed.targets) == (2, {})


def test_a_person_and_a_running_publisher_take_turns_in_a_folder(fleet, release, tmp_path):
    folder = tmp_path / "publisher"
    publisher_of(fleet, release, folder)
    second = publisher(fleet, folder)
    inside, go = threading.Event(), threading.Event()

    def reached(step):
        if step == "sign:before":
            inside.set()
            assert go.wait(60)

    with ThreadPoolExecutor() as pool:
        running = pool.submit(publisher(fleet, folder, reached=reached).look)
        assert inside.wait(60)
        waiting = pool.submit(second.look)
        assert not wait([waiting], timeout=1).done
        go.set()
        assert running.result(60)[0].startswith("published linear-2")
        assert waiting.result(60) == [], "it found everything done"
    assert PublisherFolder(folder).signed == fleet.client().role_metadata("auto/linear")
    is_published_once(fleet, folder)


def test_a_new_publisher_takes_the_role_over_and_vouches_for_nothing_of_the_former(fleet, release, tmp_path):
    """The answer to a publisher's key that was lost or stolen."""
    publisher_of(fleet, release, tmp_path / "stolen")
    publisher(fleet, tmp_path / "stolen").look()
    device = fleet.device()
    assert device.updater(tmp_path / "device").get_targetinfo(version_target("linear-2"))
    publisher_of(fleet, release, tmp_path / "fresh")
    (line,) = publisher(fleet, tmp_path / "fresh").look()
    assert "took auto/linear over" in line
    assert publisher(fleet, tmp_path / "fresh").look() == []
    assert versions(fleet) == [("linear-1", "targets")]
    for place in ("device", "empty"):
        updater = device.updater(tmp_path / place)
        assert updater.get_targetinfo(version_target("linear-1"))
        assert updater.get_targetinfo(version_target("linear-2")) is None
    with pytest.raises(IntegrityError, match="was not signed by this folder's key"):
        publisher(fleet, tmp_path / "stolen").look()


def test_a_publisher_that_was_started_before_its_delegation_takes_over_once_it_has_it(fleet, release, tmp_path):
    former, fresh = tmp_path / "former", tmp_path / "fresh"
    publisher_of(fleet, release, former)
    publisher(fleet, former).look()
    PublisherFolder.create(fresh, AUTO)
    with pytest.raises(IntegrityError, match="trusts"):
        publisher(fleet, fresh).look()
    later = fleet.core.clock.now() + 60 * 86400
    publisher(fleet, former, now=lambda: later).look()
    content = release.delegate("linear", load_public(fresh / "publisher.pub"), fleet.core.clock.now())
    fleet.client().publish("targets", content)
    assert "took auto/linear over" in publisher(fleet, fresh).look()[0]
    signed = tuf_repository.read(Targets, fleet.client().role_metadata("auto/linear"), "auto/linear").signed
    assert (signed.version, signed.targets) == (3, {})


def test_a_holdout_that_is_missing_is_told_and_no_reason_to_reject(fleet, release, job, tmp_path, caplog):
    publisher_of(
        fleet, release, tmp_path / "publisher", dataclasses.replace(AUTO, holdout="own.npz", least_accuracy=0.9)
    )
    with pytest.raises(InputError, match=r"own\.npz cannot be read"):
        publisher(fleet, tmp_path / "publisher").look()
    assert fleet.client().job(job.job_id).state == pb.JOB_STATE_DRAFT


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{}", b"[" * 5000, b"\xff"),
        b'{"golden": 1, "rows": 2, "right": 3}',
        b'{"golden": 1, "rows": 2, "right": "1"}',
        b'{"golden": 1, "rows": -2, "right": -3}',
        b'{"golden": 1, "rows": 1, "right": true}',
    ],
)
def test_what_an_inspection_cannot_have_found(data):
    assert Found.from_bytes(data) is None


def test_it_runs_until_it_is_stopped_and_outlives_an_error(fleet, release, tmp_path, caplog):
    publisher_of(fleet, release, tmp_path / "publisher")
    stop, looks = threading.Event(), []

    class Flaky(Publisher):
        def look(self):
            looks.append(1)
            if len(looks) == 3:
                stop.set()
            raise [InputError("[test] not now"), OSError(errno.ENOSPC, "No space left")][len(looks) % 2]

    Flaky(PublisherFolder(tmp_path / "publisher"), fleet.client()).run(stop, look_seconds=0.01)
    assert len(looks) == 3
    assert "not now" in caplog.text
    assert "No space left" in caplog.text


def test_its_folder_is_its_owners_only(tmp_path):
    folder = tmp_path / "publisher"
    made = PublisherFolder.create(folder, AUTO)
    assert made.settings == PublisherFolder(folder).settings == AUTO
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    with pytest.raises(InputError, match="is not empty"):
        PublisherFolder.create(folder, AUTO)
    (tmp_path / "of others").mkdir(mode=0o755)
    (tmp_path / "of others" / "file").touch()
    with pytest.raises(InputError, match="is not empty"):
        PublisherFolder.create(tmp_path / "of others", AUTO)
    assert stat.S_IMODE((tmp_path / "of others").stat().st_mode) == 0o755
    write_private(folder / "publisher.key", to_pem(Ed25519PrivateKey.generate()), replace=True)
    (folder / "auto.json").write_bytes(sign_delegated("linear", Ed25519PrivateKey.generate(), None, [], 2e9))
    with pytest.raises(IntegrityError, match="not signed by this folder's key"):
        PublisherFolder(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('model = "linear"\npolicy = "always"', "policy is 'always'"),
        ('model = "linear"\nleast_accuracy = 0.5', "give both"),
        ('model = "linear"\npolise = "manual"', "Did you mean 'policy'"),
        ('model = "linear"\n[canary]\ndevices = 0', "at least one device"),
        ('model = "linear"\n[canary]\nsoak_seconds = 80000', "Give it their sum"),
        ('model = "linear"\n[canary]\nsoak_seconds = -1', "Give it their sum"),
        ('model = "linear"\n[canary]\nselector = "site in ("', "column"),
        ('model = "Not A Name"', "is no name of a model"),
        ("model =", "is no TOML"),
    ],
)
def test_settings_that_cannot_be(text, said, tmp_path):
    PublisherFolder.create(tmp_path / "publisher", AUTO)
    (tmp_path / "publisher" / "publisher.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        PublisherFolder(tmp_path / "publisher")


def manifest(**changes):
    made = champion("2", 2).manifest
    blobs = dict.fromkeys(
        ("model.onnx", "version.reference", "golden.npz", "quantization.json"), made.blobs["model.onnx"]
    )
    lineage = dataclasses.replace(made.lineage, parent="linear-1", job="job-1")
    return dataclasses.replace(made, **({"blobs": blobs, "lineage": lineage} | changes))


@pytest.mark.parametrize(
    ("told", "made", "known", "reason"),
    [
        ({}, {}, KNOWN, None),
        ({"draft_version": "linear-3"}, {}, KNOWN, "its bundle is linear-2, announced was linear-3"),
        ({"figures": ()}, {}, KNOWN, "no figures of holdout"),
        ({"figures": FIGURES[:1]}, {}, KNOWN, "no figures of drifted"),
        ({"figures": (*FIGURES, Figure("night", 40, -0.3, False))}, {}, KNOWN, "night is not passed"),
        ({"figures": (FIGURES[0], Figure("drifted", 0, 0.0, True))}, {}, KNOWN, "drifted is not passed: 0 rows"),
        ({"job_id": "job-2"}, {}, KNOWN, "is of job 'job-1'"),
        ({"champion_version": "linear-0"}, {}, KNOWN, "announced were 'job-1' and 'linear-0'"),
        ({}, {"blobs": champion("2", 2).manifest.blobs}, KNOWN, "it has no version.reference"),
        ({}, {}, [], "is not published"),
        ({}, {"release_counter": 101}, KNOWN, None),
        ({}, {"release_counter": 102}, KNOWN, "release counter is 102, linear has reached 1"),
        ({}, {}, [*KNOWN, Known("linear-2b", 2)], "release counter is 2, linear has reached 2"),
    ],
)
def test_what_speaks_against_a_draft(told, made, known, reason):
    found = why_not(dataclasses.replace(TOLD, **told), manifest(**made), known)
    assert (found is None) if reason is None else (reason in found)
