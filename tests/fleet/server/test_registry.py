"""Publishing, with a real python-tuf client at the other end: what the server refuses, a client would refuse too."""

import hashlib
import json

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from running_fleet import RunningFleet, manifest_of, push, refused, upload
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from sanderling.api.device.v1 import device_pb2
from sanderling.api.registry.v1 import registry_pb2 as pb
from sanderling.errors import InputError, IntegrityError
from sanderling.trust import DIRECTOR_TARGET, DOWNGRADE_CONTEXT, director_keys, key_id, verify, version_target
from sanderling_fleet.client import OperatorClient
from sanderling_fleet.clock import ManualClock, WallClock
from sanderling_fleet.core import registry
from sanderling_fleet.core.alerts import STANDING
from sanderling_fleet.store import Document
from sanderling_fleet.store import Metadata as Stored
from sanderling_fleet.trust.keys import load_ed25519
from sanderling_fleet.trust.release import ReleaseFolder, sign_delegated

DATA_LOSS, INVALID = grpc.StatusCode.DATA_LOSS, grpc.StatusCode.INVALID_ARGUMENT


def publish(fleet, content, role="targets", **token):
    return fleet.registry(**token).PublishMetadata(pb.PublishMetadataRequest(role=role, metadata=content))


def signed(targets, *keys):
    metadata = Metadata(targets)
    for key in keys:
        metadata.sign(CryptoSigner(key), append=True)
    return metadata.to_bytes()


def test_a_pushed_version_reaches_a_tuf_client_and_its_blobs(fleet, release, tmp_path):
    manifest, blobs = manifest_of(blobs={"model.onnx": bytes(range(256)) * 3000})
    answer = push(fleet, release, (manifest, blobs))
    assert [version.version for version in answer.published] == ["digits-1.0"]
    device = fleet.device()
    assert device.check_in().tuf_timestamp_version == answer.timestamp_version
    updater = device.updater(tmp_path / "client")
    updater.refresh()
    target = updater.get_targetinfo(version_target("digits-1.0"))
    content = updater.download_target(target, str(tmp_path / "manifest.json"))
    assert (tmp_path / "manifest.json").read_bytes() == manifest.to_bytes(), content
    assert device.read_blob(manifest.blobs["model.onnx"].digest) == blobs["model.onnx"]
    assert (
        device.read_blob(manifest.blobs["model.onnx"].digest, offset=767_990, limit_bytes=5)
        == blobs["model.onnx"][-10:-5]
    )
    director = updater.download_target(updater.get_targetinfo(DIRECTOR_TARGET), str(tmp_path / "director.json"))
    with open(director, "rb") as file:
        assert key_id(fleet.core.director.public_key) in director_keys(file.read())
    assert [v.version for v in fleet.registry().ListVersions(pb.ListVersionsRequest(model="digits")).versions] == [
        "digits-1.0"
    ]


def test_the_same_bytes_again_change_nothing(fleet, release):
    first = push(fleet, release, manifest_of())
    again = publish(fleet, release.targets.to_bytes())
    assert again.timestamp_version == first.timestamp_version
    assert not again.published


def test_a_flipped_byte_in_an_upload_is_refused(fleet):
    data = bytes(5000)
    with refused(IntegrityError, DATA_LOSS, "announced was"):
        upload(fleet.registry(), data[:-1] + b"\1", digest=hashlib.sha256(data).digest())
    status = fleet.registry().QueryUpload(pb.QueryUploadRequest(digest=hashlib.sha256(data).digest()))
    assert (status.committed_bytes, status.complete) == (5000, False)
    assert upload(fleet.registry(), data).committed_bytes == 5000


def test_an_upload_that_broke_off_goes_on(fleet):
    data, digest = bytes(range(200)) * 50, hashlib.sha256(bytes(range(200)) * 50).digest()

    def arrived():
        return fleet.registry().QueryUpload(pb.QueryUploadRequest(digest=digest))

    def breaks_off():
        yield pb.UploadBlobRequest(digest=digest, size_bytes=len(data), data=data[:4000])
        assert any(arrived().committed_bytes for _ in range(1000))
        raise ConnectionError("the line went dead")

    with pytest.raises(grpc.RpcError):
        fleet.registry().UploadBlob(breaks_off())
    status = arrived()
    assert (status.committed_bytes, status.complete) == (4000, False)
    with refused(InputError, INVALID, "stands at 4,000"):
        fleet.registry().UploadBlob(
            iter([pb.UploadBlobRequest(digest=digest, size_bytes=10_000, offset=5000, data=data[5000:])])
        )
    rest = pb.UploadBlobRequest(digest=digest, size_bytes=10_000, offset=4000, data=data[4000:])
    assert fleet.registry().UploadBlob(iter([rest])).committed_bytes == 10_000
    assert fleet.registry().QueryUpload(pb.QueryUploadRequest(digest=digest)).complete


def test_an_upload_is_refused_before_it_takes_more_than_was_announced(fleet):
    data, digest = bytes(5000), hashlib.sha256(bytes(5000)).digest()

    def send(size_bytes):
        fleet.registry().UploadBlob(iter([pb.UploadBlobRequest(digest=digest, size_bytes=size_bytes, data=data)]))

    with refused(InputError, INVALID, "a blob of 4,294,967,297 bytes, at most 4,294,967,296"):
        send((4 << 30) + 1)
    for announced in (0, 4999):
        with refused(InputError, INVALID, f"5,000 bytes came, announced were {announced:,}"):
            send(announced)
    assert not fleet.registry().QueryUpload(pb.QueryUploadRequest(digest=digest)).committed_bytes


def test_too_large_a_message_is_refused(fleet):
    with refused(InputError, INVALID, "at most 262,144"):
        upload(fleet.registry(), bytes(300_000), chunk=300_000)


def test_targets_signed_with_every_key_on_the_server_are_refused_by_server_and_client(fleet, release, tmp_path):
    """Whoever owns the server's folder can forge snapshot and timestamp, and makes no device install anything."""
    push(fleet, release, manifest_of())
    device = fleet.device()
    device.updater(tmp_path / "seen").refresh()
    folder = fleet.folder / "server"
    stolen = [load_ed25519(folder / f"{name}.key") for name in ("snapshot", "timestamp", "director")]
    assert sorted(path.name for path in folder.glob("*.key")) == [
        "ca.key",
        "director.key",
        "snapshot.key",
        "timestamp.key",
    ]
    evil, blobs = manifest_of("digits", "6.6", 66)
    for data in [*blobs.values(), evil.to_bytes()]:
        upload(fleet.registry(), data)
    targets = release.targets.signed
    path = version_target("digits-6.6")
    targets.targets[path] = TargetFile.from_data(path, evil.to_bytes(), ["sha256"])
    targets.version += 1
    forged = signed(targets, *stolen)
    with refused(IntegrityError, DATA_LOSS, "not signed by keys that root version 1 trusts"):
        publish(fleet, forged)

    async def force_in():
        async with fleet.core.store.transaction() as tx:
            await tx.put(Stored("targets", targets.version, forged, WallClock().now() + 86400))
            await registry._sign(fleet.core, tx, {"targets": targets.version})

    fleet.run(force_in())
    for folder in ("seen", "empty"):
        updater = device.updater(tmp_path / folder)
        with pytest.raises(RepositoryError, match="targets was signed by 0/1 keys"):
            updater.refresh()


def test_a_forged_root_is_refused(fleet, release, tmp_path):
    stolen = [load_ed25519(fleet.folder / "server" / f"{name}.key") for name in ("snapshot", "timestamp", "director")]
    root = release.root.signed
    root.version = 2
    root.add_key(SSlibKey.from_crypto(stolen[2].public_key()), "targets")
    with refused(IntegrityError, DATA_LOSS, "not signed by keys that root version 1 trusts"):
        publish(fleet, signed(root, *stolen), "root")


def test_a_root_that_was_rotated_reaches_devices_old_and_new(fleet, release, tmp_path):
    device = fleet.device()
    device.updater(tmp_path / "old").refresh()
    key = load_ed25519(fleet.folder / "release" / "root.key")
    fresh = Ed25519PrivateKey.generate()
    root = release.root.signed
    root.version = 2
    root.revoke_key(SSlibKey.from_crypto(key.public_key()).keyid, "root")
    root.add_key(SSlibKey.from_crypto(fresh.public_key()), "root")
    with refused(IntegrityError, DATA_LOSS, "not signed"):
        publish(fleet, signed(root, fresh), "root")
    publish(fleet, signed(root, fresh, key), "root")
    for client in (device.updater(tmp_path / "old"), fleet.device().updater(tmp_path / "new")):
        client.refresh()
        assert client.get_targetinfo(DIRECTOR_TARGET)
    root.version = 4
    with refused(IntegrityError, DATA_LOSS, "one step at a time"):
        publish(fleet, signed(root, fresh), "root")
    root.version = 3
    root.revoke_key(next(iter(root.roles["timestamp"].keyids)), "timestamp")
    root.add_key(SSlibKey.from_crypto(fresh.public_key()), "timestamp")
    with refused(IntegrityError, DATA_LOSS, "names other keys for timestamp"):
        publish(fleet, signed(root, fresh), "root")


def test_metadata_that_is_not_newer_or_has_expired_is_refused(tmp_path):
    clock = ManualClock(WallClock().now())
    with RunningFleet(tmp_path / "fleet", clock) as fleet:
        release = ReleaseFolder(fleet.folder / "release")
        first = release.targets.to_bytes()
        push(fleet, release, manifest_of())
        with refused(IntegrityError, DATA_LOSS, "has version 1, in force is 2"):
            publish(fleet, first)
        stale = release.add([], clock.now() - 91 * 86400)
        with refused(IntegrityError, DATA_LOSS, r"\[targets\] expired on"):
            publish(fleet, stale)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.pkl", b"x", "suffix .pkl"),
        ("weights.json", b"\x80\x04K\x01.", "is a pickle"),
        ("samples.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", "pickled"),
    ],
)
def test_a_version_with_a_pickle_is_refused(fleet, release, name, content, message):
    manifest, blobs = manifest_of(blobs={"model.onnx": b"onnx", "other.json": content})
    document = json.loads(manifest.to_bytes())
    document["blobs"][name] = document["blobs"].pop("other.json")
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    for data in [*blobs.values(), raw]:
        upload(fleet.registry(), data)
    targets = release.targets.signed
    targets.version += 1
    path = version_target("digits-1.0")
    targets.targets[path] = TargetFile.from_data(path, raw, ["sha256"])
    key = load_ed25519(fleet.folder / "release" / "targets.key")
    with refused(IntegrityError, DATA_LOSS, message):
        publish(fleet, signed(targets, key))
    assert not fleet.registry().ListVersions(pb.ListVersionsRequest()).versions


def test_what_a_version_needs_must_be_there_first(fleet, release):
    manifest, blobs = manifest_of()
    content = release.add([manifest], WallClock().now())
    with refused(InputError, INVALID, "none here. Upload it before"):
        publish(fleet, content)
    upload(fleet.registry(), manifest.to_bytes())
    with refused(InputError, INVALID, "wants 'model.onnx'"):
        publish(fleet, content)
    upload(fleet.registry(), blobs["model.onnx"])
    assert publish(fleet, content).published


def test_versions_never_change_and_release_counters_rise(fleet, release):
    push(fleet, release, manifest_of(version="1.0", counter=5))
    with pytest.raises(InputError, match="was signed with another manifest"):
        release.add([manifest_of(version="1.0", counter=6)[0]], WallClock().now())
    with refused(IntegrityError, DATA_LOSS, "has release counter 5, digits has reached 5"):
        push(fleet, release, manifest_of(version="1.1", counter=5))
    push(fleet, release, manifest_of(version="1.1", counter=6), manifest_of("cats", "1.0", 1))
    publish(fleet, content := release.withdraw(["digits-1.1"], WallClock().now()))
    release.keep(content)
    listed = [version.version for version in fleet.registry().ListVersions(pb.ListVersionsRequest()).versions]
    assert listed == ["cats-1.0", "digits-1.0"]
    with refused(IntegrityError, DATA_LOSS, "a version never changes"):
        push(fleet, release, manifest_of(version="1.1", counter=7))


def test_targets_may_name_versions_and_the_director_only(fleet, release):
    key = load_ed25519(fleet.folder / "release" / "targets.key")
    for path in (
        "models/digits.onnx",
        "versions/../x-1.json",
        "versions/../x/1.json",
        "versions/Digits/1.0.json",
        "versions/digits-1.0.json",
    ):
        targets = Targets.from_dict(release.targets.signed.to_dict())
        targets.version += 1
        targets.targets[path] = TargetFile.from_data(path, b"x", ["sha256"])
        with refused(IntegrityError, DATA_LOSS, "NAME.VERSION"):
            publish(fleet, signed(targets, key))
    targets = Targets.from_dict(release.targets.signed.to_dict())
    targets.version += 1
    del targets.targets[DIRECTOR_TARGET]
    with refused(IntegrityError, DATA_LOSS, "targets name no keys/director.json"):
        publish(fleet, signed(targets, key))


def test_a_publisher_signs_versions_of_its_model_only(fleet, release, tmp_path):
    publisher, now = Ed25519PrivateKey.generate(), WallClock().now()
    manifest, blobs = manifest_of()
    other, other_blobs = manifest_of("cats")
    for data in [*blobs.values(), manifest.to_bytes(), *other_blobs.values(), other.to_bytes()]:
        upload(fleet.registry(), data)
    content = sign_delegated("digits", publisher, None, [manifest], now)
    with refused(IntegrityError, DATA_LOSS, "not signed by keys that targets version 1 trusts"):
        publish(fleet, content, "auto/digits")
    publish(fleet, delegating := release.delegate("digits", publisher.public_key(), now))
    release.keep(delegating)
    with refused(IntegrityError, DATA_LOSS, "a version of another model"):
        publish(fleet, sign_delegated("digits", publisher, None, [other], now), "auto/digits")
    answer = publish(fleet, content, "auto/digits")
    assert [(v.version, v.role) for v in answer.published] == [("digits-1.0", "auto/digits")]
    updater = fleet.device().updater(tmp_path / "client")
    target = updater.get_targetinfo(version_target("digits-1.0"))
    assert updater.download_target(target, str(tmp_path / "manifest"))
    publish(fleet, release.add([], now))
    newer = manifest_of(version="1.1", counter=2)
    for data in [*newer[1].values(), newer[0].to_bytes()]:
        upload(fleet.registry(), data)
    current = fleet.registry().GetRole(pb.GetRoleRequest(role="auto/digits")).metadata
    publish(fleet, sign_delegated("digits", publisher, current, [newer[0]], now), "auto/digits")
    later = fleet.device().updater(tmp_path / "later")
    assert later.get_targetinfo(version_target("digits-1.1"))
    assert later.get_targetinfo(version_target("digits-1.0"))


def test_snapshot_and_timestamp_are_signed_anew_before_they_expire(tmp_path):
    clock = ManualClock(WallClock().now())
    with RunningFleet(tmp_path / "fleet", clock) as fleet:

        def online():
            async def read():
                async with fleet.core.store.transaction() as tx:
                    return [(await registry.newest(tx, role)).version for role in ("snapshot", "timestamp")]

            return fleet.run(read())

        before = online()
        assert not fleet.run(registry.resign(fleet.core))
        clock.advance(13 * 3600)
        assert fleet.run(registry.resign(fleet.core))
        middle = online()
        assert middle[0] == before[0]
        assert middle[1] == int(clock.now())
        clock.advance(4 * 86400)
        assert fleet.run(registry.resign(fleet.core))
        assert online() == [int(clock.now())] * 2


def test_metadata_that_others_must_sign_is_called_for_in_time(tmp_path):
    clock = ManualClock(WallClock().now())
    with RunningFleet(tmp_path / "fleet", clock) as fleet:

        def standing():
            async def read():
                async with fleet.core.store.transaction() as tx:
                    return await tx.find(Document, {"kind": "alert", "state": STANDING})

            fleet.run(registry.warn_of_expiry(fleet.core))
            alerts = fleet.run(read())
            said.update({alert.subject: alert.body["summary"] for alert in alerts})
            return {alert.subject: alert.body["severity"] for alert in alerts}

        said = {}
        release = ReleaseFolder(fleet.folder / "release")
        publisher = Ed25519PrivateKey.generate()
        publish(fleet, content := release.delegate("digits", publisher.public_key(), clock.now()))
        release.keep(content)
        publish(fleet, sign_delegated("digits", publisher, None, [], clock.now() + 86400 * 365), "auto/digits")
        assert standing() == {}
        clock.advance(61 * 86400)
        assert standing() == {"registry.expiring/targets": "warning"}
        assert "targets expires in 29 days" in said["registry.expiring/targets"]
        assert "sanderling model push" in said["registry.expiring/targets"]
        with OperatorClient(
            fleet.server.operator_address, fleet.core.authority.pem.encode(), fleet.admin_token
        ) as client:
            client.push(release, [], clock.now())
            assert standing() == {}
            clock.advance(80 * 86400)
            client.push(release, [], clock.now())
            clock.advance(85 * 86400)
            client.push(release, [], clock.now())
            clock.advance(125 * 86400)
            assert standing() == {"registry.expiring/targets": "error", "registry.expiring/root": "error"}
            assert client.renew_root(release, clock.now()) == 2
            (release.folder / "root.key").unlink()
            with pytest.raises(IntegrityError, match=r"root\.key cannot be read"):
                client.renew_root(release, clock.now())
        assert standing() == {"registry.expiring/targets": "error"}
        assert "targets expired 35 days ago" in said["registry.expiring/targets"]
        clock.advance(100 * 86400)
        assert standing()["registry.expiring/auto/digits"] == "error"
        assert "sanderling publisher run" in said["registry.expiring/auto/digits"]


def test_rolled_back_and_mixed_metadata_are_refused_by_the_client(fleet, release, tmp_path):
    device = fleet.device()
    old = _metadata(fleet, "timestamp")
    push(fleet, release, manifest_of())
    device.updater(tmp_path / "client").refresh()
    fresh = {role: _metadata(fleet, role) for role in ("timestamp", "snapshot")}
    _store(fleet, old, instead_of=fresh["timestamp"])
    with pytest.raises(RepositoryError, match="New timestamp version"):
        device.updater(tmp_path / "client").refresh()
    snapshot = Metadata[Snapshot].from_bytes(fresh["snapshot"].content).signed
    snapshot.version += 1
    snapshot.meta["targets.json"] = MetaFile(1)
    keys = {name: load_ed25519(fleet.folder / "server" / f"{name}.key") for name in ("snapshot", "timestamp")}
    timestamp = Metadata[Timestamp].from_bytes(fresh["timestamp"].content).signed
    timestamp.version += 1
    timestamp.snapshot_meta = MetaFile(snapshot.version)
    _store(fleet, Stored("snapshot", snapshot.version, signed(snapshot, keys["snapshot"]), 0.0))
    _store(fleet, Stored("timestamp", timestamp.version, signed(timestamp, keys["timestamp"]), 0.0))
    with pytest.raises(RepositoryError, match="Expected targets"):
        device.updater(tmp_path / "client").refresh()


def _metadata(fleet, role):
    async def read():
        async with fleet.core.store.transaction() as tx:
            return await registry.newest(tx, role)

    return fleet.run(read())


def _store(fleet, record, instead_of=None):
    async def write():
        async with fleet.core.store.transaction() as tx:
            if instead_of is not None:
                await tx.delete(Stored, *instead_of.key())
            await tx.put(record)

    fleet.run(write())


def test_a_downgrade_token_is_signed_by_the_release_role(fleet, release):
    manifest, _ = manifest_of()
    token = device_pb2.SignedDowngradeToken.FromString(release.downgrade_token(manifest, 2e9))
    public = load_ed25519(fleet.folder / "release" / "targets.key").public_key()
    verify({key_id(public): public.public_bytes_raw()}, token.key_id, token.signature, DOWNGRADE_CONTEXT, token.token)
    said = device_pb2.DowngradeToken.FromString(token.token)
    assert (said.version, said.manifest_digest, said.expires_at.seconds) == (
        "digits-1.0",
        manifest.digest,
        2_000_000_000,
    )
    root = Metadata[Root].from_bytes(release.root.to_bytes()).signed
    assert root.keys[next(iter(root.roles["targets"].keyids))].keyval["public"] == public.public_bytes_raw().hex()
