"""silero-vad, every variant in its package, over a minute of speech whose state is carried from chunk to chunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from tests.models.beside import Array, Theirs, assert_near, bound, ours, package_folder
from tests.models.speech import Speech, speech

CHUNKS_PER_S = 31.25
"""At both rates: 512 samples at 16 kHz, 256 at 8 kHz."""

Run = Callable[[dict[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Variant:
    file: str
    rates: tuple[int, ...] = (16000,)
    takes_rate: bool = True
    batch: bool = True


STREAMING = [
    Variant("silero_vad.onnx", (8000, 16000)),
    Variant("silero_vad_op18_ifless.onnx", (8000, 16000)),
    Variant("silero_vad_16k_op15.onnx"),
    Variant("silero_vad_half.onnx", takes_rate=False),
    Variant("silero_vad_openvino_16k.onnx", takes_rate=False, batch=False),
]
CASES = [pytest.param(v, rate, id=f"{v.file}-{rate}") for v in STREAMING for rate in v.rates]
SEQUENCE = "silero_vad_16k_sequence.onnx"

minute = cache(speech)


def model(file: str) -> bytes:
    return (package_folder("silero_vad", "silero-vad") / "data" / file).read_bytes()


def chunks(samples: Array, rate: int) -> Array:
    """Rows of a chunk each, behind the last samples of the chunk before, as silero_vad's own code gives them."""
    size = int(rate / CHUNKS_PER_S)
    context = size // 8
    padded = np.concatenate([np.zeros(context, np.float32), samples])
    count = len(samples) // size
    return np.stack([padded[i * size : (i + 1) * size + context] for i in range(count)])


def stream(run: Run, variant: Variant, rate: int, rows: Array) -> tuple[Array, Array]:
    """Probabilities per chunk and stream, and the last state. `rows` has [chunk, stream, sample]."""
    state = np.zeros((2, rows.shape[1], 128), np.float32)
    probabilities = []
    for row in rows:
        inputs = {"input": row, "state": state}
        if variant.takes_rate:
            inputs["sr"] = np.array(rate, np.int64)
        outputs = run(inputs)
        state = outputs["stateN"]
        probabilities.append(outputs["output"][:, 0])
    return np.stack(probabilities), state


def assert_found(probabilities: Array, sound: Speech) -> None:
    """Speech where somebody speaks, none where nobody does; half a second around the edges is the model's affair."""
    times = (np.arange(len(probabilities)) + 0.5) / CHUNKS_PER_S
    inside = np.zeros(len(times), bool)
    outside = np.ones(len(times), bool)
    for begin, end in sound.spoken:
        here = (times > begin + 0.5) & (times < end - 0.5)
        assert (probabilities[here] > 0.5).mean() > 0.8, f"the sentence at {begin:.1f} s is not heard"
        inside |= here
        outside &= (times < begin - 0.5) | (times > end + 0.5)
    assert outside.sum() > 200
    assert probabilities[outside].max() < 0.5, "speech is heard in the silence"


@pytest.mark.parametrize(("variant", "rate"), CASES)
def test_a_minute_of_speech(variant: Variant, rate: int) -> None:
    data, sound = model(variant.file), minute(rate)
    rows = chunks(sound.samples, rate)[:, None]
    assert len(rows) >= 60 * CHUNKS_PER_S
    wanted, last = stream(Theirs(data).run, variant, rate, rows)
    for where, session in ours(data):
        found, state = stream(session.run, variant, rate, rows)
        assert_near({"output": found, "state": state}, {"output": wanted, "state": last}, f"{variant.file}, {where}")
    assert_found(wanted[:, 0], sound)


@pytest.mark.parametrize(("variant", "rate"), [c for c in CASES if c.values[0].batch])
def test_two_streams_at_once(variant: Variant, rate: int) -> None:
    data = model(variant.file)
    one = chunks(minute(rate).samples, rate)[:600]
    rows = np.stack([one, one[::-1]], axis=1)
    wanted, _ = stream(Theirs(data).run, variant, rate, rows)
    for where, session in ours(data):
        found, _ = stream(session.run, variant, rate, rows)
        assert_near({"output": found}, {"output": wanted}, f"{variant.file}, {where}")
        alone, _ = stream(session.run, variant, rate, rows[:, :1])
        assert np.abs(alone[:, 0] - found[:, 0]).max() <= bound(alone)


def test_rates_in_turn() -> None:
    """One session asked at both rates: which branch runs is chosen by the data of each call."""
    data = model("silero_vad.onnx")
    sounds = {rate: chunks(minute(rate).samples, rate)[200:260] for rate in (8000, 16000)}
    reference = Theirs(data)
    for where, session in ours(data):
        for i in range(60):
            for rate, rows in sounds.items():
                state = np.full((2, 1, 128), 0.01, np.float32)
                inputs = {"input": rows[i : i + 1], "state": state, "sr": np.array(rate, np.int64)}
                assert_near(session.run(inputs), reference.run(inputs), f"{where}, {rate} Hz")


@pytest.mark.parametrize("length", [1, 7, 250])
def test_sequence(length: int) -> None:
    """The variant that takes many chunks at once, in pieces of `length`, its state carried between them."""
    data, sound = model(SEQUENCE), minute(16000)
    rows = chunks(sound.samples, 16000)

    def whole(run: Run) -> dict[str, Array]:
        h, c = np.zeros((1, 1, 128), np.float32), np.zeros((1, 1, 128), np.float32)
        parts = []
        for begin in range(0, len(rows), length):
            outputs = run({"input": rows[begin : begin + length], "h": h, "c": c})
            h, c = outputs["hn"], outputs["cn"]
            parts.append(outputs["speech_probs"])
        return {"speech_probs": np.concatenate(parts), "hn": h, "cn": c}

    wanted = whole(Theirs(data).run)
    for where, session in ours(data):
        assert_near(whole(session.run), wanted, f"{where}, {length} chunks")
    assert_found(wanted["speech_probs"], sound)
