"""What a run of the fleet demo is told to do, tells and finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sanderling_devices.demo.report import Act

FAULT, WORLD_MOVED = "sensor.fault", "drift.world"
"""Kinds of alerts."""
CANARY_PERCENT = 25.0
CHANGED = "changed world"
"""Follows a version's name where its accuracy is that in the changed world."""


@dataclass(frozen=True)
class Settings:
    """One run.

    Attributes:
        seed: Decides the split, the streams and the camera that breaks.
        bad_model: "wrong" or "hang": what the last version does in the field.
        devices: 4 to 12.
        delays: Seed of random delays of people, machines and network; None for none.
        rate: Rows per second and device.
        warmup_rows: From which a device learns what is normal.
    """

    seed: int = 0
    bad_model: str = "wrong"
    devices: int = 12
    delays: int | None = None
    rate: float = 100.0
    warmup_rows: int = 1000

    @property
    def canaries(self) -> int:
        """How many devices get a version first; computed as the server does, rounding up."""
        return math.ceil(CANARY_PERCENT * self.devices / 100)


@dataclass(frozen=True)
class Alarm:
    """An alert of the fleet.

    Attributes:
        kind: Such as "sensor.fault" or "drift.world".
        cameras: Numbers of those whose devices it names.
        seconds: From the cause to the alert.
        windows: Of a device's own rows, from the one with the first changed row, which is 1, to the one of which the
            device says so; for the world, the median of the devices that say so. 0 if none did.
        summary: Its words.
    """

    kind: str
    cameras: tuple[int, ...]
    seconds: float
    windows: float
    summary: str


@dataclass(frozen=True)
class DeviceFigures:
    """A device at the end.

    Attributes:
        camera: Its number.
        device_id: As enrolled.
        version: That is active.
        pids: Of agent, router and runner; 0 for one that does not run.
        memory_mib: Of all its processes, shared pages by their share.
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


@dataclass(frozen=True)
class Compared:
    """Champion and challenger on one set of rows.

    Attributes:
        rows_name: "holdout" or "drifted".
        rows: How many.
        champion: Its accuracy by these rows' labels, of which some of the drifted ones are wrong.
        challenger: Likewise.
        passed: What the gate said.
    """

    rows_name: str
    rows: int
    champion: float
    challenger: float
    passed: bool


@dataclass(frozen=True)
class Retraining:
    """What the new version took.

    Attributes:
        version: "NAME-VERSION".
        state: The job's end, such as "PUBLISHED".
        gate: What was compared.
        samples: Uploaded.
        sample_bytes: Of them.
        budget_bytes: The most that all devices together might send.
        labels: Given.
        wrong_labels: Of those, as the labeller says.
        labels_late_windows: Windows of rows that passed from the samples' arrival to the labels.
        label_cost: As the labeller says.
        seconds: From the alarm to the last device.
    """

    version: str
    state: str
    gate: tuple[Compared, ...]
    samples: int
    sample_bytes: int
    budget_bytes: int
    labels: int
    wrong_labels: int
    labels_late_windows: float
    label_cost: float
    seconds: float


@dataclass(frozen=True)
class Canary:
    """How a device found the bad version.

    Attributes:
        camera: Its number.
        code: Why it took the version back, such as "CONFIDENCE".
        detail: The same with numbers, in the device's words.
        rows: That the bad version answered there.
        active: Version that is active there at the end.
    """

    camera: int
    code: str
    detail: str
    rows: int
    active: str


@dataclass(frozen=True)
class TakenBack:
    """The end of the bad version.

    Attributes:
        version: "NAME-VERSION".
        state: Of its rollout, such as "ABORTED".
        reason: Of that, with numbers.
        canaries: The devices that tried it.
        rows_beyond: That it answered on other devices.
    """

    version: str
    state: str
    reason: str
    canaries: tuple[Canary, ...]
    rows_beyond: int


@dataclass
class Result:
    """All that a run found."""

    settings: Settings
    acts: list[Act] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    accuracy: dict[str, float] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    retraining: Retraining | None = None
    taken_back: TakenBack | None = None
    seconds_in_all: float = 0.0
    devices: list[DeviceFigures] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether there were acts and each of them happened."""
        return bool(self.acts) and all(act.passed for act in self.acts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed, "verdicts": self.verdicts()}

    def verdicts(self) -> dict[str, Any]:
        """What the same seed repeats, whatever the delays; the windows of alarms within one."""
        trained, bad = self.retraining, self.taken_back
        return {
            "acts": [{"number": act.number, "title": act.title, "passed": act.passed} for act in self.acts],
            "alarms": [
                # Which devices alarm by themselves when the world is named depends on the moment.
                {"kind": alarm.kind, "cameras": alarm.cameras if alarm.kind == FAULT else (), "windows": alarm.windows}
                for alarm in self.alarms
            ],
            "retraining": trained
            and {
                "version": trained.version,
                "state": trained.state,
                "gate": {item.rows_name: item.passed for item in trained.gate},
                "samples": trained.samples,
                "labels": trained.labels,
                "wrong_labels": trained.wrong_labels,
            },
            "taken_back": bad
            and {
                "version": bad.version,
                "state": bad.state,
                "codes": [canary.code for canary in bad.canaries],
                "rows_beyond": bad.rows_beyond,
            },
            "devices": {str(item.camera): item.version for item in self.devices},
        }
