"""basic-pitch: which notes sound, in a melody and chords of plucked strings."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.beside import Array, check, package_folder

RATE = 22050
SAMPLES = 43844  # two seconds, less what is trimmed: the length that the model is made for
FRAMES = 172
LOWEST = 21  # MIDI number of the first of 88 notes


def pluck(note: int, seconds: float) -> Array:
    """A decaying tone of eight harmonics."""
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = 440 * 2 ** ((note - 69) / 12)
    tone = sum(np.sin(2 * np.pi * pitch * k * t) * np.exp(-t * (2 + k)) / k for k in range(1, 9))
    return np.asarray(tone * np.minimum(1, t * 400))


def played(notes: list[tuple[float, int]], seed: int) -> Array:
    """float32 [SAMPLES, 1] of notes, each with the second at which it begins."""
    sound = np.random.default_rng(seed).normal(0, 1e-3, SAMPLES)
    for begin, note in notes:
        first = int(begin * RATE)
        tone = pluck(note, 0.9)[: SAMPLES - first]
        sound[first : first + len(tone)] += 0.25 * tone
    return np.clip(sound, -1, 1).astype(np.float32)[:, None]


MELODY = [(0.1, 60), (0.5, 64), (0.9, 67), (1.3, 72)]
CHORDS = [(0.2, 48), (0.2, 55), (0.2, 64), (1.1, 53), (1.1, 57), (1.1, 65)]


@pytest.mark.slow
def test_notes() -> None:
    data = (package_folder("basic_pitch", "basic-pitch") / "saved_models/icassp_2022/nmp.onnx").read_bytes()
    sounds = np.stack([played(MELODY, 0), played(CHORDS, 1), played([], 2)])
    feeds = [{"serving_default_input_2:0": rows} for rows in (sounds[:1], sounds[1:2], sounds)]
    *_, wanted = check(data, feeds)
    by_width = {output.shape[2]: output for output in wanted.values()}
    assert set(by_width) == {88, 264}
    notes = wanted["StatefulPartitionedCall:1"]
    for row, score in enumerate([MELODY, CHORDS]):
        for begin, note in score:
            frame = int((begin + 0.15) * FRAMES * RATE / SAMPLES)
            assert notes[row, frame, note - LOWEST] > 0.3, f"{note} at {begin} s"
        assert np.median(notes[row]) < 0.2
