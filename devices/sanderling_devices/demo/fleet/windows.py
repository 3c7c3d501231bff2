"""What devices say of their windows, heard on the fleet's broker as its server hears it."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from google.protobuf.message import DecodeError
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from sanderling.agent.identity import Identity
from sanderling.agent.mqtt import topic
from sanderling.api.telemetry.v1 import telemetry_pb2

QUIET, FAULT, MOVED = "quiet", "sensor fault", "moved"
_WORDS = {
    telemetry_pb2.DEVICE_VERDICT_WARMING_UP: "warming up",
    telemetry_pb2.DEVICE_VERDICT_QUIET: QUIET,
    telemetry_pb2.DEVICE_VERDICT_SENSOR_FAULT: FAULT,
    telemetry_pb2.DEVICE_VERDICT_MOVED: MOVED,
}


class Heard:
    """Verdicts of devices on their own windows, as they come; none before `listen`."""

    def __init__(self) -> None:
        self._client: paho.Client | None = None
        self._said: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
        self._last: dict[str, str] = {}

    def listen(self, identity: Path) -> None:
        """Subscribes, with a device's own access to the embedded broker.

        Args:
            identity: Folder of the device's identity.
        """
        addresses = Identity.load(identity).addresses
        client = paho.Client(CallbackAPIVersion.VERSION2, "sanderling demo", protocol=paho.MQTTv5)
        client.username_pw_set(addresses.broker_username, addresses.broker_password)
        client.on_connect, client.on_message = self._connected, self._received
        url = urlsplit(addresses.broker_url)
        client.connect_async(url.hostname or "127.0.0.1", url.port or 1883)
        self._client = client
        client.loop_start()

    def close(self) -> None:
        """Hears no more."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()

    def last(self, device_id: str) -> str:
        """The latest verdict of a device; empty before the first."""
        return self._last.get(device_id, "")

    def of(self, device_id: str, version: str) -> Mapping[int, str]:
        """A device's verdicts by the number of its window of a version; the first is 1."""
        return dict(self._said[device_id, version])

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, _reason: ReasonCode, _more: Any) -> None:
        client.subscribe(topic("+", "up/drift"), 1)

    def _received(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        with contextlib.suppress(DecodeError):
            said = telemetry_pb2.Envelope.FromString(bytes(message.payload))
            device_id, word = message.topic.split("/")[3], _WORDS.get(said.drift.verdict, "")
            self._said[device_id, said.version][said.drift.window] = word
            self._last[device_id] = word


def first(said: Mapping[int, str], word: str, window: int) -> int | None:
    """The first window with a verdict, from a window on; None if there is none."""
    return min((number for number, given in said.items() if number >= window and given == word), default=None)
