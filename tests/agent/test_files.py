"""From a wish to verified blobs, over a real server and python-tuf: what is refused, and what is gone on with."""

import dataclasses
import datetime
import hashlib
import time

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.agent.fleet import DAY, Repository
from tuf.api.metadata import TargetFile

from sanderling import trust
from sanderling.agent.actions import Collect, Fetch, Resolve, Verify
from sanderling.agent.blobs import BlobStore
from sanderling.agent.desired import open_desired
from sanderling.agent.events import Fetched, Resolved, StepFailed, Verified
from sanderling.agent.files import Files
from sanderling.agent.state import Code, Release, Wanted
from sanderling.agent.tuf_client import SignedVersions
from sanderling.api.device.v1 import device_pb2
from sanderling.errors import IntegrityError
from sanderling.versions import Compatibility, Host

HOST = Host("x86_64", ("scalar",), 1 << 30, "", "0.1.0")


class Device:
    def __init__(self, folder, fleet, client) -> None:
        self.blobs = BlobStore(folder / "blobs", quota_bytes=3_000_000)
        self.time = time.time()
        self.versions = SignedVersions(folder / "tuf", fleet.repository.root, client, lambda: self.time)
        self.files = Files(self.blobs, self.versions, client, HOST, lambda: self.time)

    def resolve(self, manifest, **more):
        wanted = Wanted(manifest.full_name, manifest.digest.hex(), **more)
        return self.files.perform(Resolve("main", 1, wanted))

    def fetch(self, manifest):
        return self.files.perform(Fetch("main", 1, release(manifest)))

    def verify(self, manifest):
        return self.files.perform(Verify("main", 1, release(manifest)))


def release(manifest) -> Release:
    return Release(manifest.full_name, manifest.digest.hex(), manifest.release_counter)


@pytest.fixture
def device(tmp_path, fleet, client):
    return Device(tmp_path, fleet, client)


@pytest.fixture
def repository(fleet):
    return fleet.repository


def test_a_version_comes(device, repository):
    manifest = repository.version(1)
    assert device.resolve(manifest) == Resolved("main", 1, release(manifest))
    assert device.fetch(manifest) == Fetched("main", 1)
    assert device.verify(manifest) == Verified("main", 1)
    blob = manifest.blobs["model.onnx"]
    assert device.blobs.read(blob.digest.hex()) == repository.blobs[blob.digest]


def refused(answer, words, *, retry=False, code=Code.INTEGRITY):
    assert isinstance(answer, StepFailed), answer
    assert words in answer.detail
    assert (answer.code, answer.retry) == (code, retry)


def test_a_version_that_nobody_signed(device, repository):
    unsigned = dataclasses.replace(repository.version(1), version="2")
    refused(device.resolve(unsigned), "signed metadata has no m-2", retry=True)


def test_metadata_names_another_manifest(device, repository):
    manifest = repository.version(1)
    wanted = Wanted("m-1", "00" * 32)
    answer = device.files.perform(Resolve("main", 1, wanted))
    assert answer.release.digest == manifest.digest.hex() != wanted.digest


def test_a_manifest_under_another_name(device, repository):
    data = repository.version(1).to_bytes()
    repository.add(trust.version_target("m-7"), data)
    repository.publish()
    wanted = Wanted("m-7", hashlib.sha256(data).hexdigest())
    refused(device.files.perform(Resolve("main", 1, wanted)), "says that it is m-1")


def test_what_does_not_run_here(device, repository):
    manifest = repository.version(1, compatibility=Compatibility(machines=("aarch64",)))
    assert device.resolve(manifest).why_not == "machine is x86_64, wanted is aarch64"


def test_a_pickle_in_disguise(device, repository):
    pickle = b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94."
    manifest = repository.version(1, model=pickle)
    device.resolve(manifest)
    device.fetch(manifest)
    refused(device.verify(manifest), "is a pickle")


def test_a_flipped_byte_on_the_way(device, fleet, repository):
    manifest = repository.version(1)
    device.resolve(manifest)
    digest = manifest.blobs["model.onnx"].digest
    fleet.corrupt = digest
    refused(device.fetch(manifest), "the bytes that came are")
    assert not device.blobs.has(digest.hex())
    assert device.blobs.partial_size(digest.hex()) == 0


def test_a_flipped_byte_on_the_disk(device, repository):
    manifest = repository.version(1)
    device.resolve(manifest)
    device.fetch(manifest)
    path = device.blobs.path(manifest.blobs["model.onnx"].digest.hex())
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    refused(device.verify(manifest), "is damaged on the disk")


def test_a_cut_is_gone_on_with(device, fleet, repository):
    model = bytes(range(256)) * 4096
    manifest = repository.version(1, model=model)
    device.resolve(manifest)
    fleet.cut_after = 400_000
    refused(device.fetch(manifest), "cut off", retry=True, code=Code.FETCH_FAILED)
    assert device.blobs.partial_size(hashlib.sha256(model).hexdigest()) == 400_000
    fleet.cut_after = 0
    assert isinstance(device.fetch(manifest), Fetched)
    assert [offset for digest, offset in fleet.reads if digest == hashlib.sha256(model).digest()] == [0, 400_000]


def test_a_server_that_sends_too_much(device, repository):
    manifest = repository.version(1)
    device.resolve(manifest)
    digest = manifest.blobs["model.onnx"].digest
    repository.blobs[digest] += b"more"
    refused(device.fetch(manifest), "sends more than")


def test_no_room(device, repository):
    manifest = repository.version(1, model=b"x" * 4_000_000)
    device.resolve(manifest)
    refused(device.fetch(manifest), "quota", code=Code.NO_SPACE)


def test_collection_keeps_the_blobs_of_kept_manifests(device, repository):
    one, two = repository.version(1), repository.version(2)
    for manifest in (one, two):
        device.resolve(manifest)
        device.fetch(manifest)
    device.files.perform(Collect((one.digest.hex(), two.digest.hex()), ()))
    device.files.perform(Collect((two.digest.hex(),), ()))
    assert not device.blobs.has(one.blobs["model.onnx"].digest.hex())
    assert isinstance(device.verify(two), Verified)


def test_nothing_is_collected_while_the_manifest_of_what_runs_is_missing(device, repository):
    """After a power cut, offline: the model is whole, and only its manifest is to be fetched again."""
    one, two = repository.version(1), repository.version(2)
    for manifest in (one, two):
        device.resolve(manifest)
        device.fetch(manifest)
    device.blobs.path(one.digest.hex()).unlink()
    device.files.perform(Collect((one.digest.hex(),), ()))
    assert device.blobs.has(one.blobs["model.onnx"].digest.hex())
    device.files.perform(Collect((), (), (one.digest.hex(),)))
    assert not device.blobs.has(one.blobs["model.onnx"].digest.hex()), "one that does not run is let go of"


# Metadata


def test_rolled_back_metadata_to_a_client_that_has_seen_newer(device, repository):
    repository.version(1)
    old = dict(repository.files)
    newer = repository.version(2)
    assert isinstance(device.resolve(newer), Resolved)
    repository.files = old
    refused(device.resolve(newer), "BadVersionNumberError", retry=True)


def test_frozen_metadata(device, repository):
    manifest = repository.version(1)
    assert isinstance(device.resolve(manifest), Resolved)
    device.time += 2 * 86_400
    refused(device.resolve(manifest), "ExpiredMetadataError", retry=True)


def test_expired_metadata_to_an_empty_cache(device, repository):
    manifest = repository.version(1)
    repository.publish(timestamp_life=-DAY)
    refused(device.resolve(manifest), "ExpiredMetadataError", retry=True)


def test_mixed_metadata(device, repository):
    manifest = repository.version(1)
    number = repository.number
    repository.files[f"{number}.snapshot.json"] = repository.files[f"{number - 1}.snapshot.json"]
    refused(device.resolve(manifest), "BadVersionNumberError", retry=True)


def test_metadata_forged_with_all_online_keys(device, repository):
    """Who has the server's snapshot and timestamp keys, but not the release key, can sign no version."""
    forger = Repository()
    forger.signers.update({role: repository.signers[role] for role in ("snapshot", "timestamp")})
    forger.number = repository.number + 1
    manifest = forger.version(9)
    repository.files.update({name: data for name, data in forger.files.items() if "root" not in name})
    repository.blobs.update(forger.blobs)
    refused(device.resolve(manifest), "UnsignedMetadataError", retry=True)


def test_a_version_signed_by_a_publisher(device, repository):
    repository.delegate("m")
    manifest = repository.version(3)
    data = repository.blobs[manifest.digest]
    path = trust.version_target(manifest.full_name)
    del repository.targets.targets[path]
    repository.add(path, data, repository.delegated["auto/m"])
    repository.publish()
    assert device.resolve(manifest) == Resolved("main", 1, release(manifest))


def test_a_publisher_signs_no_other_model(device, repository):
    repository.delegate("m")
    manifest = repository.version(3, name="other")
    path = trust.version_target(manifest.full_name)
    del repository.targets.targets[path]
    repository.add(path, repository.blobs[manifest.digest], repository.delegated["auto/m"])
    repository.publish()
    refused(device.resolve(manifest), "signed metadata has no other-3", retry=True)


def test_a_file_of_metadata_that_is_missing(device, repository):
    manifest = repository.version(1)
    del repository.files[f"{repository.number}.targets.json"]
    refused(device.resolve(manifest), "the fleet lacks signed metadata", retry=True)


def test_a_server_that_is_away(device, fleet, repository):
    manifest = repository.version(1)
    fleet.stop()
    refused(device.resolve(manifest), "cannot be reached", retry=True, code=Code.FETCH_FAILED)


def test_a_target_without_sha256(device, repository):
    path = trust.version_target("m-1")
    repository.targets.targets[path] = TargetFile.from_data(path, b"x", ["sha512"])
    repository.publish()
    refused(device.files.perform(Resolve("main", 1, Wanted("m-1", "0" * 64))), "expected sha256", retry=True)


def test_the_timestamp_version_is_known(device, repository):
    assert device.versions.timestamp_version == 0
    device.resolve(repository.version(1))
    assert device.versions.timestamp_version == repository.number


# Desired states and tokens


def test_a_desired_state_by_the_director(device, fleet, repository):
    fleet.want("main", repository.version(1), assignment_id="a-1", attempt=2)
    desired = open_desired(fleet.desired("dv-1"), device.versions.director_keys())
    ((slot, wanted),) = desired.slots
    assert (slot, wanted.version, wanted.assignment, wanted.attempt) == ("main", "m-1", "a-1", 2)
    assert (wanted.trial.rows, wanted.trial.duration_s, wanted.trial.deadline_s) == (500, 600.0, 86_400.0)


def test_a_desired_state_by_somebody_else(device, fleet, repository):
    keys = device.versions.director_keys()
    repository.director = Repository().director
    with pytest.raises(IntegrityError, match="is not trusted"):
        open_desired(fleet.desired("dv-1"), keys)


@pytest.mark.parametrize("slot", ["", "../../etc", "a/b", "Main", "x" * 33, ".", "a\n"])
def test_a_slot_name_that_would_be_a_path(device, fleet, slot):
    fleet.want(slot, None)
    with pytest.raises(IntegrityError, match="lower-case letters"):
        open_desired(fleet.desired("dv-1"), device.versions.director_keys())


def test_a_changed_desired_state(device, fleet):
    signed = fleet.desired("dv-1")
    signed.desired_state += b"\x10\x7f"
    with pytest.raises(IntegrityError, match="changed or forged"):
        open_desired(signed, device.versions.director_keys())


def token(key, manifest, *, context=trust.DOWNGRADE_CONTEXT, life=datetime.timedelta(hours=1)) -> bytes:
    expires = Timestamp()
    expires.FromDatetime(datetime.datetime.now(datetime.UTC) + life)
    body = device_pb2.DowngradeToken(
        model=manifest.name, version=manifest.full_name, manifest_digest=manifest.digest, expires_at=expires
    ).SerializeToString()
    signed = device_pb2.SignedDowngradeToken(
        token=body, key_id=trust.key_id(key.public_key()), signature=trust.sign(key, context, body)
    )
    return signed.SerializeToString()


def test_a_downgrade_token_of_the_release_role(device, repository):
    manifest = repository.version(1)
    assert not device.resolve(manifest).downgrade_allowed
    assert device.resolve(manifest, downgrade_token=token(repository.release_key, manifest)).downgrade_allowed


def test_downgrade_tokens_that_are_refused(device, repository):
    manifest, other = repository.version(1), repository.version(2)
    hour = datetime.timedelta(hours=1)
    for wrong, words in (
        (token(repository.director, manifest), "is not trusted"),
        (token(repository.release_key, other), "it is for m-2, wanted is m-1"),
        (token(repository.release_key, manifest, life=-hour), "expired at"),
        (token(repository.release_key, manifest, context=trust.DESIRED_STATE_CONTEXT), "changed or forged"),
        (b"\xff\xff", "cannot be read"),
    ):
        refused(device.resolve(manifest, downgrade_token=wrong), words)
