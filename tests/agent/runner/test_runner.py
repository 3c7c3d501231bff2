"""A real runner process: load, self-test, inference, windows, health, drain."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from runner_harness import WAIT_S, Runners, UnixConnection, draw, get, infer_body, linear, wait_until

from sanderling import Session, drift
from sanderling.api.runner.v1 import runner_pb2
from sanderling.versions import Compatibility, Tensor
from sanderling.versions._golden import Golden, write_golden


def refused(call: grpc.RpcError) -> tuple[str, str, str]:
    """Status, class and message of a refusal."""
    trailers = {key: value for key, value in call.trailing_metadata() or ()}
    return call.code().name, str(trailers.get("sanderling-error")), str(call.details())


def test_a_version_is_loaded_tested_activated_and_answers(runners: Runners):
    runner = runners.start()
    assert stat.S_IMODE(runner.socket.stat().st_mode) == 0o600
    runners.load(runner, "1.0", runners.store.add("1.0", 2.0), active=False)
    assert stat.S_IMODE(Path(runner.inference).stat().st_mode) == 0o600
    status, _, answer = runner.infer(draw(0, 1))
    assert (status, "not active" in answer["error"]) == (503, True)
    assert get(runner.inference, "/v2/health/ready")[0] == 503
    tested = runner.stub.SelfTest(runner_pb2.SelfTestRequest(latency_runs=30), timeout=WAIT_S)
    assert (tested.samples, tested.within_tolerance, tested.detail) == (8, 8, "")
    assert tested.latency_median_us > 0
    runner.stub.Activate(runner_pb2.ActivateRequest(), timeout=WAIT_S)
    rows = draw(0, 3)
    status, headers, answer = runner.infer(rows)
    with Session(linear(2.0)) as session:
        expected = session.run(rows)
    assert status == 200
    assert headers["sanderling-version"] == answer["model_version"] == "linear-1.0"
    assert answer["outputs"][0]["shape"] == [3, 3]
    assert np.array_equal(np.array(answer["outputs"][0]["data"], np.float32).reshape(3, 3), expected)
    health = runner.health()
    assert (health.ready, health.version, health.pid) == (True, "linear-1.0", runner.process.pid)
    assert (health.protocol_version, health.HasField("stuck_for")) == (1, False)
    assert health.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert health.start_ticks == int(Path(f"/proc/{health.pid}/stat").read_text().split()[21])
    # Self-test and the refused request are not counted.
    counters = runner.stub.TakeSketches(runner_pb2.TakeSketchesRequest(), timeout=WAIT_S).counters
    assert (counters.rows, counters.requests, counters.errors) == (3, 1, 0)


def test_load_twice(runners: Runners):
    runner = runners.run("1.0", 1.0)
    digest = runners.store.add("1.0", 1.0)
    again = runner.stub.Load(runners.request("1.0", digest), timeout=WAIT_S)
    assert again.inference_socket == runner.inference
    with pytest.raises(grpc.RpcError) as caught:
        runner.stub.Load(runners.request("2.0", runners.store.add("2.0", 1.0)), timeout=WAIT_S)
    assert refused(caught.value)[:2] == ("INVALID_ARGUMENT", "InputError")


def test_refused_loads_leave_the_runner_able_to_load(runners: Runners):
    runner, store = runners.start(), runners.store
    with pytest.raises(grpc.RpcError) as caught:
        runner.stub.SelfTest(runner_pb2.SelfTestRequest(), timeout=WAIT_S)
    assert refused(caught.value)[1] == "InputError"
    other = drift.Reference.fit({"x": draw(0, 400)[:, :2]}).to_bytes()
    flipped = store.add("5.0", 5.0)
    model = store.path(hashlib.sha256(linear(5.0)).digest())
    cases = [
        (bytes(32), "1.0", "IntegrityError", "is not at"),
        (b"short", "1.0", "IntegrityError", "SHA-256 has 32"),
        (store.add("1.0", 1.0), "2.0", "InputError", "the manifest is of 'linear-1.0'"),
        (store.add("1.1", 1.0, outputs=(Tensor("y", "float32", (None, 9)),)), "1.1", "ModelError", "output 'y'"),
        (store.add("1.2", 1.0, outputs=(Tensor("z", "float32", (None, 3)),)), "1.2", "ModelError", "['z']"),
        (store.add("1.3", 1.0, blobs={"version.reference": other}), "1.3", "ModelError", "2 features"),
        (store.add("1.4", 1.0, blobs={"version.reference": b"?"}), "1.4", "InputError", "damaged"),
        (store.add("1.5", 1.0, blobs={"model.onnx": b"\x08\x01"}), "1.5", "ModelError", ""),
        (store.add("1.6", 1.0, compatibility=Compatibility(isas=("vliw",))), "1.6", "UnsupportedError", "vliw"),
        (store.add("1.7", 1.0, compatibility=Compatibility(machines=("vax",))), "1.7", "UnsupportedError", "vax"),
    ]  # fmt: skip
    for digest, version, kind, message in cases:
        with pytest.raises(grpc.RpcError) as caught:
            runner.stub.Load(runners.request(version, digest), timeout=WAIT_S)
        found = refused(caught.value)
        assert (found[1], message in found[2]) == (kind, True), found
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(grpc.RpcError) as caught:
        runner.stub.Load(runners.request("5.0", flipped), timeout=WAIT_S)
    assert refused(caught.value)[:2] == ("DATA_LOSS", "IntegrityError")
    runners.load(runner, "3.0", store.add("3.0", 3.0))
    assert runner.infer(draw(0, 1))[0] == 200


def test_golden_samples_that_come_out_differently(runners: Runners):
    rows = draw(1, 4)
    with Session(linear(1.0)) as session:
        scores = session.run(rows)
    scores[2, 1] += 0.5
    digest = runners.store.add("1.0", 1.0, golden=Golden({"x": rows}, {"y": scores}))
    runner = runners.load(runners.start(), "1.0", digest)
    tested = runner.stub.SelfTest(runner_pb2.SelfTestRequest(), timeout=WAIT_S)
    assert (tested.samples, tested.within_tolerance) == (4, 3)
    assert tested.detail.startswith("sample 2: y[1] is ")


HANG = """
import sanderling._session as s, threading
run, stop = s.Session.run, threading.Event()
def hang(self, inputs):
    stop.wait() if float(next(iter(inputs.values())).ravel()[0]) == 77 else None
    return run(self, inputs)
s.Session.run = hang
"""


def test_health_answers_beside_a_hang_and_names_it(runners: Runners):
    digest = runners.store.add("1.0", 1.0, batch=1)  # a fixed batch runs through Session.run
    runner = runners.load(runners.start("--hang-s", "0.2", code=HANG), "1.0", digest)
    assert runner.infer(draw(0, 1))[0] == 200
    connection = UnixConnection(runner.inference)
    connection.request("POST", "/v2/models/camera/infer", infer_body(np.full((1, 4), 77, np.float32)))
    wait_until(lambda: not runner.health(timeout=1.0).ready)
    response = runner.health(timeout=1.0)
    assert not response.ready
    assert response.stuck_for.ToMilliseconds() >= 200
    assert get(runner.inference, "/v2/health/live")[0] == 200
    drained = runner.stub.Drain(runner_pb2.DrainRequest(timeout=Duration(nanos=100_000_000)), timeout=WAIT_S)
    assert drained.unanswered == 1
    assert runner.process.wait(WAIT_S) == 0
    connection.close()


SLOW = """
import sanderling._session as s, time, pathlib
run = s.Session.run
def slow(self, inputs):
    pathlib.Path({marker!r}).touch()
    time.sleep(0.3)
    return run(self, inputs)
s.Session.run = slow
"""


@pytest.mark.parametrize("how", ["call", "signal"])
def test_drain_answers_what_was_accepted_and_refuses_the_rest(runners: Runners, tmp_path: Path, how: str):
    marker = tmp_path / "in the model"
    digest = runners.store.add("1.0", 1.0, batch=1)  # a fixed batch runs through Session.run
    runner = runners.load(runners.start(code=SLOW.format(marker=str(marker))), "1.0", digest)
    kept = UnixConnection(runner.inference)
    kept.request("GET", "/v2/health/live")
    kept.getresponse().read()
    busy = UnixConnection(runner.inference)
    busy.request("POST", "/v2/models/camera/infer", infer_body(draw(0, 1)))
    wait_until(marker.exists)
    if how == "call":
        drained = runner.stub.Drain(runner_pb2.DrainRequest(timeout=Duration(seconds=5)), timeout=WAIT_S)
        assert drained.unanswered == 0
    else:
        os.kill(runner.process.pid, signal.SIGTERM)
    response = busy.getresponse()
    assert (response.status, response.getheader("sanderling-version")) == (200, "linear-1.0")
    response.read()
    assert runner.process.wait(WAIT_S) == 0
    assert closed_by_the_other_side(kept)
    busy.close()
    assert not runner.socket.exists()
    assert not Path(runner.inference).exists()


def closed_by_the_other_side(connection: UnixConnection) -> bool:
    with contextlib.closing(connection):
        return connection.sock.recv(1) == b""


def test_a_full_queue_is_429(runners: Runners, tmp_path: Path):
    digest = runners.store.add("1.0", 1.0, batch=1)
    slow = SLOW.format(marker=str(tmp_path / "in the model"))
    runner = runners.load(runners.start(code=slow), "1.0", digest, max_queue_size=1)
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(runner.infer(draw(0, 1))[0])

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert set(statuses) == {200, 429}
    assert 2 <= statuses.count(200) <= 3


def test_a_socket_path_that_is_too_long(tmp_path: Path):
    path = tmp_path / ("x" * 100)
    done = subprocess.run(
        [sys.executable, "-m", "sanderling.agent.runner", "--socket", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Use a shorter state folder" in done.stderr) == (1, True)


def test_golden_bytes_are_stable():
    golden = Golden({"x": draw(0, 2)}, {"y": draw(1, 2)})
    assert write_golden(golden) == write_golden(golden)
