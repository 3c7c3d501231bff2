"""Telemetry to the broker and hints from it: MQTT 5 over paho, in a thread of its own.

The outbox owns delivery: rows are published in order, at most `WINDOW` without an acknowledgement, and deleted only
when a check-in says that the fleet has stored them. What the broker acknowledged and the fleet then lost is published
again, after the next connect or two check-ins later; the server counts (boot id, sequence) once.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

import sanderling
from sanderling.agent.identity import Identity
from sanderling.agent.store import SqliteStore
from sanderling.api.telemetry.v1 import telemetry_pb2

WINDOW = 20
CONTENT_TYPE = "application/x-protobuf; messageType=sanderling.api.telemetry.v1.Envelope"
_KEEP_ALIVE_S = 60
_SESSION_S = 3600
_WILL_DELAY_S = 45
_IDLE_S = 1.0
_RETRY_MOST_S = 120
_log = logging.getLogger("sanderling.agent")


def topic(device_id: str, end: str) -> str:
    """sanderling/v1/d/DEVICE/END."""
    return f"sanderling/v1/d/{device_id}/{end}"


class BrokerLink:
    """The connection to the fleet's broker; without one in the identity's addresses it does nothing.

    Args:
        identity: The present one: its certificate and the broker's address.
        store: Of the outbox.
        boot_id: Of the running kernel.
        hinted: Called with the seconds over which check-ins are to be spread.
    """

    def __init__(
        self,
        identity: Callable[[], Identity],
        store: SqliteStore,
        boot_id: str,
        hinted: Callable[[float], None],
    ) -> None:
        self._identity, self._store, self._boot, self._hinted = identity, store, boot_id, hinted
        self._client: paho.Client | None = None
        self._used: Identity | None = None
        self._changed, self._stop = threading.Condition(), False
        self._connected = False
        self._sent = self._sent_before = 0
        self._connects = 0
        self._flying: set[int] = set()
        self._early: set[int] = set()  # acknowledged before `publish` had told their number
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Connects in the background."""
        self.follow()

    def follow(self) -> None:
        """Connects anew if the identity has another broker or certificate; to be called now and then."""
        identity = self._identity()
        if not identity.addresses.broker_url or self._stop:
            return
        if self._used is not None and _link_of(self._used) == _link_of(identity):
            return
        self._disconnect()
        self._used = identity
        try:
            client = self._make(identity)
            address = urlsplit(identity.addresses.broker_url)
            connect = _properties(PacketTypes.CONNECT, SessionExpiryInterval=_SESSION_S)
            client.connect_async(
                address.hostname or "127.0.0.1",
                address.port or 8883,
                _KEEP_ALIVE_S,
                clean_start=False,
                properties=connect,
            )
        except (ValueError, OSError) as error:
            # It is stored with the identity: an agent that ended here could never hear of a better one.
            _log.error("no telemetry: the broker %s cannot be used: %s", identity.addresses.broker_url, error)
            return
        with self._changed:
            self._client, self._sent = client, 0
            self._flying.clear()
            self._early.clear()
        client.loop_start()
        if self._thread is None:
            self._thread = threading.Thread(target=self._publish, name="agent outbox", daemon=True)
            self._thread.start()

    def before_check_in(self) -> None:
        """To be called before each check-in: rows that were published before the former one and still wait were lost.

        A broker acknowledges what it then may lose, or what nobody was subscribed to.
        """
        oldest = self._store.pending(0, 1)
        with self._changed:
            if oldest and oldest[0].number <= self._sent_before:
                self._sent = 0
                self._changed.notify_all()
            self._sent_before = self._sent

    def stop(self) -> None:
        """Says that the device goes offline, and disconnects."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(5.0)
        self._disconnect()

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._connected

    def _make(self, identity: Identity) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, identity.device_id, protocol=paho.MQTTv5)
        if identity.addresses.broker_url.startswith("mqtts:"):
            context = ssl.create_default_context(cadata=identity.ca.decode())
            context.load_cert_chain(identity.folder / "device.pem")
            client.tls_set_context(context)
        if identity.addresses.broker_username:
            client.username_pw_set(identity.addresses.broker_username, identity.addresses.broker_password)
        will = _properties(PacketTypes.WILLMESSAGE, WillDelayInterval=_WILL_DELAY_S)
        client.will_set(self._status_topic(identity), self._presence(False), 1, True, will)
        client.max_inflight_messages_set(WINDOW)
        client.reconnect_delay_set(1, _RETRY_MOST_S)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_message = self._on_publish, self._on_message
        return client

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if self._connected and self._used is not None:
            client.publish(self._status_topic(self._used), self._presence(False), 1, True).wait_for_publish(1.0)
        client.disconnect()
        client.loop_stop()
        self._connected = False

    # Called by paho's thread

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        identity = self._used
        if reason.is_failure or identity is None:
            _log.error("the broker refuses this device: %s", reason)
            return
        client.subscribe(topic(identity.device_id, "down/hint"), options=SubscribeOptions(qos=1))
        client.publish(self._status_topic(identity), self._presence(True), 1, True)
        with self._changed:
            # All is sent again: a broker may lose what it acknowledged. Paho keeps what is in flight and sends that
            # again too: it goes on taking room in our window, or cuts would pile it up.
            self._connected, self._sent = True, 0
            self._connects += 1
            self._changed.notify_all()

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, _reason: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._changed:
            self._connected = False

    def _on_publish(
        self, _client: paho.Client, _data: Any, number: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        if reason.is_failure:
            _log.error("the broker refuses a message of this device: %s", reason)
        with self._changed:
            if number in self._flying:
                self._flying.discard(number)
            else:
                self._early.add(number)
            self._changed.notify_all()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            spread = telemetry_pb2.Hint.FromString(bytes(message.payload)).spread.ToSeconds()
        except Exception:  # whatever it holds, it only says "come and ask"
            spread = 0
        self._hinted(float(min(spread, 3600)))

    # The thread that publishes

    def _publish(self) -> None:
        while True:
            with self._changed:
                if not self._stop and (not self._connected or len(self._flying) >= WINDOW):
                    self._changed.wait(_IDLE_S)
                if self._stop:
                    return
                room = WINDOW - len(self._flying) if self._connected else 0
            if room and not self._publish_some(room):
                with self._changed:
                    if not self._stop:
                        self._changed.wait(_IDLE_S)

    def _publish_some(self, room: int) -> bool:
        with self._changed:
            client, identity, connects, sent = self._client, self._used, self._connects, self._sent
        rows = self._store.pending(sent, room)
        if client is None or identity is None:
            return False
        properties = _properties(PacketTypes.PUBLISH, ContentType=CONTENT_TYPE)
        for row in rows:
            name = topic(identity.device_id, f"up/{row.topic}")
            # Not under our lock: paho calls `_on_publish` under a lock of its own that `publish` takes too.
            number = client.publish(name, row.payload, 1, properties=properties).mid
            with self._changed:
                if self._client is not client:
                    return True
                if number in self._early:
                    self._early.discard(number)
                else:
                    self._flying.add(number)
                if self._connects != connects:
                    return True  # begun anew meanwhile, from the first row
                self._sent = row.number
        return bool(rows)

    def _status_topic(self, identity: Identity) -> str:
        return topic(identity.device_id, "up/status")

    def _presence(self, online: bool) -> bytes:
        return telemetry_pb2.Presence(
            boot_id=self._boot, online=online, agent_version=sanderling.__version__
        ).SerializeToString()


def _properties(kind: int, **values: object) -> Properties:
    make: Any = Properties
    made = make(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made  # type: ignore[no-any-return]


def _link_of(identity: Identity) -> tuple[str, str, str, bytes]:
    addresses = identity.addresses
    return (addresses.broker_url, addresses.broker_username, addresses.broker_password, identity.chain)
