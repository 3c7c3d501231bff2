"""Frames of attached applications: whole, cut, damaged, and what they count for."""

import os
import queue
import socket
import stat
import struct
import threading
import time

import pytest
from tests.agent.world import World, wanted

from sanderling.agent.attached import AttachedListener
from sanderling.agent.bodies import Metrics
from sanderling.agent.events import Attached
from sanderling.agent.state import Code, Outcome, Phase
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import InputError
from sanderling.versions._active import socket_path


@pytest.fixture
def heard(tmp_path):
    return queue.SimpleQueue()


@pytest.fixture
def listener(tmp_path, heard):
    made = AttachedListener(tmp_path, heard.put, heard.qsize)
    made.start()
    made.open("main")
    yield made
    made.close()


def connect(folder):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(5)
    connection.connect(str(socket_path(folder, "main")))
    return connection


def frame(**body) -> bytes:
    data = telemetry_pb2.Envelope(slot="other", version="m-1", **body).SerializeToString()
    return struct.pack("<I", len(data)) + data


METRICS = telemetry_pb2.Metrics(inferences=200, errors=1, latency_p95_us=5.0, mean_confidence=0.5)


def test_frames_in_any_pieces(listener, heard, tmp_path):
    data = frame(metrics=METRICS) + frame(drift=telemetry_pb2.DriftWindow(window=3)) + frame()
    data += frame(event=telemetry_pb2.Event(kind="x", message="y", severity=telemetry_pb2.SEVERITY_ERROR))
    with connect(tmp_path) as connection:
        for start in range(0, len(data), 7):
            connection.sendall(data[start : start + 7])
        first, second, third = (heard.get(timeout=5) for _ in range(3))
    assert first == Attached("main", "m-1", Metrics(200, 1, 0.0, 5.0, 0.5, 0, 0, 0.0)), "the slot is the socket's"
    assert telemetry_pb2.DriftWindow.FromString(second.body).window == 3
    assert (third.body.kind, third.body.severity) == ("x", "error")
    assert stat.S_IMODE(os.stat(socket_path(tmp_path, "main")).st_mode) == 0o660


def test_what_is_no_frame_ends_one_sender_only(listener, heard, tmp_path):
    with connect(tmp_path) as good, connect(tmp_path) as endless, connect(tmp_path) as garbage:
        endless.sendall(struct.pack("<I", 1 << 31))
        assert endless.recv(1) == b"", "closed by the agent"
        garbage.sendall(struct.pack("<I", 4) + b"\xff\xff\xff\xff" + frame(metrics=METRICS))
        good.sendall(frame(metrics=METRICS))
        assert heard.get(timeout=5) == heard.get(timeout=5)


def test_absurd_counts_are_passed_over(listener, heard, tmp_path):
    """Their sum would have no room in a check-in, and no check-in would ever leave the device again."""
    most = telemetry_pb2.Metrics(inferences=(1 << 64) - 1)
    errors = telemetry_pb2.Metrics(errors=(1 << 64) - 1)
    with connect(tmp_path) as connection:
        connection.sendall(2 * frame(metrics=most) + frame(metrics=errors) + frame(metrics=METRICS))
        assert heard.get(timeout=5).body.inferences == 200


def test_senders_wait_for_a_reader_that_does_not_come_after(listener, heard, tmp_path):
    window = frame(drift=telemetry_pb2.DriftWindow(window=3, sketches=bytes(1 << 16)))
    with connect(tmp_path) as connection:
        connection.settimeout(120)
        sender = threading.Thread(target=connection.sendall, args=(600 * window,))
        sender.start()
        limit = time.monotonic() + 60
        while heard.qsize() <= 256 and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(0.5)
        assert 256 < heard.qsize() < 300
        assert sender.is_alive(), "it waits"
        for _ in range(600):
            assert heard.get(timeout=60).slot == "main", "and goes on"
        sender.join(60)
        assert not sender.is_alive()
        assert heard.empty()


def test_a_path_that_is_too_long(tmp_path, heard):
    made = AttachedListener(tmp_path, heard.put, heard.qsize)
    made.start()
    try:
        with pytest.raises(InputError, match="shorter state folder"):
            made.open("x" * 120)
    finally:
        made.close()


def attached(version, confidence, inferences=200):
    return Attached("main", version, Metrics(inferences, 0, 1.0, 2.0, confidence, 0, 0, 0.0))


def test_it_counts_in_the_trial():
    world = World()
    world.install("m-1")
    world.rows_per_second = 0.0
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    world.run(10)
    world.confirm = False
    sent = 0
    while sent < 60:
        sent += 1
        world.driver.handle(attached("m-2", 0.1))
        if world.driver.state.results or world.slot.phase.value != "probation":
            break
    world.run(10)
    (result,) = world.driver.state.results
    assert (result.outcome, result.code) == (Outcome.REVERTED, Code.CONFIDENCE)
    assert 3 <= sent < 20, "one confidence per message, however many rows it is the mean of"


def test_rows_are_told_once():
    world = World()
    world.install("m-1")
    world.driver.handle(attached("m-1", 0.9, inferences=700))
    world.run(5000)
    told = [m.metrics.inferences for m in world.store.outbox if m.WhichOneof("body") == "metrics"]
    assert sum(told) == world.slot.sent_rows
    assert world.slot.active.all_rows >= world.slot.sent_rows
    assert 700 in told


def test_rows_of_a_trial_are_told_once():
    world = World()
    world.install("m-1")
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    while world.slot.phase is not Phase.PROBATION:
        world.run(1)
    world.driver.handle(attached("m-2", 0.9, inferences=10_000))
    world.run(3000)
    assert world.slot.active.release.version == "m-2"
    told = [
        m.metrics.inferences for m in world.store.outbox if m.version == "m-2" and m.WhichOneof("body") == "metrics"
    ]
    assert told.count(10_000) == 1
    assert sum(told) == world.slot.sent_rows
