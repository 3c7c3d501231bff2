"""Samples: devices hand them in within a budget, they wait for labels, and are forgotten after a time.

A sample is a `Document`, not a row of a table of its own: there are at most some thousands, and they are found by their
job (`subject`) and whether they have a label (`state`), the indexed columns of a document. Its row is a blob. What the
model said of it is not kept at all: predictions must not become labels.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sanderling.api.device.v1 import device_pb2
from sanderling.errors import AuthError, InputError
from sanderling.versions import Manifest, check_blob
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.desired import want
from sanderling_fleet.retrain import book
from sanderling_fleet.retrain.events import LabelsArrived, SamplesArrived
from sanderling_fleet.retrain.job import Job, JobState
from sanderling_fleet.retrain.labels import Key, check_cost, class_number
from sanderling_fleet.retrain.rows import Array, SampleRows, read_array, read_arrays, write_arrays
from sanderling_fleet.store import DesiredState, Device, Document, Standing, Transaction, Version
from sanderling_fleet.store.blobs import put_blob, read_blob

KIND, USED, IMPORTED = "sample", "sample-budget", "label-import"
AWAITING, LABELLED = "awaiting label", "labelled"
MOST_AT_ONCE = 1000


@dataclass(frozen=True)
class UploadedSample:
    """One row as a device sends it; `inputs` are .npy files by input name, without the batch axis."""

    sample_id: int
    slot: str
    version: str
    window: int
    inputs: Mapping[str, bytes]
    uniform: bool
    weight: float


@dataclass(frozen=True)
class Receipt:
    """What a device may forget, and how many bytes it may still send; 0 means stop."""

    committed: tuple[int, ...]
    remaining_bytes: int


async def upload(core: Core, device_id: str, samples: Sequence[UploadedSample]) -> Receipt:
    """Takes samples for the job that collects in their slot; what came before is taken once.

    What finds no collecting job, or no room in the budget, is not committed.

    Raises:
        AuthError: The device is not active.
        InputError: A sample does not fit the model, is damaged, or came before with another row.
    """
    if len(samples) > MOST_AT_ONCE:
        raise InputError(f"[samples] {len(samples)} samples at once, at most {MOST_AT_ONCE} are taken")
    async with core.store.transaction() as tx:
        jobs = await _collecting(tx, device_id, samples)
        manifests = {slot: await _manifest(tx, job) for slot, job in jobs.items()}
    rows = [
        (sample, _checked(sample, manifests[sample.slot], device_id)) for sample in samples if sample.slot in manifests
    ]
    stored = []
    for sample, arrays in rows:
        data = write_arrays(arrays) if arrays else b""
        digest = (await put_blob(core.blobs, data)).hex() if data else ""
        stored.append((sample, digest, sum(len(part) for part in sample.inputs.values())))
    async with core.store.transaction() as tx:
        return await _commit(tx, core.clock.now(), device_id, samples, stored)


async def import_labels(
    core: Core, job_id: str, labels: Mapping[Key, str], cost: float, *, request_id: str, by: str
) -> tuple[Job, int]:
    """Takes labels; the last label of a sample holds, and the same request again costs nothing more.

    Args:
        core: The fleet.
        job_id: Whose samples they are of.
        labels: Text by (device id, sample id).
        cost: Of these labels.
        request_id: Chosen by the caller.
        by: Who says so.

    Returns:
        The job, and how many labels were of samples that it does not have.

    Raises:
        InputError: There is no such job, it takes no labels now, a label is none of the model's, or the request id is
            empty.
    """
    check_cost(cost)
    if not request_id:
        raise InputError("[label] the request id is empty: without one a repetition would be paid for twice")
    now = core.clock.now()
    async with core.store.transaction() as tx:
        job = await book.get_job(tx, job_id)
        name = f"{job_id}/{request_id}"
        imported = await tx.get(Document, IMPORTED, name)
        if imported is not None and job.state != JobState.AWAITING_LABELS:
            return job, int(imported.body["unknown"])
        manifest = await _manifest(tx, job)
        for label in set(labels.values()):
            class_number(label, manifest.labels, classes_of(manifest))
        known = {document.document_id: document for document in await tx.find(Document, _of(job_id))}
        unknown = 0
        for key, label in labels.items():
            document = known.get(_name(*key))
            if document is None:
                unknown += 1
                continue
            body = {**document.body, "label": label, "labelled_by": by}
            known[document.document_id] = dataclasses.replace(
                document, version=document.version + 1, state=LABELLED, updated_at=now, body=body
            )
            await tx.put(known[document.document_id])
        body = {"cost": cost, "unknown": unknown}
        fresh = await tx.add(Document(IMPORTED, name, 1, "", job_id, now, now, body))
        labelled = sum(document.state == LABELLED for document in known.values())
        return await book.apply(tx, now, job_id, LabelsArrived(labelled, cost if fresh else 0.0)), unknown


async def load(core: Core, job_id: str, *, labelled: bool) -> tuple[SampleRows, tuple[str, ...]]:
    """The samples of a job and their labels, in the order of their names.

    Args:
        core: The fleet.
        job_id: Whose.
        labelled: Only those with a label; else all, and no labels.

    Raises:
        InputError: The job has none.
    """
    where = _of(job_id) | ({"state": LABELLED} if labelled else {})
    async with core.store.transaction() as tx:
        bodies = [document.body for document in await tx.find(Document, where)]
    if not bodies:
        raise InputError(f"[samples] {job_id} has no {'labelled ' if labelled else ''}samples")
    parts = [read_arrays(await read_blob(core.blobs, bytes.fromhex(body["digest"])), "sample") for body in bodies]
    # Where the model leaves an extent open rows may differ, and a batch has one shape: the most frequent.
    shapes = [tuple(sorted((name, array.shape) for name, array in part.items())) for part in parts]
    common, _ = Counter(shapes).most_common(1)[0]
    bodies = [body for body, shape in zip(bodies, shapes, strict=True) if shape == common]
    parts = [part for part, shape in zip(parts, shapes, strict=True) if shape == common]
    rows = SampleRows(
        inputs={name.removeprefix("in:"): np.stack([part[name] for part in parts]) for name in parts[0]},
        device_id=np.array([body["device_id"] for body in bodies]),
        sample_id=np.array([body["sample_id"] for body in bodies], np.uint64),
        uniform=np.array([body["uniform"] for body in bodies], np.bool_),
        weight=np.array([body["weight"] for body in bodies], np.float64),
        window=np.array([body["window"] for body in bodies], np.uint64),
    )
    return rows, tuple(body["label"] for body in bodies) if labelled else ()


async def ask_devices(core: Core, tx: Transaction, slot: str, budget_bytes: int) -> int:
    """Wants of every active device with that slot that it keeps so many bytes of samples; 0 ends it.

    Returns:
        Of how many devices this is something new.
    """
    asked = 0
    for device in await tx.find(Device, {"standing": Standing.ACTIVE.value}):
        reported = next((item for item in device.slots if item["slot"] == slot), None)
        if reported is None:
            continue
        stored = await tx.get(DesiredState, device.device_id)
        last = device_pb2.DesiredState.FromString(stored.payload) if stored else device_pb2.DesiredState()
        if last.telemetry.sample_budget_bytes == budget_bytes:
            continue
        wanted = next((item for item in last.slots if item.slot == slot), None)
        if wanted is None or device.reported_counter > last.counter:
            wanted = device_pb2.DesiredSlot(
                slot=slot,
                version=reported["active_version"],
                manifest_digest=bytes.fromhex(reported["manifest_digest"]),
            )
        await want(core, tx, device.device_id, wanted, sample_budget_bytes=budget_bytes)
        asked += 1
    return asked


async def forget(core: Core, life_seconds: float) -> int:
    """Drops the samples of jobs that ended longer ago; returns how many."""
    oldest, dropped = core.clock.now() - life_seconds, 0
    async with core.store.transaction() as tx:
        for job in await book.find_jobs(tx):
            if job.open or job.ended_at > oldest:
                continue
            for kind in (KIND, USED, IMPORTED):
                for document in await tx.find(Document, {"kind": kind, "subject": job.job_id}):
                    await tx.delete(Document, *document.key())
                    dropped += kind == KIND
    return dropped


def classes_of(manifest: Manifest) -> int | None:
    """How many classes the first output has; None if its shape leaves it open."""
    shape = manifest.outputs[0].shape if manifest.outputs else ()
    return shape[-1] if shape else None


async def _collecting(tx: Transaction, device_id: str, samples: Sequence[UploadedSample]) -> dict[str, Job]:
    device = await tx.get(Device, device_id)
    if device is None or device.standing != Standing.ACTIVE:
        raise AuthError(f"[samples] {device_id} is {device.standing if device else 'unknown'}, expected active")
    jobs = {slot: await book.open_job(tx, slot) for slot in {sample.slot for sample in samples}}
    return {slot: job for slot, job in jobs.items() if job is not None and job.state == JobState.COLLECTING}


async def _manifest(tx: Transaction, job: Job) -> Manifest:
    version = await tx.get(Version, job.champion_version)
    assert version is not None, "a job's champion was in the registry when it was opened"
    return Manifest.from_bytes(version.manifest.encode())


def _checked(sample: UploadedSample, manifest: Manifest, device_id: str) -> dict[str, Array]:
    """The row by "in:NAME"; empty if it has NaN, which no model takes and so is of no use here."""
    what = f"sample {device_id}/{sample.sample_id}"
    if set(sample.inputs) != {tensor.name for tensor in manifest.inputs}:
        names = [tensor.name for tensor in manifest.inputs]
        raise InputError(f"[{what}] has inputs {sorted(sample.inputs)}, {manifest.full_name} has {names}")
    if sample.sample_id >= 1 << 63:
        raise InputError(f"[{what}] its id is above {(1 << 63) - 1}, the largest that is kept. Number samples from 1")
    if not (sample.weight >= 1.0 and np.isfinite(sample.weight)):
        raise InputError(f"[{what}] weight is {sample.weight}, expected 1 / chance, at least 1")
    arrays: dict[str, Array] = {}
    for tensor in manifest.inputs:
        data = sample.inputs[tensor.name]
        check_blob("sample.npy", data)
        array = read_array(data, what)
        wanted = tensor.shape[1:]
        fits = array.ndim == len(wanted) and all(w in (None, d) for w, d in zip(wanted, array.shape, strict=True))
        if array.dtype != np.dtype(tensor.dtype) or not fits:
            raise InputError(
                f"[{what}] {tensor.name!r} is {array.dtype}{list(array.shape)}, a row of {manifest.full_name} is "
                f"{tensor.dtype}{list(wanted)}"
            )
        arrays[f"in:{tensor.name}"] = array
    has_nan = any(array.dtype.kind == "f" and np.isnan(array).any() for array in arrays.values())
    return {} if has_nan else arrays


async def _commit(
    tx: Transaction,
    now: float,
    device_id: str,
    samples: Sequence[UploadedSample],
    stored: Sequence[tuple[UploadedSample, str, int]],
) -> Receipt:
    jobs = await _collecting(tx, device_id, samples)
    used = {slot: await _used(tx, job, device_id, now) for slot, job in jobs.items()}
    committed = [sample.sample_id for sample in samples if await _is_known(tx, device_id, sample, stored)]
    fresh: dict[str, list[int]] = {slot: [] for slot in jobs}
    for sample, digest, size in stored:
        if sample.slot not in jobs or sample.sample_id in committed:
            continue
        job, spent = jobs[sample.slot], used[sample.slot].body["bytes"]
        full = job.samples + len(fresh[sample.slot]) >= job.plan.most_samples
        if full or spent + size > job.plan.device_budget_bytes:
            continue
        committed.append(sample.sample_id)
        if not digest:
            continue
        document = _document(device_id, job, sample, digest, size, now)
        await tx.put(document)
        fresh[sample.slot].append(size)
        used[sample.slot] = dataclasses.replace(used[sample.slot], body={"bytes": spent + size})
    for slot, sizes in fresh.items():
        if sizes:
            await tx.put(dataclasses.replace(used[slot], version=used[slot].version + 1, updated_at=now))
            jobs[slot] = await book.apply(tx, now, jobs[slot].job_id, SamplesArrived(len(sizes), sum(sizes)))
    remaining = [
        job.plan.device_budget_bytes - used[slot].body["bytes"]
        for slot, job in jobs.items()
        if job.state == JobState.COLLECTING
    ]
    return Receipt(tuple(committed), max(remaining, default=0))


async def _used(tx: Transaction, job: Job, device_id: str, now: float) -> Document:
    name = f"{job.job_id}/{device_id}"
    known = await tx.get(Document, USED, name)
    return known or Document(USED, name, 0, "", job.job_id, now, now, {"bytes": 0})


async def _is_known(
    tx: Transaction, device_id: str, sample: UploadedSample, stored: Sequence[tuple[UploadedSample, str, int]]
) -> bool:
    document = await tx.get(Document, KIND, _name(device_id, sample.sample_id))
    if document is None:
        return False
    for other, digest, _ in stored:
        if other is sample and digest != document.body["digest"]:
            raise InputError(
                f"[samples] {device_id} sent sample {sample.sample_id} before, with another row "
                f"({document.body['digest'][:16]}, now {digest[:16] or 'NaN'}). A device numbers its samples for ever"
            )
    return True


def _document(device_id: str, job: Job, sample: UploadedSample, digest: str, size: int, now: float) -> Document:
    body: dict[str, Any] = {
        "device_id": device_id,
        "sample_id": sample.sample_id,
        "version": sample.version,
        "window": sample.window,
        "uniform": sample.uniform,
        "weight": sample.weight,
        "digest": digest,
        "bytes": size,
        "label": "",
        "labelled_by": "",
    }
    return Document(KIND, _name(device_id, sample.sample_id), 1, AWAITING, job.job_id, now, now, body)


def _name(device_id: str, sample_id: int) -> str:
    return f"{device_id}/{sample_id:020d}"


def _of(job_id: str) -> dict[str, Any]:
    return {"kind": KIND, "subject": job_id}
