"""The demo's digits network, quantized, in a real runner: the same bits as in process, and a stuck camera is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from runner_harness import WAIT_S, Runners, UnixConnection, pss_mib, wait_until

import sanderling
from sanderling import drift
from sanderling.api.runner.v1 import runner_pb2
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.versions import Blob, Manifest, Tensor
from sanderling.versions._golden import Golden, write_golden

pytest.importorskip("sklearn")


def test_digits(runners: Runners):
    from sanderling_devices.demo import digits
    from sanderling_devices.demo.train_digits import MODEL_PATH

    parts = digits.split(0)
    frames = parts.reference.frames
    quantized = sanderling.quantize(sanderling.load(MODEL_PATH), frames)
    session = sanderling.Session(quantized)
    (given,), (answer,) = session.inputs, session.outputs
    blobs = {
        "model.onnx": quantized.bytes,
        "version.reference": drift.Reference.fit({given.name: frames}, {answer.name: session.run(frames)}).to_bytes(),
        "golden.npz": write_golden(Golden({given.name: frames[:16]}, {answer.name: session.run(frames[:16])})),
    }
    manifest = Manifest(
        name="digits",
        version="1.0.0",
        release_counter=1,
        inputs=(Tensor(given.name, "float32", (None, 1, 8, 8)),),
        outputs=(Tensor(answer.name, "float32", (None, 10)),),
        blobs={name: Blob(runners.store.put(data), len(data)) for name, data in blobs.items()},
        golden_tolerance=1e-5,
    )
    runner = runners.start()
    request = runners.request("", runners.store.put(manifest.to_bytes()), warmup_rows=400, sample_budget_bytes=1 << 20)
    request.version = "digits-1.0.0"
    runner.inference = runner.stub.Load(request, timeout=WAIT_S).inference_socket
    tested = runner.stub.SelfTest(runner_pb2.SelfTestRequest(), timeout=WAIT_S)
    assert (tested.samples, tested.within_tolerance) == (16, 16)
    runner.stub.Activate(runner_pb2.ActivateRequest(), timeout=WAIT_S)

    camera = digits.CameraStream(parts.cameras[0], seed=0, camera=0)
    connection = UnixConnection(runner.inference)

    def ask(rows: np.ndarray) -> np.ndarray:
        tensor = {"name": given.name, "datatype": "FP32", "shape": list(rows.shape)}
        head = {
            "inputs": [{**tensor, "parameters": {"binary_data_size": rows.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
        data = json.dumps(head).encode()
        headers = {"Inference-Header-Content-Length": str(len(data))}
        connection.request("POST", "/v2/models/camera/infer", data + rows.tobytes(), headers)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return np.frombuffer(body[int(response.headers["Inference-Header-Content-Length"]) :], "<f4").reshape(-1, 10)

    for _ in range(60):
        rows = camera.read(10)
        assert np.array_equal(ask(rows), session.run(rows))
    camera.fault = "stuck"
    for _ in range(20):
        ask(camera.read(10))
    connection.close()
    taken = runner_pb2.TakeSketchesResponse()

    def all_there() -> bool:
        taken.CopyFrom(runner.stub.TakeSketches(runner_pb2.TakeSketchesRequest(), timeout=WAIT_S))
        return len(taken.windows) == 4

    wait_until(all_there)
    warming, fault = telemetry_pb2.DEVICE_VERDICT_WARMING_UP, telemetry_pb2.DEVICE_VERDICT_SENSOR_FAULT
    assert [window.verdict for window in taken.windows][::3] == [warming, fault]
    assert [window.verdict for window in taken.windows][1] == warming
    assert (taken.windows[3].faults[0].kind, taken.windows[3].faults[0].input) == (
        telemetry_pb2.SENSOR_FAULT_KIND_STUCK,
        "image",
    )
    assert taken.windows[2].ranks[0].features == 64
    print(f"a window of 64 features has {taken.windows[2].ByteSize():,} bytes")
    print(f"Pss: {pss_mib(runner.process.pid):.1f} MiB with digits, after 800 rows")
