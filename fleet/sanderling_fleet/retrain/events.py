"""What can happen to a retraining job, and in which of its states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sanderling_fleet.retrain.gate import Comparison
from sanderling_fleet.retrain.job import TERMINAL, JobState


@dataclass(frozen=True)
class TimePassed:
    """Deadlines are looked at; whatever else happens looks at them too."""


@dataclass(frozen=True)
class SamplesArrived:
    """Devices handed in so many more."""

    samples: int
    sample_bytes: int


@dataclass(frozen=True)
class SamplesFiled:
    """The samples lie in one file, to be labelled."""

    digest: str


@dataclass(frozen=True)
class LabelsArrived:
    """So many samples are labelled in all; what that cost is added."""

    labels: int
    cost: float


@dataclass(frozen=True)
class WorkBegan:
    """A process trains or judges. It is told before it starts, so that a crash counts as an attempt."""


@dataclass(frozen=True)
class WorkMoved:
    """How far it is."""

    progress: float
    log_tail: str


@dataclass(frozen=True)
class WorkFailed:
    """It ended without a result; `again` if another attempt may help."""

    reason: str
    log_tail: str
    again: bool


@dataclass(frozen=True)
class Trained:
    """There is a challenger: a float ONNX model of this digest."""

    challenger_digest: str
    log_tail: str


@dataclass(frozen=True)
class Judged:
    """Both were run; the draft's fields are empty if a comparison was not passed."""

    gate: tuple[Comparison, ...]
    draft_version: str = ""
    draft_digest: str = ""
    draft_manifest: str = ""


@dataclass(frozen=True)
class Published:
    """The draft was signed and is in the registry."""

    role: str


@dataclass(frozen=True)
class Rejected:
    """A person or the publisher's policy said no."""

    by: str
    reason: str


@dataclass(frozen=True)
class Cancelled:
    """What it was for is gone."""

    reason: str


Event = (
    TimePassed
    | SamplesArrived
    | SamplesFiled
    | LabelsArrived
    | WorkBegan
    | WorkMoved
    | WorkFailed
    | Trained
    | Judged
    | Published
    | Rejected
    | Cancelled
)

_WORKING = (JobState.TRAINING, JobState.GATING)
ALLOWED: Mapping[type[Event], tuple[JobState, ...]] = {
    SamplesArrived: (JobState.COLLECTING,),
    SamplesFiled: (JobState.AWAITING_LABELS,),
    LabelsArrived: (JobState.AWAITING_LABELS,),
    WorkBegan: _WORKING,
    WorkMoved: _WORKING,
    WorkFailed: _WORKING,
    Trained: (JobState.TRAINING,),
    Judged: (JobState.GATING,),
    Published: (JobState.DRAFT,),
    Rejected: (JobState.DRAFT,),
    Cancelled: tuple(state for state in JobState if state not in TERMINAL),
}
"""In which states an event means something. In others it is an error; time may pass anywhere."""
