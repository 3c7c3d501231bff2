"""What a scenario can assert."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sanderling.errors import InputError
from sanderling_devices.simulator.reading import Seconds, suggestion

SCOPES = ("quiet", "device", "cohort", "world")
"""How much of a fleet has moved, from nothing to everything."""


class Check(StrEnum):
    """What can be asserted."""

    EXPOSED = "exposed"  # devices on which a version ever answered requests
    RUNNING = "running"  # devices that have a version committed, at `at` or at the end
    ROLLOUT = "rollout"  # a rollout is in a state, reached not before `after` and not after `before`
    ALERT = "alert"  # how many alerts of a kind there were, what they say and which devices they name
    SCOPE = "scope"  # the widest scope that the fleet's verdict reached for a version
    NO_RESULT_LOST = "no_result_lost"
    TELEMETRY_ONCE = "telemetry_once"  # no row lost, none counted twice
    NO_DOWNGRADE = "no_downgrade"  # no device commits a lower release counter than it had


@dataclass(frozen=True)
class Assertion:
    """What must hold.

    Attributes:
        check: Which.
        version: Of exposed, running and scope.
        at_least: Devices or alerts.
        at_most: Devices or alerts.
        at: Of running: when; not given for the end.
        rollout: Name of a rollout.
        state: Of a rollout, or of alerts: "standing", "resolved".
        reason: Words that the reason of a rollout or the summary of each alert holds.
        before: Latest time of a rollout's state, or of an alert.
        after: Earliest.
        kind: Of alerts.
        selector: Devices that every alert names, exactly; for running and exposed, the devices that count.
        scope: "quiet", "device", "cohort" or "world".
    """

    check: Check
    version: str = ""
    at_least: int | None = None
    at_most: int | None = None
    at: Seconds | None = None
    rollout: str = ""
    state: str = ""
    reason: str = ""
    before: Seconds | None = None
    after: Seconds | None = None
    kind: str = ""
    selector: str | None = None
    scope: str = ""

    def __post_init__(self) -> None:
        """Checks that it can fail.

        Raises:
            InputError: What it needs is not given, so that it would hold whatever happens, or never.
        """
        needs = {
            Check.EXPOSED: ("version", "bound"),
            Check.RUNNING: ("version", "bound"),
            Check.ROLLOUT: ("rollout", "state"),
            Check.ALERT: ("kind", "bound"),
            Check.SCOPE: ("version", "scope"),
        }
        bound = self.at_least is not None or self.at_most is not None
        lacking = [n for n in needs.get(self.check, ()) if not (bound if n == "bound" else getattr(self, n))]
        if lacking:
            words = ", ".join("at_least or at_most" if name == "bound" else name for name in lacking)
            raise InputError(f"[scenario] expect {self.check} lacks {words}. Without it nothing is asserted")
        if self.scope and self.scope not in SCOPES:
            raise InputError(f"[scenario] expect scope {self.scope!r}. {suggestion(self.scope, SCOPES)}")
