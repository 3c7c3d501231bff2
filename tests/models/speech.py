"""A minute of speech, by espeak-ng, with silence between the sentences."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt
import pytest
from scipy import signal

SENTENCES = [
    ("en", "The pump in building seven has been running hot since yesterday evening."),
    ("en+f3", "Please send somebody to look at the second valve before the night shift begins."),
    ("de", "Der Druck im Kessel ist um drei Prozent gefallen, die Ventile sind geschlossen."),
    ("en-us", "Seventeen of the nineteen sensors answered within forty milliseconds."),
    ("fr", "La température de la salle des machines reste stable depuis ce matin."),
    ("en+m7", "When the door opens, count the boxes, read the labels and close it again."),
    ("es", "El camión azul llega al almacén a las cuatro y media de la tarde."),
    ("en+f2", "Nobody noticed that the small red lamp above the gate had stopped blinking."),
    ("en", "Start the conveyor slowly, and listen for the sound of the worn bearing."),
    ("it", "Il serbatoio grande è quasi vuoto, bisogna riempirlo prima di domani mattina."),
]
PAUSE_S = 2.2
NOISE = 1e-3  # of a microphone in a quiet room, of a full scale of 1


@dataclass(frozen=True)
class Speech:
    """Sound, and when somebody speaks.

    Attributes:
        samples: float32 in [-1, 1].
        rate: Samples per second.
        spoken: Begin and end of each sentence, in seconds.
    """

    samples: npt.NDArray[np.float32]
    rate: int
    spoken: list[tuple[float, float]]


def speech(rate: int) -> Speech:
    """The minute at this rate. Skips the test where espeak-ng is missing."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed: `make models` does it where it is root and apt is there")
    rng = np.random.default_rng(0)
    pause = np.zeros(int(PAUSE_S * rate))
    parts, spoken, length = [pause], [], len(pause)
    for voice, text in SENTENCES:
        sound = _say(voice, text, rate)
        spoken.append((length / rate, (length + len(sound)) / rate))
        parts += [sound, pause]
        length += len(sound) + len(pause)
    samples = np.concatenate(parts)
    noisy = np.clip(samples + NOISE * rng.standard_normal(len(samples)), -1, 1)
    return Speech(noisy.astype(np.float32), rate, spoken)


def _say(voice: str, text: str, rate: int) -> npt.NDArray[np.float64]:
    command = ["espeak-ng", "-v", voice, "--stdout", text]
    with wave.open(io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout)) as file:
        there = file.getframerate()
        # The length in the header is not that of a stream: read what there is.
        sound = np.frombuffer(file.readframes(1 << 24), "<i2") / 32768
    common = gcd(rate, there)
    resampled = signal.resample_poly(sound, rate // common, there // common)
    loud = np.flatnonzero(np.abs(resampled) > 0.01)
    return np.asarray(resampled[loud[0] : loud[-1] + 1])
