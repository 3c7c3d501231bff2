"""A retraining job as a record: its state, its plan, and the JSON that is stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sanderling.errors import InputError
from sanderling_fleet.plain import from_plain, to_plain
from sanderling_fleet.retrain.gate import Comparison

SCHEMA = 1


class JobState(StrEnum):
    """Where a job stands; the words of retrain.v1.JobState."""

    COLLECTING = "collecting"
    AWAITING_LABELS = "awaiting labels"
    TRAINING = "training"
    GATING = "gating"
    DRAFT = "draft"
    PUBLISHED = "published"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobState.PUBLISHED, JobState.REFUSED, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True)
class Plan:
    """How much a job may take; fixed when it is opened.

    Attributes:
        most_samples: Collecting ends when so many have come.
        least_labels: Below so many nothing is trained.
        wanted_labels: Training begins at once when so many have come.
        device_budget_bytes: Of samples, per device.
        collect_seconds: Deadline of COLLECTING, from its beginning, as for the others.
        label_seconds: Of AWAITING_LABELS.
        train_seconds: Of TRAINING, all attempts together.
        gate_seconds: Of GATING, all attempts together.
        draft_seconds: Of DRAFT.
        most_attempts: How often training and gating may be begun.
    """

    most_samples: int = 200
    least_labels: int = 100
    wanted_labels: int = 200
    device_budget_bytes: int = 1 << 20
    collect_seconds: float = 2 * 86400.0
    label_seconds: float = 14 * 86400.0
    train_seconds: float = 6 * 3600.0
    gate_seconds: float = 3600.0
    draft_seconds: float = 14 * 86400.0
    most_attempts: int = 3

    def __post_init__(self) -> None:
        """Checks the numbers against each other.

        Raises:
            InputError: One is not above 0, or they contradict each other.
        """
        small = [field.name for field in dataclasses.fields(self) if not getattr(self, field.name) > 0]
        if small:
            raise InputError(f"[retrain] {small[0]} is {getattr(self, small[0])}, expected more than 0")
        if self.device_budget_bytes >= 1 << 32:
            raise InputError(f"[retrain] device_budget_bytes is {self.device_budget_bytes:,}, expected less than 2^32")
        if not self.least_labels <= self.wanted_labels <= self.most_samples:
            raise InputError(
                f"[retrain] least_labels {self.least_labels}, wanted_labels {self.wanted_labels}, most_samples "
                f"{self.most_samples}: expected each to be at least the one before it"
            )


@dataclass(frozen=True)
class Job:
    """A job. Digests are SHA-256, hexadecimal, empty until there is such a blob; times are seconds since the epoch.

    Attributes:
        job_id: Unique.
        slot: Whose model is retrained.
        champion_version: "NAME-VERSION" that the challenger must beat.
        trigger: Who or what opened it, and why.
        plan: How much it may take.
        created_at: When.
        state: Where it stands.
        reason: Why it stands there, with numbers; for a person.
        deadline_at: When this state ends by itself; 0 when the job has ended.
        ended_at: 0 while it is open.
        samples: How many came.
        sample_bytes: Their bytes.
        samples_digest: Of the file of samples to be labelled.
        labels: How many of the samples are labelled.
        label_cost: In the unit of whoever labels.
        attempt: How often the work of this state was begun.
        progress: 0 to 1, of the work of this state.
        log_tail: The last that the trainer printed.
        challenger_digest: Of the float ONNX model that the trainer made.
        gate: Champion against challenger.
        draft_version: "NAME-VERSION" that a signature would publish.
        draft_digest: Of the bundle.
        draft_manifest: Of its manifest.
    """

    job_id: str
    slot: str
    champion_version: str
    trigger: str
    plan: Plan
    created_at: float
    state: JobState
    reason: str
    deadline_at: float
    ended_at: float = 0.0
    samples: int = 0
    sample_bytes: int = 0
    samples_digest: str = ""
    labels: int = 0
    label_cost: float = 0.0
    attempt: int = 0
    progress: float = 0.0
    log_tail: str = ""
    challenger_digest: str = ""
    gate: tuple[Comparison, ...] = ()
    draft_version: str = ""
    draft_digest: str = ""
    draft_manifest: str = ""

    @property
    def open(self) -> bool:
        """Whether anything may still come of it."""
        return self.state not in TERMINAL


def to_body(job: Job) -> dict[str, Any]:
    """A job as a document's JSON."""
    return {"schema": SCHEMA, "job": to_plain(job)}


def from_body(body: Mapping[str, Any]) -> Job:
    """The inverse of `to_body`.

    Raises:
        InputError: It was written by another release, or is damaged.
    """
    if body.get("schema") != SCHEMA:
        raise InputError(f"[retrain] a job of schema {body.get('schema')!r}, this release reads {SCHEMA}. Migrate")
    job: Job = from_plain(Job, body["job"])
    return job
