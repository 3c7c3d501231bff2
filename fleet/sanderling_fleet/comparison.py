"""Candidates against a concurrent control group: a bound on the shift of device medians that is valid at every look.

The statistic. Each device counts once, with the median of its readings so far; those from before both arms reported are
left out where it has later ones, since the hour of the day must not pass for the version. Where devices have a reading
of their own former version, it is the change from it that counts. Before the arms are compared, the devices of each arm
that speak most strongly for the conclusion are left out, a tenth and one more, so that as many liars cannot bring it
about. On the rest the rank-sum test of Mann and Whitney is exact, and inverting it bounds the shift (Hodges and Lehmann
1963; Lehmann, "Nonparametrics", section 2.4).

Valid at every look. The data is looked at when the number of readings, of both arms together, reaches 20, 30, 45, 68,
101...; look i spends alpha / (i (i + 1)), which adds up to alpha (Bonferroni's bound, with the spending idea of Lan and
DeMets 1983). Between two looks the answer is that of the last one, so asking more often costs nothing. That number does
not depend on which arm a device is in; so at each look, given how many devices reported in each arm, every division of
the honest devices into arms is equally likely if the version makes no difference.

Assumptions: devices were divided into arms at random (a hash of rollout and device), whether one has reported by a look
does not depend on what it would have reported, readings are given in the order in which they were taken, at most a
tenth of each arm and one device more lie, and the version shifts devices' values (or their logarithms) by about the
same amount, if at all. Nothing is assumed about the shape of the distribution, about devices' levels, or about the
dependence of a device's readings in time. Devices that crashed or reverted send no readings: they are what hard limits
count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from statistics import NormalDist, median

import numpy as np
import numpy.typing as npt

from sanderling.errors import InputError

Floats = npt.NDArray[np.float64]

FEWEST_DEVICES = 10
"""Reporting devices per arm, below which nothing is decided."""

_FIRST_LOOK = 2 * FEWEST_DEVICES
_LOOK_GROWTH = 1.5
_LARGEST_EXACT = 40


class Arm(StrEnum):
    """Which version a device runs."""

    CANDIDATE = "candidate"
    CONTROL = "control"


class GateDecision(StrEnum):
    """What is known about a gate."""

    PASS = "pass"
    BREACH = "breach"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Reading:
    """One device's value in one of its windows.

    Attributes:
        device: Its id.
        arm: Candidate or control.
        value: In the metric's unit, finite.
        baseline: The same of the device's former version before the rollout; None if it was not measured.
    """

    device: str
    arm: Arm
    value: float
    baseline: float | None = None


@dataclass(frozen=True)
class Bound:
    """What a comparison says.

    Attributes:
        decision: BREACH once a look has found the shift beyond the margin, PASS if the last look found it within.
        estimate: Of the shift: candidate over control for a ratio, candidate minus control otherwise.
        lower: Below it the shift is with chance `alpha` at most, over all looks.
        upper: Above it, likewise.
        candidates: Devices that had reported at that look.
        controls: The same of the control group.
        look: Number of the look that this comes from; 0 before the first.
        reason: One line, with the numbers.
    """

    decision: GateDecision
    estimate: float
    lower: float
    upper: float
    candidates: int
    controls: int
    look: int
    reason: str


def compare(
    readings: Sequence[Reading], *, margin: float, alpha: float, ratio: bool = False, lower_is_worse: bool = False
) -> Bound:
    """Says whether candidates are worse than the control group by more than `margin`.

    Args:
        readings: Of both arms, in the order in which they were taken; more may be added at the end only.
        margin: How much worse is tolerated: a factor of at least 1 for a ratio, a difference of at least 0 otherwise.
        alpha: Chance of a breach that is none, and of a pass that is none, each over all looks.
        ratio: Whether values compare by their quotient. They must not be negative; zero against zero is no change.
        lower_is_worse: Whether a decrease is the harm. Not for ratios.

    Raises:
        InputError: A setting or a value is out of range.
    """
    _check(readings, margin, alpha, ratio, lower_is_worse)
    harm_at = float(np.log(margin)) if ratio else margin
    bound: _Look | None = None
    index, size = 1, float(_FIRST_LOOK)
    while round(size) <= len(readings):
        found = _look(readings[: round(size)], harm_at, alpha / (index * (index + 1)), index, ratio, lower_is_worse)
        if found is not None:
            bound = found
            if bound.decision is GateDecision.BREACH:
                break
        index, size = index + 1, size * _LOOK_GROWTH
    if bound is None:
        return _too_few(readings, round(size))
    return _in_unit(bound, margin, ratio, lower_is_worse)


@dataclass(frozen=True)
class _Look:
    """One look, in units of harm: positive is worse, logarithms for a ratio."""

    decision: GateDecision
    estimate: float
    lower: float
    upper: float
    candidates: int
    controls: int
    index: int


def _check(readings: Sequence[Reading], margin: float, alpha: float, ratio: bool, lower_is_worse: bool) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"[comparison] alpha {alpha}, a chance above 0 and below 1 is wanted")
    if not margin >= (1 if ratio else 0) or not np.isfinite(margin) or (ratio and lower_is_worse):
        wanted = "a factor of at least 1, of a value whose increase is the harm" if ratio else "at least 0"
        raise InputError(f"[comparison] margin {margin}, {wanted} is wanted")
    for item in readings:
        values = (item.value,) if item.baseline is None else (item.value, item.baseline)
        if not np.isfinite(values).all() or (ratio and min(values) < 0):
            wanted = "finite and not negative" if ratio else "finite"
            raise InputError(
                f"[comparison] {item.device!r} reports {values}, {wanted} is wanted. Leave the reading out"
            )


def _too_few(readings: Sequence[Reading], next_look: int) -> Bound:
    arms = {arm: len({item.device for item in readings if item.arm is arm}) for arm in Arm}
    candidates, controls = arms[Arm.CANDIDATE], arms[Arm.CONTROL]
    if not readings:
        reason = "no data"
    elif min(candidates, controls) < FEWEST_DEVICES:
        reason = f"too few devices for a comparison: {min(candidates, controls)} of {FEWEST_DEVICES}"
        reason += f" ({candidates} candidates, {controls} controls)"
    else:
        reason = f"{len(readings)} readings, the next look is at {next_look}"
    return Bound(GateDecision.UNDECIDED, 0.0, float("-inf"), float("inf"), candidates, controls, 0, reason)


def _look(
    readings: Sequence[Reading], margin: float, alpha: float, index: int, ratio: bool, lower_is_worse: bool
) -> _Look | None:
    values = _device_values(readings, ratio)
    candidates, controls = (np.sort(-values[arm] if lower_is_worse else values[arm]) for arm in Arm)
    n, m = len(candidates), len(controls)
    if min(n, m) < FEWEST_DEVICES:
        return None
    # Left out of each arm: for "worse" what speaks most for it, and the other way round.
    a, b = n // 10 + 1, m // 10 + 1
    rank = _rank(n - a, m - b, alpha)
    worse = np.sort(_differences(candidates[: n - a], controls[b:]), axis=None)
    better = np.sort(_differences(candidates[a:], controls[: m - b]), axis=None)
    lower, upper = (float("-inf"), float("inf")) if rank == 0 else (float(worse[rank - 1]), float(better[-rank]))
    if lower > margin:
        decision = GateDecision.BREACH
    else:
        decision = GateDecision.PASS if upper < margin else GateDecision.UNDECIDED
    return _Look(decision, float(np.median(_differences(candidates, controls))), lower, upper, n, m, index)


def _device_values(readings: Sequence[Reading], ratio: bool) -> dict[Arm, Floats]:
    """One value per device: the change from its own baseline if 10 of each arm have one, else its level."""
    seen: dict[Arm, dict[str, list[float]]] = {arm: {} for arm in Arm}
    baselines: dict[str, float] = {}
    later: set[str] = set()
    concurrent = _concurrent_from(readings)
    for index, item in enumerate(readings):
        values = seen[item.arm].setdefault(item.device, [])
        if index >= concurrent and item.device not in later:
            later.add(item.device)
            values.clear()
        values.append(item.value)
        if item.baseline is not None:
            baselines.setdefault(item.device, item.baseline)
    changes = all(sum(device in baselines for device in seen[arm]) >= FEWEST_DEVICES for arm in Arm)
    result = {}
    for arm in Arm:
        devices = [device for device in seen[arm] if not changes or device in baselines]
        medians = _scaled([median(seen[arm][device]) for device in devices], ratio)
        before = _scaled([baselines[device] for device in devices], ratio) if changes else np.zeros(len(devices))
        result[arm] = _minus(medians, before)
    return result


def _concurrent_from(readings: Sequence[Reading]) -> int:
    """Where both arms have enough devices for the first time."""
    devices: dict[Arm, set[str]] = {arm: set() for arm in Arm}
    for index, item in enumerate(readings):
        devices[item.arm].add(item.device)
        if min(map(len, devices.values())) >= FEWEST_DEVICES:
            return index
    return len(readings)


def _scaled(values: Sequence[float], ratio: bool) -> Floats:
    array = np.asarray(values, np.float64)
    with np.errstate(divide="ignore"):  # a quotient with zero is 0, 1 or infinite: it still has a rank
        return np.log(array) if ratio else array


def _minus(left: Floats, right: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        result: Floats = np.where(left == right, 0.0, left - right)
    return result


def _differences(candidates: Floats, controls: Floats) -> Floats:
    return _minus(*np.broadcast_arrays(candidates[:, None], controls[None, :]))


def _in_unit(look: _Look, margin: float, ratio: bool, lower_is_worse: bool) -> Bound:
    ends = look.lower, look.estimate, look.upper
    if ratio:
        with np.errstate(over="ignore"):
            ends = tuple(float(np.exp(value)) for value in ends)  # type: ignore[assignment]
    lower, estimate, upper = (-ends[2], -ends[1], -ends[0]) if lower_is_worse else ends
    limit = -margin if lower_is_worse else margin
    words = {
        GateDecision.BREACH: "is worse than",
        GateDecision.PASS: "is better than",
        GateDecision.UNDECIDED: "holds",
    }
    what = "ratio" if ratio else "difference"
    reason = (
        f"{what} {estimate:.4g} in [{lower:.4g}, {upper:.4g}] {words[look.decision]} the margin {limit:.4g}"
        f" ({look.candidates} candidates, {look.controls} controls, look {look.index})"
    )
    return Bound(look.decision, estimate, lower, upper, look.candidates, look.controls, look.index, reason)


@lru_cache(maxsize=512)
def _rank(n: int, m: int, alpha: float) -> int:
    """Rank of the pairwise difference that bounds the shift: the largest r with P(U < r) <= alpha; 0 if none.

    U counts the pairs of one of n and one of m exchangeable values in which the first is larger. Exact up to 40 a side;
    beyond, the normal approximation with continuity correction, whose tails are heavier than U's.
    """
    if max(n, m) > _LARGEST_EXACT:
        spread = (n * m * (n + m + 1) / 12) ** 0.5
        return max(0, int(np.floor(n * m / 2 + 0.5 + NormalDist().inv_cdf(alpha) * spread)))
    below = np.cumsum(_distribution(n, m))
    return int(np.searchsorted(below, alpha * (1 + 1e-12), side="right"))


@lru_cache(maxsize=128)
def _distribution(n: int, m: int) -> Floats:
    """P(U = u) for u in 0..n m, by Mann and Whitney's recursion on where the largest value is."""
    row = [np.ones(1) for _ in range(m + 1)]
    for i in range(1, n + 1):
        last = [np.ones(1)]
        for j in range(1, m + 1):
            mass = np.zeros(i * j + 1)
            mass[j:] += row[j] * (i / (i + j))  # the largest is one of the first: it beats all j
            mass[: i * (j - 1) + 1] += last[j - 1] * (j / (i + j))
            last.append(mass)
        row = last
    return row[m]
