"""A server that stops and starts, and one that comes back from yesterday's backup."""

import shutil
import ssl

import pytest
from cryptography import x509
from google.protobuf.duration_pb2 import Duration
from running_fleet import FACTS, RunningFleet, manifest_of, new_csr, push, upload
from tuf.api.exceptions import RepositoryError

from sanderling.api.device.v1 import device_admin_pb2 as admin_pb2
from sanderling.api.device.v1 import device_pb2
from sanderling.api.registry.v1 import registry_pb2
from sanderling.errors import InputError, IntegrityError
from sanderling.trust import version_target
from sanderling_fleet import config, folders
from sanderling_fleet.clock import ManualClock, WallClock
from sanderling_fleet.core import audit
from sanderling_fleet.core.desired import want
from sanderling_fleet.core.enrolment import enroll
from sanderling_fleet.server import FleetServer
from sanderling_fleet.services.translate import facts_of
from sanderling_fleet.trust.release import ReleaseFolder


def offer(fleet, device_id, manifest):
    async def body():
        async with fleet.core.store.transaction() as tx:
            wanted = device_pb2.DesiredSlot(slot="main", version=manifest.full_name, manifest_digest=manifest.digest)
            return await want(fleet.core, tx, device_id, wanted)

    return fleet.run(body())


def test_a_restart_keeps_everything(tmp_path):
    manifest, blobs = manifest_of()
    with RunningFleet(tmp_path / "fleet") as fleet:
        push(fleet, ReleaseFolder(fleet.folder / "release"), (manifest, blobs))
        device = fleet.device(labels={"site": "a"})
        unused = fleet.join_token(life=Duration(seconds=3600))
        counter = offer(fleet, device.device_id, manifest)
        before = device.check_in()
        authority, lines = fleet.core.authority.digest, fleet.run(audit.verify(fleet.core))
    with RunningFleet(tmp_path / "fleet") as fleet:
        device.connect(fleet)
        after = device.check_in()
        assert after.desired_state == before.desired_state
        assert after.tuf_timestamp_version > before.tuf_timestamp_version
        assert offer(fleet, device.device_id, manifest) > counter
        assert device.read_blob(manifest.digest) == manifest.to_bytes()
        assert fleet.core.authority.digest == authority
        assert fleet.run(audit.verify(fleet.core)) == lines
        listed = fleet.registry().ListVersions(registry_pb2.ListVersionsRequest()).versions
        assert [version.version for version in listed] == ["digits-1.0"]
        assert [d.labels["site"] for d in fleet.admin().ListDevices(admin_pb2.ListDevicesRequest()).devices] == ["a"]
        assert fleet.run(_enroll_with(fleet, unused.secret))


def test_a_server_that_runs_for_a_year_shows_a_new_certificate(tmp_path):
    """On the same ports; clients come again by themselves, and check it as they always do."""
    clock = ManualClock(WallClock().now() - 300 * 86400)

    def shown(fleet):
        addresses = fleet.core.settings.addresses
        for address in (addresses.enrolment, addresses.device, fleet.server.operator_address):
            host, _, port = address.partition(":")
            pem = ssl.get_server_certificate((host, int(port)), timeout=20)
            yield x509.load_pem_x509_certificate(pem.encode())

    with RunningFleet(tmp_path / "fleet", clock) as fleet:
        standing = fleet.admin()
        (first,) = set(shown(fleet))
        clock.advance(200 * 86400)
        assert not fleet.run(fleet.server.renew_certificate())
        assert set(shown(fleet)) == {first}
        standing.ListDevices(admin_pb2.ListDevicesRequest())
        clock.advance(100 * 86400)
        assert fleet.run(fleet.server.renew_certificate())
        (second,) = set(shown(fleet))
        assert second != first
        assert second.not_valid_after_utc.timestamp() > WallClock().now() + 390 * 86400
        standing.ListDevices(admin_pb2.ListDevicesRequest())
        device = fleet.device()
        assert device.check_in().approved
        assert set(shown(fleet)) == {second}


async def _enroll_with(fleet, secret):
    enrolled = await enroll(
        fleet.core, protocol_version=1, request_id="r", secret=secret, csr=new_csr()[1], facts=facts_of(FACTS)
    )
    return enrolled.device_id


def test_a_server_from_yesterdays_backup_is_ahead_of_its_devices(tmp_path):
    clock = ManualClock(WallClock().now() - 86400)
    one, two = manifest_of(version="1.0", counter=1), manifest_of(version="2.0", counter=2)
    with RunningFleet(tmp_path / "fleet", clock) as fleet:
        push(fleet, ReleaseFolder(fleet.folder / "release"), one)
        device = fleet.device()
        offer(fleet, device.device_id, one[0])
    shutil.copytree(tmp_path / "fleet" / "server", tmp_path / "backup")
    clock.advance(43_200)
    with RunningFleet(tmp_path / "fleet", clock) as fleet:
        release = ReleaseFolder(fleet.folder / "release")
        push(fleet, release, two)
        device.connect(fleet)
        for _ in range(5):
            held = offer(fleet, device.device_id, two[0])
        seen = device.check_in()
        client = device.updater(tmp_path / "client")
        client.refresh()
    shutil.rmtree(tmp_path / "fleet" / "server")
    shutil.copytree(tmp_path / "backup", tmp_path / "fleet" / "server")
    clock.advance(43_200)
    with RunningFleet(tmp_path / "fleet", clock) as fleet:
        device.connect(fleet)
        status = device_pb2.SlotStatus(slot="main", active_version="digits-2.0", manifest_digest=two[0].digest)
        answer = device.check_in(desired_counter=held, slots=[status])
        assert answer.approved
        assert not answer.HasField("desired_state")
        assert answer.tuf_timestamp_version > seen.tuf_timestamp_version
        with pytest.raises(RepositoryError, match="Expected targets"):
            device.updater(tmp_path / "client").refresh()
        lost = fleet.registry().GetRole(registry_pb2.GetRoleRequest(role="targets")).metadata
        assert not release.adopt(lost)
        # What the operator does: the file from the release folder, and the blobs, pushed again.
        again = release.targets.to_bytes()
        for data in [*two[1].values(), two[0].to_bytes()]:
            upload(fleet.registry(), data)
        answer = fleet.registry().PublishMetadata(registry_pb2.PublishMetadataRequest(role="targets", metadata=again))
        assert [version.version for version in answer.published] == ["digits-2.0"]
        client = device.updater(tmp_path / "client")
        client.refresh()
        assert client.get_targetinfo(version_target("digits-2.0"))
        assert offer(fleet, device.device_id, two[0]) > held
        state = device.check_in(desired_counter=held, slots=[status]).desired_state
        assert [s.version for s in device_pb2.DesiredState.FromString(state.desired_state).slots] == ["digits-2.0"]


def test_keys_lie_where_they_belong_and_only_their_owner_may_read_them(fleet):
    modes = {
        str(path.relative_to(fleet.folder)): path.stat().st_mode & 0o777
        for path in fleet.folder.rglob("*")
        if path.suffix == ".key" or path.name in ("token", "fleet.db") or path.parent == fleet.folder
    }
    assert modes == {
        "server": 0o700,
        "release": 0o700,
        "operator": 0o700,
        "server/ca.key": 0o600,
        "server/snapshot.key": 0o600,
        "server/timestamp.key": 0o600,
        "server/director.key": 0o600,
        "server/fleet.db": 0o600,
        "release/root.key": 0o600,
        "release/targets.key": 0o600,
        "operator/token": 0o600,
    }


def test_init_overwrites_nothing(fleet):
    with pytest.raises(InputError, match="is not empty"):
        fleet.run(folders.create(fleet.folder, config.ServerConfig()))


def test_a_damaged_key_is_told_at_start(tmp_path):
    with RunningFleet(tmp_path / "fleet"):
        pass
    server = tmp_path / "fleet" / "server"
    with RunningFleet(tmp_path / "other") as other:
        shutil.copy(other.folder / "server" / "ca.pem", server / "ca.pem")
        with pytest.raises(IntegrityError, match=r"not the certificate of ca\.key"):
            other.run(folders.open_core(server))
        (server / "ca.pem").unlink()
        with pytest.raises(IntegrityError, match=r"ca\.pem cannot be read"):
            other.run(folders.open_core(server))
        (server / "director.key").write_text("cut")
        with pytest.raises(IntegrityError, match=r"director\.key cannot be read"):
            other.run(folders.open_core(server))


def test_a_lost_database_is_told_at_start(tmp_path):
    with RunningFleet(tmp_path / "fleet"):
        pass
    for path in (tmp_path / "fleet" / "server").glob("fleet.db*"):
        path.unlink()
    with RunningFleet(tmp_path / "other") as other:
        core = other.run(folders.open_core(tmp_path / "fleet" / "server"))
        with pytest.raises(IntegrityError, match="not the one that init made"):
            other.run(FleetServer(core, other.config, other.folder / "server").start())
        other.run(core.store.close())


def test_a_taken_port_is_told(fleet):
    port = int(fleet.server.operator_address.rpartition(":")[2])
    again = config.ServerConfig(enrolment_port=port, device_port=0, operator_port=0)
    with pytest.raises(InputError, match="Is another server running"):
        fleet.run(FleetServer(fleet.core, again, fleet.folder / "server").start())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("device_prot = 1", "unknown key 'device_prot'. Did you mean 'device_port'?"),
        ("zzz = 1", "Known are bind"),
        ("device_port = 'x'", "device_port is 'x', expected int"),
        ("device_port = true", "expected int"),
        ("device_port =", "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_told(tmp_path, text, message):
    (tmp_path / "fleet.toml").write_text(text)
    with pytest.raises(InputError, match=message.replace("?", r"\?").replace(".", r"\.")):
        config.load_config(tmp_path / "fleet.toml")


def test_a_configuration_comes_back_equal(tmp_path):
    wanted = config.ServerConfig(host="fleet.example.org", device_port=1, check_in_seconds=60.5)
    (tmp_path / "fleet.toml").write_text(config.config_text(wanted))
    assert config.load_config(tmp_path / "fleet.toml") == wanted
