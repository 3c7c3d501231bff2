"""The rules of the demo: which windows make an act happen, and which make it fail."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sanderling_devices.demo import digits, render, scenario, summary
from sanderling_devices.demo.report import (
    MOVED,
    QUIET,
    SETTLING,
    WORLD,
    Act,
    ActStarted,
    Event,
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

Judge = Callable[[int, dict[int, str], str | None], tuple[list[str], str]]


def honest(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
    """A detector that is always right, and takes two windows to see a change."""
    states = [broken.get(camera, QUIET) for camera in range(1, 13)]
    return states, WORLD if change is not None and number > 20 else QUIET


class FakeStage:
    """A stage without models: `judge` says what is detected from what was done."""

    def __init__(self, judge: Judge = honest) -> None:
        self.judge = judge
        self.broken: dict[int, str] = {}
        self.change: str | None = None
        self.refused: dict[int, str] = {}
        self.int8_accuracy = 0.98
        self.int8_bytes = 25_000

    def quantize(self) -> ModelFigures:
        return ModelFigures(
            rows=223,
            accuracy={"unchanged": {"float": 0.98, "int8": self.int8_accuracy}},
            agreement={"int8": 1.0},
            size_bytes={"float": 70_000, "int8": self.int8_bytes},
            latency_us={"float": 20.0, "int8": 10.0},
            onnxruntime=None,
            machine={"CPU": "fake"},
        )

    def watch_cost(self) -> WatchCost:
        return WatchCost(
            {unit: {"unwatched": 10.0, "watched": 11.0} for unit in ("frame", "window")},
            {"frame": 10.0, "window": 1.0},
            judge_ms=2.5,
            bytes_per_window=3000,
        )

    def warm_up(self) -> Sequence[str]:
        return [self.refused.get(camera, QUIET) for camera in range(1, 13)]

    def break_sensor(self, camera: int, fault: str | None) -> None:
        if fault is None:
            del self.broken[camera]
        else:
            self.broken[camera] = fault

    def change_world(self, change: str) -> Pictures:
        self.change = change
        frames = np.full((4, 1, 8, 8), 16, np.float32)
        label = np.arange(4)
        return Pictures(frames, frames / 2, label, label, label + 1)

    def window(self, number: int) -> tuple[Window, digits.Frames]:
        states, verdict = self.judge(number, self.broken, self.change)
        return Window(number, tuple(states), verdict, 1.0), np.zeros((12, 1, 8, 8), np.float32)


def play(settings: Settings, stage: FakeStage) -> tuple[Result, list[Event]]:
    events: list[Event] = []
    return scenario.run(settings, stage, events.append), events


def passed(result: Result) -> list[bool]:
    return [act.passed for act in result.acts]


def test_all_acts_happen() -> None:
    result, events = play(Settings(), FakeStage())
    assert result.passed
    assert passed(result) == [True] * 4
    assert result.fault_delay == {"stuck": 1, "saturated": 1}
    assert result.change_delay == 2
    assert result.false_alarms == 0
    assert [window.number for window in result.windows] == list(range(1, 10 + 3 * 3 + 4 + 1))
    kinds = [type(event) for event in events if not isinstance(event, WindowClosed)]
    started = [ActStarted, Quantized, Act, ActStarted, WarmedUp, Act]
    assert kinds == [*started, ActStarted, Act, ActStarted, WorldChanged, Act]


def test_the_seed_chooses_the_camera() -> None:
    chosen = [play(Settings(seed=seed), FakeStage())[0].broken_camera for seed in range(10)]
    assert chosen == [play(Settings(seed=seed), FakeStage())[0].broken_camera for seed in range(10)]
    assert len(set(chosen)) > 3
    assert all(camera is not None and 1 <= camera <= 12 for camera in chosen)


def test_quiet_run_has_as_many_windows_and_nothing_done() -> None:
    stage = FakeStage()
    result, _ = play(Settings(change=None, fault=False), stage)
    assert result.passed
    assert len(result.windows) == len(play(Settings(), FakeStage())[0].windows)
    assert stage.broken == {}
    assert stage.change is None
    assert result.broken_camera is None
    assert result.change_delay is None


def test_lost_accuracy_or_a_larger_file_fails_act_1() -> None:
    stage = FakeStage()
    stage.int8_accuracy = 0.95
    assert passed(play(Settings(), stage)[0]) == [False, True, True, True]
    stage = FakeStage()
    stage.int8_bytes = 70_001
    result, _ = play(Settings(), stage)
    assert not result.acts[0].passed
    assert "70001 bytes" in result.acts[0].reason


def test_refused_warm_up_fails_act_2() -> None:
    stage = FakeStage()
    stage.refused = {4: "stuck"}
    result, _ = play(Settings(), stage)
    assert not result.acts[1].passed
    assert "camera 4's warm-up was refused: stuck" in result.acts[1].reason
    assert passed(result) == [True, False, False, False]
    assert result.windows == []
    assert "not every camera" in result.acts[3].reason


def false_alarm(at: int, state: str = QUIET, verdict: str = QUIET) -> Judge:
    def judge(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
        states, honest_verdict = honest(number, broken, change)
        if number == at:
            unbroken = next(camera for camera in range(1, 13) if camera not in broken)
            states[unbroken - 1] = state
            return states, verdict
        return states, honest_verdict

    return judge


@pytest.mark.parametrize(("at", "act"), [(1, 2), (10, 2), (11, 3), (14, 3), (19, 3)])
@pytest.mark.parametrize(("state", "verdict"), [(MOVED, QUIET), ("stuck", QUIET), (QUIET, WORLD), (QUIET, "device")])
def test_any_alarm_that_nothing_caused_fails_its_act(at: int, act: int, state: str, verdict: str) -> None:
    result, _ = play(Settings(), FakeStage(false_alarm(at, state, verdict)))
    assert passed(result) == [number != act for number in range(1, 5)]
    assert result.false_alarms == 1
    assert f"window {at}" in result.acts[act - 1].reason


@pytest.mark.parametrize("fault", digits.FAULTS)
def test_unnoticed_fault_fails_act_3(fault: str) -> None:
    def blind(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
        return honest(number, {k: v for k, v in broken.items() if v != fault}, change)

    result, _ = play(Settings(), FakeStage(blind))
    assert passed(result) == [True, True, False, True]
    assert f"was {fault} for 3 windows unnoticed" in result.acts[2].reason
    assert result.fault_delay[fault] is None


@pytest.mark.parametrize("name", ["missing", MOVED])
def test_fault_with_another_name_fails_act_3(name: str) -> None:
    def confused(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
        return honest(number, dict.fromkeys(broken, name), change)

    result, _ = play(Settings(), FakeStage(confused))
    assert passed(result) == [True, True, False, True]
    assert f"was called {name}" in result.acts[2].reason


def test_fault_on_the_neighbour_fails_act_3() -> None:
    def off_by_one(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
        return honest(number, {k % 12 + 1: v for k, v in broken.items()}, change)

    result, _ = play(Settings(), FakeStage(off_by_one))
    assert not result.acts[2].passed
    assert result.false_alarms == 6


def test_unnoticed_or_late_change_fails_act_4() -> None:
    def late(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
        return honest(number, broken, None)

    result, _ = play(Settings(), FakeStage(late))
    assert passed(result) == [True, True, True, False]
    assert "not found within 4 windows" in result.acts[3].reason


@pytest.mark.parametrize(("states", "verdict"), [({}, "device"), (dict.fromkeys(range(1, 13), "stuck"), WORLD)])
def test_change_with_another_name_fails_act_4(states: dict[int, str], verdict: str) -> None:
    def confused(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
        if change is None:
            return honest(number, broken, change)
        return [states.get(camera, QUIET) for camera in range(1, 13)], verdict

    result, _ = play(Settings(), FakeStage(confused))
    assert passed(result) == [True, True, True, False]


def test_first_some_cameras_then_the_world_is_found_when_the_world_is() -> None:
    def growing(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
        states, verdict = honest(number, broken, change)
        return states, "cohort" if change and verdict == QUIET else verdict

    result, _ = play(Settings(), FakeStage(growing))
    assert result.passed
    assert result.change_delay == 2


def test_settling_after_the_repair_is_no_alarm() -> None:
    def settling(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
        states, verdict = honest(number, broken, change)
        return [SETTLING, *states[1:]] if number == 17 else states, verdict

    assert play(Settings(), FakeStage(settling))[0].passed


def test_cameras_that_moved_belong_to_a_changed_world() -> None:
    def thorough(number: int, broken: dict[int, str], change: str | None) -> tuple[list[str], str]:
        states, verdict = honest(number, broken, change)
        return ([MOVED] * 12, WORLD) if change else (states, verdict)

    result, _ = play(Settings(), FakeStage(thorough))
    assert result.passed
    assert result.change_delay == 1


def drawn(settings: Settings, stage: FakeStage) -> str:
    text: list[str] = []
    result = scenario.run(settings, stage, render.Lines(text.append))
    stream = io.StringIO()
    render.print_tables(summary.tables(result), stream)
    return "\n".join(text) + stream.getvalue()


def test_plain_lines_say_what_happened() -> None:
    text = drawn(Settings(), FakeStage())
    camera = play(Settings(), FakeStage())[0].broken_camera
    assert "ONNX Runtime is not installed" in text
    assert f"camera {camera} stuck" in text
    assert "read as 1, 2, 3, 4" in text
    assert "@@@@" in text
    assert "0 of 23" in text
    assert "world changed by shift" in text
    assert "named after 2 windows" in text
    assert "FAILED" not in text
    assert "3,000 bytes" in text


def test_plain_lines_say_what_failed() -> None:
    text = drawn(Settings(), FakeStage(false_alarm(3, MOVED)))
    assert "FAILED: window 3: camera 1 was called moved" in text
    assert "1 of 23" in text


def test_screen_draws_every_event() -> None:
    console = pytest.importorskip("rich.console", reason="live drawing needs rich (extra 'demo')")
    stream = io.StringIO()
    terminal = console.Console(file=stream, force_terminal=True, width=100)
    with render.Screen(terminal, pace_s=0) as screen:
        scenario.run(Settings(), FakeStage(), screen)
    text = stream.getvalue()
    assert "▀" in text
    for act in ("Quantize", "Watch", "One sensor breaks", "The world changes"):
        assert act in text
    assert "reads 1" in text


def test_picture_is_the_image() -> None:
    pytest.importorskip("rich.text", reason="live drawing needs rich (extra 'demo')")
    frame = np.zeros((1, 8, 8), np.float32)
    frame[0, 0, 0], frame[0, 1, 0], frame[0, 7, 7] = 16, 8, 16
    text = render.picture(frame)
    assert text.plain == "\n".join(["▀" * 8] * 4)
    assert str(text.spans[0].style) == "rgb(255,255,255) on rgb(128,128,128)"
    assert str(text.spans[-1].style) == "rgb(0,0,0) on rgb(255,255,255)"
