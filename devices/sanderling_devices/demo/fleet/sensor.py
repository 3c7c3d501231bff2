"""One camera of the fleet demo as a process of its own: reads images, asks its device's model, counts who was right.

Told what to do by lines of JSON on stdin: {"world": "turn30"} or {"fault": "stuck"}; null undoes it. Says on stdout,
twice a second, what it has counted since it began, and what it had counted by version when it last obeyed.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from sanderling.errors import TransportError
from sanderling_devices.demo.digits import CameraStream, Frames, Labels, Rows
from sanderling_devices.demo.fleet.inference import Client
from sanderling_devices.demo.fleet.processes import Device

TELL_S = 0.5
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Options:
    """What a sensor is given, as JSON in its first argument.

    Attributes:
        state: Folder of the device's agent.
        slot: Of the model.
        rows: An .npz of "labels" and, by world, frames; "plain" is the unchanged one.
        rate: Rows per second.
        batch: Rows of one request.
        seed: Of the run.
        camera: Its number.
        jitter: How much the time between two requests varies: at most by this share, both ways.
    """

    state: str
    slot: str
    rows: str
    rate: float
    batch: int
    seed: int
    camera: int
    jitter: float = 0.0


class LabelledStream:
    """A camera's frames with their labels, through a changed world and a broken sensor."""

    def __init__(self, labels: Labels, worlds: dict[str, Frames], seed: int, camera: int) -> None:
        self._labels, self._worlds = labels, worlds
        self._generator = np.random.default_rng([seed, 2, camera])
        self._fault = CameraStream(Rows(worlds["plain"], labels), seed=seed, camera=camera)
        self._fault.read(1)  # a sensor that is stuck repeats the frame before
        self.world = "plain"

    @property
    def fault(self) -> str | None:
        """Name in digits.FAULTS, None for none."""
        return self._fault.fault

    @fault.setter
    def fault(self, name: str | None) -> None:
        self._fault.fault = name

    def read(self, count: int) -> tuple[Frames, Labels]:
        """The next frames and what they show, whatever the sensor makes of it."""
        chosen = self._generator.integers(len(self._labels), size=count)
        frames = self._worlds[self.world][chosen]
        if self.fault is not None:
            frames = self._fault.read(count)
        return frames, self._labels[chosen]


class Sensor:
    """Asks at a steady rate; `run` returns when stdin ends."""

    def __init__(self, options: Options, orders: IO[str], told: IO[str]) -> None:
        with np.load(options.rows, allow_pickle=False) as file:
            worlds = {name: file[name] for name in file.files if name != "labels"}
            self._stream = LabelledStream(file["labels"], worlds, options.seed, options.camera)
        self._options, self._orders, self._told = options, orders, told
        self._pace = np.random.default_rng([options.seed, 5, options.camera])
        self._versions: Counter[str] = Counter()
        self._before: dict[str, int] = {}
        self._rows = self._right = self._failures = 0
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._ended = threading.Event()

    def run(self) -> None:
        """Runs until stdin ends."""
        threading.Thread(target=self._listen, daemon=True).start()
        device = Device(Path(self._options.state))
        client: Client | None = None
        address = ("", 0)
        due = tell = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            # What could not be asked in time is not asked later: a camera does not wait.
            due = max(due + self._interval(), time.monotonic() - 1.0)
            self._obey()
            frames, labels = self._stream.read(self._options.batch)
            try:
                if address != (found := device.router()):
                    address, client = found, Client(*found, self._options.slot, _TIMEOUT_S)
                assert client is not None
                answer = client.infer(frames)
                self._rows += len(labels)
                self._right += int((answer.scores.argmax(axis=1) == labels).sum())
                self._versions[answer.version] += len(labels)
            except TransportError:
                # Before the first version there is nobody to answer.
                self._failures += bool(self._rows)
            if time.monotonic() >= tell:
                tell = time.monotonic() + TELL_S
                self._say()
        if client is not None:
            client.close()

    def _interval(self) -> float:
        varied = 1.0 + self._options.jitter * self._pace.uniform(-1.0, 1.0)
        return varied * self._options.batch / self._options.rate

    def _say(self) -> None:
        counts = {"rows": self._rows, "right": self._right, "failures": self._failures, "versions": self._versions}
        self._told.write(json.dumps({**counts, "before": self._before}) + "\n")
        self._told.flush()

    def _listen(self) -> None:
        for line in self._orders:
            self._waiting.put(json.loads(line))
        self._ended.set()

    def _obey(self) -> None:
        # Between two requests: what was counted until now is of rows from before the order.
        while not self._waiting.empty():
            order = self._waiting.get()
            self._before = dict(self._versions)
            if "world" in order:
                self._stream.world = order["world"] or "plain"
            if "fault" in order:
                self._stream.fault = order["fault"]


if __name__ == "__main__":
    Sensor(Options(**json.loads(sys.argv[1])), sys.stdin, sys.stdout).run()
