"""What a rule tells an operator."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How soon someone should look."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Alert:
    """Something that an operator should know.

    Attributes:
        kind: "sensor.fault", "drift.world", "rollout.breach".
        severity: How soon someone should look.
        summary: One line, with the numbers.
        devices: Sorted; empty where it concerns none in particular.
    """

    kind: str
    severity: Severity
    summary: str
    devices: tuple[str, ...] = ()
