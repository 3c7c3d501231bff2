"""A fleet of real processes for one test: a server, devices and the applications that ask them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from tests.fleet.telemetry.brokers import Mosquitto

import sanderling
from sanderling.agent.fork_server import ForkServer
from sanderling.agent.processes import Process
from sanderling.errors import TransportError
from sanderling.versions import Bundle
from sanderling_devices.demo import digits
from sanderling_devices.demo.fleet import versions
from sanderling_devices.demo.fleet.inference import Client
from sanderling_devices.demo.fleet.operator import FINISHED, Operator, state_of
from sanderling_devices.demo.fleet.processes import AGENT_PROGRAM, Device, Server, wait_for

SLOT = versions.SLOT
ROWS = 60
SHORT = {
    "check_in_seconds": 0.25,
    "rollout_tick_seconds": 0.2,
    "probation_rows": 150,
    "probation_seconds": 1.0,
}
"""Of fleet.toml."""


@functools.cache
def parts() -> digits.Split:
    return digits.split(0)


@functools.cache
def made(kind: str) -> Bundle:
    frames = parts().reference.frames
    return versions.good_bundle(frames) if kind == "good" else versions.bad_bundle(kind, frames, "1", 1, "digits-1")


def bundle(kind: str, number: int) -> Bundle:
    manifest = dataclasses.replace(made(kind).manifest, version=str(number), release_counter=number)
    return Bundle(manifest, made(kind).blobs)


@functools.cache
def truth(kind: str) -> np.ndarray:
    """What such a version answers to the first rows held out."""
    with sanderling.Session(made(kind).blobs["model.onnx"]) as session:
        return session.run(parts().held_out.frames[:ROWS])


@dataclass
class Asked:
    """One request: when it was sent, how long it took, which version answered, or what went wrong."""

    at: float
    seconds: float
    version: str = ""
    failure: str = ""


@dataclass
class Application:
    """Asks one row after the other, all the time, and compares what it gets with what that version must answer."""

    device: Device
    known: dict[str, np.ndarray]
    pause_s: float = 0.004
    asked: list[Asked] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._quiet = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> Application:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._quiet.set()
        self._thread.join()

    @property
    def failures(self) -> list[Asked]:
        return [request for request in self.asked if request.failure]

    @property
    def answered(self) -> list[Asked]:
        return [request for request in self.asked if request.version]

    def since(self, version: str) -> int:
        return sum(request.version == version for request in self.asked)

    def _run(self) -> None:
        number, client, address = 0, None, None
        while not self._quiet.wait(self.pause_s):
            began = time.monotonic()
            try:
                if address != (found := self.device.router()):
                    address = found
                    client = Client(*found, SLOT)
                assert client is not None
                row = number % ROWS
                answer = client.infer(parts().held_out.frames[row : row + 1])
                self.asked.append(Asked(began, time.monotonic() - began, answer.version))
                self._compare(row, answer.version, answer.scores)
                number += 1
            except TransportError as error:
                self.asked.append(Asked(began, time.monotonic() - began, failure=str(error)))
        if client is not None:
            client.close()

    def _compare(self, row: int, version: str, scores: np.ndarray) -> None:
        wanted = self.known.get(version)
        if wanted is not None and not np.array_equal(scores[0], wanted[row]):
            self.wrong.append(f"{version} answered row {row} with {scores[0]}, its own answer is {wanted[row]}")


class Fleet:
    """All of it; everything ends with the test.

    Args:
        folder: Of the server and of bundles.
        mosquitto: Whether telemetry goes over a Mosquitto, with mutual TLS; else it comes with check-ins.
        settings: Of fleet.toml, over SHORT.
    """

    def __init__(self, folder: Path, *, mosquitto: bool = False, **settings: float) -> None:
        self._stack = contextlib.ExitStack()
        self.folder = folder
        self.server = Server(folder / "fleet", {**SHORT, **settings})
        self.broker: Mosquitto | None = None
        if mosquitto:
            certified = SimpleNamespace(server=self.server.folder / "server")
            self.broker = self._stack.enter_context(Mosquitto(certified))
            self.server.settings["broker"] = self.broker.url
        self.server.start()
        self._stack.callback(self.server.kill)
        self.operator = self._stack.enter_context(Operator(self.server))
        # Unix sockets' paths are short; a test's own folder need not be.
        self._states = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sl-")))
        self.devices: list[Device] = []
        self.known: dict[str, np.ndarray] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.print_logs()
        self._stack.close()

    def print_logs(self) -> None:
        """Their ends: pytest shows them where a test has failed."""
        for log in [*self.folder.rglob("*.log"), *self._states.rglob("*.log")]:
            print(f"--- {log}\n{log.read_text(errors='replace')[-3000:]}")

    def device(self, *, plain: bool = False, token: str = "") -> Device:
        """Enrols a device and starts its agent; `plain` runs `sanderling agent run`."""
        state = self._states / f"d{len(self.devices)}"
        device = Device(state, () if plain else AGENT_PROGRAM)
        self._stack.callback(device.close)
        device.enrol(token or self.operator.join_token())
        device.start()
        self.devices.append(device)
        return device

    def application(self, device: Device, **more: float) -> Application:
        application = Application(device, self.known, **more)
        self._stack.callback(application.stop)
        return application.start()

    def push(self, kind: str, *numbers: int) -> str:
        """Signs versions with these numbers, which are their release counters too; the name of the last."""
        names = self.operator.push([bundle(kind, number) for number in numbers], self.folder)
        if kind != "hang":
            self.known.update(dict.fromkeys(names, truth(kind)))
        return names[-1]

    def roll_out(self, version: str, *, soak_s: float = 0.2, canary: float = 50.0) -> str:
        stages = [("canary", canary), ("everyone", 100.0)] if canary < 100 else [("everyone", 100.0)]
        return self.operator.roll_out(version, SLOT, stages, soak_seconds=soak_s)

    def ended(self, rollout_id: str, *, seconds: float = 60.0):
        """The rollout, once it has ended."""
        wait_for(lambda: state_of(self.operator.rollout(rollout_id)) in FINISHED, f"the end of {rollout_id}", seconds)
        return self.operator.rollout(rollout_id)

    def restart(self) -> None:
        """Kill -9 of the server, and a new one."""
        self.server.kill()
        self.server.start()


def fork_server(device: Device) -> Process | None:
    """From which the device's agent forks runners."""
    forked = ForkServer(device.state / "run", device.state / "logs").forked()
    recorded = set(device.processes().values())
    return next(
        (process for process in forked if process not in recorded and parent(process) == device.agent.pid), None
    )


def parent(process: Process) -> int:
    try:
        return int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def active(device: Device) -> str:
    """The version that the device's agent has committed last."""
    state = device.remembered()
    running = state.slots[SLOT].active if state is not None and SLOT in state.slots else None
    return running.release.version if running else ""


def serves(device: Device, version: str) -> Callable[[], bool]:
    """Whether a request is answered by this version."""

    def ask() -> bool:
        try:
            client = Client(*device.router(), SLOT, timeout_s=5.0)
        except TransportError:
            return False
        try:
            return client.infer(parts().held_out.frames[:1]).version == version
        except TransportError:
            return False
        finally:
            client.close()

    return ask


@contextlib.contextmanager
def stopped(device: Device) -> Iterator[None]:
    """The agent is away, ended as a service manager ends it."""
    device.end(signal.SIGTERM)
    yield
    device.start()
