"""Does what the state of each job asks for, again and again: whatever a dead server left undone is done by the next."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

from sanderling.errors import SanderlingError
from sanderling.versions import split_version
from sanderling_fleet.core import samples
from sanderling_fleet.core.context import Core
from sanderling_fleet.retrain import book, work, worker
from sanderling_fleet.retrain.config import ModelConfig
from sanderling_fleet.retrain.events import Event, SamplesFiled, TimePassed, WorkBegan, WorkFailed, WorkMoved
from sanderling_fleet.retrain.job import Job, JobState, Plan
from sanderling_fleet.retrain.rows import write_rows
from sanderling_fleet.store import Document, Transaction
from sanderling_fleet.store.blobs import put_blob
from sanderling_fleet.trust.keys import private_folder

_log = logging.getLogger(__name__)
_SAMPLING = "sampling"
_WORK = {JobState.TRAINING: work.train, JobState.GATING: work.judge}
SAMPLE_LIFE_SECONDS = 90 * 86400.0
LOOK_SECONDS = 5.0
_FORGET_LOOK_SECONDS = 3600.0


class Retrainer:
    """Drives the jobs of one server; one process at a time trains or judges.

    Attributes:
        models: Which can be retrained, by name.
    """

    def __init__(self, core: Core, models: Mapping[str, ModelConfig], folder: Path) -> None:
        """Works in `folder`, of which nothing is needed after a job has ended."""
        self.models = models
        self._core = core
        self._folder = private_folder(folder)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._one = asyncio.Lock()
        self._woken = asyncio.Event()
        self._forget_at = 0.0

    @property
    def plans(self) -> dict[str, Plan]:
        """How much a job of each model may take."""
        return {name: config.plan for name, config in self.models.items()}

    def wake(self) -> None:
        """Something was done to a job: look at once."""
        self._woken.set()

    async def run(self) -> None:
        """Looks until it is cancelled, which kills what is under way; a later server begins that again."""
        try:
            while True:
                self._woken.clear()
                try:
                    await self.look()
                except Exception:
                    # One job that cannot be read must not end the retraining of all others.
                    _log.exception("could not look after the retraining jobs")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Kills what is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Waits until no work is under way."""
        while tasks := [task for task in self._running.values() if not task.done()]:
            await asyncio.wait(tasks)

    async def look(self) -> None:
        """Looks once at every job: deadlines, what devices are asked for, what is to be begun and what to be ended."""
        now = self._core.clock.now()
        async with self._core.store.transaction() as tx:
            await book.notice_published(tx, now)
            await book.notice_withdrawn(tx, now)
            for job in await book.find_jobs(tx):
                if job.open:
                    await book.apply(tx, now, job.job_id, TimePassed())
            jobs = await book.find_jobs(tx)
            await self._ask_devices(tx, jobs)
        for job in jobs:
            try:
                if job.state == JobState.AWAITING_LABELS and not job.samples_digest:
                    await self._file_samples(job)
                await self._tend(job)
            except Exception:
                _log.exception("could not look after %s", job.job_id)  # and after the others all the same
        if now >= self._forget_at:
            self._forget_at = now + _FORGET_LOOK_SECONDS
            await samples.forget(self._core, SAMPLE_LIFE_SECONDS)

    async def _ask_devices(self, tx: Transaction, jobs: list[Job]) -> None:
        budgets = {job.slot: 0 for job in jobs}
        budgets |= {job.slot: job.plan.device_budget_bytes for job in jobs if job.state == JobState.COLLECTING}
        now = self._core.clock.now()
        for slot, budget in budgets.items():
            asked = await tx.get(Document, _SAMPLING, slot)
            before = asked.body["bytes"] if asked else 0
            if budget or before:
                # While a job collects, devices that came since are asked too.
                await samples.ask_devices(self._core, tx, slot, budget)
            if budget != before:
                fresh = asked or Document(_SAMPLING, slot, 0, "", slot, now, now, {})
                await tx.put(
                    dataclasses.replace(fresh, version=fresh.version + 1, updated_at=now, body={"bytes": budget})
                )

    async def _file_samples(self, job: Job) -> None:
        rows, _ = await samples.load(self._core, job.job_id, labelled=False)
        digest = await put_blob(self._core.blobs, write_rows(rows))
        async with self._core.store.transaction() as tx:
            current = await book.get_job(tx, job.job_id)
            if current.state == JobState.AWAITING_LABELS:
                await book.apply(tx, self._core.clock.now(), job.job_id, SamplesFiled(digest.hex()))

    async def _tend(self, job: Job) -> None:
        task = self._running.get(job.job_id)
        if task is not None and task.done():
            del self._running[job.job_id]
            task = None
        if job.state in _WORK and task is None:
            self._running[job.job_id] = asyncio.create_task(self._work(job.job_id))
        elif job.state not in _WORK and task is not None:
            task.cancel()
        elif not job.open and (self._folder / job.job_id).exists():
            await asyncio.to_thread(worker.discard, self._folder / job.job_id)

    async def _work(self, job_id: str) -> None:
        async with self._one:
            while True:
                job = await self._move(job_id, WorkBegan())
                if job is None or job.state not in _WORK:
                    return
                moved = await self._move(job_id, await self._attempt(job))
                if moved is None or moved.state not in _WORK:
                    self.wake()
                    return

    async def _attempt(self, job: Job) -> Event:
        """Trains or judges; whatever goes wrong in it is the job's failure, not the server's."""
        config = self.models.get(split_version(job.champion_version)[0])
        if config is None:
            return WorkFailed(f"{job.champion_version} is no longer in retrain.toml", job.log_tail, again=False)
        told: asyncio.Queue[tuple[float, str] | None] = asyncio.Queue()
        saving = asyncio.create_task(self._save_progress(job.job_id, told))
        try:
            folder = self._folder / job.job_id
            return await _WORK[job.state](
                self._core, job, config, folder, lambda progress, tail: told.put_nowait((progress, tail))
            )
        except SanderlingError as error:
            return WorkFailed(str(error), job.log_tail, again=False)
        except Exception as error:
            _log.exception("%s of %s failed", job.state, job.job_id)
            return WorkFailed(f"{job.state} failed by a fault of the server's: {error!r}", job.log_tail, again=True)
        finally:
            # Not cancelled: it may be in the middle of a transaction.
            told.put_nowait(None)
            await saving

    async def _save_progress(self, job_id: str, told: asyncio.Queue[tuple[float, str] | None]) -> None:
        while (moved := await told.get()) is not None:
            await self._move(job_id, WorkMoved(*moved))

    async def _move(self, job_id: str, event: Event) -> Job | None:
        """Applies an event of work; None if the job has ended meanwhile, which is no error."""
        async with self._core.store.transaction() as tx:
            job = await book.get_job(tx, job_id)
            if job.state not in _WORK:
                return None
            return await book.apply(tx, self._core.clock.now(), job_id, event)
