"""Samples: devices hand them in within a budget, they wait for labels, and are forgotten after a time.

A sample is a `Document`, not a row of a table of its own: there are at most some thousands, and they are found by their
job (`subject`) and whether they have a label (`state`), the indexed columns of a document. Its row is a blob. What the
model said of it is not kept at all: predictions must not become labels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sanderling.api.device.v1 import device_pb2
from sanderling.errors import AuthError, InputError, IntegrityError
from sanderling.versions import Manifest, check_blob
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.core import blob_names
from sanderling_fleet.core.alerts import raise_alert
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
REFUSED_ALERT = "samples.refused"
MOST_AT_ONCE = 1000
_MOST_NAME, _MOST_REASON = 256, 300
_log = logging.getLogger(__name__)


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


@dataclass
class _Row:
    """A sample on its way: its blob is empty where the row is not kept."""

    sample: UploadedSample
    data: bytes
    size: int
    refused: str = ""

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.data).digest()


@dataclass
class _Choice:
    """What is to become of an upload."""

    committed: set[int]
    refused: list[_Row]
    taken: dict[str, list[_Row]]


async def upload(core: Core, device_id: str, samples: Sequence[UploadedSample]) -> Receipt:
    """Takes samples for the job that collects in their slot; what came before is taken once.

    What finds no collecting job, or no room in the budget, is not committed. A sample that does not fit the model, is
    damaged, or came before with another row is refused: it is not kept, an alert names its device and counts it, and
    the device may forget it like the others.

    Raises:
        AuthError: The device is not active.
        InputError: There are too many at once.
    """
    if len(samples) > MOST_AT_ONCE:
        raise InputError(f"[samples] {len(samples)} samples at once, at most {MOST_AT_ONCE} are taken")
    async with core.store.transaction() as tx:
        jobs = await _collecting(tx, device_id, samples)
        manifests = {slot: await _manifest(tx, job) for slot, job in jobs.items()}
    rows = [_row(sample, manifests[sample.slot], device_id) for sample in samples if sample.slot in manifests]
    # A blob is on the disk before anything names it, and none is put there that the budget has no room for.
    async with core.store.transaction() as tx:
        choice = await _choose(core, tx, device_id, rows, await _collecting(tx, device_id, samples))
    chosen = [row for taken in choice.taken.values() for row in taken]
    for row in chosen:
        await put_blob(core.blobs, row.data)
    async with core.store.transaction() as tx:
        return await _commit(core, tx, device_id, rows, chosen, await _collecting(tx, device_id, samples))


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
    """Drops the samples of jobs that ended longer ago, and the files that those jobs made; returns how many samples."""
    oldest, dropped = core.clock.now() - life_seconds, 0
    async with core.store.transaction() as tx:
        jobs = await book.find_jobs(tx)
        old = [job for job in jobs if not job.open and job.ended_at <= oldest]
        let_go: set[bytes] = set()
        for job in old:
            let_go |= blob_names.of_job(job)
            for kind in (KIND, USED, IMPORTED):
                documents = await tx.find(Document, {"kind": kind, "subject": job.job_id})
                await tx.delete_all(Document, [document.key() for document in documents])
                if kind == KIND:
                    dropped += len(documents)
                    let_go |= blob_names.of_samples(documents)
        await _delete_unnamed(core, tx, let_go, [job for job in jobs if job not in old])
    return dropped


async def _delete_unnamed(core: Core, tx: Transaction, digests: set[bytes], jobs: Sequence[Job]) -> None:
    """Deletes blobs that no sample, none of these jobs and no model names: in this transaction, so that it stays so."""
    there = {digest for digest in digests if await core.blobs.size(digest) is not None}
    if there:
        named = await blob_names.of_models(tx) | blob_names.of_samples(await tx.find(Document, {"kind": KIND}))
        for job in jobs:
            named |= blob_names.of_job(job)
        for digest in sorted(there - named):
            await core.blobs.delete(digest)


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


def _row(sample: UploadedSample, manifest: Manifest, device_id: str) -> _Row:
    size = sum(len(part) for part in sample.inputs.values())
    try:
        arrays = _checked(sample, manifest, device_id)
    except (InputError, IntegrityError) as error:
        return _Row(sample, b"", size, str(error))
    return _Row(sample, write_arrays(arrays) if arrays else b"", size)


def _checked(sample: UploadedSample, manifest: Manifest, device_id: str) -> dict[str, Array]:
    """The row by "in:NAME"; empty if it has NaN, which no model takes and so is of no use here."""
    what = f"sample {device_id}/{sample.sample_id}"
    if set(sample.inputs) != {tensor.name for tensor in manifest.inputs}:
        names = [tensor.name for tensor in manifest.inputs]
        raise InputError(f"[{what}] has inputs {sorted(sample.inputs)}, {manifest.full_name} has {names}")
    if sample.sample_id >= 1 << 63:
        raise InputError(f"[{what}] its id is above {(1 << 63) - 1}, the largest that is kept. Number samples from 1")
    if len(sample.version) > _MOST_NAME:
        raise InputError(
            f"[{what}] names a version of {len(sample.version):,} characters, at most {_MOST_NAME} are taken"
        )
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


async def _choose(
    core: Core,
    tx: Transaction,
    device_id: str,
    rows: Sequence[_Row],
    jobs: Mapping[str, Job],
    held: Collection[bytes] | None = None,
) -> _Choice:
    """Which rows are known, refused, or taken by their jobs now, of those whose blobs are held."""
    now = core.clock.now()
    names = {row.sample.sample_id: _name(device_id, row.sample.sample_id) for row in rows}
    stored = await tx.get_all(Document, [(KIND, name) for name in names.values()])
    digests = {key[1]: document.body["digest"] for key, document in stored.items()}
    left = {slot: job.plan.device_budget_bytes for slot, job in jobs.items()}
    for slot, job in jobs.items():
        left[slot] -= (await _used(tx, job, device_id, now)).body["bytes"]
    choice = _Choice(set(), [], {slot: [] for slot in jobs})
    for row in rows:
        slot, sample_id = row.sample.slot, row.sample.sample_id
        if slot not in jobs:
            continue
        known = digests.get(names[sample_id])
        if not row.refused and known is not None and known != row.digest.hex():
            row.refused = (
                f"[samples] {device_id} sent sample {sample_id} before, with another row ({known[:16]}, now "
                f"{row.digest.hex()[:16] if row.data else 'NaN'}). A device numbers its samples for ever"
            )
        if row.refused:
            choice.refused.append(row)
        elif known is None and row.data:
            full = jobs[slot].samples + len(choice.taken[slot]) >= jobs[slot].plan.most_samples
            if full or row.size > left[slot] or (held is not None and row.digest not in held):
                continue
            left[slot] -= row.size
            choice.taken[slot].append(row)
            digests[names[sample_id]] = row.digest.hex()
        choice.committed.add(sample_id)
    return choice


async def _commit(
    core: Core,
    tx: Transaction,
    device_id: str,
    rows: Sequence[_Row],
    held: Sequence[_Row],
    jobs: dict[str, Job],
) -> Receipt:
    """Takes those rows whose blobs are held, if there is still room for them."""
    now = core.clock.now()
    digests = {row.digest for row in held}
    # Retention may have let go of one that was there already: its device sends it again.
    there = {digest for digest in digests if await core.blobs.size(digest) is not None}
    choice = await _choose(core, tx, device_id, rows, jobs, there)
    for slot, taken in choice.taken.items():
        if taken:
            used, size = await _used(tx, jobs[slot], device_id, now), sum(row.size for row in taken)
            body = {"bytes": used.body["bytes"] + size}
            await tx.put(dataclasses.replace(used, version=used.version + 1, updated_at=now, body=body))
            await tx.put_all(_document(device_id, jobs[slot], row, now) for row in taken)
            jobs[slot] = await book.apply(tx, now, jobs[slot].job_id, SamplesArrived(len(taken), size))
    # Another upload of the same device was faster with the budget.
    in_vain = digests - {row.digest for taken in choice.taken.values() for row in taken}
    if in_vain:
        await _delete_unnamed(core, tx, in_vain, await book.find_jobs(tx))
    if choice.refused:
        await _tell(tx, device_id, choice.refused, now)
    remaining = [
        job.plan.device_budget_bytes - (await _used(tx, job, device_id, now)).body["bytes"]
        for job in jobs.values()
        if job.state == JobState.COLLECTING
    ]
    return Receipt(tuple(sorted(choice.committed)), max(remaining, default=0))


async def _tell(tx: Transaction, device_id: str, refused: Sequence[_Row], now: float) -> None:
    first = f"sample {refused[0].sample.sample_id}: {refused[0].refused[:_MOST_REASON]}"
    summary = f"{device_id}: {len(refused)} samples refused, the first {first}"
    await raise_alert(
        tx, now, Alert(REFUSED_ALERT, Severity.WARNING, summary, (device_id,)), device_id, times=len(refused)
    )
    _log.warning("refused %d samples of %s: %s", len(refused), device_id, first)


async def _used(tx: Transaction, job: Job, device_id: str, now: float) -> Document:
    name = f"{job.job_id}/{device_id}"
    known = await tx.get(Document, USED, name)
    return known or Document(USED, name, 0, "", job.job_id, now, now, {"bytes": 0})


def _document(device_id: str, job: Job, row: _Row, now: float) -> Document:
    sample = row.sample
    body: dict[str, Any] = {
        "device_id": device_id,
        "sample_id": sample.sample_id,
        "version": sample.version,
        "window": sample.window,
        "uniform": sample.uniform,
        "weight": sample.weight,
        "digest": row.digest.hex(),
        "bytes": row.size,
        "label": "",
        "labelled_by": "",
    }
    return Document(KIND, _name(device_id, sample.sample_id), 1, AWAITING, job.job_id, now, now, body)


def _name(device_id: str, sample_id: int) -> str:
    return f"{device_id}/{sample_id:020d}"


def _of(job_id: str) -> dict[str, Any]:
    return {"kind": KIND, "subject": job_id}
