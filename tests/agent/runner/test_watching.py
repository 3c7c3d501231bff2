"""What a real runner saw: windows across a restart, sensor faults, samples."""

from __future__ import annotations

import io
import threading
import time

import numpy as np
from runner_harness import WAIT_S, Runners, UnixConnection, draw, infer_body

from sanderling import drift
from sanderling.api.runner.v1 import runner_pb2
from sanderling.api.telemetry.v1 import telemetry_pb2


def feed(runner_path: str, rows: np.ndarray, *, at_once: int = 50) -> None:
    connection = UnixConnection(runner_path)
    for begin in range(0, len(rows), at_once):
        connection.request("POST", "/v2/models/camera/infer", infer_body(rows[begin : begin + at_once]))
        response = connection.getresponse()
        response.read()
    connection.close()


def windows_of(runners: Runners, count: int, index: int = 0) -> runner_pb2.TakeSketchesResponse:
    """Waits for the observer, which is not on the request's path."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        taken = runners.started[index].stub.TakeSketches(runner_pb2.TakeSketchesRequest(), timeout=WAIT_S)
        if len(taken.windows) >= count:
            return taken
        threading.Event().wait(0.02)
    raise AssertionError(f"{len(taken.windows)} of {count} windows")


def test_windows_are_judged_kept_until_acknowledged_and_go_on_after_a_restart(runners: Runners):
    digest = runners.store.add("1.0", 1.0)
    options = {"window_rows": 100, "warmup_rows": 400}
    runner = runners.load(runners.start(), "1.0", digest, **options)
    feed(runner.inference, draw(5, 700))
    taken = windows_of(runners, 7)
    quiet, warming = telemetry_pb2.DEVICE_VERDICT_QUIET, telemetry_pb2.DEVICE_VERDICT_WARMING_UP
    assert [(w.window, w.rows, w.verdict) for w in taken.windows] == [
        (i, 100, warming if i <= 4 else quiet) for i in range(1, 8)
    ]
    own = drift.Reference.from_bytes(taken.own_reference)
    assert [w.reference_id for w in taken.windows] == [b""] * 4 + [own.id] * 3
    ranks = taken.windows[-1].ranks[0]
    assert (ranks.input, ranks.features, ranks.cells, ranks.reference_rows) == ("x", 4, 32, 400)
    assert np.array(ranks.counts).reshape(4, 32).sum(axis=1).tolist() == [100] * 4
    assert np.array(ranks.design_effects).reshape(4, 24).min() >= 1
    seen = drift.Sketches.from_bytes(taken.windows[-1].sketches)
    assert seen.rows == 100
    assert seen.outputs[0] is not None
    assert seen.outputs[0].classes.counts.sum() == 100
    assert taken.windows[-1].alarm_level == 1000
    assert (taken.confidences.first_row, len(taken.confidences.values)) == (1, 700)
    assert all(0 <= value <= 1 for value in taken.confidences.values)

    acknowledge = runner_pb2.TakeSketchesRequest(acknowledged_window=3, acknowledged_row=600)
    left = runner.stub.TakeSketches(acknowledge, timeout=WAIT_S)
    assert [w.window for w in left.windows] == [4, 5, 6, 7]
    assert left.own_reference == taken.own_reference  # its window is not acknowledged
    assert (left.confidences.first_row, len(left.confidences.values)) == (601, 100)
    assert runner.stub.TakeSketches(acknowledge, timeout=WAIT_S).windows == left.windows
    acknowledge = runner_pb2.TakeSketchesRequest(acknowledged_window=7, acknowledged_row=700)
    left = runner.stub.TakeSketches(acknowledge, timeout=WAIT_S)
    assert (list(left.windows), left.own_reference, list(left.confidences.values)) == ([], b"", [])
    assert left.confidences.first_row == 701

    second = runners.start()
    runners.load(second, "1.0", digest, own_reference=own.to_bytes(), next_window=8, fleet_devices=16, **options)
    feed(second.inference, draw(6, 100))
    feed(second.inference, draw(7, 300) + 4)
    found = windows_of(runners, 4, 1)
    assert [w.window for w in found.windows] == [8, 9, 10, 11]
    assert found.own_reference == b""
    assert found.windows[0].verdict == quiet
    assert telemetry_pb2.DEVICE_VERDICT_MOVED in [w.verdict for w in found.windows[1:]]
    moved = next(w for w in found.windows if w.verdict == telemetry_pb2.DEVICE_VERDICT_MOVED)
    assert moved.alarm_level == 16 * 1000
    assert moved.log_evidence > np.log(moved.alarm_level)
    assert any("x[" in cause for cause in moved.causes)


def test_a_sensor_that_sends_nan_is_an_error_to_the_client_and_a_fault_in_the_window(runners: Runners):
    runner = runners.load(runners.start(), "1.0", runners.store.add("1.0", 1.0), window_rows=50, warmup_rows=200)
    feed(runner.inference, draw(5, 250))
    broken = draw(6, 50)
    broken[:, 2] = np.nan
    status, _, answer = runner.infer(broken)
    assert (status, "NaN" in answer["error"]) == (400, True)
    taken = windows_of(runners, 6)
    assert taken.windows[-1].verdict == telemetry_pb2.DEVICE_VERDICT_SENSOR_FAULT
    assert [(f.kind, f.input) for f in taken.windows[-1].faults] == [(telemetry_pb2.SENSOR_FAULT_KIND_MISSING, "x")]
    assert list(taken.windows[-1].ranks) == []
    assert (taken.counters.rows, taken.counters.errors) == (250, 1)


def test_samples_are_within_the_budget_and_repeat_until_acknowledged(runners: Runners):
    budget = 40 * 300
    runner = runners.load(runners.start(), "1.0", runners.store.add("1.0", 1.0), sample_budget_bytes=budget)
    feed(runner.inference, draw(5, 400))
    windows_of(runners, 2)
    ask = runner_pb2.TakeSamplesRequest(most_bytes=10 * 300)
    first = runner.stub.TakeSamples(ask, timeout=WAIT_S).samples
    assert 5 <= len(first) <= 10
    assert first == runner.stub.TakeSamples(ask, timeout=WAIT_S).samples
    assert {sample.uniform for sample in first} == {False, True}
    assert all(sample.weight >= 1 for sample in first)
    assert sorted(first[0].inputs) == ["x"]
    row = np.lib.format.read_array(io.BytesIO(first[0].inputs["x"]), allow_pickle=False)
    assert any(np.array_equal(row, other) for other in draw(5, 400))
    ask.acknowledged_sample_id = first[-1].sample_id
    second = runner.stub.TakeSamples(ask, timeout=WAIT_S).samples
    assert min(sample.sample_id for sample in second) == first[-1].sample_id + 1


def test_no_samples_without_a_budget(runners: Runners):
    runner = runners.run("1.0", 1.0)
    feed(runner.inference, draw(5, 200))
    windows_of(runners, 1)
    assert list(runner.stub.TakeSamples(runner_pb2.TakeSamplesRequest(), timeout=WAIT_S).samples) == []
