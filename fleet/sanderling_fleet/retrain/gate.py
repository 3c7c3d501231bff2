"""Champion against challenger on the same rows: what is known of the difference, and whether that is enough. Pure.

The statistic. On n rows the challenger alone is right on b and the champion alone on c; the difference of accuracies is
(b - c) / n. b and c are binomial, each by itself, so each has an exact bound (Clopper and Pearson 1934), and the lower
bound of the difference is the lower bound of the one less the upper bound of the other, each at half of alpha
(Bonferroni): it is above the truth at most in alpha of all cases, for every n and whatever the two have to do with each
other. It is conservative; Tango's score interval (1998) would be narrower and is right only for many rows. The upper
bound likewise, so the two together hold in 1 - 2 alpha of cases.

The rule. A challenger passes if on every set of rows the lower bound is above minus that set's margin ("not worse by
as much as..."; for the drifted sample the margin is 0 by default: "better"). All sets must pass, so none needs a
smaller alpha (intersection-union test, Berger 1982). Too few rows, or none, is never a pass.

Assumptions: the rows of a set are independent draws of what the model will meet, and none of them trained the
challenger. A frozen holdout that judges many challengers wears out: each of them passes wrongly with chance alpha.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sanderling.errors import InputError

HOLDOUT, DRIFTED = "holdout", "drifted"
Bools = npt.NDArray[np.bool_]
_HALVINGS = 60  # of [0, 1]: below the spacing of doubles there


@dataclass(frozen=True)
class GateSettings:
    """What a challenger must show.

    Attributes:
        holdout_margin: How much less accurate it may be on the frozen holdout: 0.02 is two points.
        drifted_margin: The same for the uniform drifted sample; 0 asks that it is better, a negative one by how much.
        slice_margin: The same for every slice.
        alpha: Chance that one set's margin is said to be kept when it is not.
        least_rows: Of every set; with fewer it is not passed.
    """

    holdout_margin: float = 0.02
    drifted_margin: float = 0.0
    slice_margin: float = 0.1
    alpha: float = 0.05
    least_rows: int = 20

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InputError: One is out of its range.
        """
        margins = (self.holdout_margin, self.drifted_margin, self.slice_margin)
        if not all(-1 < margin < 1 for margin in margins) or not 0 < self.alpha < 0.5 or self.least_rows < 1:
            raise InputError(
                f"[gate] margins {margins}, alpha {self.alpha}, least_rows {self.least_rows}: expected margins between "
                "-1 and 1, alpha between 0 and 0.5, and at least one row"
            )


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Which rows of a set each of the two gets right; the same rows in the same order."""

    champion: Bools
    challenger: Bools


@dataclass(frozen=True)
class Comparison:
    """What is known about one set of rows.

    Attributes:
        rows_name: "holdout", "drifted", or a slice's name.
        rows: How many.
        champion_accuracy: Share that it gets right; 0 without rows.
        challenger_accuracy: Likewise.
        lower: Bound of the difference, challenger less champion.
        upper: Likewise.
        passed: Whether it is enough.
        reason: Why, with the numbers.
    """

    rows_name: str
    rows: int
    champion_accuracy: float
    challenger_accuracy: float
    lower: float
    upper: float
    passed: bool
    reason: str


def judge(sets: Mapping[str, Outcomes], slices: Sequence[str], settings: GateSettings) -> tuple[Comparison, ...]:
    """Compares on the holdout, the drifted sample and every slice, in this order.

    Args:
        sets: Outcomes by name. One that is asked for and missing is judged as having no rows.
        slices: Names of the slices that must pass beside the two.
        settings: What must be shown.
    """
    margins = {HOLDOUT: settings.holdout_margin, DRIFTED: settings.drifted_margin}
    names = [HOLDOUT, DRIFTED, *slices]
    return tuple(compare(name, sets.get(name), margins.get(name, settings.slice_margin), settings) for name in names)


def compare(name: str, outcomes: Outcomes | None, margin: float, settings: GateSettings) -> Comparison:
    """Compares on one set of rows.

    Raises:
        InputError: The two have not run the same number of rows.
    """
    rows = 0 if outcomes is None else len(outcomes.champion)
    if outcomes is None or rows == 0:
        return Comparison(name, 0, 0.0, 0.0, -1.0, 1.0, False, "no rows, and no data is no pass")
    if len(outcomes.challenger) != rows:
        raise InputError(f"[gate] {name}: champion ran {rows} rows, challenger {len(outcomes.challenger)}")
    gained = int((outcomes.challenger & ~outcomes.champion).sum())
    lost = int((outcomes.champion & ~outcomes.challenger).sum())
    lower, upper = difference_bounds(gained, lost, rows, settings.alpha)
    champion, challenger = float(outcomes.champion.mean()), float(outcomes.challenger.mean())
    difference = (
        f"{100 * (challenger - champion):+.1f} points ({100 * champion:.1f} to {100 * challenger:.1f} %), at least "
        f"{100 * lower:+.1f} at confidence {1 - settings.alpha:g} on {rows} rows"
    )
    if rows < settings.least_rows:
        passed, reason = False, f"{rows} rows, {settings.least_rows} are needed; {difference}"
    else:
        passed = lower > -margin
        reason = f"{difference}; wanted: above {-100 * margin:+.1f}"
    return Comparison(name, rows, champion, challenger, lower, upper, passed, reason)


def difference_bounds(gained: int, lost: int, rows: int, alpha: float) -> tuple[float, float]:
    """Bounds of the difference of two accuracies measured on the same rows.

    Args:
        gained: Rows that only the challenger gets right.
        lost: Rows that only the champion gets right.
        rows: All of them.
        alpha: Chance that the truth is below the lower bound; the same for the upper.
    """
    lower = _least(gained, rows, alpha / 2) - _most(lost, rows, alpha / 2)
    upper = _most(gained, rows, alpha / 2) - _least(lost, rows, alpha / 2)
    return max(lower, -1.0), min(upper, 1.0)


def share_bounds(count: int, rows: int, alpha: float) -> tuple[float, float]:
    """Bounds of a share of which `count` of `rows` were seen (Clopper and Pearson), each wrong with chance alpha."""
    return _least(count, rows, alpha), _most(count, rows, alpha)


def _least(count: int, rows: int, alpha: float) -> float:
    """Clopper and Pearson's lower bound: the chance at which as many as `count` are as rare as alpha."""
    return 1.0 - _most(rows - count, rows, alpha)


@lru_cache(maxsize=4096)
def _most(count: int, rows: int, alpha: float) -> float:
    """Clopper and Pearson's upper bound: the chance at which as few as `count` are as rare as alpha."""
    if count >= rows:
        return 1.0
    low, high = count / rows, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(count, rows, middle) > alpha else (low, middle)
    return high


def _at_most(count: int, rows: int, chance: float) -> float:
    """The chance that a binomial count is at most `count`."""
    if chance <= 0.0 or chance >= 1.0:
        return float(chance <= 0.0)
    hit, miss = math.log(chance), math.log1p(-chance)
    ways = math.lgamma(rows + 1)
    return math.fsum(
        math.exp(ways - math.lgamma(k + 1) - math.lgamma(rows - k + 1) + k * hit + (rows - k) * miss)
        for k in range(count + 1)
    )
