"""What an entry point `train(context)` is given. It returns the path of a float ONNX file, or a `sanderling.Model`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanderling_fleet.retrain.rows import Array


@dataclass(frozen=True, eq=False)
class LabelledSamples:
    """Rows to learn from; the gate's own are not among them.

    Attributes:
        inputs: By input name, [rows, ...], read-only.
        labels: Class numbers, int64 [rows].
        weights: 1 / (chance that the device kept the row), float64 [rows].
        origin: Id of the device that saw it, text [rows].
    """

    inputs: Mapping[str, Array]
    labels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    origin: npt.NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class TrainContext:
    """One training run.

    Attributes:
        samples: What devices saw and someone labelled. The original training rows are the entry point's own affair.
        champion_path: The quantized ONNX model to be beaten.
        workdir: Empty, and the only folder that may be written.
        seed: The same in every attempt of a job.
        deadline: Seconds since the epoch; then the process is killed.
        class_names: The champion's labels, or empty.
    """

    samples: LabelledSamples
    champion_path: Path
    workdir: Path
    seed: int
    deadline: float
    class_names: tuple[str, ...]
    _progress: int = field(repr=False)

    def report(self, progress: float, text: str = "") -> None:
        """Tells how far it is, 0 to 1; `text` goes to the job's log."""
        if text:
            print(text, flush=True)
        os.write(self._progress, json.dumps(float(progress)).encode() + b"\n")
