"""The MQTT side: a connection in paho's thread, messages handed to asyncio, acknowledged when told so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from sanderling_fleet.broker.topics import CONTENT_TYPE, SHARED, UP, up
from sanderling_fleet.ingest.link import Link

CLIENT_ID = "sanderling fleet server"
"""The same after a restart, so that the broker hands over what the last process did not acknowledge. A broker that
names clients by their certificates calls it so anyway."""

_KEEP_ALIVE_SECONDS = 30
_SESSION_SECONDS = 86400
_RETRY_SECONDS = (1, 30)
_REFUSED = 0x80
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """One publication.

    Attributes:
        topic: Where.
        payload: What.
        mid: Names it in its connection.
        connection: Counts connections: an acknowledgement belongs to the one that brought the message.
    """

    topic: str
    payload: bytes
    mid: int
    connection: int


class Consumer:
    """Subscribes to what devices say, and connects again for as long as it runs.

    The broker sends at most `link.window` messages before it has acknowledgements: while the database is slow, what
    devices say waits there and not in this process. What was published at QoS 0 is not taken.

    Args:
        link: The broker.
        on_message: Gets each message, in the event loop that called `start`.
    """

    def __init__(self, link: Link, on_message: Callable[[Message], None]) -> None:
        self._link = link
        self._on_message = on_message
        self._connection = 0
        self._told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.connected = asyncio.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, CLIENT_ID, protocol=paho.MQTTv5, manual_ack=True)
        if link.context is not None:
            client.tls_set_context(link.context)
        if link.username:
            client.username_pw_set(link.username, link.password)
        client.reconnect_delay_set(*_RETRY_SECONDS)
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_connect_fail = self._failed
        client.on_subscribe, client.on_message = self._subscribed, self._received
        self._client = client

    def start(self) -> None:
        """Begins to connect; `connected` is set while it is subscribed."""
        self._loop = asyncio.get_running_loop()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_SECONDS
        properties.ReceiveMaximum = self._link.window
        self._client.connect_async(
            self._link.host, self._link.port, _KEEP_ALIVE_SECONDS, clean_start=False, properties=properties
        )
        self._client.loop_start()

    async def stop(self) -> None:
        """Disconnects; what was not acknowledged comes again to the next process."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def ack(self, messages: Iterable[Message]) -> None:
        """Lets the broker forget messages."""
        for message in messages:
            # In another connection the same number may name a message that is not stored yet.
            if message.connection == self._connection:
                self._client.ack(message.mid, 1)

    def publish(self, topic: str, payload: bytes, expiry_seconds: int) -> bool:
        """Sends at QoS 1; False, and nothing is sent, while there is no connection."""
        if not self._client.is_connected():
            return False
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = expiry_seconds
        properties.ContentType = CONTENT_TYPE
        return self._client.publish(topic, payload, 1, properties=properties).rc == paho.MQTT_ERR_SUCCESS

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            _log.error("the broker at %s:%d refused the server: %s", self._link.host, self._link.port, reason)
            return
        self._connection += 1
        self._told = False
        prefix = SHARED if self._link.shared else ""
        client.subscribe([*((prefix + up("+", kind), 1) for kind in UP), (up("+", "status"), 1)])

    def _failed(self, _client: paho.Client, _data: Any) -> None:
        if not self._told:
            self._told = True
            _log.warning("cannot reach the broker at %s:%d; trying again", self._link.host, self._link.port)

    def _subscribed(self, _client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _more: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.value >= _REFUSED]
        if refused:
            _log.error("the broker refused a subscription: %s. Check its access control", ", ".join(refused))
        else:
            self._tell(self.connected.set)

    def _disconnected(self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _more: Any) -> None:
        _log.info("disconnected from the broker: %s", reason)
        self._tell(self.connected.clear)

    def _received(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.qos == 0:
            # It waits nowhere, so nothing bounds how many come, and it has no number that could be acknowledged: a
            # broker ends the connection of who does. Its device sends the row again, since it is never committed.
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # of no device
        handed = Message(topic, bytes(message.payload), message.mid, self._connection)
        self._tell(self._on_message, handed)

    def _tell(self, call: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(call, *args)
