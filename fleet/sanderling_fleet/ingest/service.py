"""Ingest: batches from the broker into the database, one transaction each, acknowledged when it is committed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from sqlalchemy.exc import InterfaceError, OperationalError

from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling_fleet.broker.topics import device_hint, sender
from sanderling_fleet.clock import Clock
from sanderling_fleet.core.telemetry import Intake, Taken, set_presences
from sanderling_fleet.core.telemetry_rows import Received
from sanderling_fleet.ingest.consumer import Consumer, Message
from sanderling_fleet.ingest.link import Link
from sanderling_fleet.store import Store, Transaction
from sanderling_fleet.wire import duration

MOST_IN_BATCH = 1000
LINGER_SECONDS = 0.25
_HINT_LIFE_SECONDS = 600
_CHECK_INS_PER_SECOND = 20
"""That hints bring about: a third of what one process answers beside everything else."""
_MOST_NAMED = 10_000
_log = logging.getLogger(__name__)


@dataclass
class Stats:
    """Since the start: messages by what became of them, and batches."""

    counted: int = 0
    repeated: int = 0
    refused: int = 0
    batches: int = 0


class Ingest:
    """Consumes what devices say for as long as it runs.

    Args:
        store: Where to.
        clock: The time.
        link: The broker.
        intake: Takes the rows; the same object serves check-ins.
        retry_seconds: Between two attempts while the database fails.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        link: Link,
        intake: Intake,
        *,
        retry_seconds: float = 1.0,
    ) -> None:
        self.stats = Stats()
        self._store = store
        self._clock = clock
        self._intake = intake
        self._retry_seconds = retry_seconds
        self._identity = link.identity
        # When all that may come without an acknowledgement is here, waiting brings no more.
        self._most = min(MOST_IN_BATCH, link.window)
        self._waiting: asyncio.Queue[Message] = asyncio.Queue()
        self._consumer = Consumer(link, self._waiting.put_nowait)
        self._task: asyncio.Task[None] | None = None
        self._under_way: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._named: set[str] = set()

    async def start(self, timeout_seconds: float | None = None) -> None:
        """Begins; with a timeout, waits until it is subscribed.

        Raises:
            TimeoutError: It was not in time.
        """
        self._consumer.start()
        self._task = asyncio.create_task(self._consume())
        if timeout_seconds is not None:
            await asyncio.wait_for(self._consumer.connected.wait(), timeout_seconds)

    async def stop(self) -> None:
        """Ends after the transaction under way; what is not committed comes again after the next start."""
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._under_way is not None:
            await self._under_way
        await self._consumer.stop()

    def hint(self, devices: Collection[str]) -> int:
        """Asks devices to check in soon, many of them spread over some time.

        Returns:
            How many were told. A device that is not told comes by itself.
        """
        # 0 leaves it to the device, which waits some seconds at random.
        spread_seconds = len(devices) // _CHECK_INS_PER_SECOND
        payload = telemetry_pb2.Hint(spread=duration(spread_seconds)).SerializeToString()
        topics = [device_hint(device) for device in devices]
        return sum(self._consumer.publish(topic, payload, _HINT_LIFE_SECONDS) for topic in topics)

    async def _consume(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while len(batch) < self._most:
                        batch.append(await self._waiting.get())
            # A stop must not fall between the commit and its acknowledgement.
            self._under_way = asyncio.create_task(self._finish(batch))
            await asyncio.shield(self._under_way)

    async def _finish(self, batch: list[Message]) -> None:
        try:
            committed = await self._commit(batch)
        except Exception:
            if len(batch) > 1:
                for message in batch:
                    await self._finish([message])
                return
            # Our own bug; it must not stop what comes after. The device keeps the row until that is committed.
            _log.exception("a message on %s could not be taken", batch[0].topic)
            self.stats.refused += 1
            committed = True
        if committed:
            self._consumer.ack(batch)

    async def _commit(self, batch: Sequence[Message]) -> bool:
        """Stores a batch, however long that takes; False if it was told to stop before."""
        while not self._stopping.is_set():
            try:
                async with self._store.transaction() as tx:
                    taken = await self._take(tx, batch)
            except (OperationalError, InterfaceError, OSError):
                # The disk is full or the database is away: messages stay with the broker until that is over.
                _log.exception("cannot store telemetry; trying again in %s s", self._retry_seconds)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._retry_seconds)
            else:
                self._note(taken)
                return True
        return False

    async def _take(self, tx: Transaction, batch: Sequence[Message]) -> Taken:
        now = self._clock.now()
        received, refused, words = [], [], {}
        for message in batch:
            device_id, kind = sender(message.topic) or ("", "")
            if not kind:
                refused.append(("", f"[ingest] {message.topic!r} is no topic of a device"))
            elif kind != "status":
                received.append(Received(device_id, message.payload, self._identity))
            else:
                try:
                    words[device_id] = telemetry_pb2.Presence.FromString(message.payload)
                except DecodeError as error:
                    refused.append((device_id, f"[ingest] status of {len(message.payload)} bytes: {error}"))
        refused += await set_presences(tx, words, self._identity, now)
        taken = await self._intake.take(tx, received, now)
        return Taken(taken.counted, taken.repeated, [*refused, *taken.refused])

    def _note(self, taken: Taken) -> None:
        self.stats.counted += taken.counted
        self.stats.repeated += taken.repeated
        self.stats.refused += len(taken.refused)
        self.stats.batches += 1
        for device_id, reason in taken.refused:
            if device_id not in self._named and len(self._named) < _MOST_NAMED:
                self._named.add(device_id)
                _log.warning("refused telemetry of %r: %s; more of it is counted and not logged", device_id, reason)
