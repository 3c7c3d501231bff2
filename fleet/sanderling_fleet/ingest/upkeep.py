"""What telemetry needs as time passes, whether anything arrives or not."""

from __future__ import annotations

import asyncio
import logging

from sanderling_fleet.broker.mosquitto import BrokerFolder
from sanderling_fleet.broker.revocation import keep_fresh, revoked_of, shut_out
from sanderling_fleet.clock import Clock
from sanderling_fleet.core.telemetry import Intake
from sanderling_fleet.ingest.link import IngestCertificate
from sanderling_fleet.store import Store

_log = logging.getLogger(__name__)


class Upkeep:
    """Looks after deadlines of fleet windows, gaps, old rows, who the broker shuts out, and certificates.

    Args:
        store: Of the fleet.
        clock: The time.
        intake: Takes the rows.
        folder: Of a Mosquitto that is to be told who is revoked; None for any other broker.
        certificate: With which ingest connects to its broker; None without one.
        every_seconds: Between two looks; the broker shuts out a revoked device so soon, ingest at once.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        intake: Intake,
        folder: BrokerFolder | None = None,
        certificate: IngestCertificate | None = None,
        every_seconds: float = 10.0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._intake = intake
        self._folder = folder
        self._certificate = certificate
        self._every_seconds = every_seconds
        self._task: asyncio.Task[None] | None = None
        self._failure = ""

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends; a transaction under way is undone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Does what is due now."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            lost = await self._intake.tend(tx, now)
            revoked = await revoked_of(tx, now) if self._folder else None
        if lost:
            _log.warning("%d rows of telemetry never came and are given up", lost)
        if self._certificate is not None and await asyncio.to_thread(self._certificate.renew, now):
            _log.info("the server's certificate for the broker is a new one")
        if self._folder is not None and revoked is not None:
            await asyncio.to_thread(shut_out, self._folder, revoked, now)
            await asyncio.to_thread(keep_fresh, self._folder, now)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
                self._failure = ""
            except Exception as error:
                # It must try again. The same failure is told once: ten seconds later it is no news.
                if str(error) != self._failure:
                    _log.exception("could not look after telemetry; trying again")
                self._failure = str(error)
            await asyncio.sleep(self._every_seconds)
