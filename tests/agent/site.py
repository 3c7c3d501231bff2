"""A device as it is deployed: an agent, a router and runners as processes, and applications that ask them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from tests.agent.fleet import Fleet
from tests.agent.runner.runner_harness import draw, linear

from sanderling.agent.processes import Process
from sanderling.agent.store import SqliteStore
from sanderling.trust import version_target
from sanderling.versions import Blob, Manifest, Tensor
from sanderling.versions._golden import Golden, write_golden

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 30.0


def wait_until(condition, what="it"):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not come to pass in {WAIT_S:.0f} s"
        time.sleep(0.05)


def version(fleet: Fleet, counter: int, factor: float, *, golden_factor: float | None = None) -> Manifest:
    """Signs a version whose answers are `factor` times those of factor 1."""
    repository, rows = fleet.repository, draw(1, 8)
    weights = np.tile(np.arange(1, 4, dtype=np.float32), (4, 1)) * np.float32(golden_factor or factor)
    model, golden = linear(factor), write_golden(Golden({"x": rows}, {"y": rows @ weights}))
    manifest = Manifest(
        name="linear",
        version=str(counter),
        release_counter=counter,
        inputs=(Tensor("x", "float32", (None, 4)),),
        outputs=(Tensor("y", "float32", (None, 3)),),
        blobs={"model.onnx": repository.blob(model), "golden.npz": repository.blob(golden)},
        golden_tolerance=1e-3,
    )
    assert isinstance(manifest.blobs["model.onnx"], Blob)
    repository.add(version_target(manifest.full_name), manifest.to_bytes())
    repository.publish()
    return manifest


class Site:
    """The machine."""

    def __init__(self, state: Path, fleet: Fleet) -> None:
        self.state, self.fleet = state, fleet
        self.agent: subprocess.Popen[bytes] | None = None
        self.errors: list[str] = []
        self.answered: list[str] = []
        self._quiet = threading.Event()
        self._load: threading.Thread | None = None

    def start(self, **environment: str) -> None:
        command = [sys.executable, "-m", "tests.agent.agent_process", str(self.state)]
        self.agent = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})

    def end(self, number: signal.Signals) -> int:
        assert self.agent is not None
        self.agent.send_signal(number)
        return self.agent.wait(WAIT_S)

    def close(self) -> None:
        self._quiet.set()
        if self._load is not None:
            self._load.join(WAIT_S)
        if self.agent is not None and self.agent.poll() is None:
            self.agent.kill()
            self.agent.wait(WAIT_S)
        for process in self.processes().values():
            process.kill()

    def processes(self) -> dict[str, Process]:
        if not (self.state / "state.db").exists():
            return {}
        store = SqliteStore(self.state / "state.db")
        found = {name: Process.from_text(body) for name, body in store.processes().items()}
        store.close()
        return found

    def runner(self, counter: int) -> Process:
        return self.processes()[f"runner/main/linear-{counter}"]

    def infer(self) -> str:
        """One request; the version that answered, whose numbers must be its own."""
        plain = json.loads((self.state / "router" / "router.json").read_text())
        connection = http.client.HTTPConnection(plain["host"], plain["port"], timeout=WAIT_S)
        try:
            row = np.ones((1, 4), np.float32)
            entry = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": row.reshape(-1).tolist()}
            connection.request("POST", "/v2/models/main/infer", json.dumps({"inputs": [entry]}))
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.status != 200:
                return f"{answer.status} {body}"
            return f"linear-{body['model_version']}" if "-" not in body["model_version"] else body["model_version"]
        finally:
            connection.close()

    def serves(self, counter: int) -> bool:
        try:
            return self.infer() == f"linear-{counter}"
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def load(self) -> None:
        """An application that asks all the time; notes whatever goes wrong."""

        def ask() -> None:
            while not self._quiet.wait(0.005):
                try:
                    self.answered.append(self.infer())
                except (OSError, http.client.HTTPException) as error:
                    self.answered.append(f"{type(error).__name__}: {error}")

        self._load = threading.Thread(target=ask)
        self._load.start()

    @property
    def failures(self) -> list[str]:
        return [answer for answer in self.answered if not answer.startswith("linear-")]

    def result(self, assignment: str, attempt: int = 1):
        wait_until(lambda: (assignment, attempt) in self.fleet.results, f"a result of {assignment}")
        return self.fleet.results[assignment, attempt]
