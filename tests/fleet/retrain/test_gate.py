"""The gate's bound holds as often as it says, and what it decides by default."""

import math

import numpy as np
import pytest

from sanderling.errors import InputError
from sanderling_fleet.retrain.gate import DRIFTED, HOLDOUT, GateSettings, Outcomes, compare, difference_bounds, judge

SETTINGS = GateSettings()


def outcomes(rows, gained=0, lost=0, both=0):
    champion, challenger = np.zeros(rows, bool), np.zeros(rows, bool)
    challenger[:gained] = True
    champion[gained : gained + lost] = True
    champion[gained + lost : gained + lost + both] = challenger[gained + lost : gained + lost + both] = True
    return Outcomes(champion, challenger)


@pytest.mark.parametrize(
    ("gained", "lost", "rows", "lower"),
    # At alpha / 2 = 0.025: 0 of n has the upper bound 1 - 0.025 ** (1 / n), 10 of 10 the lower 0.025 ** (1 / 10).
    [(0, 0, 100, -(1 - 0.025**0.01)), (10, 0, 10, 0.025**0.1 - (1 - 0.025**0.1))],
)
def test_bound_in_closed_form(gained, lost, rows, lower):
    assert difference_bounds(gained, lost, rows, 0.05)[0] == pytest.approx(lower, abs=1e-9)


def test_bounds_of_half_are_those_of_published_tables():
    # Clopper-Pearson, 95 % two-sided: 5 of 10 is 0.1871 to 0.8129; 0 of 10 is 0 to 0.3085.
    lower, upper = difference_bounds(5, 0, 10, 0.05)
    assert lower == pytest.approx(0.1871 - 0.3085, abs=1e-4)
    assert upper == pytest.approx(0.8129, abs=1e-4)


def test_bounds_mirror():
    lower, upper = difference_bounds(7, 3, 50, 0.05)
    assert difference_bounds(3, 7, 50, 0.05) == pytest.approx((-upper, -lower))


@pytest.mark.parametrize("rows", [20, 60, 250])
@pytest.mark.parametrize(("gain", "loss"), [(0.0, 0.0), (0.02, 0.04), (0.3, 0.3), (0.0, 0.5), (0.5, 0.05)])
def test_the_lower_bound_is_above_the_truth_at_most_in_alpha_of_cases(rows, gain, loss):
    # Exact: every (gained, lost) with its trinomial probability.
    wrong = 0.0
    for gained in range(rows + 1):
        for lost in range(rows + 1 - gained):
            p = _trinomial(gained, lost, rows, gain, loss)
            if p > 1e-9 and difference_bounds(gained, lost, rows, 0.05)[0] > gain - loss + 1e-12:
                wrong += p
    assert wrong <= 0.05


def _trinomial(gained, lost, rows, gain, loss):
    rest, same = rows - gained - lost, 1 - gain - loss
    if (gain == 0 and gained) or (loss == 0 and lost):
        return 0.0
    ways = math.lgamma(rows + 1) - sum(math.lgamma(k + 1) for k in (gained, lost, rest))
    logs = sum(k * math.log(p) for k, p in ((gained, gain), (lost, loss), (rest, same)) if k)
    return math.exp(ways + logs)


def test_equal_models_pass_a_margin_of_two_points_only_with_enough_rows():
    assert not compare(HOLDOUT, outcomes(150, both=150), 0.02, SETTINGS).passed
    assert compare(HOLDOUT, outcomes(200, both=200), 0.02, SETTINGS).passed


@pytest.mark.parametrize(("gained", "lost", "passed"), [(20, 1, True), (4, 0, False), (20, 20, False), (1, 20, False)])
def test_the_drifted_sample_must_show_a_gain(gained, lost, passed):
    found = compare(DRIFTED, outcomes(50, gained, lost, both=5), 0.0, SETTINGS)
    assert found.passed is passed
    assert found.lower <= found.challenger_accuracy - found.champion_accuracy <= found.upper
    assert "on 50 rows" in found.reason


def test_too_few_rows_or_none_are_no_pass():
    few = compare(DRIFTED, outcomes(19, gained=19), 0.0, SETTINGS)
    assert (few.passed, few.rows) == (False, 19)
    assert "20 are needed" in few.reason
    found = judge({HOLDOUT: outcomes(300, both=300)}, ["night"], SETTINGS)
    assert [(item.rows_name, item.passed, item.rows) for item in found] == [
        (HOLDOUT, True, 300),
        (DRIFTED, False, 0),
        ("night", False, 0),
    ]
    assert "no data" in found[1].reason
    assert not compare(DRIFTED, Outcomes(np.zeros(0, bool), np.zeros(0, bool)), 0.0, SETTINGS).passed


def test_rows_must_be_the_same():
    with pytest.raises(InputError, match="champion ran 3 rows, challenger 4"):
        compare(HOLDOUT, Outcomes(np.zeros(3, bool), np.zeros(4, bool)), 0.0, SETTINGS)


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 0.5}, {"holdout_margin": 1.0}, {"least_rows": 0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(InputError, match=r"\[gate\]"):
        GateSettings(**wrong)
