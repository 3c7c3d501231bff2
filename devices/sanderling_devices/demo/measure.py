"""Figures of the demo's models: how often they are right and how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanderling_devices.demo.digits import Frames, Labels, Rows

Run = Callable[[Frames], NDArray[np.float32]]
"""From float32 [rows, 1, 8, 8] to probabilities float32 [rows, 10]."""


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime, where it is installed: the peer that the demo compares with.

    Attributes:
        version: its version.
        module: the module.
    """

    version: str
    module: Any

    @staticmethod
    def find() -> OnnxRuntime | None:
        """Imports it; None where it is not installed."""
        try:
            import onnxruntime
        except ModuleNotFoundError:
            return None
        return OnnxRuntime(onnxruntime.__version__, onnxruntime)

    def load(self, data: bytes) -> Run:
        """Makes a session on one thread, as the demo's own are."""
        options = self.module.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = self.module.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def run(frames: Frames) -> NDArray[np.float32]:
            probabilities: NDArray[np.float32] = session.run(None, {name: frames})[0]
            return probabilities

        return run


def read(run: Run, frames: Frames) -> Labels:
    """What the model reads: int64 [rows]."""
    digit: Labels = run(frames).argmax(axis=1).astype(np.int64)
    return digit


def accuracy(run: Run, rows: Rows) -> float:
    """The share of rows that the model reads right."""
    return float((read(run, rows.frames) == rows.labels).mean())


def latency_us(
    runs: Mapping[str, Run], frames: Frames, *, repeats: int, batch: int = 1, quantile: float = 0.5
) -> dict[str, float]:
    """Time of a run in microseconds: the median, or another quantile.

    The runners take turns, so that what else the machine does meets all of them alike.

    Args:
        runs: what to time, by name.
        frames: float32 [rows, 1, 8, 8]; each repeat begins at the next one.
        repeats: timed runs of each, after a tenth as many that are not timed.
        batch: frames of one run, at most the rows.
        quantile: of the times. A low one shows the run as undisturbed as the machine allows.
    """
    taken: dict[str, list[int]] = {name: [] for name in runs}
    for repeat in range(-(repeats // 10), repeats):
        index = repeat % (len(frames) - batch + 1)
        frame = frames[index : index + batch]
        for name, run in runs.items():
            start = time.perf_counter_ns()
            run(frame)
            end = time.perf_counter_ns()
            if repeat >= 0:
                taken[name].append(end - start)
    return {name: float(np.quantile(times, quantile)) / 1000 for name, times in taken.items()}
