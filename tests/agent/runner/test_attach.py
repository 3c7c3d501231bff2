"""`sanderling.attach`: the active version in this process, its changes under load, and what gets to the agent."""

from __future__ import annotations

import contextlib
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from runner_harness import WAIT_S, Store, draw, linear, wait_until

import sanderling
from sanderling import InputError, Session
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import IntegrityError, TransportError
from sanderling.versions._active import Active, Generation, read_active, socket_path, write_active
from sanderling.versions._frames import LENGTH, write_frame

FACTORS = {"linear-1.0": 1.0, "linear-2.0": 5.0}


class Device:
    """What the agent leaves for applications."""

    def __init__(self, folder: Path) -> None:
        self.state = folder
        self.folder = folder / "attach"
        self.folder.mkdir()
        self.store = Store(folder / "blobs")
        self.digests = {name: self.store.add(name.split("-")[1], factor) for name, factor in FACTORS.items()}

    def activate(self, version: str, digest: bytes | None = None) -> int:
        active = Active(
            version,
            (digest or self.digests[version]).hex(),
            str(self.store.folder),
            device_id="device-7",
            window_rows=50,
            warmup_rows=100,
        )
        return write_active(self.folder, "camera", active)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


class Agent:
    """Takes what applications hand over, as the agent does."""

    def __init__(self, folder: Path) -> None:
        self.envelopes: list[telemetry_pb2.Envelope] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(socket_path(folder, "camera")))
        self._socket.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connection = connection
            with connection, contextlib.suppress(OSError):
                stream = connection.makefile("rb")
                while len(head := stream.read(LENGTH.size)) == LENGTH.size:
                    self.envelopes.append(telemetry_pb2.Envelope.FromString(stream.read(*LENGTH.unpack(head))))

    def of(self, body: str) -> list[telemetry_pb2.Envelope]:
        return [envelope for envelope in list(self.envelopes) if envelope.WhichOneof("body") == body]

    def close(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(WAIT_S)


@pytest.fixture
def agent(device: Device) -> Iterator[Agent]:
    listening = Agent(device.folder)
    yield listening
    listening.close()


def test_the_active_version_runs_and_a_new_one_follows(device: Device):
    assert device.activate("linear-1.0") == 1
    rows = draw(0, 3)
    with sanderling.attach("camera", folder=device.state) as model:
        with Session(linear(1.0)) as session:
            assert np.array_equal(model.run(rows), session.run(rows))
            assert model.inputs == session.inputs
            assert model.outputs == session.outputs
        assert (model.version, model.info()["slot"]) == ("linear-1.0", "camera")
        assert list(model.run({"x": rows})) == ["y"]
        assert device.activate("linear-2.0") == 2
        wait_until(lambda: model.version == "linear-2.0")
        out = np.empty((3, 3), np.float32)
        model.run_into(rows, out)
        with Session(linear(5.0)) as session:
            assert np.array_equal(out, session.run(rows))
    with pytest.raises(InputError, match="closed"):
        model.run(rows)
    model.close()


def swap(device: Device, swaps: int) -> None:
    device.activate("linear-1.0")
    versions = list(FACTORS)
    stop, wrong, counts = threading.Event(), [], dict.fromkeys(FACTORS, 0)
    with sanderling.attach("camera", folder=device.state) as model:

        def ask(seed: int) -> None:
            rng = np.random.default_rng(seed)
            while not stop.is_set():
                rows = rng.integers(-8, 9, (int(rng.integers(1, 5)), 4)).astype(np.float32)
                answer = model.run(rows)
                # Whole numbers, exact in float32: every row must be of one and the same version.
                one = rows.sum(axis=1, keepdims=True) * np.arange(1, 4)
                fits = [name for name, factor in FACTORS.items() if np.array_equal(answer, factor * one)]
                if not fits:
                    wrong.append((rows, answer))
                elif len(fits) == 1:
                    counts[fits[0]] += 1

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for i in range(1, swaps + 1):
            version = versions[i % 2]
            device.activate(version)
            wait_until(lambda version=version: model.version == version, pause_s=0.001)
            rows = np.ones((1, 4), np.float32)
            assert model.run(rows)[0, 0] == 4 * FACTORS[version]  # taken at the next call, and not left again
        stop.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert wrong == []
    assert min(counts.values()) >= swaps


def test_a_hundred_swaps_under_load_mix_nothing(device: Device):
    swap(device, 100)


@pytest.mark.slow
def test_a_thousand_swaps(device: Device):
    swap(device, 1000)


def test_windows_counts_and_errors_get_to_the_agent(device: Device, agent: Agent):
    device.activate("linear-1.0")
    with sanderling.attach("camera", folder=device.state) as model:
        for seed in range(20):
            model.run(draw(seed, 10))
        with pytest.raises(InputError):
            model.run(draw(0, 1)[:, :2])
        broken = draw(30, 50)
        broken[:, 1] = np.nan
        with pytest.raises(InputError, match="NaN"):
            model.run(broken)
        model.run(draw(31, 7))
    wait_until(lambda: len(agent.of("drift")) == 5)
    windows = [envelope.drift for envelope in agent.of("drift")]
    assert [(w.window, w.rows) for w in windows] == [(i, 50) for i in range(1, 6)]
    warming, quiet = telemetry_pb2.DEVICE_VERDICT_WARMING_UP, telemetry_pb2.DEVICE_VERDICT_QUIET
    assert [w.verdict for w in windows] == [warming, warming, quiet, quiet, telemetry_pb2.DEVICE_VERDICT_SENSOR_FAULT]
    assert [fault.kind for fault in windows[-1].faults] == [telemetry_pb2.SENSOR_FAULT_KIND_MISSING]
    wait_until(lambda: sum(e.metrics.inferences for e in agent.of("metrics")) == 207)
    metrics = [envelope.metrics for envelope in agent.of("metrics")]
    assert sum(m.errors for m in metrics) == 2
    assert metrics[0].latency_p95_us >= metrics[0].latency_p50_us > 0
    assert 0 < metrics[0].mean_confidence <= 1
    first = agent.envelopes[0]
    assert (first.slot, first.version, first.protocol_version) == ("camera", "linear-1.0", 1)
    assert abs(first.recorded_at.ToSeconds() - time.time()) < 60
    assert model.dropped == 0


def test_errors_alone_are_told_too(device: Device, agent: Agent):
    device.activate("linear-1.0")
    with sanderling.attach("camera", folder=device.state) as model:
        for _ in range(50):
            with pytest.raises(InputError):
                model.run(np.zeros((1, 3), np.float32))
        wait_until(lambda: sum(e.metrics.errors for e in agent.of("metrics")) == 50)


def test_a_version_that_does_not_load_leaves_the_former_and_is_told(device: Device, agent: Agent):
    device.activate("linear-1.0")
    with sanderling.attach("camera", folder=device.state) as model:
        device.activate("linear-9.0", bytes(32))
        model.run(draw(0, 1))
        wait_until(lambda: len(agent.of("event")) == 1)
        event = agent.of("event")[0].event
        assert (event.kind, "manifest.json" in event.message) == ("attach.load_failed", True)
        assert model.version == "linear-1.0"
        device.activate("linear-2.0")
        wait_until(lambda: model.version == "linear-2.0")


def test_an_agent_that_is_away_or_does_not_read_costs_the_application_nothing(device: Device):
    device.activate("linear-1.0")
    rows = draw(0, 50)
    with sanderling.attach("camera", folder=device.state) as model:
        for _ in range(20):
            model.run(rows)
        wait_until(lambda: model.dropped >= 20)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
            deaf.bind(str(socket_path(device.folder, "camera")))
            deaf.listen(1)
            begin = time.monotonic()
            for _ in range(300):
                model.run(rows)
            assert time.monotonic() - begin < 5.0
    assert model.dropped >= 20


def test_an_agent_that_starts_anew_is_found_again(device: Device):
    device.activate("linear-1.0")
    with sanderling.attach("camera", folder=device.state) as model:
        for _ in range(2):
            listening = Agent(device.folder)
            model.run(draw(0, 50))
            wait_until(lambda listening=listening: len(listening.of("drift")) == 1)
            listening.close()
            socket_path(device.folder, "camera").unlink()
    assert model.dropped == 0


@pytest.mark.parametrize("slot", ["", "../camera", ".hidden"])
def test_slots_that_are_none(device: Device, slot: str):
    with pytest.raises(InputError, match="no name of a slot"):
        sanderling.attach(slot, folder=device.state)


def test_nothing_active(device: Device, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SANDERLING_AGENT_STATE", str(device.state))
    with pytest.raises(TransportError, match="Is the agent running"):
        sanderling.attach("camera")
    device.activate("linear-1.0")
    with sanderling.attach("camera") as model:
        assert model.version == "linear-1.0"
    (device.folder / "camera.json").write_bytes(b"{")
    with pytest.raises(IntegrityError, match="damaged"):
        sanderling.attach("camera")


def test_a_blob_that_was_changed_is_refused(device: Device):
    device.activate("linear-1.0")
    for path in device.store.folder.rglob("*"):
        if path.is_file() and path.read_bytes() == linear(1.0):
            path.write_bytes(linear(2.0))
    with pytest.raises(IntegrityError, match="damaged or was changed"):
        sanderling.attach("camera", folder=device.state)


def test_what_the_agent_writes(tmp_path: Path):
    active = Active("linear-1.0", "00" * 32, "/blobs", device_id="d")
    assert [write_active(tmp_path, "camera", active) for _ in range(3)] == [1, 2, 3]
    assert read_active(tmp_path, "camera") == active
    generation = Generation(tmp_path, "camera")
    assert generation.read() == 3
    write_active(tmp_path, "camera", active)
    assert generation.read() == 4
    generation.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camera.generation", "camera.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}
    assert (tmp_path / "camera.generation").read_bytes() == struct.pack("<Q", 4)
    modules = "sanderling.versions._active, sanderling.versions._stored, sanderling.versions._frames"
    code = f"import sys, {modules}, sanderling.api.telemetry.v1.telemetry_pb2; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("left", [b"", b"\1\0\0"])
def test_a_counter_that_a_power_cut_took_is_made_anew(tmp_path: Path, left: bytes):
    active = Active("linear-1.0", "00" * 32, "/blobs", device_id="d")
    write_active(tmp_path, "camera", active)
    (tmp_path / "camera.generation").write_bytes(left)
    assert write_active(tmp_path, "camera", active) == 1


def test_a_version_that_cannot_be_loaded_keeps_none_after_it_from_loading(device: Device, agent: Agent):
    device.activate("linear-1.0")
    with sanderling.attach("camera", folder=device.state) as model:
        description = device.folder / "camera.json"
        damaged = description.read_text().replace(device.digests["linear-1.0"].hex(), "no digest")
        device.activate("linear-2.0", b"")  # moves the counter
        description.write_text(damaged)
        model.run(draw(0, 1))
        wait_until(lambda: not model._loading)
        assert model.version == "linear-1.0"
        device.activate("linear-2.0")
        wait_until(lambda: model.version == "linear-2.0")


def test_a_frame():
    envelope = telemetry_pb2.Envelope(slot="camera", sequence=3)
    data = envelope.SerializeToString()
    assert write_frame(envelope) == struct.pack("<I", len(data)) + data
