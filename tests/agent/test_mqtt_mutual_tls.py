"""The broker link over mutual TLS, against Mosquitto with an access list per device."""

import os
import queue
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from google.protobuf.duration_pb2 import Duration
from paho.mqtt.enums import CallbackAPIVersion

from sanderling.agent.actions import Emit
from sanderling.agent.bodies import Notice
from sanderling.agent.identity import new_key, private_key
from sanderling.agent.mqtt import BrokerLink, topic
from sanderling.agent.state import AgentState
from sanderling.agent.store import SqliteStore
from sanderling.api.telemetry.v1 import telemetry_pb2

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="Mosquitto is not installed; `make servers` installs it")

CONFIG = """
listener {port} 127.0.0.1
protocol mqtt
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
require_certificate true
use_identity_as_username true
acl_file {folder}/acl
persistence false
"""
ACL = """
pattern write sanderling/v1/d/%u/up/#
pattern read sanderling/v1/d/%u/down/#

user ingest
topic read sanderling/v1/d/+/up/#
topic write sanderling/v1/d/+/down/#
"""


@pytest.fixture
def folder():
    """Not in tmp_path: Mosquitto leaves root for a user of its own, to whom pytest's folders are closed."""
    with tempfile.TemporaryDirectory(prefix="sanderling-broker-") as name:
        made = Path(name)
        made.chmod(0o755)
        yield made


@pytest.fixture
def broker(fleet, folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    key, chain = fleet.authority.server()
    for name, data in (("ca.pem", fleet.authority.pem), ("server.key", key), ("server.pem", chain)):
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o644)
    (folder / "acl").write_text(ACL)
    (folder / "acl").chmod(0o644)
    (folder / "mosquitto.conf").write_text(CONFIG.format(port=port, folder=folder))
    process = subprocess.Popen([MOSQUITTO, "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None, "Mosquitto ended"
            assert time.monotonic() < end
            time.sleep(0.05)
    yield f"mqtts://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


@pytest.fixture
def ingest(fleet, broker, tmp_path):
    """The server's end: hears every device."""
    key = new_key()
    (tmp_path / "ingest.pem").write_bytes(key + fleet.authority.device(private_key(key).public_key(), "ingest"))
    (tmp_path / "ca.pem").write_bytes(fleet.authority.pem)
    client = paho.Client(CallbackAPIVersion.VERSION2, "ingest", protocol=paho.MQTTv5)
    client.tls_set(str(tmp_path / "ca.pem"), str(tmp_path / "ingest.pem"), str(tmp_path / "ingest.pem"))
    client.got = queue.SimpleQueue()
    ready = queue.SimpleQueue()
    client.on_connect = lambda c, *_: c.subscribe("sanderling/v1/d/+/up/#", 1)
    client.on_subscribe = lambda *_: ready.put(1)
    client.on_message = lambda _c, _u, message: client.got.put(message)
    client.connect("127.0.0.1", int(broker.rpartition(":")[2]))
    client.loop_start()
    ready.get(timeout=10)
    yield client
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def store(tmp_path):
    made = SqliteStore(tmp_path / "outbox.db")
    made.save(AgentState("dv-1", boot_id="boot-1"), [Emit("main", "m-1", Notice("test", "info", "x"))], 1.0)
    yield made
    made.close()


def envelopes(ingest, seconds):
    end, found = time.monotonic() + seconds, []
    while not found and time.monotonic() < end:
        try:
            message = ingest.got.get(timeout=0.1)
        except queue.Empty:
            continue
        if message.topic.endswith("/up/events"):
            found.append((message.topic, telemetry_pb2.Envelope.FromString(message.payload)))
    return found


def test_rows_and_hints_by_certificate(identity, broker, ingest, store):
    known = replace(identity, addresses=replace(identity.addresses, broker_url=broker))
    hints = queue.SimpleQueue()
    link = BrokerLink(lambda: known, store, "boot-1", hints.put)
    link.start()
    try:
        ((where, message),) = envelopes(ingest, 10)
        assert where == topic("dv-1", "up/events")
        assert (message.boot_id, message.sequence) == ("boot-1", 1)
        hint = telemetry_pb2.Hint(spread=Duration(seconds=3)).SerializeToString()
        end = time.monotonic() + 10
        while hints.empty() and time.monotonic() < end:
            ingest.publish(topic("dv-1", "down/hint"), hint, 1).wait_for_publish(5)
            time.sleep(0.05)
        assert hints.get(timeout=1) == 3.0
    finally:
        link.stop()


def test_a_device_that_publishes_as_another_is_not_heard(identity, broker, ingest, store):
    """The certificate says dv-1, the device says dv-2: the broker lets nothing through."""
    liar = replace(identity, device_id="dv-2", addresses=replace(identity.addresses, broker_url=broker))
    link = BrokerLink(lambda: liar, store, "boot-1", lambda spread: None)
    link.start()
    try:
        assert envelopes(ingest, 2) == []
        assert link.is_connected, "it was connected, and still not heard"
    finally:
        link.stop()


def test_a_certificate_of_another_ca_is_not_let_in(fleet, identity, broker, ingest, store):
    from tests.agent.fleet import Authority

    chain = Authority("rogue").device(private_key(identity.key).public_key(), "dv-1")
    forged = identity.with_certificate(identity.key, chain)
    forged = replace(forged, addresses=replace(identity.addresses, broker_url=broker))
    link = BrokerLink(lambda: forged, store, "boot-1", lambda spread: None)
    link.start()
    try:
        assert envelopes(ingest, 1) == []
        assert not link.is_connected
    finally:
        link.stop()
