"""What happens to a rollout, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sanderling_fleet.alerts import Alert
from sanderling_fleet.gates import Metric, Reading
from sanderling_fleet.rollout_state import AssignmentState, ResultCode


@dataclass(frozen=True)
class Device:
    """A device that matches the selector now, or has joined the rollout.

    Attributes:
        version: What is committed in the slot; empty for none. Of a check-in it is taken over before its results are.
        blocked: Why it must not be offered anything: revoked, not approved, cannot run the version. Empty for nothing.
    """

    version: str = ""
    blocked: str = ""


@dataclass(frozen=True)
class Tick:
    """Time has passed, or other devices match."""


@dataclass(frozen=True)
class Progressed:
    """A device reports how far it is."""

    assignment_id: str
    attempt: int
    state: AssignmentState


@dataclass(frozen=True)
class ResultArrived:
    """A device reports how an attempt ended: COMMITTED, DISCARDED, REVERTED or SUPERSEDED."""

    assignment_id: str
    attempt: int
    state: AssignmentState
    code: ResultCode
    detail: str = ""


@dataclass(frozen=True)
class Measured:
    """What was measured of candidates and controls since the stage became active: all, in the order of arrival."""

    readings: Mapping[Metric, tuple[Reading, ...]]


@dataclass(frozen=True)
class Superseded:
    """A newer rollout wants these devices' slot: they are its own from now on."""

    devices: tuple[str, ...]
    rollout_id: str


@dataclass(frozen=True)
class Pause:
    """Offers stop; devices under way go on."""

    by: str
    reason: str = ""


@dataclass(frozen=True)
class Resume:
    """Goes on; an inconclusive stage gets its deadline anew."""

    by: str


@dataclass(frozen=True)
class Abort:
    """Ends it; committed devices keep the version, the others are to keep what they have."""

    by: str
    reason: str = ""


@dataclass(frozen=True)
class RollBack:
    """Ends it and wants the former version of every device that it touched."""

    by: str
    reason: str = ""


@dataclass(frozen=True)
class Promote:
    """Goes past a stage that waits for a person, also against its gates.

    Attributes:
        by: Who says so.
        stage: Index of the stage that is meant; one that is passed already changes nothing. None for the present one.
    """

    by: str
    stage: int | None = None


Command = Pause | Resume | Abort | RollBack | Promote
Event = Tick | Progressed | ResultArrived | Measured | Superseded | Command


@dataclass(frozen=True)
class WantVersion:
    """Set the desired version of a device's slot."""

    device: str
    version: str
    assignment_id: str
    attempt: int


@dataclass(frozen=True)
class Restore:
    """Set the desired version back to the former one, outside any assignment; empty takes the model away."""

    device: str
    version: str


@dataclass(frozen=True)
class RaiseAlert:
    """Tell an operator."""

    alert: Alert


@dataclass(frozen=True)
class Note:
    """Write a line into the audit log."""

    text: str


Action = WantVersion | Restore | RaiseAlert | Note
