"""One draft after the other: check, sign, publish, ask for a canary. Safe to be killed at any point.

What was decided is written to pending.json before anything is signed, and what was signed to auto.json before anything
is sent; the server takes the same blobs, the same metadata and the same request twice as once. So a publisher that was
killed goes on where it was, and a draft becomes one version and one rollout. One process at a time works in a folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from google.protobuf.duration_pb2 import Duration

from sanderling.api.retrain.v1 import retrain_pb2
from sanderling.api.rollout.v1 import rollout_pb2
from sanderling.errors import DeadlineError, GateRefused, InputError, IntegrityError, SanderlingError
from sanderling.versions import Bundle, Manifest, read_bundle, split_version
from sanderling_fleet.publisher import inspect_process
from sanderling_fleet.publisher.client import RetrainClient
from sanderling_fleet.publisher.folder import Pending, PublisherFolder
from sanderling_fleet.publisher.policy import AUTO_CANARY, Canary, Draft, Figure, Known, overtaken, why_not
from sanderling_fleet.retrain.confine import Limits
from sanderling_fleet.retrain.gate import share_bounds
from sanderling_fleet.retrain.worker import fresh_folder, read_result, run_module

_log = logging.getLogger(__name__)
LOOK_SECONDS = 30.0
_INSPECT_SECONDS = 600.0
_MOST_FOUND_BYTES = 1 << 16
_ALPHA = 0.05


class Publisher:
    """Looks at the drafts of one model.

    Args:
        folder: Its own.
        operator: The server.
        now: The time, in seconds since the epoch.
        reached: Told of each durable step, "NAME:before" and "NAME:after".
    """

    def __init__(
        self,
        folder: PublisherFolder,
        operator: RetrainClient,
        *,
        now: Callable[[], float] = time.time,
        reached: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._folder = folder
        self._operator = operator
        self._now = now
        self._reached = reached
        self._waiting: set[str] = set()

    def run(self, stop: threading.Event, look_seconds: float = LOOK_SECONDS) -> None:
        """Looks until it is told to stop. What goes wrong is logged and tried again."""
        while not stop.is_set():
            try:
                for done in self.look():
                    _log.info("%s", done)
            except (SanderlingError, OSError) as error:  # a full disk too
                _log.error("%s: %s", type(error).__name__, error)
            stop.wait(look_seconds)

    def look(self) -> list[str]:
        """Ends what is pending, then takes the drafts that its policy lets it take; one line for each thing done."""
        with self._folder.held():
            done = []
            pending = self._folder.pending()
            if pending is not None:
                done.append(self._resume(pending))
            elif (line := self._keep_alive()) is not None:
                done.append(line)
            return [*done, *(line for job in self._drafts() if (line := self._decide(job)) is not None)]

    def sign(self, job_id: str, *, canary: bool) -> str:
        """A person's word: publishes one draft, with a canary rollout or without. It is checked all the same.

        Raises:
            GateRefused: Something speaks against it.
            InputError: There is no such draft.
        """
        with self._folder.held():
            pending = self._folder.pending()
            if pending is not None:
                self._resume(pending)
            job = next((job for job in self._drafts() if job.job_id == job_id), None)
            if job is None:
                raise InputError(
                    f"[publisher] {job_id!r} is no draft of {self._folder.settings.model}. List them: sanderling "
                    "retrain ls"
                )
            draft = self._operator.download(job.draft_digest)
            reason = self._why_not(job, draft)
            if reason is not None:
                raise GateRefused(f"[publisher] {job.draft_version} is not signed: {reason}")
            return self._take(job, draft, canary=canary)

    def _drafts(self) -> list[retrain_pb2.Job]:
        model = self._folder.settings.model
        return [job for job in self._operator.drafts() if _model_of(job.draft_version) == model]

    def _decide(self, job: retrain_pb2.Job) -> str | None:
        """Takes, rejects, or leaves a draft to a person, who is told once."""
        if job.job_id in self._waiting:
            return None
        draft = self._operator.download(job.draft_digest)
        reason = self._why_not(job, draft)
        if reason is not None:
            self._operator.reject(job.job_id, reason)
            return f"rejected {job.draft_version} of {job.job_id}: {reason}"
        if self._folder.settings.policy != AUTO_CANARY:
            self._waiting.add(job.job_id)
            return (
                f"{job.draft_version} of {job.job_id} is good to be signed and waits for a person: sanderling "
                f"publisher sign {self._folder.folder} {job.job_id}"
            )
        return self._take(job, draft, canary=True)

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._reached(f"{name}:before")
        yield
        self._reached(f"{name}:after")

    def _take(self, job: retrain_pb2.Job, draft: bytes, *, canary: bool) -> str:
        with self._step("keep"):
            self._folder.keep_bundle(job.draft_version, draft)
        pending = Pending(job.job_id, job.draft_version, job.slot, job.draft_digest.hex(), canary)
        with self._step("decide"):
            self._folder.decide(pending)
        return self._publish(pending)

    def _resume(self, pending: Pending) -> str:
        """Goes on with what was decided, unless it was rejected before it was signed."""
        if not self._folder.names(self._bundle(pending).manifest):
            job = self._operator.job(pending.job_id)
            if job.state not in (retrain_pb2.JOB_STATE_DRAFT, retrain_pb2.JOB_STATE_PUBLISHED):
                self._folder.done()
                return f"dropped {pending.version} of {pending.job_id}: {job.reason}"
        return self._publish(pending)

    def _publish(self, pending: Pending) -> str:
        manifest = self._bundle(pending).manifest
        self._upload(pending.version)
        self._adopt()
        reason = overtaken(manifest, self._published())
        if reason is not None:
            return self._give_up(pending, manifest, reason)
        if not self._folder.names(manifest):
            with self._step("sign"):
                self._folder.sign(manifest, self._now())
        assert self._folder.signed is not None
        with self._step("publish"):
            self._operator.publish(self._folder.role, self._folder.signed)
        rollout = ""
        if pending.canary:
            spec = canary_spec(pending.slot, pending.version, self._folder.settings.canary)
            with self._step("ask for a rollout"):
                rollout = self._operator.create_rollout(f"publisher-{pending.job_id}", spec).rollout_id
        with self._step("done"):
            self._folder.done()
        return f"published {pending.version} of {pending.job_id}" + (f", rollout {rollout}" if rollout else "")

    def _give_up(self, pending: Pending, manifest: Manifest, reason: str) -> str:
        """A release came in between: the server can never take this version, nor metadata that names it."""
        with self._step("give up"):
            self._folder.give_up(manifest, self._now())
        job = self._operator.job(pending.job_id)
        if job.state == retrain_pb2.JOB_STATE_DRAFT:
            self._operator.reject(pending.job_id, reason)
        with self._step("done"):
            self._folder.done()
        self._folder.forget(pending.version)
        return f"gave up {pending.version} of {pending.job_id}: {reason}"

    def _published(self) -> list[Known]:
        found = self._operator.versions(self._folder.settings.model)
        return [Known(version.version, version.release_counter) for version in found]

    def _upload(self, version: str) -> None:
        bundle = _read(self._folder.bundle(version))
        for data in (*bundle.blobs.values(), bundle.manifest.to_bytes()):
            with self._step("upload a blob"):
                self._operator.upload(data)

    def _bundle(self, pending: Pending) -> Bundle:
        draft = self._folder.bundle(pending.version)
        found = hashlib.sha256(draft).hexdigest()
        if found != pending.draft_digest:
            raise IntegrityError(
                f"[publisher] the kept bundle of {pending.version} has SHA-256 {found[:16]}, decided was "
                f"{pending.draft_digest[:16]}. Delete pending.json: the draft is offered again"
            )
        return _read(draft)

    def _adopt(self) -> tuple[bytes | None, bool]:
        """What the server has of this role, and whether this key now follows the one that signed it."""
        theirs = self._operator.role_metadata(self._folder.role)
        return theirs, theirs is not None and self._folder.adopt(theirs, self._now())

    def _keep_alive(self) -> str | None:
        """Publishes the metadata again if the server has not got it or it is about to expire; what it did."""
        theirs, follows = self._adopt()
        if self._folder.signed is None:
            return None
        renewed = self._folder.renew(self._now())
        if theirs == self._folder.signed and not renewed:
            return None
        for version in self._folder.kept():
            self._upload(version)
        with self._step("publish"):
            self._operator.publish(self._folder.role, self._folder.signed)
        if follows:
            return f"took {self._folder.role} over: what the former publisher signed is no longer offered"
        return f"published {self._folder.role} again: it was about to expire, or the server did not have it"

    def _why_not(self, job: retrain_pb2.Job, bundle_file: bytes) -> str | None:
        """What speaks against a draft. That the server cannot be reached is an error, not a reason."""
        try:
            bundle = _read(bundle_file)
        except IntegrityError as error:
            return str(error)
        figures = tuple(Figure(item.rows_name, item.rows, item.lower, item.passed) for item in job.gate)
        draft = Draft(job.job_id, job.champion_version, job.draft_version, figures)
        known = self._published()
        # What this publisher signed counts, though the server should not tell of it.
        kept = [_read(self._folder.bundle(version)).manifest for version in self._folder.kept()]
        known += [Known(manifest.full_name, manifest.release_counter) for manifest in kept]
        return why_not(draft, bundle.manifest, known) or self._inspect(job, bundle_file)

    def _inspect(self, job: retrain_pb2.Job, bundle_file: bytes) -> str | None:
        settings = self._folder.settings
        given = {"draft.sanderling": bundle_file}
        if settings.holdout:
            given["holdout.npz"] = self._folder.holdout()
        with tempfile.TemporaryDirectory(prefix="sanderling-inspect-") as place:
            inside, work = fresh_folder(Path(place) / "draft", given)
            task = inspect_process.InspectTask(
                str(inside), str(work), bool(settings.holdout), dataclasses.asdict(Limits())
            )
            finished = asyncio.run(
                run_module(
                    inspect_process.__name__,
                    task.to_text(),
                    Path(place) / "draft",
                    deadline_seconds=_INSPECT_SECONDS,
                )
            )
            inside.chmod(0o700)
            said = finished.log_tail.strip()[-300:]
            if finished.code == inspect_process.REFUSED:
                return f"its model is refused: {said}"
            if finished.code != 0:
                # Perhaps this machine's fault, so no reason to reject the draft: it is looked at again.
                raise DeadlineError(f"[publisher] {job.draft_version} was not inspected: it {finished.how}: {said}")
            found = read_result(work / inspect_process.FOUND, _MOST_FOUND_BYTES)
        if not settings.holdout:
            return None
        counted = inspect_process.Found.from_bytes(found)
        if counted is None:
            return f"what inspected it wrote {found[:80]!r}: its model broke the process"
        least, _ = share_bounds(counted.right, counted.rows, _ALPHA)
        if least < settings.least_accuracy:
            return (
                f"on this publisher's own holdout it gets {counted.right} of {counted.rows} right, surely "
                f"{100 * least:.1f} %, wanted are {100 * settings.least_accuracy:.1f} %"
            )
        return None


def canary_spec(slot: str, version: str, canary: Canary) -> rollout_pb2.RolloutSpec:
    """The rollout that is asked for: it holds after the canary until a person promotes it, then goes to all."""
    gate = rollout_pb2.Gate(
        hard_limit=rollout_pb2.HardLimit(metric=rollout_pb2.METRIC_FAILURES, count=canary.failures, share=0.5)
    )
    stages = [
        rollout_pb2.Stage(
            name="canary",
            count=canary.devices,
            soak=_duration(canary.soak_seconds),
            deadline=_duration(canary.deadline_seconds),
            gates=[gate],
            hold=True,
        ),
        rollout_pb2.Stage(
            name="all",
            percent=100.0,
            soak=_duration(canary.soak_seconds),
            deadline=_duration(canary.deadline_seconds),
            gates=[gate],
        ),
    ]
    return rollout_pb2.RolloutSpec(
        slot=slot,
        version=version,
        selector=canary.selector,
        stages=stages,
        on_breach=rollout_pb2.ON_BREACH_ROLL_BACK,
        control_percent=canary.control_percent,
        device_deadline=_duration(canary.device_deadline_seconds),
    )


def _model_of(version: str) -> str:
    try:
        return split_version(version)[0]
    except IntegrityError:
        return ""


def _read(bundle_file: bytes) -> Bundle:
    with tempfile.NamedTemporaryFile(suffix=".sanderling") as file:
        file.write(bundle_file)
        file.flush()
        return read_bundle(file.name)


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromMicroseconds(round(seconds * 1e6))
    return message
