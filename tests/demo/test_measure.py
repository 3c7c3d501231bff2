"""How the demo measures models."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from sanderling_devices.demo import digits, measure, train_digits


def first_pixel(frames: digits.Frames) -> NDArray[np.float32]:
    """Reads the digit that stands in the first pixel."""
    return np.eye(10, dtype=np.float32)[frames[:, 0, 0, 0].astype(int)]


def test_accuracy_is_the_share_read_right() -> None:
    frames = np.zeros((4, 1, 8, 8), np.float32)
    frames[:, 0, 0, 0] = [1, 2, 3, 4]
    rows = digits.Rows(frames, np.array([1, 2, 3, 9]))
    assert measure.read(first_pixel, frames).tolist() == [1, 2, 3, 4]
    assert measure.accuracy(first_pixel, rows) == 0.75


def test_latency_is_the_median_and_each_runner_sees_every_frame() -> None:
    seen: dict[str, list[float]] = {"quick": [], "slow": []}

    def quick(frames: digits.Frames) -> NDArray[np.float32]:
        seen["quick"].append(frames[0, 0, 0, 0])
        return first_pixel(frames)

    def slow(frames: digits.Frames) -> NDArray[np.float32]:
        seen["slow"].append(frames[0, 0, 0, 0])
        time.sleep(0.002)
        return first_pixel(frames)

    frames = np.zeros((3, 1, 8, 8), np.float32)
    frames[:, 0, 0, 0] = [0, 1, 2]
    taken = measure.latency_us({"quick": quick, "slow": slow}, frames, repeats=20)
    assert taken["slow"] >= 2000
    assert taken["quick"] < taken["slow"]
    assert seen["quick"] == seen["slow"]
    assert len(seen["quick"]) == 22
    assert set(seen["quick"]) == {0, 1, 2}


def test_onnxruntime_reads_the_committed_network() -> None:
    pytest.importorskip("sklearn", reason="the demo's images come with scikit-learn (extra 'demo')")
    peer = measure.OnnxRuntime.find()
    if peer is None:
        pytest.skip("ONNX Runtime is not installed (extra 'onnxruntime')")
    run = peer.load(train_digits.MODEL_PATH.read_bytes())
    assert measure.accuracy(run, digits.split(0).held_out) > 0.95


def test_missing_onnxruntime_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert measure.OnnxRuntime.find() is None


def test_latency_of_batches_is_of_whole_batches() -> None:
    sizes = []

    def run(frames: digits.Frames) -> NDArray[np.float32]:
        sizes.append(len(frames))
        return first_pixel(frames)

    measure.latency_us({"run": run}, np.zeros((5, 1, 8, 8), np.float32), repeats=10, batch=4)
    assert set(sizes) == {4}
