"""Real runner processes over a real content-addressed folder, with models whose answers name their version."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import numpy as np

from onnx import TensorProto, helper, numpy_helper
from sanderling import Session, drift
from sanderling.api.runner.v1 import runner_pb2, runner_pb2_grpc
from sanderling.versions import Blob, Compatibility, Manifest, Tensor
from sanderling.versions._golden import Golden, write_golden

FEATURES, CLASSES = 4, 3
WAIT_S = 30.0


def linear(factor: float, batch: int | str = "N") -> bytes:
    """float32 x [N, 4] -> y [N, 3], y[c] = factor * (c + 1) * sum(x): the answer says which version gave it."""
    weight = np.tile(np.arange(1, CLASSES + 1, dtype=np.float32) * np.float32(factor), (FEATURES, 1))
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def draw(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, FEATURES)).astype(np.float32)


@dataclass
class Store:
    """A content-addressed folder."""

    folder: Path
    put_blobs: dict[str, Path] = field(default_factory=dict)

    def put(self, data: bytes) -> bytes:
        digest = hashlib.sha256(data).digest()
        path = self.folder / digest.hex()[:2] / digest.hex()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return digest

    def path(self, digest: bytes) -> Path:
        return self.folder / digest.hex()[:2] / digest.hex()

    def add(
        self,
        version: str,
        factor: float,
        *,
        name: str = "linear",
        with_reference: bool = True,
        golden: Golden | None = None,
        blobs: Mapping[str, bytes] | None = None,
        batch: int | None = None,
        compatibility: Compatibility | None = None,
        outputs: tuple[Tensor, ...] | None = None,
    ) -> bytes:
        """Makes a version and returns its manifest's digest."""
        model = linear(factor, "N" if batch is None else batch)
        rows = draw(1, 2000)
        with Session(linear(factor)) as session:
            scores = session.run(rows)
        parts = {"model.onnx": model}
        if with_reference:
            parts["version.reference"] = drift.Reference.fit({"x": rows}, {"y": scores}).to_bytes()
        parts["golden.npz"] = write_golden(golden or Golden({"x": rows[:8]}, {"y": scores[:8]}))
        parts |= blobs or {}
        manifest = Manifest(
            name=name,
            version=version,
            release_counter=1,
            inputs=(Tensor("x", "float32", (batch, FEATURES)),),
            outputs=outputs or (Tensor("y", "float32", (batch, CLASSES)),),
            blobs={key: Blob(self.put(data), len(data)) for key, data in parts.items()},
            compatibility=compatibility or Compatibility(),
            golden_tolerance=1e-6,
        )
        return self.put(manifest.to_bytes())


@dataclass
class Runner:
    """A runner's process and the agent's end of its socket."""

    process: subprocess.Popen[bytes]
    socket: Path
    channel: grpc.Channel
    stub: runner_pb2_grpc.RunnerServiceStub
    inference: str = ""

    def health(self, timeout: float = WAIT_S) -> runner_pb2.HealthResponse:
        return self.stub.Health(runner_pb2.HealthRequest(), timeout=timeout, wait_for_ready=True)

    def infer(self, rows: np.ndarray, slot: str = "camera") -> tuple[int, dict[str, str], dict[str, Any]]:
        return post(self.inference, f"/v2/models/{slot}/infer", infer_body(rows))


class Runners:
    """Starts runners; ends them by their own pids."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "blobs")
        self.started: list[Runner] = []

    def start(self, *arguments: str, code: str | None = None) -> Runner:
        """Starts an empty runner; `code` runs in its process before it, to break something."""
        path = self.folder / f"r{len(self.started)}"
        command = ["-m", "sanderling.agent.runner"]
        if code is not None:
            command = ["-c", f"{code}\nimport runpy\nrunpy.run_module('sanderling.agent.runner', run_name='__main__')"]
        process = subprocess.Popen([sys.executable, *command, "--socket", str(path), *arguments])
        channel = grpc.insecure_channel(f"unix:{path}")
        runner = Runner(process, path, channel, runner_pb2_grpc.RunnerServiceStub(channel))
        self.started.append(runner)
        runner.health()
        return runner

    def load(self, runner: Runner, version: str, digest: bytes, *, active: bool = True, **options: Any) -> Runner:
        """Loads a version into slot camera."""
        loaded = runner.stub.Load(self.request(version, digest, **options), timeout=WAIT_S)
        runner.inference = loaded.inference_socket
        if active:
            runner.stub.Activate(runner_pb2.ActivateRequest(), timeout=WAIT_S)
        return runner

    def request(self, version: str, digest: bytes, **options: Any) -> runner_pb2.LoadRequest:
        fields: dict[str, Any] = {"slot": "camera", "device_id": "device-7", "threads": 1, **options}
        return runner_pb2.LoadRequest(
            version=f"linear-{version}", manifest_digest=digest, blobs_folder=str(self.store.folder), **fields
        )

    def run(self, version: str, factor: float, **options: Any) -> Runner:
        """A runner that answers with a version of this factor."""
        return self.load(self.start(), version, self.store.add(version, factor), **options)

    def __enter__(self) -> Runners:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for runner in self.started:
            runner.channel.close()
            if runner.process.poll() is None:
                runner.process.kill()
            runner.process.wait(WAIT_S)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("runner", timeout=WAIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(self._path)


def wait_until(condition: Callable[[], bool], *, pause_s: float = 0.02) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until
        threading.Event().wait(pause_s)


def infer_body(rows: np.ndarray, **more: Any) -> bytes:
    entry = {"name": "x", "datatype": "FP32", "shape": list(rows.shape), "data": rows.reshape(-1).tolist()}
    return json.dumps({"inputs": [entry], **more}).encode()


def call(
    path: str, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    with contextlib.closing(UnixConnection(path)) as connection:
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


def post(path: str, target: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    status, answered, data = call(path, "POST", target, body, headers)
    return status, answered, json.loads(data)


def get(path: str, target: str) -> tuple[int, dict[str, Any]]:
    status, _, data = call(path, "GET", target)
    return status, json.loads(data)


def pss_mib(pid: int) -> float:
    """Memory of a process, shared pages counted by their share, in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(os.strerror(0))
