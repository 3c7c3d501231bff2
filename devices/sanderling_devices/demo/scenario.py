"""What happens when in `sanderling demo device`, and whether it did: four acts, each checked.

These rules compute nothing on tensors and draw nothing. They drive a `Stage` (machine.py is the
real one), tell what happens to `emit`, and return a `Result`. What is random is drawn from the
seed, so a seed repeats its verdicts; latencies and costs are measured and differ from run to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from sanderling_devices.demo import digits
from sanderling_devices.demo.digits import Frames
from sanderling_devices.demo.report import (
    MOVED,
    QUIET,
    SETTLING,
    WORLD,
    Act,
    ActStarted,
    Emit,
    ModelFigures,
    Pictures,
    Quantized,
    Result,
    Settings,
    WarmedUp,
    WatchCost,
    Window,
    WindowClosed,
    WorldChanged,
)

FAULT_WINDOWS: Final = 3
"""Windows that each fault lasts, and windows that are watched after the repair."""
CHANGE_WINDOWS: Final = 4
"""A changed world must be named within this many windows."""
MOST_ACCURACY_LOST: Final = 0.02
"""What int8 may cost on the held-out rows: 0.02 is four of 223."""


class Stage(Protocol):
    """Twelve cameras, their sessions and their watchers."""

    def quantize(self) -> ModelFigures:
        """Quantizes the model and measures it beside the float one."""

    def warm_up(self) -> Sequence[str]:
        """Learns every camera's own reference; QUIET, or why a camera's was refused."""

    def watch_cost(self) -> WatchCost:
        """Measures what watching costs; called after the first windows."""

    def break_sensor(self, camera: int, fault: str | None) -> None:
        """Breaks the sensor of a camera (1..12) by a name in digits.FAULTS; None repairs it."""

    def change_world(self, change: str) -> Pictures:
        """Changes what every camera sees from now on, by a name in digits.CHANGES."""

    def window(self, number: int) -> tuple[Window, Frames]:
        """Runs and watches one window of every camera; gives the last frame of each beside it."""


def run(settings: Settings, stage: Stage, emit: Emit) -> Result:
    """Plays the four acts.

    Args:
        settings: what is to happen.
        stage: where it happens; not used before.
        emit: told every event as it happens.

    Returns:
        the figures and verdicts; `Result.passed` says whether every act happened.
    """
    result = Result(settings)
    play = _Play(settings, stage, emit, result)
    play.quantize()
    if not play.watch_in_peace():
        play.leave_out(3, 4)
        return result
    if settings.fault:
        play.break_one_camera()
    else:
        play.stay_quiet(3, "Nothing breaks", FAULT_WINDOWS * (len(digits.FAULTS) + 1))
    if settings.change:
        play.change_the_world(settings.change)
    else:
        play.stay_quiet(4, "The world stays", CHANGE_WINDOWS)
    return result


class _Play:
    """The acts of one run; each ends with `_end`, which keeps whether it happened and the reason."""

    def __init__(self, settings: Settings, stage: Stage, emit: Emit, result: Result) -> None:
        self._settings = settings
        self._stage = stage
        self._emit = emit
        self._result = result
        self._title = ""

    def quantize(self) -> None:
        self._begin(
            1,
            "Quantize",
            "The committed network becomes int8, calibrated on 160 reference images.",
        )
        figures = self._result.models = self._stage.quantize()
        self._emit(Quantized(figures))
        accuracy = figures.accuracy["unchanged"]
        lost = accuracy["float"] - accuracy["int8"]
        smaller = figures.size_bytes["float"] / figures.size_bytes["int8"]
        problems = []
        if lost > MOST_ACCURACY_LOST:
            problems.append(f"int8 loses {lost:.1%} of the held-out rows")
        if smaller <= 1:
            problems.append(f"the int8 file is not smaller ({figures.size_bytes['int8']} bytes)")
        self._end(
            1,
            problems,
            f"int8 reads {accuracy['int8']:.1%}, float {accuracy['float']:.1%};"
            f" the file is {smaller:.1f} times smaller",
        )

    def watch_in_peace(self) -> bool:
        """Says whether the cameras are ready for the other acts."""
        self._begin(2, "Watch", "Twelve cameras learn what is normal for each of them, then run.")
        cameras = tuple(self._stage.warm_up())
        self._emit(WarmedUp(cameras))
        problems = [
            f"camera {number}'s warm-up was refused: {state}"
            for number, state in enumerate(cameras, start=1)
            if state != QUIET
        ]
        ready = not problems
        if ready:
            problems = self._quiet_windows(self._settings.windows)
            self._result.watch = self._stage.watch_cost()
        self._end(2, problems, f"{self._settings.windows} windows of 12 cameras, no alarm")
        return ready

    def leave_out(self, *numbers: int) -> None:
        for number in numbers:
            self._begin(number, "Not played", "")
            self._end(number, ["not every camera learned its own reference"], "")

    def stay_quiet(self, number: int, title: str, windows: int) -> None:
        self._begin(number, title, "As asked for: the watchers must stay quiet.")
        self._end(number, self._quiet_windows(windows), f"{windows} windows more, no alarm")

    def break_one_camera(self) -> None:
        camera = int(np.random.default_rng([self._settings.seed, 2]).integers(digits.CAMERAS)) + 1
        self._result.broken_camera = camera
        self._begin(3, "One sensor breaks", f"Camera {camera}: first it is stuck, then saturated.")
        problems = []
        for fault in digits.FAULTS:
            self._stage.break_sensor(camera, fault)
            self._result.fault_delay[fault] = None
            for delay in range(1, FAULT_WINDOWS + 1):
                window = self._window(f"camera {camera} {fault}" if delay == 1 else "")
                wrong = _others(window, camera)
                self._count(wrong)
                problems += wrong
                state = window.cameras[camera - 1]
                if state == fault and self._result.fault_delay[fault] is None:
                    self._result.fault_delay[fault] = delay
                elif state not in (fault, QUIET):
                    problems.append(f"window {window.number}: camera {camera} is {fault}, but was called {state}")
            if self._result.fault_delay[fault] is None:
                problems.append(f"camera {camera} was {fault} for {FAULT_WINDOWS} windows unnoticed")
        self._stage.break_sensor(camera, None)
        problems += self._quiet_windows(FAULT_WINDOWS, f"camera {camera} repaired")
        delays = ", ".join(
            f"{fault} after {_windows(n)}" for fault, n in self._result.fault_delay.items() if n is not None
        )
        self._end(3, problems, f"camera {camera} and no other: {delays}; quiet after the repair")

    def change_the_world(self, change: str) -> None:
        text = {
            "shift": "Every camera's picture moves one pixel to the right.",
            "turn30": "Every camera is turned by 30 degrees.",
        }[change]
        self._begin(4, "The world changes", text)
        self._emit(WorldChanged(self._stage.change_world(change)))
        problems = []
        for delay in range(1, CHANGE_WINDOWS + 1):
            window = self._window(f"the world: {change}" if delay == 1 else "")
            if window.verdict == WORLD and self._result.change_delay is None:
                self._result.change_delay = delay
            problems += [
                f"window {window.number}: camera {number} was called {state}"
                for number, state in enumerate(window.cameras, start=1)
                if state not in (QUIET, MOVED)
            ]
        delay_found = self._result.change_delay
        if delay_found is None:
            problems.append(f"the change was not found within {CHANGE_WINDOWS} windows")
        self._end(4, problems, f"named as a change of the world after {_windows(delay_found)}")

    def _begin(self, number: int, title: str, text: str) -> None:
        self._title = title
        self._emit(ActStarted(number, title, text))

    def _end(self, number: int, problems: list[str], reason: str) -> None:
        act = Act(number, self._title, not problems, "; ".join(problems) or reason)
        self._result.acts.append(act)
        self._emit(act)

    def _window(self, note: str) -> Window:
        window, frames = self._stage.window(len(self._result.windows) + 1)
        self._result.windows.append(window)
        self._emit(WindowClosed(window, frames, note))
        return window

    def _quiet_windows(self, count: int, note: str = "") -> list[str]:
        problems = []
        for index in range(count):
            alarms = _others(self._window(note if index == 0 else ""), camera=None)
            self._count(alarms)
            problems += alarms
        return problems

    def _count(self, alarms: list[str]) -> None:
        self._result.false_alarms += bool(alarms)


def _others(window: Window, camera: int | None) -> list[str]:
    """What was said of the fleet or of any camera but this one, while nothing was done to them."""
    alarms = [
        f"window {window.number}: camera {number} was called {state}"
        for number, state in enumerate(window.cameras, start=1)
        if state not in (QUIET, SETTLING) and number != camera
    ]
    if window.verdict != QUIET:
        alarms.append(f"window {window.number}: the fleet was called {window.verdict}")
    return alarms


def _windows(count: int | None) -> str:
    return "1 window" if count == 1 else f"{count} windows"
