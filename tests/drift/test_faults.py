"""The sensor checks, and what must not be called a fault."""

from __future__ import annotations

import numpy as np
import pytest

from sanderling import _core
from sanderling.drift import Reference, SensorCheck, Sketches, check_sensors

FEATURES = 10


def usual(seed: int, rows: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, FEATURES)).astype(np.float32)


def black_background(seed: int, rows: int = 200) -> np.ndarray:
    """Like pictures: six to nine of ten pixels are at the low end in every row."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 17, (rows, FEATURES))
    order = rng.random((rows, FEATURES)).argsort(axis=1)
    return np.where(order < rng.integers(6, 9, (rows, 1)), 0, values).astype(np.float32)


def check(reference: Reference, rows: np.ndarray) -> SensorCheck:
    watch = _core.Watch(reference.watch_spec())
    watch.observe_input(0, np.ascontiguousarray(rows, np.float32))
    return check_sensors(reference, Sketches(watch.take()))


def kinds(found: SensorCheck) -> list[str]:
    return [fault.kind for fault in found.faults]


@pytest.mark.parametrize("draw", [usual, black_background])
def test_usual_windows_have_no_fault(draw) -> None:
    reference = Reference.fit(draw(0, 2000))
    for seed in range(1, 30):
        assert check(reference, draw(seed)) == SensorCheck()


@pytest.mark.parametrize("draw", [usual, black_background])
def test_a_repeated_row_is_stuck_and_nothing_else(draw) -> None:
    reference = Reference.fit(draw(0, 2000))
    for seed in range(1, 30):
        found = check(reference, np.repeat(draw(seed, 1), 200, axis=0))
        assert kinds(found) == ["stuck"]
    assert found.faults[0].share == 1
    assert len(found.constants) == FEATURES


def test_half_of_the_features_are_enough_and_fewer_are_only_listed() -> None:
    reference = Reference.fit(usual(0, 2000))
    rows = usual(1)
    rows[:, :5] = 0.3
    assert kinds(check(reference, rows)) == ["stuck"]
    rows[:, 4] = usual(1)[:, 4]
    found = check(reference, rows)
    assert found.faults == ()
    assert found.constants == tuple(f"input[{i}]" for i in range(4))


def test_rows_that_repeat_now_and_then_move() -> None:
    reference = Reference.fit(usual(0, 2000))
    held = usual(1)[np.minimum(np.arange(200) // 40 * 40, 199)]  # 4 changes in 199 pairs
    assert kinds(check(reference, held)) == ["stuck"]
    slow = usual(1)[np.arange(200) // 2]
    assert kinds(check(reference, slow)) == []
    assert kinds(check(Reference.fit(np.repeat(usual(0), 10, axis=0)), np.repeat(usual(1, 10), 20, axis=0))) == []


@pytest.mark.parametrize("draw", [usual, black_background])
@pytest.mark.parametrize("end", ["low", "high"])
def test_a_noisy_end_is_saturated(draw, end: str) -> None:
    reference = Reference.fit(draw(0, 2000))
    rng = np.random.default_rng(1)
    level = reference.inputs[0].low if end == "low" else reference.inputs[0].high
    rows = np.where(rng.random((200, FEATURES)) < 0.02, draw(2), level)
    found = check(reference, rows)
    assert kinds(found) == ["saturated"]
    assert f"{end} end" in found.faults[0].detail


def test_a_sensor_beyond_its_end_is_saturated() -> None:
    reference = Reference.fit(usual(0, 2000))
    rows = usual(1)
    rows[:, ::2] = 50 + 0.01 * rows[:, ::2]
    assert kinds(check(reference, rows)) == ["saturated"]


def test_missing_values_where_the_version_has_none() -> None:
    normal = usual(0, 2000)
    rows = usual(1)
    rows[:11, 3] = np.nan
    found = check(Reference.fit(normal), rows)
    assert kinds(found) == ["missing"]
    assert "1 of 10 features" in found.faults[0].detail
    assert found.faults[0].share == pytest.approx(0.055)
    rows[10, 3] = 0  # 5 % is allowed
    assert kinds(check(Reference.fit(normal), rows)) == []
    normal[7, 3] = np.nan
    rows[:100, 3] = np.nan
    assert kinds(check(Reference.fit(normal), rows)) == []


def test_nothing_but_missing_values() -> None:
    assert kinds(check(Reference.fit(usual(0, 2000)), np.full((200, FEATURES), np.nan)))[0] == "missing"


def test_a_constant_that_moves_is_listed() -> None:
    normal = usual(0, 2000)
    normal[:, [2, 6]] = 4, 0
    reference = Reference.fit(normal)
    rows = usual(1)
    rows[:, [2, 6]] = 4, 0
    assert check(reference, rows) == SensorCheck()
    rows[17, 2] = 3.9
    rows[18, 6] = -1e-3
    assert check(reference, rows).left_constant == ("input[2]", "input[6]")
    assert check(reference, rows).faults == ()


def test_rare_values_may_stay_away() -> None:
    """Nine of ten features are 0 in 99.9 % of rows: a window in which they all are is no stuck sensor."""
    rng = np.random.default_rng(0)

    def draw(rows: int) -> np.ndarray:
        values = (rng.random((rows, FEATURES)) < 0.001).astype(np.float32)
        values[:, 0] = rng.standard_normal(rows)
        return values

    reference = Reference.fit(draw(5000))
    for _ in range(20):
        assert kinds(check(reference, draw(200))) == []


def test_a_handful_of_rows_is_not_judged() -> None:
    assert check(Reference.fit(usual(0, 2000)), np.zeros((19, FEATURES))) == SensorCheck()
