"""What happens to the inputs of devices: drift and broken sensors, by time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """Something that holds from `begin` to `end`, seconds since the epoch.

    Attributes:
        begin: First moment.
        end: Infinity for ever.
        strength: Of a drift, 0 for none.
        alarm_after: Of a drift: windows until the device alarms by itself.
        fault: Of a sensor: "stuck", "saturated" or "missing"; empty for none.
    """

    begin: float
    end: float
    strength: float = 0.0
    alarm_after: int = 1
    fault: str = ""


class Inputs:
    """One device's inputs."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def drift(self, at: float) -> Change | None:
        """The strongest drift at a time."""
        holding = [c for c in self.changes if c.begin <= at < c.end and c.strength]
        return max(holding, key=lambda c: c.strength, default=None)

    def fault(self, at: float) -> str:
        """The sensor fault at a time, empty for none."""
        return next((c.fault for c in self.changes if c.begin <= at < c.end and c.fault), "")
