"""What a publisher asks of a draft before it signs: pure. What can be checked is not taken on the server's word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sanderling.errors import InputError
from sanderling.versions import Manifest
from sanderling_fleet.retrain.gate import DRIFTED, HOLDOUT
from sanderling_fleet.selector import parse

MANUAL, AUTO_CANARY = "manual", "auto-canary"
POLICIES = (MANUAL, AUTO_CANARY)
MOST_WITHDRAWN = 100
"""Withdrawn versions keep their release counters and are not listed, so a draft may leave out so many; and no more, or
a server could use the counters up."""
WANTED_BLOBS = ("model.onnx", "version.reference", "golden.npz", "quantization.json")


@dataclass(frozen=True)
class Canary:
    """The rollout that is asked for: so many devices, then it waits for a person.

    Attributes:
        selector: Of the devices.
        devices: How many get it first.
        soak_seconds: How long they run it before their gates may pass.
        deadline_seconds: Of each stage.
        device_deadline_seconds: How long one device may take.
        control_percent: How many stay on the former version until the last stage.
        failures: So many devices that fail are a breach, or half of those that attempted.
    """

    selector: str = ""
    devices: int = 2
    soak_seconds: float = 3600.0
    deadline_seconds: float = 86400.0
    device_deadline_seconds: float = 6 * 3600.0
    control_percent: float = 0.0
    failures: int = 2

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InputError: One is out of its range, or the selector cannot be read.
        """
        if min(self.devices, self.failures) < 1 or not 0 <= self.control_percent <= 90:
            raise InputError(f"[publisher] {self}: expected at least one device and failure, control of 0 to 90 %")
        # What the server would refuse is refused before anything is signed.
        longest = self.soak_seconds + self.device_deadline_seconds
        if min(self.soak_seconds, longest) < 0 or self.device_deadline_seconds <= 0 or longest > self.deadline_seconds:
            raise InputError(
                f"[publisher] the canary's deadline_seconds is {self.deadline_seconds:g}: a device may take "
                f"{self.device_deadline_seconds:g} s and the soak {self.soak_seconds:g} s. Give it their sum or more"
            )
        parse(self.selector)


@dataclass(frozen=True)
class Figure:
    """One comparison as the server tells it."""

    rows_name: str
    rows: int
    lower: float
    passed: bool


@dataclass(frozen=True)
class Draft:
    """A draft as the server tells it."""

    job_id: str
    champion_version: str
    draft_version: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Known:
    """A version of the model that is published."""

    version: str
    release_counter: int


def why_not(draft: Draft, manifest: Manifest, known: Sequence[Known]) -> str | None:
    """What speaks against signing a draft, with both values; None if nothing does.

    Args:
        draft: As the server tells it.
        manifest: Of the bundle, which was read and has the digest that the server named.
        known: All published versions of the model.
    """
    if manifest.full_name != draft.draft_version:
        return f"its bundle is {manifest.full_name}, announced was {draft.draft_version}"
    figures = {figure.rows_name: figure for figure in draft.figures}
    for name in (HOLDOUT, DRIFTED):
        if name not in figures:
            return f"it has no figures of {name}, there are those of {', '.join(sorted(figures)) or 'nothing'}"
    for figure in draft.figures:
        if not figure.passed or figure.rows <= 0 or not -1.0 <= figure.lower <= 1.0:
            return f"{figure.rows_name} is not passed: {figure.rows} rows, difference at least {figure.lower:+.3f}"
    if manifest.lineage.job != draft.job_id or manifest.lineage.parent != draft.champion_version:
        return (
            f"its manifest is of job {manifest.lineage.job!r} from {manifest.lineage.parent!r}, announced were "
            f"{draft.job_id!r} and {draft.champion_version!r}"
        )
    missing = [name for name in WANTED_BLOBS if name not in manifest.blobs]
    if missing:
        return f"it has no {', '.join(missing)}"
    if draft.champion_version not in {item.version for item in known}:
        return f"{draft.champion_version}, which it is to replace, is not published"
    highest = max(item.release_counter for item in known)
    if not highest < manifest.release_counter <= highest + MOST_WITHDRAWN:
        return (
            f"its release counter is {manifest.release_counter}, {manifest.name} has reached {highest}: expected one "
            f"above it, at most {highest + MOST_WITHDRAWN}"
        )
    return None


def overtaken(manifest: Manifest, known: Sequence[Known]) -> str | None:
    """Why a version that was decided on can no longer be published; None if it can be, or is.

    Args:
        manifest: Of the version.
        known: All published versions of the model.
    """
    highest = max((item.release_counter for item in known), default=0)
    if manifest.full_name in {item.version for item in known} or manifest.release_counter > highest:
        return None
    return f"its release counter is {manifest.release_counter}, {manifest.name} has reached {highest} meanwhile"
