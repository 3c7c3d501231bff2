"""Rollouts as people write them on a command line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from sanderling.errors import InputError
from sanderling_fleet.gates import NOT_READ, Comparison, Gate, HardLimit, Metric
from sanderling_fleet.rollout_state import OnBreach, RolloutSpec, StageSpec

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_FORM = "NAME:SIZE[:soak=TIME][:deadline=TIME][:hold], such as canary:2:soak=30m:hold or all:100%"


def seconds(text: str) -> float:
    """Reads a span of time such as 90s, 15m, 24h or 7d.

    Raises:
        InputError: It is none.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise InputError(f"[time] {text!r} is no span of time, expected a number and s, m, h or d, such as 24h")
    return float(match[1]) * _UNITS[match[2]]


def stage_spec(text: str, gates: tuple[Gate, ...], device_deadline_seconds: float) -> StageSpec:
    """Reads a stage; without a deadline it has twice what one device and the soak may take.

    Raises:
        InputError: It is not of the form NAME:SIZE[:soak=TIME][:deadline=TIME][:hold].
    """
    name, *parts = text.split(":")
    if not name or not parts:
        raise InputError(f"[stage] {text!r} is no stage, expected {_FORM}")
    size, *options = parts
    count, percent = _size(text, size)
    soak, hold = 0.0, False
    deadline: float | None = None
    for option in options:
        key, equals, value = option.partition("=")
        if key == "soak" and equals:
            soak = seconds(value)
        elif key == "deadline" and equals:
            deadline = seconds(value)
        elif option == "hold":
            hold = True
        else:
            raise InputError(f"[stage] {text!r} has {option!r}, expected {_FORM}")
    return StageSpec(
        name=name,
        count=count,
        percent=percent,
        soak_seconds=soak,
        deadline_seconds=2 * (soak + device_deadline_seconds) if deadline is None else deadline,
        gates=gates,
        hold=hold,
    )


def comparison(text: str) -> Comparison:
    """Reads METRIC=MARGIN.

    Raises:
        InputError: It is not of that form, or the margin is out of range.
    """
    name, equals, margin = text.partition("=")
    try:
        value = float(margin)
        metric = Metric(name)
    except ValueError as error:
        known = ", ".join(metric for metric in Metric if metric is not Metric.FAILURES and metric not in NOT_READ)
        raise InputError(f"[compare] {text!r} is no METRIC=MARGIN; metrics are {known}") from error
    if not equals or not math.isfinite(value):
        raise InputError(f"[compare] {text!r} has no margin, such as confidence=0.05")
    return Comparison(metric, value)


def rollout_spec(
    version: str,
    *,
    slot: str,
    selector: str,
    stages: Sequence[str],
    comparisons: Sequence[str],
    control_percent: float,
    on_breach: str,
    device_deadline_seconds: float,
) -> RolloutSpec:
    """Reads what `sanderling rollout create` is given.

    Args:
        version: "NAME-VERSION".
        slot: Of the devices.
        selector: See `selector`.
        stages: See `stage_spec`.
        comparisons: METRIC=MARGIN; judged in all stages but the last, which has no control group.
        control_percent: Of the matching devices.
        on_breach: One of `OnBreach`.
        device_deadline_seconds: How long one device may take.

    Raises:
        InputError: A part cannot be read, or does not fit the others.
    """
    compared = tuple(comparison(text) for text in comparisons)
    if compared and len(stages) < 2:
        raise InputError("[rollout] a comparison needs a stage before the last, which has no control group. Give two")
    specs = [
        stage_spec(text, (HardLimit(), *(compared if index < len(stages) - 1 else ())), device_deadline_seconds)
        for index, text in enumerate(stages)
    ]
    return RolloutSpec(
        slot=slot,
        version=version,
        selector=selector,
        stages=tuple(specs),
        on_breach=OnBreach(on_breach),
        control_percent=control_percent,
        device_deadline_seconds=device_deadline_seconds,
    )


def _size(text: str, size: str) -> tuple[int | None, float | None]:
    try:
        return (None, float(size[:-1])) if size.endswith("%") else (int(size), None)
    except ValueError as error:
        raise InputError(f"[stage] {text!r} has the size {size!r}, expected a count or a percentage") from error
