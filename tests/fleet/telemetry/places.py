"""A broker, a database and an ingest between them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from brokers import WAIT_SECONDS, Client
from envelopes import device

from sanderling_fleet.broker.topics import up
from sanderling_fleet.clock import WallClock
from sanderling_fleet.core.telemetry import Intake
from sanderling_fleet.ingest.link import password_link
from sanderling_fleet.ingest.service import Ingest
from sanderling_fleet.store import MetricsRow, TelemetryProgress
from sanderling_fleet.store.sql import SqlStore

HERE = Path(__file__).parent
DEVICES = ("dv-1", "dv-2")


class Place:
    """A broker and a database, and what a test does with them."""

    def __init__(self, folder: Path, machines=None, mosquitto=None, embedded=None):
        self.folder, self.machines, self.mosquitto, self.embedded = folder, machines, mosquitto, embedded
        self.database = folder / "fleet.db"
        self.intake = Intake()

    def link(self):
        return self.mosquitto.link() if self.mosquitto else password_link(self.embedded.address)

    def client(self, name, **wanted):
        if self.mosquitto:
            return self.mosquitto.client(self.machines.context(self.machines.devices[name]), **wanted)
        address = self.embedded.address
        return Client(int(address.url.rpartition(":")[2]), login=(address.username, address.password), **wanted)

    def process(self, die):
        """An ingest that kills itself."""
        wanted = {"database": str(self.database), "die": die}
        if self.mosquitto:
            wanted |= {"server": str(self.machines.server), "url": self.mosquitto.url}
        else:
            wanted |= {"server": str(self.folder), **dataclasses.asdict(self.embedded.address)}
        command = [sys.executable, HERE / "ingest_process.py", json.dumps(wanted)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        return process

    @contextlib.asynccontextmanager
    async def running(self):
        async with self.store() as store:
            ingest = Ingest(store, WallClock(), self.link(), self.intake, retry_seconds=0.05)
            await ingest.start(WAIT_SECONDS)
            try:
                yield ingest, store
            finally:
                await ingest.stop()

    @contextlib.asynccontextmanager
    async def store(self):
        store = await SqlStore.open(self.database)
        async with store.transaction() as tx:
            for name in DEVICES:
                await tx.add(device(name))
        try:
            yield store
        finally:
            await store.close()


async def until(condition):
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():
            await asyncio.sleep(0.02)


async def stored(store):
    async with store.transaction() as tx:
        through = {item.device_id: item.sequence for item in await tx.find(TelemetryProgress)}
        rows = [(row.device_id, row.sequence, row.identity) for row in await tx.find(MetricsRow)]
    return through, rows


def publish(client, name, *messages):
    for message in messages:
        assert client.publish(up(name, "metrics"), message.SerializeToString()) == 0


async def equal(value, wanted):
    return value() == wanted


async def through_is(store, name, wanted):
    return (await stored(store))[0].get(name, 0) == wanted
