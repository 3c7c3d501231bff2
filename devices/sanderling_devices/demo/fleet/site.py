"""The stage of the fleet demo: a server with its broker, devices, and a camera at each of them, all real processes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

import sanderling
from sanderling.errors import InputError
from sanderling.versions import Bundle
from sanderling_devices.demo import digits
from sanderling_devices.demo.fleet import sensor, versions
from sanderling_devices.demo.fleet.operator import Operator
from sanderling_devices.demo.fleet.processes import AGENT_PROGRAM, Device, Server
from sanderling_devices.demo.fleet.report import DeviceFigures, Settings

WORLD = "turn30"
"""What happens to the world: every camera is turned by 30 degrees."""
BATCH = 10
_LONGEST_FOLDER = 107 - len("/d12/run/0123456789ab.sock.http")  # sockaddr_un
_TOGETHER = 3  # a little more than the cores of a small machine: enrolling also waits for the server


class Camera:
    """A sensor's process and what it said last."""

    def __init__(self, options: sensor.Options, log: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "sanderling_devices.demo.fleet.sensor",
            json.dumps(dataclasses.asdict(options)),
        ]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True
            )
        self.said: dict[str, Any] = {"rows": 0, "right": 0, "failures": 0, "versions": {}}
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def tell(self, **order: str | None) -> None:
        """Changes the world or the sensor."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        self._listening.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # the last line of a killed process is half a line
                self.said = json.loads(line)


class Site:
    """Starts and ends everything.

    Args:
        settings: Of the run.
        folder: For all files; new or empty.

    Raises:
        InputError: The folder's path is too long for Unix sockets in it.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        if len(str(folder.resolve())) > _LONGEST_FOLDER:
            raise InputError(
                f"[demo] {folder.resolve()} has {len(str(folder.resolve()))} letters, at most {_LONGEST_FOLDER} are "
                "possible: Unix sockets lie in it. Give --keep a shorter one"
            )
        self.settings, self.folder = settings, folder
        self.parts = digits.split(settings.seed)
        self.devices: list[Device] = []
        self.cameras: list[Camera] = []
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Starts nothing yet: that is the first act."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends every process that was started."""
        self._open.close()

    def start_server(self) -> None:
        """Makes a fleet and runs its server, with the embedded broker."""
        self.server = Server(
            self.folder / "fleet",
            {
                "check_in_seconds": 1.5,
                "rollout_tick_seconds": 0.5,
                "probation_rows": 300,
                "probation_seconds": 3.0,
                "warmup_rows": self.settings.warmup_rows,
                "broker": "embedded",
                "trust_asserted": "true",  # one machine, one user: a sender needs no proof of who it is
            },
        )
        self.server.start()
        self._open.callback(self.server.stop)
        self.operator = self._open.enter_context(Operator(self.server))

    def enrol(self) -> None:
        """Enrols all devices and starts their agents and cameras."""
        self.devices = [
            Device(self.folder / f"d{number}", AGENT_PROGRAM) for number in range(1, self.settings.devices + 1)
        ]

        def one(device: Device) -> None:
            device.enrol(self.operator.join_token(camera=device.state.name))
            device.start()

        for device in self.devices:
            self._open.callback(device.close)
        with ThreadPoolExecutor(_TOGETHER) as pool:
            list(pool.map(one, self.devices))

    def start_cameras(self) -> None:
        """Each has its own rows, in both worlds."""
        for number, device in enumerate(self.devices, 1):
            rows = self.parts.cameras[number - 1]
            path = self.folder / f"camera{number}.npz"
            turned = digits.CHANGES[WORLD](rows.frames)
            worlds: dict[str, Any] = {"plain": rows.frames, WORLD: turned}
            np.savez(path, labels=rows.labels, **worlds)
            options = sensor.Options(
                str(device.state), versions.SLOT, str(path), self.settings.rate, BATCH, self.settings.seed, number
            )
            camera = Camera(options, self.folder / f"camera{number}.log")
            self._open.callback(camera.close)
            self.cameras.append(camera)

    def bundle(self, number: int) -> Bundle:
        """Version 1 is good; version 3 is not."""
        frames = self.parts.reference.frames
        if number == 1:
            return versions.good_bundle(frames)
        return versions.bad_bundle(self.settings.bad_model, frames, str(number), number, f"{versions.MODEL}-1")

    def accuracy(self, bundle: Bundle, world: str | None) -> float:
        """Of a version on the rows held out."""
        rows = self.parts.held_out
        frames = digits.CHANGES[world](rows.frames) if world else rows.frames
        with sanderling.Session(bundle.blobs["model.onnx"], backend="auto") as session:
            return float((session.run(frames).argmax(axis=1) == rows.labels).mean())

    def rows(self) -> list[int]:
        """Answered so far, by camera."""
        return [int(camera.said["rows"]) for camera in self.cameras]

    def served(self) -> list[dict[str, int]]:
        """Rows by the version that answered, by camera."""
        return [dict(camera.said["versions"]) for camera in self.cameras]

    def figures(self) -> list[DeviceFigures]:
        """All devices as they stand."""
        return [self._figures(number) for number in range(1, len(self.devices) + 1)]

    def _figures(self, number: int) -> DeviceFigures:
        device, said = self.devices[number - 1], self.cameras[number - 1].said
        state = device.remembered()
        slot = state.slots.get(versions.SLOT) if state else None
        router, runner = device.processes().get("router"), device.runner(versions.SLOT)
        pids = (
            device.agent.pid if device.agent is not None and device.agent.poll() is None else 0,
            router.pid if router is not None and router.is_alive() else 0,
            runner.pid if runner is not None else 0,
        )
        return DeviceFigures(
            camera=number,
            device_id=device.device_id,
            version=slot.active.release.version if slot and slot.active else "",
            pids=pids,
            memory_mib=_memory_mib(pids),
            rows=said["rows"],
            failures=said["failures"],
            versions=said["versions"],
        )


def _memory_mib(pids: Sequence[int]) -> float:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024
