"""Who may do what at a real Mosquitto: each device only its own, strangers and revoked ones nothing."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest
from brokers import Machines, Mosquitto, needs_mosquitto

from sanderling.errors import InputError
from sanderling_fleet.broker.mosquitto import BrokerFolder, Listener, Revoked, acl_text
from sanderling_fleet.broker.topics import device_hint, sender, up

pytestmark = needs_mosquitto
NOT_AUTHORIZED = 0x87


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    made = Machines(tmp_path_factory.mktemp("fleet") / "server")
    made.devices = {name: made.issue(name) for name in ("dv-1", "dv-2", "dv-3")}
    return made


@pytest.fixture(scope="module")
def broker(machines):
    with Mosquitto(machines) as running:
        yield running


def context_of(machines, name):
    return machines.context(machines.devices[name][1])


@pytest.fixture
def device(broker, machines):
    with broker.client(context_of(machines, "dv-1"), client_id="dv-1") as client:
        assert client.connected
        yield client


@pytest.fixture
def other(broker, machines):
    with broker.client(context_of(machines, "dv-2")) as client:
        assert client.connected
        yield client


@pytest.fixture
def server(broker):
    with broker.client(broker.link().context) as client:
        assert client.connected
        yield client


def none_comes(client, sentinel):
    """What came before the sentinel, a message that is sent after everything else on the same connection."""
    found = []
    while (item := client.messages.get(timeout=10))[0] != sentinel:
        found.append(item)
    return found


def test_a_device_speaks_for_itself_only(device, server):
    server.subscribe("$share/ingest/sanderling/v1/d/+/up/metrics")
    server.subscribe("sanderling/v1/d/+/up/status")
    refused = [up("dv-2", "metrics"), device_hint("dv-1"), "sanderling/v1/d/dv-1", "other/topic"]
    assert [device.publish(topic, b"forged") for topic in refused] == [NOT_AUTHORIZED] * len(refused)
    assert device.publish(up("dv-1", "metrics"), b"mine") == 0
    assert server.messages.get(timeout=10) == (up("dv-1", "metrics"), b"mine")
    assert device.publish(up("dv-1", "status"), b"end") == 0
    assert none_comes(server, up("dv-1", "status")) == []


@pytest.mark.parametrize("topic", ["#", up("dv-1", "metrics"), device_hint("dv-1"), "$share/ingest/sanderling/v1/#"])
def test_a_device_hears_nothing_that_is_for_another(device, other, server, topic):
    other.subscribe(topic)  # Mosquitto grants it and delivers nothing
    other.subscribe(device_hint("dv-2"))
    assert device.publish(up("dv-1", "metrics"), b"secret") == 0
    assert server.publish(device_hint("dv-1"), b"for dv-1") == 0
    assert server.publish(device_hint("dv-2"), b"end") == 0
    assert none_comes(other, device_hint("dv-2")) == []


def test_a_device_hears_its_own_hints(device, server):
    device.subscribe(device_hint("dv-1"))
    assert server.publish(device_hint("dv-1"), b"d") == 0
    assert device.messages.get(timeout=10) == (device_hint("dv-1"), b"d")


def test_the_server_does_not_speak_for_devices(server):
    assert server.publish(up("dv-1", "metrics"), b"x") == NOT_AUTHORIZED


def test_another_client_id_takes_over_no_session(broker, machines, device):
    with broker.client(context_of(machines, "dv-2"), client_id="dv-1") as thief:
        assert thief.connected
        assert thief.publish(up("dv-1", "metrics"), b"x") == NOT_AUTHORIZED
        assert device.publish(up("dv-1", "metrics"), b"still here") == 0
    assert device.gone.empty()


def test_no_certificate_and_another_cas_are_refused(broker, machines, tmp_path):
    with broker.client(machines.context()) as stranger:
        assert not stranger.connected
    other_fleet = Machines(tmp_path / "other")
    forged = machines.context(other_fleet.issue("dv-1")[1])
    with broker.client(forged) as stranger:
        assert not stranger.connected
    with broker.client(None) as plain:
        assert not plain.connected


def test_a_revoked_device_loses_its_connection_and_gets_no_other(broker, machines, server):
    serial, _ = machines.devices["dv-3"]
    server.subscribe("sanderling/v1/d/+/up/status")
    with broker.client(context_of(machines, "dv-3")) as revoked, broker.client(context_of(machines, "dv-2")) as other:
        assert revoked.publish(up("dv-3", "metrics"), b"x") == 0
        assert broker.files.revoke(Revoked(("dv-3",), (serial,)), time.time())
        assert broker.files.reload()
        deadline = time.monotonic() + 10
        while revoked.publish(up("dv-3", "metrics"), b"x") == 0 and time.monotonic() < deadline:
            pass
        assert revoked.publish(up("dv-3", "metrics"), b"x") == NOT_AUTHORIZED
        assert revoked.publish(up("dv-3", "status"), b"x") == NOT_AUTHORIZED
        with broker.client(context_of(machines, "dv-3")) as again:
            assert not again.connected
        assert other.publish(up("dv-2", "status"), b"unharmed") == 0
        assert server.messages.get(timeout=10) == (up("dv-2", "status"), b"unharmed")
        assert other.gone.empty()
    assert not broker.files.revoke(Revoked(("dv-3",), (serial,)), time.time())


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto-clients is not installed: `make servers`")
def test_other_peoples_clients_work_with_a_devices_certificate(broker, machines):
    certificate, key = machines.devices["dv-2"][1]
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-V", "5", "-q", "1", "-t"]
    files = ["--cafile", machines.server / "ca.pem", "--cert", certificate, "--key", key]
    done = subprocess.run([*command, up("dv-2", "metrics"), "-m", "x", *files], capture_output=True, timeout=10)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_folder_that_mosquitto_cannot_name_is_refused(tmp_path, machines):
    with pytest.raises(InputError, match="without blanks"):
        BrokerFolder.create(tmp_path / "a b", machines.server, Listener(), Revoked(), time.time())
    with pytest.raises(InputError, match="port from 1"):
        BrokerFolder.create(tmp_path / "b", machines.server, Listener(port=0), Revoked(), time.time())


def test_files_are_private_and_reload_needs_a_running_broker(tmp_path, machines):
    folder = BrokerFolder.create(tmp_path / "broker", machines.server, Listener(), Revoked(), time.time())
    assert (tmp_path / "broker").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "broker" / "server.key").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "broker" / "ca.key").exists()
    assert not folder.reload()
    (tmp_path / "broker" / "mosquitto.pid").write_text("1")
    assert not folder.reload()


def test_topics_name_their_sender():
    assert sender(up("dv-1", "drift")) == ("dv-1", "drift")
    assert sender(device_hint("dv-1")) is None
    assert sender("sanderling/v1/d/dv-1/up/drift/more") is None
    assert acl_text().count("deny") == 0
