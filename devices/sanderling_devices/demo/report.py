"""What a run of the demo measures, tells and decides. `Result` is all of it; events tell it live.

Cameras have the numbers 1..12, windows 1.. from the end of warm-up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sanderling_devices.demo.digits import Frames, Labels

QUIET: Final = "quiet"
MOVED: Final = "moved"
SETTLING: Final = "settling"
"""What the watcher says of the window after a fault: not judged, no alarm."""
WORLD: Final = "world"


@dataclass(frozen=True)
class Settings:
    """One run.

    Attributes:
        seed: decides the split, the streams and the camera that breaks.
        change: name in digits.CHANGES of what happens to the world, or None for a world that stays.
        fault: whether one camera's sensor breaks.
        windows: quiet windows before anything happens, at least 1.
    """

    seed: int = 0
    change: str | None = "shift"
    fault: bool = True
    windows: int = 10


@dataclass(frozen=True)
class ModelFigures:
    """What quantizing gave, by runner: "float", "int8" and, where installed, "onnxruntime ...".

    Attributes:
        rows: held-out rows that the accuracies are over.
        accuracy: share of held-out rows read right, by world ("unchanged" and the changes' names)
            and runner.
        agreement: share of unchanged held-out rows that the runner reads as "float" does.
        size_bytes: bytes of the two ONNX files, "float" and "int8".
        latency_us: median time of one frame in microseconds.
        onnxruntime: its version, or None where it is not installed.
        machine: CPU and the kernels chosen for it.
    """

    rows: int
    accuracy: Mapping[str, Mapping[str, float]]
    agreement: Mapping[str, float]
    size_bytes: Mapping[str, int]
    latency_us: Mapping[str, float]
    onnxruntime: str | None
    machine: Mapping[str, str]


@dataclass(frozen=True)
class WatchCost:
    """What watching costs.

    Attributes:
        run_us: time in microseconds of a run of one "frame" and of a "window" of 200 frames at once, each "unwatched"
            and "watched"; the tenth percentile, since other work on the machine would drown the difference.
        percent: how much longer the watched run takes, by "frame" and "window".
        judge_ms: median time of judging one camera's window of 200 frames, in milliseconds.
        bytes_per_window: serialized sketches of one camera and window.
    """

    run_us: Mapping[str, Mapping[str, float]]
    percent: Mapping[str, float]
    judge_ms: float
    bytes_per_window: int


@dataclass(frozen=True)
class Window:
    """One window of all cameras, as judged.

    Attributes:
        number: 1.. from the end of warm-up.
        cameras: per camera QUIET, SETTLING, MOVED, or the name of its sensor's fault.
        verdict: about the fleet: QUIET, WORLD, or what else the detector says.
        evidence: log10 of the fleet's e-value, which alarms at 3; None where no camera was fit to judge.
    """

    number: int
    cameras: tuple[str, ...]
    verdict: str
    evidence: float | None


@dataclass(frozen=True)
class Pictures:
    """Held-out images before and after the change, misread after it where there are any.

    Attributes:
        before: float32 [n, 1, 8, 8].
        after: the same images in the changed world.
        labels: int64 [n], what they are.
        read_before: int64 [n], what the int8 model reads.
        read_after: int64 [n].
    """

    before: Frames
    after: Frames
    labels: Labels
    read_before: Labels
    read_after: Labels


@dataclass(frozen=True)
class ActStarted:
    """An act begins."""

    number: int
    title: str
    text: str


@dataclass(frozen=True)
class Quantized:
    """Act 1 measured the models."""

    figures: ModelFigures


@dataclass(frozen=True)
class WarmedUp:
    """Act 2 learned the cameras' own references."""

    cameras: tuple[str, ...]


@dataclass(frozen=True)
class WindowClosed:
    """A window was judged.

    Attributes:
        window: the verdicts.
        frames: the last frame that each camera saw, float32 [12, 1, 8, 8].
        note: what was done to the cameras before the window, or empty.
    """

    window: Window
    frames: Frames
    note: str


@dataclass(frozen=True)
class WorldChanged:
    """Act 4 changed what every camera sees."""

    pictures: Pictures


@dataclass(frozen=True)
class Act:
    """An act ended: whether what was to happen happened, and the reason in words."""

    number: int
    title: str
    passed: bool
    reason: str


Event = ActStarted | Quantized | WarmedUp | WindowClosed | WorldChanged | Act
Emit = Callable[[Event], None]


@dataclass
class Result:
    """Everything that a run measured and decided.

    Attributes:
        settings: what was asked for.
        acts: the acts' verdicts.
        windows: every window.
        models: what quantizing gave.
        watch: what watching costs.
        broken_camera: the camera that was broken, or None.
        fault_delay: windows until each fault was named (1 is the window it began in); None: never.
        change_delay: windows until the changed world was named; None: never, or it did not change.
        false_alarms: windows with a verdict or a named camera that nothing was done to.
    """

    settings: Settings
    acts: list[Act] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    models: ModelFigures | None = None
    watch: WatchCost | None = None
    broken_camera: int | None = None
    fault_delay: dict[str, int | None] = field(default_factory=dict)
    change_delay: int | None = None
    false_alarms: int = 0

    @property
    def passed(self) -> bool:
        """Whether every act happened."""
        return all(act.passed for act in self.acts)

    def verdicts(self) -> dict[str, Any]:
        """What the same seed repeats exactly: all but latencies and costs."""
        return {
            "passed": self.passed,
            "acts": [{"number": act.number, "passed": act.passed} for act in self.acts],
            "broken_camera": self.broken_camera,
            "fault_delay_windows": dict(self.fault_delay),
            "change_delay_windows": self.change_delay,
            "false_alarms": self.false_alarms,
            "windows": [asdict(window) for window in self.windows],
        }

    def as_dict(self) -> dict[str, Any]:
        """The `--json` document."""
        return {
            "format": 1,
            "settings": asdict(self.settings),
            "verdicts": self.verdicts(),
            "acts": [asdict(act) for act in self.acts],
            "models": asdict(self.models) if self.models else None,
            "watch": asdict(self.watch) if self.watch else None,
        }
