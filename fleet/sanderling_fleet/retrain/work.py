"""The two pieces of work of a job, each in a process: train a challenger, run it against the champion."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sanderling.errors import InputError
from sanderling.versions import Manifest
from sanderling.versions._manifest import GOLDEN, MODEL, REFERENCE, REPORT
from sanderling_fleet.core import samples
from sanderling_fleet.core.context import Core
from sanderling_fleet.retrain import book, gate, judge_process, train_process
from sanderling_fleet.retrain.config import ModelConfig
from sanderling_fleet.retrain.draft import bundle_bytes, draft
from sanderling_fleet.retrain.events import Event, Judged, Trained, WorkFailed
from sanderling_fleet.retrain.job import Job
from sanderling_fleet.retrain.labels import class_number
from sanderling_fleet.retrain.rows import Array, SampleRows, read_arrays, write_arrays
from sanderling_fleet.retrain.worker import Finished, fresh_folder, read_result, run_module
from sanderling_fleet.store import Version
from sanderling_fleet.store.blobs import put_blob, read_blob

OnProgress = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled samples of a job, with class numbers, and which of them judge instead of training."""

    rows: SampleRows
    classes: Array
    for_gate: Array

    def arrays(self, index: Array) -> dict[str, Array]:
        """Inputs of some of the rows, by their names in a file."""
        return {f"in:{name}": array[index] for name, array in self.rows.inputs.items()}


async def train(core: Core, job: Job, config: ModelConfig, folder: Path, on_progress: OnProgress) -> Event:
    """Trains a challenger; the event that this is for the job."""
    champion, manifest = await _champion(core, job)
    labelled = await _labelled(core, job, manifest)
    learn = ~labelled.for_gate
    content = labelled.arrays(learn) | {
        "labels": labelled.classes[learn],
        "weight": labelled.rows.weight[learn],
        "device_id": labelled.rows.device_id[learn],
    }
    given, work = await asyncio.to_thread(
        fresh_folder, folder, {"champion.onnx": champion, "samples.npz": write_arrays(content)}
    )
    task = train_process.TrainTask(
        entry_point=config.entry_point,
        code=_texts(config.code),
        given=str(given),
        workdir=str(work),
        data=_texts(config.data),
        seed=int.from_bytes(hashlib.sha256(job.job_id.encode()).digest()[:4], "big"),
        deadline=job.deadline_at,
        class_names=manifest.labels,
        limits=dataclasses.asdict(config.limits),
    )
    finished = await run_module(
        train_process.__name__,
        task.to_text(),
        folder,
        deadline_seconds=job.deadline_at - core.clock.now(),
        on_progress=on_progress,
    )
    if finished.code != 0 or finished.overdue:
        return _failed("training", finished, again=finished.code != train_process.REFUSED)
    made = read_result(work / train_process.CHALLENGER, config.limits.file_bytes)
    challenger = await put_blob(core.blobs, made)
    return Trained(challenger.hex(), finished.log_tail)


async def judge(core: Core, job: Job, config: ModelConfig, folder: Path, on_progress: OnProgress) -> Event:
    """Runs champion and challenger and makes the draft if the gate is passed; the event that this is for the job."""
    champion, manifest = await _champion(core, job)
    challenger = await read_blob(core.blobs, bytes.fromhex(job.challenger_digest))
    labelled = await _labelled(core, job, manifest)
    holdout = _holdout(config.holdout, manifest)
    sets = {gate.HOLDOUT: _set(holdout)}
    if labelled.for_gate.any():
        sets[gate.DRIFTED] = labelled.arrays(labelled.for_gate) | {"class": labelled.classes[labelled.for_gate]}
    slices = {f"slice {name}": holdout["slice"] == name for name in sorted(set(holdout["slice"].tolist()) - {""})}
    sets |= {name: _set({key: array[chosen] for key, array in holdout.items()}) for name, chosen in slices.items()}
    calibration = _calibration(config.calibration, labelled.arrays(~labelled.for_gate))
    numbered = {name: f"set{i}" for i, name in enumerate(sets)}
    files = {f"{numbered[name]}.npz": write_arrays(arrays) for name, arrays in sets.items()}
    files |= {
        "champion.onnx": champion,
        "challenger.onnx": challenger,
        "calibration.npz": write_arrays(calibration),
    }
    given, work = await asyncio.to_thread(fresh_folder, folder, files)
    limits = dataclasses.asdict(config.limits)
    task = judge_process.JudgeTask(
        str(given), str(work), manifest.to_bytes().decode(), tuple(numbered.values()), limits
    )
    finished = await run_module(
        judge_process.__name__,
        task.to_text(),
        folder,
        deadline_seconds=job.deadline_at - core.clock.now(),
        on_progress=on_progress,
    )
    if finished.code != 0 or finished.overdue:
        return _failed("judging", finished, again=finished.code != judge_process.REFUSED)
    # The process ran what a trainer made: it may have been taken over, and these files be anything.
    made = {
        name: read_result(work / name, config.limits.file_bytes)
        for name in (judge_process.OUTCOMES, MODEL, REFERENCE, GOLDEN, REPORT)
    }
    outcomes = _outcomes(made.pop(judge_process.OUTCOMES), {n: (numbered[n], len(s["class"])) for n, s in sets.items()})
    found = gate.judge(outcomes, list(slices), config.gate)
    if not all(comparison.passed for comparison in found):
        return Judged(found)
    return await _draft(core, job, config, manifest, made, labelled, found)


def _outcomes(data: bytes, sets: Mapping[str, tuple[str, int]]) -> dict[str, gate.Outcomes]:
    """Which rows the two got right, by set; `sets` has the name in the file and the number of rows of each.

    Raises:
        InputError: It does not say so of every row.
    """
    arrays = read_arrays(data, "outcomes", most_bytes=len(data))  # they are stored, not packed
    found = {}
    for name, (number, rows) in sets.items():
        champion, challenger = (arrays.get(f"{who}:{number}", np.empty(0)) for who in ("champion", "challenger"))
        if not all(array.dtype == np.bool_ and array.shape == (rows,) for array in (champion, challenger)):
            raise InputError(
                f"[gate] there are no outcomes of the {rows} rows of {name}: the judging process was broken"
            )
        found[name] = gate.Outcomes(champion, challenger)
    return found


async def _draft(
    core: Core,
    job: Job,
    config: ModelConfig,
    champion: Manifest,
    blobs: Mapping[str, bytes],
    labelled: Labelled,
    found: tuple[gate.Comparison, ...],
) -> Judged:
    async with core.store.transaction() as tx:
        versions = await tx.find(Version, {"model": champion.name})
        drafts = [other.draft_version for other in await book.find_jobs(tx)]
    every = np.ones(len(labelled.rows), bool)
    data = write_arrays(labelled.arrays(every) | {"class": labelled.classes})
    bundle = draft(
        champion,
        blobs,
        release_counter=max(version.release_counter for version in versions) + 1,
        taken=[*drafts, *(version.name for version in versions)],
        data="sha256:" + hashlib.sha256(data).hexdigest(),
        code=config.entry_point,
        job_id=job.job_id,
    )
    digest = await put_blob(core.blobs, bundle_bytes(bundle))
    return Judged(found, bundle.manifest.full_name, digest.hex(), bundle.manifest.digest.hex())


async def _champion(core: Core, job: Job) -> tuple[bytes, Manifest]:
    async with core.store.transaction() as tx:
        version = await tx.get(Version, job.champion_version)
    assert version is not None, "a job's champion was in the registry when it was opened"
    manifest = Manifest.from_bytes(version.manifest.encode())
    return await read_blob(core.blobs, manifest.blobs[MODEL].digest), manifest


async def _labelled(core: Core, job: Job, manifest: Manifest) -> Labelled:
    rows, labels = await samples.load(core, job.job_id, labelled=True)
    known = samples.classes_of(manifest)
    classes = np.array([class_number(label, manifest.labels, known) for label in labels], np.int64)
    return Labelled(rows, classes, rows.for_gate())


def _holdout(path: Path, manifest: Manifest) -> dict[str, Array]:
    """The frozen rows: "in:NAME", "class" and "slice", which is empty text where the file has none.

    Raises:
        InputError: The file does not fit the model.
    """
    arrays = read_arrays(path.read_bytes(), str(path))
    wanted = {f"in:{tensor.name}" for tensor in manifest.inputs} | {"label"}
    if not wanted <= set(arrays) <= wanted | {"slice"} or len({len(array) for array in arrays.values()}) != 1:
        raise InputError(f"[gate] {path} has {sorted(arrays)}, expected {sorted(wanted)} of as many rows, and slice")
    labels = arrays.pop("label")
    known = samples.classes_of(manifest)
    if labels.dtype.kind == "U":
        labels = np.array([class_number(label, manifest.labels, known) for label in labels.tolist()], np.int64)
    return {"slice": np.full(len(labels), ""), **arrays, "class": labels.astype(np.int64)}


def _set(holdout: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array for name, array in holdout.items() if name != "slice"}


def _calibration(path: Path, learned: Mapping[str, Array]) -> dict[str, Array]:
    """The configured rows with the samples that trained: what the challenger will see is both."""
    given = read_arrays(path.read_bytes(), str(path))
    if set(given) != set(learned):
        raise InputError(f"[gate] {path} has {sorted(given)}, expected {sorted(learned)}")
    return {name: np.concatenate([given[name], learned[name].astype(given[name].dtype)]) for name in given}


def _failed(what: str, finished: Finished, *, again: bool) -> WorkFailed:
    said = next((line for line in reversed(finished.log_tail.splitlines()) if line.strip()), "it printed nothing")
    return WorkFailed(f"{what} {finished.how}: {said[:300]}", finished.log_tail, again and not finished.overdue)


def _texts(path: Path | None) -> tuple[str, ...]:
    return () if path is None else (str(path.resolve()),)
