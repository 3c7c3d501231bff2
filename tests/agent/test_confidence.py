"""The confidence test keeps its promise on false alarms, and is fast on real ones. Seeds are fixed."""

import random

import pytest

from sanderling.agent.confidence import ConfidenceTest

ROWS = 2000


def two_valued(rng, mean):
    """The hardest values for a bounded mean: only 0 and 1."""
    return float(rng.random() < mean)


def beta(rng, mean):
    return rng.betavariate(4 * mean, 4 * (1 - mean))


def almost_constant(rng, mean):
    return min(max(rng.gauss(mean, 0.01), 0.0), 1.0)


@pytest.mark.parametrize("draw", [two_valued, beta, almost_constant])
@pytest.mark.parametrize("mean", [0.3, 0.6, 0.85])
def test_false_alarms_at_the_very_threshold(draw, mean):
    """The least favourable case of H0, looked at after each row: 1/1000 is promised, so 1/20 must be reached by few."""
    rng = random.Random(f"{draw.__name__} {mean}")
    reached_20 = reached_1000 = 0
    for _ in range(300):
        test, top = ConfidenceTest(threshold=mean), 1.0
        for _ in range(40):
            test = test.with_rows(draw(rng, mean) for _ in range(10))
            top = max(top, test.evidence)
        reached_20 += top >= 20
        reached_1000 += top >= 1000
    # 300 * 1/20 = 15, and a binomial's 99.9 % point.
    assert reached_20 <= 28
    assert reached_1000 <= 3


@pytest.mark.parametrize("draw", [two_valued, beta])
def test_no_false_reverts_in_trials_as_they_are(draw):
    """Incumbent and candidate alike, the margin of 0.1: at most 1 in 1000 reverts."""
    rng = random.Random(f"alike {draw.__name__}")
    reverts = 0
    for _ in range(1000):
        base = sum(draw(rng, 0.7) for _ in range(500)) / 500
        test = ConfidenceTest(base - 0.1).with_rows(draw(rng, 0.7) for _ in range(500))
        reverts += test.evidence >= 1000
    assert reverts <= 1


@pytest.mark.parametrize("draw", [two_valued, beta, almost_constant])
@pytest.mark.parametrize("mean", [0.95, 0.8, 0.6])
def test_half_the_confidence_is_found_within_300_rows(draw, mean):
    rng = random.Random(f"half {draw.__name__} {mean}")
    slow = 0
    for _ in range(100):
        test = ConfidenceTest(mean - 0.1)
        rows = 0
        while test.evidence < 1000 and rows < ROWS:
            test = test.with_rows([draw(rng, mean / 2)])
            rows += 1
        slow += rows > 300
    assert slow <= 1, f"{slow} of 100 took over 300 rows"


def test_rows_in_any_blocks_give_one_result():
    values = [0.1 * (i % 11) for i in range(100)]
    whole = ConfidenceTest(0.6).with_rows(values)
    parts = ConfidenceTest(0.6).with_rows(values[:7]).with_rows(values[7:50]).with_rows(values[50:])
    assert parts == whole
    assert whole.mean == pytest.approx(sum(values) / 100)


@pytest.mark.parametrize("threshold", [0.0, -0.05])
def test_nothing_is_below_zero(threshold):
    assert ConfidenceTest(threshold).with_rows([0.0] * 1000).evidence == 1.0


def test_values_out_of_range_do_not_break_it():
    test = ConfidenceTest(0.5).with_rows([float("nan"), 7.0, -3.0, 1.0, 0.0] * 10_000)
    assert 0.0 <= test.evidence < float("inf")
    assert test.mean == pytest.approx(0.4)


def test_evidence_does_not_overflow():
    assert ConfidenceTest(0.99).with_rows([0.0] * 5000).evidence > 1e300
