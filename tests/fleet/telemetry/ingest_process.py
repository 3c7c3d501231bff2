"""An ingest in a process of its own, which kills itself at a chosen moment; argv[1] is JSON."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from sanderling_fleet.clock import WallClock
from sanderling_fleet.core.messages import Broker
from sanderling_fleet.core.telemetry import Intake
from sanderling_fleet.ingest.consumer import Consumer
from sanderling_fleet.ingest.link import certified_link, password_link
from sanderling_fleet.ingest.service import Ingest
from sanderling_fleet.store.sql import SqlStore
from sanderling_fleet.trust.ca import CertificateAuthority


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


async def main(wanted):
    server = Path(wanted["server"])
    if wanted.get("password"):
        link = password_link(Broker(wanted["url"], wanted["username"], wanted["password"]))
    else:
        link = certified_link(wanted["url"], CertificateAuthority.load(server), server, WallClock().now())
    if wanted["die"] == "after commit":
        Consumer.ack = die
    else:
        take = Intake.take

        async def take_and_die(*args):
            await take(*args)
            die()

        Intake.take = take_and_die
    store = await SqlStore.open(Path(wanted["database"]))
    ingest = Ingest(store, WallClock(), link, Intake())
    await ingest.start(10.0)
    print("ready", flush=True)
    await asyncio.sleep(60)


asyncio.run(main(json.loads(sys.argv[1])))
