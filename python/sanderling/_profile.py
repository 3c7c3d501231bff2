"""Where the time of a run goes, step by step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sanderling import _core

_WARM_UP_RUNS = 3
_LEAST_RUNS = 5


@dataclass(frozen=True)
class StepTime:
    """One step of a plan: a node of the lowered graph, or a copy to an output (whose operator is empty).

    Attributes:
        op: Operator of the lowered graph.
        node: Node name, that of the model's node that the step stands for.
        kernel: The kernel that does most of its work; "loops", "reference", "compute" or "copy" where it is none.
        dtype: Element type of its first output.
        shape: Of its first output.
        microseconds: Median over the runs; of steps that a step runs inside (If, Loop, Scan), their sum.
    """

    op: str
    node: str
    kernel: str
    dtype: str
    shape: tuple[int, ...]
    microseconds: float


def profile(session: _core.Session, inputs: Mapping[str, Any], seconds: float) -> list[StepTime]:
    """Runs a session again and again and takes the median time of each step.

    Args:
        session: The native session.
        inputs: Arrays by input name.
        seconds: For how long.

    Raises:
        InputError: As `Session.run`.
    """
    arrays = [np.ascontiguousarray(inputs[name]) for name in session.input_names]
    for _ in range(_WARM_UP_RUNS):
        session.profile(arrays)
    end = time.monotonic() + seconds
    runs: list[list[Any]] = []
    while len(runs) < _LEAST_RUNS or time.monotonic() < end:
        runs.append(session.profile(arrays))
    steps = []
    for same_step in zip(*runs, strict=True):
        op, node, kernel, dtype, shape, _ = same_step[0]
        median = float(np.median([step[-1] for step in same_step])) / 1e3
        steps.append(StepTime(op, node, kernel, dtype, tuple(shape), median))
    return steps
