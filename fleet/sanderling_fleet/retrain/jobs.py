"""The states of a retraining job: pure, so that they run under virtual time and survive a restart.

    COLLECTING ──► AWAITING_LABELS ──► TRAINING ──► GATING ──► DRAFT ──► PUBLISHED
        │                 │               │            │         │
        └─► FAILED ◄──────┴───────────────┴────────────┤         │       any but the last four ──► CANCELLED
                                          REFUSED ◄────┴─────────┘

Every open state has a deadline after which it ends with a reason. `step` says only what a job is; the driver reads from
its state what is to be done, so whatever was under way when the server died is done again.
"""

from __future__ import annotations

import dataclasses

from sanderling.errors import InputError
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.retrain.events import (
    ALLOWED,
    Cancelled,
    Event,
    Judged,
    LabelsArrived,
    Published,
    Rejected,
    SamplesArrived,
    SamplesFiled,
    TimePassed,
    Trained,
    WorkBegan,
    WorkFailed,
    WorkMoved,
)
from sanderling_fleet.retrain.job import Job, JobState, Plan

LOG_TAIL_CHARACTERS = 4000


def opened(job_id: str, slot: str, champion_version: str, trigger: str, plan: Plan, now: float) -> Job:
    """A new job, which collects."""
    reason = f"collects samples: 0 of {plan.most_samples}"
    deadline = now + plan.collect_seconds
    return Job(job_id, slot, champion_version, trigger, plan, now, JobState.COLLECTING, reason, deadline)


def step(job: Job, event: Event, now: float) -> Job:
    """What the job is after an event.

    Raises:
        InputError: The event means nothing in the job's state.
    """
    if isinstance(event, TimePassed):
        return _overdue(job, now) if job.open and now >= job.deadline_at else job
    if job.state not in ALLOWED[type(event)]:
        allowed = " or ".join(ALLOWED[type(event)])
        raise InputError(
            f"[retrain] {job.job_id} is {job.state} ({job.reason}), {type(event).__name__} needs {allowed}"
        )
    match event:
        case SamplesArrived():
            return _collected(job, event, now)
        case SamplesFiled():
            return dataclasses.replace(job, samples_digest=event.digest)
        case LabelsArrived():
            return _labelled(job, event, now)
        case WorkBegan():
            return _began(job, now)
        case WorkMoved():
            # A trainer that reports nonsense must not make the job unreadable.
            progress = min(max(event.progress, job.progress), 1.0) if event.progress == event.progress else job.progress
            return dataclasses.replace(job, progress=progress, log_tail=_tail(event.log_tail) or job.log_tail)
        case WorkFailed():
            failed = dataclasses.replace(job, log_tail=_tail(event.log_tail), reason=event.reason)
            if event.again and job.attempt < job.plan.most_attempts:
                return failed
            return _end(failed, JobState.FAILED, f"{event.reason} (attempt {job.attempt})", now)
        case Trained():
            trained = dataclasses.replace(
                job, challenger_digest=event.challenger_digest, log_tail=_tail(event.log_tail)
            )
            return _enter(trained, JobState.GATING, "runs champion and challenger", now)
        case Judged():
            return _judged(job, event, now)
        case Published():
            return _end(job, JobState.PUBLISHED, f"signed by the role {event.role}", now)
        case Rejected():
            return _end(job, JobState.REFUSED, f"{event.by} said no: {event.reason}", now)
        case Cancelled():
            return _end(job, JobState.CANCELLED, event.reason, now)


def alert_of(job: Job) -> Alert | None:
    """What an operator should know of a job in this state; None if nothing waits for one."""
    name = f"{job.job_id} of slot {job.slot}"
    match job.state:
        case JobState.AWAITING_LABELS:
            return Alert("retrain.labels", Severity.INFO, f"{name}: {job.reason}")
        case JobState.DRAFT:
            return Alert("retrain.draft", Severity.INFO, f"{name}: {job.draft_version} passed and awaits a signature")
        case JobState.REFUSED | JobState.FAILED:
            return Alert("retrain.ended", Severity.WARNING, f"{name}: {job.state}: {job.reason}")
        case _:
            return None


def _collected(job: Job, event: SamplesArrived, now: float) -> Job:
    samples = job.samples + event.samples
    job = dataclasses.replace(
        job,
        samples=samples,
        sample_bytes=job.sample_bytes + event.sample_bytes,
        reason=f"collects samples: {samples} of {job.plan.most_samples}",
    )
    return _await_labels(job, now) if samples >= job.plan.most_samples else job


def _await_labels(job: Job, now: float) -> Job:
    return _enter(job, JobState.AWAITING_LABELS, _waiting(job), now)


def _waiting(job: Job) -> str:
    return f"waits for labels: {job.labels} of {min(job.plan.wanted_labels, job.samples)}"


def _labelled(job: Job, event: LabelsArrived, now: float) -> Job:
    job = dataclasses.replace(job, labels=event.labels, label_cost=job.label_cost + event.cost)
    if job.labels >= min(job.plan.wanted_labels, job.samples):
        return _enter(job, JobState.TRAINING, f"trains on {job.labels} labels", now)
    return dataclasses.replace(job, reason=_waiting(job))


def _began(job: Job, now: float) -> Job:
    if job.attempt >= job.plan.most_attempts:
        return _end(job, JobState.FAILED, f"{job.state} was begun {job.attempt} times and never ended", now)
    return dataclasses.replace(job, attempt=job.attempt + 1, progress=0.0)


def _judged(job: Job, event: Judged, now: float) -> Job:
    job = dataclasses.replace(job, gate=event.gate)
    failed = [comparison for comparison in event.gate if not comparison.passed]
    if failed or not event.gate:
        reason = "; ".join(f"{item.rows_name}: {item.reason}" for item in failed) or "nothing was compared"
        return _end(job, JobState.REFUSED, reason, now)
    if not (event.draft_version and event.draft_digest and event.draft_manifest):
        raise InputError(f"[retrain] {job.job_id} passed its gate and has no draft")
    job = dataclasses.replace(
        job,
        draft_version=event.draft_version,
        draft_digest=event.draft_digest,
        draft_manifest=event.draft_manifest,
    )
    return _enter(job, JobState.DRAFT, f"{event.draft_version} awaits a signature", now)


def _overdue(job: Job, now: float) -> Job:
    plan = job.plan
    match job.state:
        case JobState.COLLECTING if job.samples >= plan.least_labels:
            return _await_labels(job, now)
        case JobState.COLLECTING:
            reason = f"{job.samples} samples came in time, {plan.least_labels} are needed"
        case JobState.AWAITING_LABELS if job.labels >= plan.least_labels:
            return _enter(job, JobState.TRAINING, f"trains on {job.labels} labels", now)
        case JobState.AWAITING_LABELS:
            reason = (
                f"{job.labels} labels came in time, {plan.least_labels} are needed. The model's own answers are never "
                "taken for labels"
            )
        case JobState.DRAFT:
            return _end(job, JobState.REFUSED, f"{job.draft_version} was not signed in time", now)
        case _:
            reason = f"{job.state} did not end in time (attempt {job.attempt})"
    return _end(job, JobState.FAILED, reason, now)


def _enter(job: Job, state: JobState, reason: str, now: float) -> Job:
    lives = {
        JobState.AWAITING_LABELS: job.plan.label_seconds,
        JobState.TRAINING: job.plan.train_seconds,
        JobState.GATING: job.plan.gate_seconds,
        JobState.DRAFT: job.plan.draft_seconds,
    }
    return dataclasses.replace(job, state=state, reason=reason, deadline_at=now + lives[state], attempt=0, progress=0.0)


def _end(job: Job, state: JobState, reason: str, now: float) -> Job:
    return dataclasses.replace(job, state=state, reason=reason, deadline_at=0.0, ended_at=now)


def _tail(text: str) -> str:
    return text[-LOG_TAIL_CHARACTERS:]
