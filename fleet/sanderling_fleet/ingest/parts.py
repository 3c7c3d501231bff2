"""Telemetry as a part of the fleet server: broker, ingest, check-ins and upkeep around one intake."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection
from pathlib import Path

from sanderling_fleet.broker.embedded import EmbeddedBroker
from sanderling_fleet.broker.mosquitto import BrokerFolder
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.messages import Broker
from sanderling_fleet.ingest.link import certified_link, password_link
from sanderling_fleet.ingest.service import Ingest
from sanderling_fleet.ingest.upkeep import Upkeep

EMBEDDED = "embedded"


class TelemetryParts:
    """Starts and stops them with the server.

    Args:
        core: The fleet; it learns the broker's address, and hands over the telemetry of check-ins.
        server: The fleet's folder server/.
        broker: "mqtts://HOST:PORT", "embedded", or empty for none: then telemetry comes with check-ins only.
    """

    def __init__(self, core: Core, server: Path, broker: str = "") -> None:
        self.ingest: Ingest | None = None
        self._core = core
        self._server = server
        self._broker = broker
        self._embedded: EmbeddedBroker | None = None
        self._upkeep: Upkeep | None = None

    async def start(self) -> None:
        """Starts the broker if it is embedded, and begins to connect; devices are told its address from now on.

        Raises:
            InputError: The broker's URL cannot be used.
            TransportError: The embedded broker did not start.
            UnsupportedError: There is no embedded broker for this machine.
        """
        certificate = None
        if self._broker == EMBEDDED:
            self._embedded = EmbeddedBroker(self._server)
            await asyncio.to_thread(self._embedded.start)
            address = self._embedded.address
            link = password_link(address)
        elif self._broker:
            address = Broker(self._broker)
            link = certified_link(self._broker, self._core.authority, self._server, self._core.clock.now())
            certificate = link.certificate
        if self._broker:
            settings = self._core.settings
            addresses = dataclasses.replace(settings.addresses, broker=address)
            self._core.settings = dataclasses.replace(settings, addresses=addresses)
            self.ingest = Ingest(self._core.store, self._core.clock, link, self._core.telemetry)
            await self.ingest.start()
        folder = self._server.parent / "broker"
        mosquitto = BrokerFolder(folder, self._server) if (folder / "mosquitto.conf").exists() else None
        self._upkeep = Upkeep(self._core.store, self._core.clock, self._core.telemetry, mosquitto, certificate)
        self._upkeep.start()

    async def stop(self) -> None:
        """Ends what `start` began; the store stays open. Repeats safely."""
        if self._upkeep is not None:
            await self._upkeep.stop()
        if self.ingest is not None:
            await self.ingest.stop()
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.stop)

    async def look(self) -> None:
        """Does what is due now, without waiting for the next look; the parts have been started."""
        assert self._upkeep is not None
        await self._upkeep.look()

    def hint(self, devices: Collection[str]) -> None:
        """Asks devices to check in soon; without a broker they come by themselves."""
        if self.ingest is not None:
            self.ingest.hint(devices)
