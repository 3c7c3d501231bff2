"""The comparison against its promises, by simulation with fixed seeds."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest

from sanderling.errors import InputError
from sanderling_fleet.comparison import Arm, GateDecision, Reading, _distribution, _rank, compare

PASS, BREACH, UNDECIDED = GateDecision.PASS, GateDecision.BREACH, GateDecision.UNDECIDED
ALPHA = 0.05
WINDOWS = 24

NOISE = {
    "normal": lambda rng, size: rng.normal(0, 1, size),
    "student 1.5, no variance": lambda rng, size: rng.standard_t(1.5, size),
    "cauchy, no mean": lambda rng, size: rng.standard_cauchy(size),
    "exponential, skewed": lambda rng, size: rng.exponential(1, size),
    "coin, ties": lambda rng, size: rng.integers(0, 2, size).astype(float),
}


def readings(candidates, controls, baselines=None):
    """Rows are devices, columns windows; window by window as devices send them."""
    values = [*candidates, *controls]
    result = []
    for window in range(values[0].size):
        for device, row in enumerate(values):
            arm = Arm.CANDIDATE if device < len(candidates) else Arm.CONTROL
            baseline = None if baselines is None else float(baselines[device])
            result.append(Reading(f"d{device}", arm, float(row[window]), baseline))
    return result


def fleet(rng, noise, devices=12, level=2.0, drift=0.5):
    """Device levels of their own, and a slow common and a slow own wandering: readings of a device are dependent."""
    own = (
        level * rng.normal(0, 1, (2 * devices, 1)) + drift * rng.normal(0, 1, (2 * devices, WINDOWS)).cumsum(axis=1) / 5
    )
    return own + rng.normal(0, 1, WINDOWS).cumsum() + NOISE[noise](rng, (2 * devices, WINDOWS))


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_false_breaches_over_all_looks_stay_below_alpha(noise, shift):
    """Also at the edge: a shift that equals the margin is tolerated. A breach at any look counts."""
    rng = np.random.default_rng(7)
    runs, false = 200, 0
    for _ in range(runs):
        values = fleet(rng, noise)
        values[:12] += shift
        false += compare(readings(values[:12], values[12:]), margin=shift, alpha=ALPHA).decision is BREACH
    assert false <= ALPHA * runs


@pytest.mark.parametrize("noise", NOISE)
def test_false_passes_over_all_looks_stay_below_alpha(noise):
    """A version that is worse by the whole margin must not pass, at any look: a stage goes on at the first pass."""
    rng = np.random.default_rng(11)
    runs, false = 100, 0
    for _ in range(runs):
        values = fleet(rng, noise, level=0.2)
        values[:12] += 1.0
        rows = readings(values[:12], values[12:])
        looks = [size for size in (20, 30, 45, 68, 101, 152, 228, 342, 513) if size <= len(rows)]
        false += any(compare(rows[:size], margin=1.0, alpha=ALPHA).decision is PASS for size in looks)
    assert false <= ALPHA * runs


@pytest.mark.parametrize(("candidates", "controls"), [(10, 60), (60, 10), (10, 10)])
@pytest.mark.parametrize("noise", ["normal", "coin, ties"])
def test_arms_of_different_sizes_and_devices_that_come_late_and_fall_silent(noise, candidates, controls):
    """Half of each arm joins late, a quarter stops reporting, both whatever they measure: false breaches stay rare."""
    rng = np.random.default_rng(12)
    runs, false, size = 100, 0, candidates + controls
    for _ in range(runs):
        values = fleet(rng, noise, devices=(size + 1) // 2)[:size]
        joins = np.where(rng.random(size) < 0.5, rng.integers(0, WINDOWS // 2, size), 0)
        leaves = np.where(rng.random(size) < 0.25, rng.integers(WINDOWS // 2, WINDOWS, size), WINDOWS)
        rows = readings(values[:candidates], values[candidates:])
        rows = [r for i, r in enumerate(rows) if joins[i % size] <= i // size < leaves[i % size]]
        false += compare(rows, margin=0.0, alpha=ALPHA).decision is BREACH
    assert false <= ALPHA * runs


@pytest.mark.parametrize("noise", ["normal", "cauchy, no mean"])
def test_two_liars_of_ten_do_not_bring_about_a_breach(noise):
    """They report horror, on top of the chance alpha that honest ones look bad; all counted, it would be 15 %."""
    rng = np.random.default_rng(8)
    runs, false = 200, 0
    for _ in range(runs):
        values = fleet(rng, noise, devices=10)
        values[:2] = 1e9
        false += compare(readings(values[:10], values[10:]), margin=0.0, alpha=ALPHA).decision is BREACH
    assert false <= ALPHA * runs


def test_answers_change_only_at_looks_and_a_breach_stays():
    rng = np.random.default_rng(1)
    values = fleet(rng, "normal", level=0.1)
    values[:12, 6:] += 10
    rows = readings(values[:12], values[12:])
    answers = [compare(rows[:size], margin=0.5, alpha=ALPHA) for size in range(len(rows) + 1)]
    decided = [answer.decision for answer in answers]
    first = decided.index(BREACH)
    assert set(decided[first:]) == {BREACH}
    looks = [size for size, (before, after) in enumerate(pairwise(answers), start=1) if before.look != after.look]
    assert looks == [30, 45, 68, 101, 152, 228, 342, 513][: len(looks)]  # of 20, too few were candidates
    assert len(looks) >= 4
    for before, after in pairwise(answers):
        if 0 < before.look == after.look:
            assert after == before


def test_the_hour_of_the_day_is_not_the_version():
    """The control group has reported all night; candidates begin in the morning, when everyone is slower."""
    rng = np.random.default_rng(2)
    night, day = rng.normal(1000, 5, (12, 20)), rng.normal(1300, 5, (24, 20))
    rows = readings(night[:0], night)
    rows = [replace(item, device=f"d{12 + i % 12}") for i, item in enumerate(rows)]
    rows += readings(day[:12], day[12:])
    assert compare(rows, margin=1.1, alpha=ALPHA, ratio=True).decision is PASS


def latency(rng, rise, devices=12, level=0.4):
    """p95 in microseconds: devices differ by 40 %, windows by 6 % with an outlier in twenty."""
    levels = 2000 * np.exp(level * rng.normal(0, 1, (2 * devices, 1)))
    noise = np.exp(0.06 * rng.normal(0, 1, (2 * devices, WINDOWS)))
    noise *= np.where(rng.random(noise.shape) < 0.05, rng.uniform(2, 20, noise.shape), 1.0)
    values = levels * noise
    values[:devices] *= rise
    return values, levels[:, 0] * np.exp(0.02 * rng.normal(0, 1, 2 * devices))


def confidence(rng, drop, devices=12):
    levels = 0.8 + 0.08 * rng.normal(0, 1, (2 * devices, 1))
    values = np.clip(levels + 0.02 * rng.normal(0, 1, (2 * devices, WINDOWS)), 0, 1)
    values[:devices] -= drop
    return values, levels[:, 0] + 0.01 * rng.normal(0, 1, 2 * devices)


def decisions(draw, change, runs=50, liars=None, **settings):
    rng = np.random.default_rng(3)
    found = []
    for _ in range(runs):
        values, baselines = draw(rng, change)
        if liars is not None:
            values[: len(liars)] = np.array(liars)[:, None]
        found.append(compare(readings(values[:12], values[12:], baselines), alpha=ALPHA, **settings).decision)
    return found


LATENCY = {"margin": 1.05, "ratio": True}
CONFIDENCE = {"margin": 0.05, "lower_is_worse": True}


def test_power_with_twelve_devices_an_arm():
    assert decisions(latency, 1.15, **LATENCY).count(BREACH) >= 48
    assert decisions(confidence, 0.1, **CONFIDENCE).count(BREACH) >= 48


def test_equal_versions_pass():
    assert decisions(latency, 1.0, ratio=True, margin=1.1).count(PASS) >= 45
    assert decisions(confidence, 0.0, **CONFIDENCE).count(PASS) >= 45


def test_a_liar_of_twelve_does_not_hide_a_breach():
    assert decisions(latency, 1.25, liars=[1.0], **LATENCY).count(BREACH) >= 45
    assert decisions(confidence, 0.1, liars=[1.0], **CONFIDENCE).count(BREACH) >= 45


def test_two_liars_of_twelve_do_not_turn_a_decision_round():
    """A bad version does not pass because two devices praise it; a good one is not breached because two abhor it."""
    assert decisions(latency, 1.15, liars=[1.0, 1.0], **LATENCY).count(PASS) == 0
    assert decisions(latency, 1.0, liars=[1e9, 1e9], **LATENCY).count(BREACH) == 0
    assert decisions(confidence, 0.1, liars=[1.0, 1.0], **CONFIDENCE).count(PASS) == 0
    assert decisions(confidence, 0.0, liars=[0.0, 0.0], **CONFIDENCE).count(BREACH) == 0


def test_a_control_that_has_the_version_too_does_not_hide_a_breach():
    """An operator installed it by hand: one of twelve, and two never turn the decision round."""
    rng = np.random.default_rng(13)
    for contaminated, least in ((1, 45), (2, 0)):
        found = []
        for _ in range(50):
            values, baselines = confidence(rng, 0.1)
            values[12 : 12 + contaminated] -= 0.1
            rows = readings(values[:12], values[12:], baselines)
            found.append(compare(rows, alpha=ALPHA, **CONFIDENCE).decision)
        assert found.count(BREACH) >= least
        assert found.count(PASS) == 0


def flat(values, windows=10):
    return np.repeat(np.asarray(values, float)[:, None], windows, axis=1)


def test_seven_of_ten_points_a_hundred_times_higher():
    """Kayenta passed it (spinnaker#6278): with points as windows of each device it is a breach..."""
    rng = np.random.default_rng(0)
    control = rng.uniform(9, 11, (10, 20))
    candidate = rng.uniform(9, 11, (10, 20))
    candidate[:, np.arange(20) % 10 < 7] *= 100
    assert compare(readings(candidate, control), margin=1.1, alpha=ALPHA, ratio=True).decision is BREACH


def test_seven_of_ten_devices_a_hundred_times_higher():
    """...and with points as devices it never passes."""
    rng = np.random.default_rng(0)
    control, candidate = rng.uniform(9, 11, (2, 10, 20))
    candidate[:7] *= 100
    rows = readings(candidate, control)
    for size in range(0, len(rows), 10):
        assert compare(rows[:size], margin=1.1, alpha=ALPHA, ratio=True).decision is not PASS


def test_a_change_of_shape_does_not_pass():
    """Kayenta passed it (kayenta#780): the same median, but half of the devices are twice as slow."""
    control = flat(np.linspace(95, 105, 12))
    candidate = flat([*np.linspace(45, 55, 6), *np.linspace(195, 205, 6)])
    assert compare(readings(candidate, control), margin=1.1, alpha=ALPHA, ratio=True).decision is UNDECIDED


def test_zeros_against_a_few_errors():
    """Kayenta passed six zeros against [0, 1, 2, 1, 0, 0] (kayenta#426): six decide nothing, twelve do not pass."""
    few = compare(readings(flat([0, 1, 2, 1, 0, 0]), flat([0] * 6)), margin=0.5, alpha=ALPHA)
    assert few.decision is UNDECIDED
    assert few.reason == "too few devices for a comparison: 6 of 10 (6 candidates, 6 controls)"
    more = compare(readings(flat([0, 1, 2, 1, 0, 0] * 2), flat([0] * 12)), margin=0.5, alpha=ALPHA)
    assert more.decision is UNDECIDED


@pytest.mark.parametrize(("ratio", "margin"), [(True, 1.1), (False, 0.0)])
def test_zero_baselines(ratio, margin):
    """A rise from zero is seen, by ratio too; zero against zero is no change, not an error."""
    zeros = flat([0] * 12)
    risen = compare(readings(flat([3] * 12), zeros), margin=margin, alpha=ALPHA, ratio=ratio)
    assert risen.decision is BREACH
    same = compare(readings(zeros, zeros, np.zeros(24)), margin=max(margin, 0.1), alpha=ALPHA, ratio=ratio)
    assert same.decision is PASS
    assert same.estimate == (1.0 if ratio else 0.0)


def test_no_data_is_undecided():
    assert compare([], margin=0, alpha=ALPHA).reason == "no data"
    assert compare([], margin=0, alpha=ALPHA).decision is UNDECIDED


def test_four_of_ten():
    found = compare(readings(flat([1] * 4), flat([1] * 20)), margin=0, alpha=ALPHA)
    assert found.reason.startswith("too few devices for a comparison: 4 of 10")


def test_a_chatty_device_has_one_weight():
    """One candidate sends a thousand horrid readings between the others' two."""
    values = flat(np.linspace(0.9, 1.1, 24), windows=2)
    rows = readings(values[::2], values[1::2])
    rows[24:24] = [Reading("d0", Arm.CANDIDATE, 1e6)] * 1000
    assert compare(rows, margin=0.5, alpha=ALPHA).decision is not BREACH


def test_every_answer_says_its_numbers():
    found = compare(readings(flat([1.3] * 12), flat([1.0] * 12)), margin=0.1, alpha=ALPHA)
    assert (found.estimate, found.lower, found.upper) == pytest.approx((0.3, 0.3, 0.3))
    assert "12 candidates, 12 controls" in found.reason
    assert "0.3" in found.reason
    assert "margin 0.1" in found.reason


def test_a_decrease_is_reported_as_one():
    rng = np.random.default_rng(5)
    values, baselines = confidence(rng, 0.1)
    found = compare(readings(values[:12], values[12:], baselines), alpha=ALPHA, **CONFIDENCE)
    assert found.lower <= found.estimate <= found.upper < -0.05
    assert found.estimate == pytest.approx(-0.1, abs=0.03)


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        ([Reading("d", Arm.CONTROL, float("nan"))], {}),
        ([Reading("d", Arm.CONTROL, 1.0, float("inf"))], {}),
        ([Reading("d", Arm.CONTROL, -1.0)], {"ratio": True, "margin": 1.0}),
        ([], {"alpha": 0.0}),
        ([], {"alpha": 1.0}),
        ([], {"margin": -0.1}),
        ([], {"margin": 0.9, "ratio": True}),
        ([], {"margin": 1.1, "ratio": True, "lower_is_worse": True}),
    ],
)
def test_settings_and_values_are_checked(rows, settings):
    with pytest.raises(InputError, match=r"\[comparison\]"):
        compare(rows, **{"margin": 0.0, "alpha": ALPHA, **settings})


def test_distribution_is_that_of_all_divisions():
    counted = np.zeros(4 * 5 + 1)
    for chosen in combinations(range(9), 4):
        rest = [value for value in range(9) if value not in chosen]
        counted[sum(a > b for a in chosen for b in rest)] += 1
    assert _distribution(4, 5) == pytest.approx(counted / counted.sum())


@pytest.mark.parametrize("alpha", [0.05, 0.01, 1e-3, 1e-4])
def test_large_arms_use_a_bound_no_bolder_than_the_exact_one(alpha):
    exact = np.searchsorted(np.cumsum(_distribution(41, 45)), alpha, side="right")
    assert exact - 0.02 * 41 * 45 <= _rank(41, 45, alpha) <= exact
    assert np.cumsum(_distribution(9, 9))[_rank(9, 9, alpha) - 1] <= alpha
