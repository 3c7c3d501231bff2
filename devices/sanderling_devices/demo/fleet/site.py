"""The stage of the fleet demo: a server with its broker, devices, and a camera at each of them, all real processes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from sanderling.errors import InputError
from sanderling.versions import Bundle
from sanderling_devices.demo import digits
from sanderling_devices.demo.fleet import delays, retraining, sensor, versions
from sanderling_devices.demo.fleet.delays import Delays, SlowNetwork
from sanderling_devices.demo.fleet.operator import Operator
from sanderling_devices.demo.fleet.processes import AGENT_PROGRAM, Device, Server
from sanderling_devices.demo.fleet.report import DeviceFigures, Settings
from sanderling_devices.demo.fleet.windows import Heard

WORLD = "turn30"
"""What happens to the world: every camera is turned by 30 degrees."""
BATCH = 20
"""Rows of one request: five requests a second and device leave two cores time for everything else."""
_LONGEST_FOLDER = 107 - len("/d12/run/0123456789ab.sock.http")  # sockaddr_un
_LOOK_S = 0.25
_TOGETHER = 4  # more than the cores of a small machine: enrolling also waits for the server
_START_S = 2.0
"""With delays: the most that a device is late, or a sensor."""
_JITTER = 0.5


class Camera:
    """A sensor's process and what it said last."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.said: dict[str, Any] = {"rows": 0, "right": 0, "failures": 0, "versions": {}, "before": {}}
        self._listening = threading.Thread(target=self._listen, daemon=True)

    def start(self, options: sensor.Options, log: Path) -> None:
        """Starts the process."""
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
        self._listening.start()

    def tell(self, **order: str | None) -> None:
        """Changes the world or the sensor."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Ends it."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._listening.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _listen(self) -> None:
        assert self._process is not None
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
        self.delays = Delays(settings.delays)
        self.heard = Heard()
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
        slow = {"host": delays.HOST} if self.delays else {}
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
                **slow,
            },
        )
        retraining.configure(self.folder / "fleet" / "server", self.parts, self.settings.devices)
        self._open.callback(self.server.stop)
        self.server.start()
        if self.settings.delays is not None:
            ports = [int(address.rpartition(":")[2]) for address in self.server.addresses.values()]
            self._open.callback(SlowNetwork(ports, self.settings.delays).close)
        self.operator = self._open.enter_context(Operator(self.server))

    def start_all_else(self, look: Callable[[], None]) -> None:
        """Starts the publisher, on the operator's side, and enrols and starts all devices with their cameras.

        Args:
            look: Called again and again until that is done.
        """
        numbers = range(1, self.settings.devices + 1)
        self.publisher = retraining.Publisher(self.folder / "publisher", self.server, self.settings.canaries)
        self.devices = [Device(self.folder / f"d{number}", AGENT_PROGRAM) for number in numbers]
        self.cameras = [Camera() for _ in numbers]
        self._open.callback(self._close_all_else)
        pool = ThreadPoolExecutor(_TOGETHER)
        try:
            begun = {pool.submit(self.publisher.start), *(pool.submit(self._start, number) for number in numbers)}
            while begun:
                look()
                done, begun = wait(begun, _LOOK_S)
                for started in done:
                    started.result()
            self.heard.listen(self.devices[0].state / "identity")
        finally:
            pool.shutdown(cancel_futures=True)

    def _start(self, number: int) -> None:
        device = self.devices[number - 1]
        self.delays.pause(_START_S)
        device.enrol(self.operator.join_token(camera=device.state.name))
        device.start()
        self.delays.pause(_START_S)
        # Each camera has its own rows, in both worlds.
        rows = self.parts.cameras[number - 1]
        path = self.folder / f"camera{number}.npz"
        worlds: dict[str, Any] = {"plain": rows.frames, WORLD: digits.CHANGES[WORLD](rows.frames)}
        np.savez(path, labels=rows.labels, **worlds)
        self.cameras[number - 1].start(
            sensor.Options(
                state=str(device.state),
                slot=versions.SLOT,
                rows=str(path),
                rate=self.settings.rate,
                batch=BATCH,
                seed=self.settings.seed,
                camera=number,
                jitter=_JITTER if self.delays else 0.0,
            ),
            self.folder / f"camera{number}.log",
        )

    def _close_all_else(self) -> None:
        self.heard.close()
        for camera in self.cameras:
            camera.close()
        with ThreadPoolExecutor(len(self.devices)) as pool:
            list(pool.map(Device.close, self.devices))
        self.publisher.close()

    def camera_of(self, device_id: str) -> int:
        """Number of the camera at a device."""
        return 1 + [device.device_id for device in self.devices].index(device_id)

    def first_bundle(self) -> Bundle:
        """Version 1."""
        return versions.good_bundle(self.parts.reference.frames)

    def bad_bundle(self, number: int, parent: str) -> Bundle:
        """What its author takes for a better version than `parent`."""
        return versions.bad_bundle(self.settings.bad_model, self.parts.reference.frames, str(number), number, parent)

    def accuracy(self, bundle: Bundle, world: str | None) -> float:
        """Of a version on the rows held out."""
        return retraining.accuracy(bundle, self.parts.held_out, world)

    def rows(self) -> list[int]:
        """Answered so far, by camera."""
        return [int(camera.said["rows"]) for camera in self.cameras]

    def served(self, version: str) -> list[int]:
        """Rows that a version has answered so far, by camera."""
        return [int(camera.said["versions"].get(version, 0)) for camera in self.cameras]

    def before(self, version: str) -> list[int]:
        """Rows that a version had answered when its camera last obeyed, by camera."""
        return [int(camera.said["before"].get(version, 0)) for camera in self.cameras]

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
            memory_mib=_memory_mib({*pids, *(process.pid for process in device.forked())}),
            rows=said["rows"],
            failures=said["failures"],
            versions=said["versions"],
        )


def _memory_mib(pids: Collection[int]) -> float:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024
