"""The demo's labeller: knows what each image of the data set shows, and is wrong about one in twenty.

`sanderling sample label JOB --labeller sanderling_devices.demo.fleet.labeller:labeller` runs it on the operator's side.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sanderling_devices.demo import digits

NAME = f"{__name__}:labeller"
SEED = "SANDERLING_DEMO_SEED"
TOLD = "SANDERLING_DEMO_TOLD"
"""Names a file in which it says how many labels it gave and how many of them are wrong."""
WRONG_SHARE = 0.05
COST = 1.0
"""Of one label."""


class Samples(Protocol):
    """What `sanderling sample label` gives."""

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        """Rows by input name."""

    def keys(self) -> list[tuple[str, int]]:
        """(device id, sample id) of each row."""


@dataclass(frozen=True)
class Labelled:
    """What it says: labels by (device id, sample id), and what they cost."""

    labels: Mapping[tuple[str, int], str]
    cost: float


class Labeller:
    """Reveals the data set's labels.

    Args:
        seed: Decides which labels are wrong.
        wrong_share: How many.
        told: A file for its own count; None for none.
    """

    def __init__(self, seed: int = 0, wrong_share: float = WRONG_SHARE, told: Path | None = None) -> None:
        self._seed, self._wrong_share, self._told = seed, wrong_share, told

    def label(self, samples: Samples) -> Labelled:
        """Labels every sample that is an image of the data set, in any of the demo's worlds.

        One from a sensor that is stuck or glares, or of no known image, stays without a label.
        """
        known = digits.load()
        worlds = [known.frames, *(change(known.frames) for change in digits.CHANGES.values())]
        truth = {frame.tobytes(): int(known.labels[i]) for frames in worlds for i, frame in enumerate(frames)}
        rows = samples.inputs["image"].astype(np.float32)
        found = [
            (key, truth[row.tobytes()]) for key, row in zip(samples.keys(), rows, strict=True) if row.tobytes() in truth
        ]
        generator = np.random.default_rng([self._seed, 4])
        wrong = set(generator.choice(len(found), round(self._wrong_share * len(found)), replace=False).tolist())
        labels = {
            key: str((digit + int(generator.integers(1, 10))) % 10 if i in wrong else digit)
            for i, (key, digit) in enumerate(found)
        }
        if self._told is not None:
            lies = sum(labels[key] != str(digit) for key, digit in found)
            self._told.write_text(json.dumps({"labels": len(labels), "wrong": lies}))
        return Labelled(labels, COST * len(labels))


labeller = Labeller(int(os.environ.get(SEED, "0")), told=Path(os.environ[TOLD]) if TOLD in os.environ else None)
