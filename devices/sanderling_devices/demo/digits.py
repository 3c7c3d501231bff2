"""Real handwritten digits as twelve camera streams: split, streams, faults, changes of the world.

The images are scikit-learn's (`load_digits`: 1,797 images of 8 by 8 pixels from the UCI test set
"Optical Recognition of Handwritten Digits"), so nothing is fetched. The committed weights were
trained once, so the rows that trained them are fixed (`is_training_row`) and belong to no part of
any split; a seed divides only the other rows.

Frames are float32 [rows, 1, 8, 8] holding whole numbers 0..16, as the scanner counted them: a
camera has no pixel of 3.7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]
"""float32 [rows, 1, 8, 8], whole numbers 0..16."""
Labels = NDArray[np.int64]
"""int64 [rows], 0..9."""

CAMERAS: Final = 12
ROWS_PER_CAMERA: Final = 75
REFERENCE_ROWS: Final = 160
BRIGHTEST: Final = 16.0
SIDE: Final = 8


@dataclass(frozen=True)
class Rows:
    """Some labelled images: `frames` float32 [rows, 1, 8, 8] and `labels` int64 [rows]."""

    frames: Frames
    labels: Labels

    def __len__(self) -> int:
        """How many images."""
        return len(self.labels)


@dataclass(frozen=True)
class Split:
    """One seed's division of the rows that trained nothing; the parts share no row.

    `indices` names each part's row numbers in scikit-learn's order, to check that by.
    """

    reference: Rows
    cameras: tuple[Rows, ...]
    held_out: Rows
    indices: Mapping[str, NDArray[np.int64]]


def is_training_row(index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Says which rows trained the committed weights: 514 of 1,797.

    The rule is arithmetic, so that no version of a random generator can move it. The digits come
    mostly ten in turn, and seven and ten have no common factor, so every digit has its share.
    """
    return np.isin(index % 7, (0, 3))


def load() -> Rows:
    """Loads all 1,797 images in scikit-learn's order."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Rows(
        np.ascontiguousarray(images, dtype=np.float32).reshape(-1, 1, SIDE, SIDE),
        labels.astype(np.int64),
    )


def training_rows() -> Rows:
    """The rows that trained the committed weights."""
    return _take(load(), np.flatnonzero(is_training_row(np.arange(len(load())))))


def split(seed: int) -> Split:
    """Divides the rows that trained nothing among reference, twelve cameras and held-out set.

    Args:
        seed: the same seed gives the same division.

    Returns:
        160 reference rows (they also calibrate the quantizer), 75 rows per camera, and the 223 that
        are left as held-out.
    """
    rows = load()
    free = np.flatnonzero(~is_training_row(np.arange(len(rows))))
    order = np.random.default_rng([seed, 0]).permutation(free)
    bounds = np.cumsum([REFERENCE_ROWS] + [ROWS_PER_CAMERA] * CAMERAS)
    reference, *cameras, held_out = np.split(order, bounds)
    return Split(
        reference=_take(rows, reference),
        cameras=tuple(_take(rows, camera) for camera in cameras),
        held_out=_take(rows, held_out),
        indices={
            "reference": reference,
            **{f"camera {number}": part for number, part in enumerate(cameras, start=1)},
            "held-out": held_out,
        },
    )


def _take(rows: Rows, index: NDArray[np.int64]) -> Rows:
    return Rows(rows.frames[index], rows.labels[index])


def shift(frames: Frames) -> Frames:
    """Moves every image one pixel to the right, as a bumped mounting would; black comes in."""
    moved = np.zeros_like(frames)
    moved[..., 1:] = frames[..., :-1]
    return moved


def turn30(frames: Frames) -> Frames:
    """Turns every image by 30 degrees about its centre.

    Interpolation is linear, counts are whole again and what comes in from outside is black.
    """
    from scipy.ndimage import rotate

    turned: Frames = rotate(frames, 30, axes=(-2, -1), reshape=False, order=1, mode="constant")
    return np.clip(np.rint(turned), 0, BRIGHTEST).astype(np.float32)


CHANGES: Final[Mapping[str, Callable[[Frames], Frames]]] = {"shift": shift, "turn30": turn30}
"""What can happen to the world, by the name that `--change` takes."""

FAULTS: Final = ("stuck", "saturated")
"""What can happen to a sensor: it repeats its last frame, or glare drives it to the bright end."""

GLARE_NOISE: Final = 0.02
"""Share of a glaring frame's pixels that read 15, not 16. A saturated sensor still has noise:
without it every pixel would be constant, which is what a stuck one looks like."""


class CameraStream:
    """One camera: frames drawn with replacement from its own rows.

    They pass through the changed world and then the broken sensor, where there is one.

    Attributes:
        change: name in CHANGES of what happened to the world, or None.
        fault: name in FAULTS of what is wrong with the sensor, or None.
    """

    def __init__(self, rows: Rows, *, seed: int, camera: int) -> None:
        """Makes the stream of one camera.

        Args:
            rows: the camera's own rows.
            seed: the run's seed.
            camera: any number: cameras of one run draw from independent generators.
        """
        self._rows = rows
        self._generator = np.random.default_rng([seed, 1, camera])
        self._last: Frames | None = None
        self.change: str | None = None
        self.fault: str | None = None

    def read(self, count: int) -> Frames:
        """Reads the next frames.

        Args:
            count: how many, at least 1.

        Returns:
            float32 [count, 1, 8, 8].
        """
        frames = self._rows.frames[self._generator.integers(len(self._rows), size=count)]
        if self.change is not None:
            frames = CHANGES[self.change](frames)
        if self.fault == "stuck":
            last = frames[0] if self._last is None else self._last
            frames = np.repeat(last[np.newaxis], count, axis=0)
        elif self.fault == "saturated":
            dimmer = self._generator.random(frames.shape) < GLARE_NOISE
            frames = np.where(dimmer, BRIGHTEST - 1, BRIGHTEST).astype(np.float32)
        else:
            self._last = frames[-1]
        return frames
