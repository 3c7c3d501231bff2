"""Windows: cut at the same rows whatever the sizes of requests, judged as `DeviceMonitor` does, sent whole."""

from __future__ import annotations

import numpy as np
import pytest

from sanderling import ModelError, TensorSpec
from sanderling._windows import ClosedWindow, Windows, check_reference, confidences, drift_window
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.drift import DeviceMonitor, Reference, Settings, Sketches

SETTINGS = Settings(window_rows=60, warmup_rows=180)


def draw(seed: int, rows: int, width: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)


@pytest.fixture
def version() -> Reference:
    return Reference.fit({"a": draw(0, 1000), "b": draw(1, 1000, 3)}, {"y": draw(2, 1000, 4)})


def watch(version: Reference, sizes: list[int], shift: float = 0.0) -> list[ClosedWindow]:
    windows = Windows(version, device="d", settings=SETTINGS)
    a, b, y = draw(3, 600), draw(4, 600, 3), draw(5, 600, 4)
    a[300:] += np.float32(shift)
    closed, begin, i = [], 0, 0
    while begin < 600:
        part = slice(begin, begin + sizes[i % len(sizes)])
        closed += windows.observe([a[part], b[part]], [y[part]])
        begin, i = part.stop, i + 1
    return closed


@pytest.mark.parametrize("sizes", [[1], [600], [60], [61], [7, 150, 1]])
def test_the_sizes_of_requests_do_not_matter(version: Reference, sizes: list[int]):
    closed = watch(version, sizes, shift=0.4)
    monitor = DeviceMonitor(version, device="d", settings=SETTINGS)
    a = draw(3, 600)
    a[300:] += np.float32(0.4)
    expected = monitor.observe([a, draw(4, 600, 3)], [draw(5, 600, 4)])
    assert [window.number for window in closed] == list(range(1, 11))
    assert [window.verdict.state for window in closed] == [verdict.state for verdict in expected]
    assert [window.verdict.log_e for window in closed] == [verdict.log_e for verdict in expected]
    assert [window.learned is not None for window in closed] == [i == 3 for i in range(1, 11)]
    assert closed[-1].reference == monitor.own


def test_a_window_is_sent_whole(version: Reference):
    last = watch(version, [60])[-1]
    sent = drift_window(last)
    assert [(r.input, r.features, r.cells) for r in sent.ranks] == [("a", 5, 32), ("b", 3, 32)]
    cells = np.concatenate([np.array(r.counts).reshape(r.features, r.cells) for r in sent.ranks])
    assert last.verdict.ranks is not None
    assert np.array_equal(cells, last.verdict.ranks.cells)
    assert {r.reference_rows for r in sent.ranks} == {180}
    assert last.reference is not None
    assert sent.reference_id == last.reference.id
    assert Sketches.from_bytes(sent.sketches).rows == 60
    assert (sent.window, sent.rows, sent.verdict) == (10, 60, telemetry_pb2.DEVICE_VERDICT_QUIET)
    first = drift_window(watch(version, [60])[0])
    assert (first.reference_id, list(first.ranks)) == (b"", [])
    assert first.verdict == telemetry_pb2.DEVICE_VERDICT_WARMING_UP


def test_rows_that_the_model_refused_are_seen_without_answers(version: Reference):
    windows = Windows(version, device="d", settings=SETTINGS)
    a = draw(3, 60)
    a[:, 0] = np.nan
    (closed,) = windows.observe([a, draw(4, 60, 3)], None)
    assert closed.verdict.faults[0].kind == "missing"
    assert closed.sketches.outputs[0] is not None
    assert closed.sketches.outputs[0].classes.counts.sum() == 0


def test_references_of_other_models_are_refused(version: Reference):
    fits = [TensorSpec("a", "float32", ("N", 5)), TensorSpec("b", "float32", (None, 3))]
    check_reference(version, fits)
    check_reference(version, [fits[0], TensorSpec("b", "float32", ("N", "L"))])
    with pytest.raises(ModelError, match="watches 2 inputs, the model has 1"):
        check_reference(version, fits[:1])
    with pytest.raises(ModelError, match="has 3 features of input 'b'"):
        check_reference(version, [fits[0], TensorSpec("b", "float32", ("N", 2, 2))])


def test_confidences_are_of_the_first_output_that_holds_scores():
    scores = np.array([[0.2, 0.7, 0.1], [np.nan, 0, 0]], np.float32)
    found = confidences([np.zeros((2, 1), np.float32), np.zeros((2, 3), np.int64), scores])
    assert found is not None
    assert found.tolist() == pytest.approx([0.7, 0.0])
    assert confidences([np.zeros((2, 3, 3), np.float32)]) is None
