"""What a run of the fleet demo is told to do, tells and finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sanderling_devices.demo.report import Act


@dataclass(frozen=True)
class Settings:
    """One run.

    Attributes:
        seed: Decides the split, the streams and the camera that breaks.
        bad_model: "wrong" or "hang": what the last version does in the field.
        devices: 4 to 12.
        rate: Rows per second and device.
        warmup_rows: From which a device learns what is normal.
    """

    seed: int = 0
    bad_model: str = "wrong"
    devices: int = 12
    rate: float = 100.0
    warmup_rows: int = 2000


@dataclass(frozen=True)
class Alarm:
    """An alert of the fleet.

    Attributes:
        kind: Such as "sensor.fault" or "drift.world".
        devices: Named in it.
        seconds: From the cause to the alert.
        summary: Its words.
    """

    kind: str
    devices: tuple[str, ...]
    seconds: float
    summary: str


@dataclass(frozen=True)
class DeviceFigures:
    """A device at the end.

    Attributes:
        camera: Its number.
        device_id: As enrolled.
        version: That is active.
        pids: Of agent, router and runner; 0 for one that does not run.
        memory_mib: Of the three, shared pages by their share.
        rows: Asked for by its sensor.
        failures: Requests without an answer.
        versions: Rows by the version that answered.
    """

    camera: int
    device_id: str
    version: str
    pids: tuple[int, int, int]
    memory_mib: float
    rows: int
    failures: int
    versions: Mapping[str, int]


@dataclass
class Result:
    """All that a run found."""

    settings: Settings
    acts: list[Act] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    accuracy: dict[str, float] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    devices: list[DeviceFigures] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether there were acts and each of them happened."""
        return bool(self.acts) and all(act.passed for act in self.acts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}
