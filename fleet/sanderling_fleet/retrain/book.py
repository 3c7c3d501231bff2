"""Jobs in the store: opened, moved by events, found. Alerts follow a job's state."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping

from sanderling.errors import InputError
from sanderling.versions import split_version
from sanderling_fleet.core.alerts import raise_alert, resolve_alert
from sanderling_fleet.core.context import Core
from sanderling_fleet.retrain.events import Cancelled, Event, Published
from sanderling_fleet.retrain.job import Job, JobState, Plan, from_body, to_body
from sanderling_fleet.retrain.jobs import alert_of, opened, step
from sanderling_fleet.store import Device, Document, Standing, Transaction, Version

KIND = "retrain-job"


async def start(core: Core, plans: Mapping[str, Plan], *, request_id: str, slot: str, trigger: str) -> Job:
    """Opens a job; the same request id again gives the same job.

    Args:
        core: The fleet.
        plans: Of the models that this server can retrain, by name.
        request_id: Chosen by the caller.
        slot: Whose model is to be retrained.
        trigger: Who or what asks, and why.

    Raises:
        InputError: No device runs a version in that slot, its model has no configuration, the slot has an open job, or
            the request id was used for another slot.
    """
    if not request_id or not slot:
        raise InputError(f"[retrain] request id {request_id!r} and slot {slot!r}: both are needed")
    job_id = "job-" + hashlib.sha256(request_id.encode()).hexdigest()[:12]
    now = core.clock.now()
    async with core.store.transaction() as tx:
        known = await tx.get(Document, KIND, job_id)
        if known is not None:
            if known.subject != slot:
                raise InputError(f"[retrain] request {request_id!r} was for slot {known.subject!r}, now for {slot!r}")
            return from_body(known.body)
        other = await open_job(tx, slot)
        if other is not None:
            raise InputError(f"[retrain] slot {slot!r} has an open job: {other.job_id} is {other.state}. Await its end")
        champion = await champion_of(tx, slot)
        model, _ = split_version(champion)
        if model not in plans:
            raise InputError(
                f"[retrain] {model!r}, which runs in slot {slot!r}, has no configuration here, there are "
                f"{', '.join(sorted(plans)) or 'none'}. Add it to retrain.toml"
            )
        job = opened(job_id, slot, champion, trigger, plans[model], now)
        await tx.put(Document(KIND, job_id, 1, job.state.value, slot, now, now, to_body(job)))
    return job


async def champion_of(tx: Transaction, slot: str) -> str:
    """The version that most active devices run in a slot; of two as frequent the later released.

    Raises:
        InputError: None is known to run there.
    """
    counts: Counter[str] = Counter()
    for device in await tx.find(Device, {"standing": Standing.ACTIVE.value}):
        counts.update(item["active_version"] for item in device.slots if item["slot"] == slot)
    known = [version for name in counts if (version := await tx.get(Version, name)) is not None]
    if not known:
        raise InputError(
            f"[retrain] no active device runs a known version in slot {slot!r}, they run "
            f"{', '.join(sorted(counts)) or 'nothing'}. See: sanderling device ls"
        )
    return max(known, key=lambda version: (counts[version.name], version.release_counter)).name


async def get_job(tx: Transaction, job_id: str) -> Job:
    """A job.

    Raises:
        InputError: There is none of that id.
    """
    return from_body((await _document(tx, job_id)).body)


async def find_jobs(tx: Transaction, *, slot: str = "", state: JobState | None = None) -> list[Job]:
    """Jobs of one slot or all, in one state or all, oldest first."""
    where = {"kind": KIND}
    if slot:
        where["subject"] = slot
    if state is not None:
        where["state"] = state.value
    jobs = [from_body(document.body) for document in await tx.find(Document, where)]
    return sorted(jobs, key=lambda job: (job.created_at, job.job_id))


async def open_job(tx: Transaction, slot: str) -> Job | None:
    """The job of a slot that has not ended; there is at most one."""
    return next((job for job in await find_jobs(tx, slot=slot) if job.open), None)


async def apply(tx: Transaction, now: float, job_id: str, event: Event) -> Job:
    """Moves a job.

    Raises:
        InputError: There is no such job, or the event means nothing in its state.
    """
    document = await _document(tx, job_id)
    before = from_body(document.body)
    after = step(before, event, now)
    if after == before:
        return after
    await tx.put(
        dataclasses.replace(
            document,
            version=document.version + 1,
            state=after.state.value,
            updated_at=now,
            body=to_body(after),
        )
    )
    if after.state != before.state:
        former = alert_of(before)
        if former is not None:
            await resolve_alert(tx, now, former.kind, job_id)
        alert = alert_of(after)
        if alert is not None:
            await raise_alert(tx, now, alert, job_id)
    return after


async def notice_published(tx: Transaction, now: float) -> None:
    """Ends the jobs whose drafts are in the registry: someone signed them."""
    for job in await find_jobs(tx, state=JobState.DRAFT):
        version = await tx.get(Version, job.draft_version)
        if version is not None and version.manifest_digest.hex() == job.draft_manifest:
            await apply(tx, now, job.job_id, Published(version.role))


async def notice_withdrawn(tx: Transaction, now: float) -> None:
    """Cancels the jobs whose champion was withdrawn: there is nothing left to compare with or to come from."""
    for job in await find_jobs(tx):
        if job.open:
            version = await tx.get(Version, job.champion_version)
            if version is None or version.withdrawn:
                await apply(tx, now, job.job_id, Cancelled(f"{job.champion_version} was withdrawn"))


async def _document(tx: Transaction, job_id: str) -> Document:
    document = await tx.get(Document, KIND, job_id)
    if document is None:
        raise InputError(f"[retrain] there is no job {job_id!r}. List them: sanderling retrain ls")
    return document
