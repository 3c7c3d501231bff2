"""The broker link against a real MQTT 5 broker: order, window, acknowledgement, presence, hints."""

import queue
import secrets
import socket
import time
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from google.protobuf.duration_pb2 import Duration
from iotcore import Broker
from paho.mqtt.enums import CallbackAPIVersion

from sanderling.agent.actions import Emit
from sanderling.agent.bodies import Notice
from sanderling.agent.identity import Addresses, Identity
from sanderling.agent.mqtt import WINDOW, BrokerLink, topic
from sanderling.agent.state import AgentState
from sanderling.agent.store import SqliteStore
from sanderling.api.telemetry.v1 import telemetry_pb2

CONFIG = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 262144
max_inflight_count = 100
dynamic_filters = true
auth = {{ fleet = "{password}" }}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Place:
    """A broker, the server's end of it, and a device's link."""

    def __init__(self, folder: Path) -> None:
        self.port, self.password, self.folder = free_port(), secrets.token_hex(16), folder
        (folder / "broker.toml").write_text(CONFIG.format(port=self.port, password=self.password))
        self.broker = Broker(config_path=str(folder / "broker.toml")).start()
        self.store = SqliteStore(folder / "state.db")
        self.hints: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.got: queue.SimpleQueue[paho.MQTTMessage] = queue.SimpleQueue()
        addresses = Addresses("", "", f"mqtt://127.0.0.1:{self.port}", "fleet", self.password)
        self.identity = Identity(folder, "dv-1", b"", b"chain", b"", b"", addresses)
        self.server = self.client("server")
        self.link = BrokerLink(lambda: self.identity, self.store, "boot-1", self.hints.put)
        self.written = 0

    def client(self, name: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        client.username_pw_set("fleet", self.password)
        client.on_message = lambda _c, _u, message: self.got.put(message)
        ready: queue.SimpleQueue[int] = queue.SimpleQueue()
        client.on_connect = lambda c, *_: c.subscribe("sanderling/v1/d/+/up/#", 1)
        client.on_subscribe = lambda *_: ready.put(1)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        ready.get(timeout=10)
        return client

    def write(self, count: int) -> None:
        rows = [Emit("main", "m-1", Notice("test", "info", str(self.written + n))) for n in range(count)]
        self.written += count
        self.store.save(AgentState("dv-1", boot_id="boot-1", sequence=self.written), rows, 1.0)

    def take(self, count: int) -> list[telemetry_pb2.Envelope]:
        found = []
        while len(found) < count:
            message = self.got.get(timeout=10)
            if message.topic == topic("dv-1", "up/events"):
                assert message.qos == 1
                found.append(telemetry_pb2.Envelope.FromString(message.payload))
        return found

    def seen(self, seconds: float) -> set[int]:
        """Sequences of all rows that come within some time."""
        end, found = time.monotonic() + seconds, set()
        while (left := end - time.monotonic()) > 0:
            try:
                message = self.got.get(timeout=left)
            except queue.Empty:
                break
            if message.topic == topic("dv-1", "up/events"):
                found.add(telemetry_pb2.Envelope.FromString(message.payload).sequence)
        return found

    def presence(self) -> telemetry_pb2.Presence:
        while True:
            message = self.got.get(timeout=10)
            if message.topic == topic("dv-1", "up/status"):
                return telemetry_pb2.Presence.FromString(message.payload)

    def close(self) -> None:
        self.link.stop()
        self.server.disconnect()
        self.server.loop_stop()
        self.store.close()
        self.broker.stop()


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()


def test_rows_come_in_order_and_stay_until_the_fleet_says_so(place):
    place.write(3 * WINDOW)
    place.link.start()
    assert [m.sequence for m in place.take(3 * WINDOW)] == list(range(1, 3 * WINDOW + 1))
    place.write(5)
    assert [m.sequence for m in place.take(5)] == list(range(3 * WINDOW + 1, 3 * WINDOW + 6))
    assert place.store.waiting()[0] == 3 * WINDOW + 5
    place.store.forget("boot-1", 3 * WINDOW)
    place.write(1)
    assert place.take(1)[0].sequence == place.written


def test_presence_is_retained(place):
    place.link.start()
    online = place.presence()
    assert (online.online, online.boot_id) == (True, "boot-1")
    place.link.stop()
    assert not place.presence().online


def test_a_hint_is_heard(place):
    place.link.start()
    place.presence()
    hint = telemetry_pb2.Hint(spread=Duration(seconds=7)).SerializeToString()
    for payload, spread in ((hint, 7.0), (b"\xff no hint", 0.0), (b"", 0.0)):
        deadline = time.monotonic() + 10
        while place.hints.empty() and time.monotonic() < deadline:
            place.server.publish(topic("dv-1", "down/hint"), payload, 1).wait_for_publish(5)
            time.sleep(0.05)
        assert place.hints.get(timeout=1) == spread
        while not place.hints.empty():
            place.hints.get()


def test_a_broker_that_restarts_gets_what_the_fleet_has_not(place):
    place.write(10)
    place.link.start()
    place.take(10)
    place.store.forget("boot-1", 4)
    place.broker.stop()
    place.write(10)
    place.broker.start()
    place.server.reconnect()
    wanted, found, end = set(range(5, 21)), set(), time.monotonic() + 30
    while not found >= wanted:
        assert time.monotonic() < end, f"{sorted(wanted - found)} did not come"
        # The device may be back before the server is: what was then acknowledged is told again after two check-ins.
        place.link.before_check_in()
        found |= place.seen(0.5)


def test_what_the_broker_lost_is_told_again_after_two_check_ins(place):
    place.write(5)
    place.link.start()
    place.take(5)
    place.link.before_check_in()
    assert place.seen(0.5) == set(), "it may be on its way to the database"
    place.store.forget("boot-1", 2)
    place.link.before_check_in()
    assert [m.sequence for m in place.take(3)] == [3, 4, 5]
    place.store.forget("boot-1", 5)
    place.link.before_check_in()
    place.link.before_check_in()
    assert place.seen(0.5) == set()


def test_another_broker_is_followed(place, tmp_path):
    place.link.start()
    place.presence()
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    try:
        place.identity = replace(place.identity, addresses=other.identity.addresses)
        place.link.follow()
        assert other.presence().online
        place.write(1)
        assert other.take(1)[0].sequence == 1
    finally:
        other.close()


def test_without_a_broker_nothing_is_tried(place):
    place.identity = replace(place.identity, addresses=Addresses("", ""))
    place.link.start()
    place.link.follow()
    assert not place.link.is_connected


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1:99999", "mqtt://[::1", "mqtt://127.0.0.1:port", "mqtts://x:1"])
def test_a_broker_that_cannot_be_used_ends_no_agent(tmp_path, url):
    """The address comes from the fleet and is stored: an agent that it ended could not be helped."""
    identity = Identity(tmp_path, "dv-1", b"", b"chain", b"no certificate", b"", Addresses("", "", url))
    store = SqliteStore(tmp_path / "state.db")
    link = BrokerLink(lambda: identity, store, "boot-1", lambda spread: None)
    link.start()
    link.follow()
    assert not link.is_connected
    link.stop()
    store.close()


def test_a_broker_that_ends_each_connection_fills_no_memory(tmp_path):
    """As one does that takes no message of this size."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        addresses = Addresses("", "", f"mqtt://127.0.0.1:{door.getsockname()[1]}")
        identity = Identity(tmp_path, "dv-1", b"", b"chain", b"", b"", addresses)
        store = SqliteStore(tmp_path / "state.db")
        rows = [Emit("main", "m-1", Notice("test", "info", str(n))) for n in range(500)]
        store.save(AgentState("dv-1", boot_id="boot-1"), rows, 1.0)
        link = BrokerLink(lambda: identity, store, "boot-1", lambda spread: None)
        link.start()
        door.settimeout(30)
        for _ in range(4):
            connection, _ = door.accept()
            with connection:
                connection.settimeout(30)
                got = connection.recv(4096)
                assert got[0] == 0x10, "CONNECT"
                connection.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK
                while b"up/events" not in got:
                    got += connection.recv(4096)
                time.sleep(0.2)  # the rest of its window
        assert link._client is not None
        kept = len(link._client._out_messages)
        link.stop()
        store.close()
    assert kept <= WINDOW + 4, "its window, and what it says of itself at each connection"
