"""A real router process in front of real runners."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from runner_harness import WAIT_S, Runner, infer_body, wait_until

from sanderling.agent.router.routes import ADDRESS, Route, Routes, acknowledged, write_routes

INFER = "/v2/models/camera/infer"


class Router:
    """A router of its own folder."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.generation = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sanderling.agent.router", "--state", str(folder), "--port", "0", *arguments]
        )
        wait_until((folder / ADDRESS).exists)
        address = json.loads((folder / ADDRESS).read_bytes())
        assert (address["pid"], address["host"]) == (self.process.pid, "127.0.0.1")
        self.port = int(address["port"])

    def route(self, slots: Mapping[str, tuple[str, str]], *, hang_up: bool = True) -> None:
        """Puts (socket, version) by slot in force and waits until new requests go there."""
        self.generation += 1
        write_routes(self.folder, Routes(self.generation, {name: Route(*route) for name, route in slots.items()}))
        if hang_up:
            os.kill(self.process.pid, signal.SIGHUP)
        wait_until(lambda: acknowledged(self.folder) == self.generation, pause_s=0.001)

    def to(self, runner: Runner, version: str) -> None:
        """Sends slot camera to a runner."""
        self.route({"camera": (runner.inference, version)})

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)

    def call(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")

    def infer(self, rows: np.ndarray) -> tuple[int, dict[str, Any]]:
        return self.call("POST", INFER, infer_body(rows))

    def __enter__(self) -> Router:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_S)


class Load:
    """Keep-alive clients that ask until told to stop, and look at every answer.

    Args:
        router: Who is asked.
        factors: What each version multiplies by.
        clients: How many threads.
    """

    def __init__(self, router: Router, factors: Mapping[str, float], clients: int = 4) -> None:
        self._router, self._factors = router, factors
        self._stop = threading.Event()
        self.answers: dict[str, int] = dict.fromkeys(factors, 0)
        self.wrong: list[str] = []
        self.longest_s = 0.0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(clients)]

    def _ask(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        with contextlib.closing(self._router.connect()) as connection:
            while not self._stop.is_set():
                rows = rng.integers(-8, 9, (int(rng.integers(1, 4)), 4)).astype(np.float32)
                begin = time.monotonic()
                try:
                    connection.request("POST", INFER, infer_body(rows))
                    response = connection.getresponse()
                    self._check(rows, response.status, json.loads(response.read()), time.monotonic() - begin)
                except Exception as error:
                    self.wrong.append(repr(error))
                    return

    def _check(self, rows: np.ndarray, status: int, answer: dict[str, Any], took_s: float) -> None:
        if status != 200:
            self.wrong.append(f"{status}: {answer}")
            return
        version = answer["model_version"]
        # Small whole numbers: float32 is exact, so another version's weights cannot give these.
        expected = self._factors[version] * rows.sum(axis=1, keepdims=True) * np.arange(1, 4)
        if not np.array_equal(np.array(answer["outputs"][0]["data"]).reshape(-1, 3), expected):
            self.wrong.append(f"{version} gave {answer['outputs'][0]['data']} for {rows.tolist()}")
        with self._lock:
            self.answers[version] += 1
            self.longest_s = max(self.longest_s, took_s)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_S)
