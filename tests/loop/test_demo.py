"""`sanderling demo` as it is typed."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sanderling_devices.demo import digits
from sanderling_devices.demo.fleet import draw, labeller, retraining, versions, windows
from sanderling_devices.demo.fleet.delays import HOST, Delays, SlowNetwork
from sanderling_devices.demo.fleet.processes import COMMAND
from sanderling_devices.demo.fleet.report import CANARY_PERCENT, Result, Settings
from sanderling_devices.demo.fleet.sensor import LabelledStream, Options, Sensor
from sanderling_devices.demo.report import Act
from sanderling_fleet import gates
from sanderling_fleet.retrain.config import load_models
from sanderling_fleet.rollout_state import StageSpec

for module in ("sklearn", "iotcore"):
    pytest.importorskip(module, reason="the fleet demo needs the extras 'demo' and 'fleet'")


def demo(*arguments: str | Path, seconds: float = 30.0) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "demo", "--plain", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--json", "/nowhere/x.json"), "does not exist"),
        (("--bad-model", "slow"), "is not one of"),
        (("--devices", "3"), "4<=x<=12"),
    ],
)
def test_options_that_are_refused(arguments, words):
    run = demo(*arguments)
    assert run.returncode == 2
    assert words in run.stderr


def test_the_tests_own_option_is_not_in_the_help():
    run = demo("--help")
    assert "--seed" in run.stdout
    assert "--delays" not in run.stdout


def test_a_folder_that_is_too_deep(tmp_path):
    run = demo("--keep", tmp_path / ("x" * 90))
    assert run.returncode == 1
    assert "Unix sockets" in run.stderr


def test_a_folder_that_holds_something(tmp_path):
    (tmp_path / "mine").touch()
    run = demo("--keep", tmp_path)
    assert run.returncode == 2
    assert "is not empty" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_slow_network_hands_on_every_byte_late_and_the_end_too():
    heard = []

    def answer(listener):
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1 << 16):
                heard.append(data)
            connection.sendall(b"".join(heard)[::-1])

    sent = np.random.default_rng(0).bytes(300_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        network = SlowNetwork([port], 1)
        try:
            began = time.monotonic()
            with socket.create_connection((HOST, port)) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                got = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            seconds = time.monotonic() - began
            thread.join()
        finally:
            network.close()
    assert got == sent[::-1]
    assert b"".join(heard) == sent
    assert seconds > 0.02, "ten pieces of 64 KiB, 20 ms late each in the mean"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((HOST, port))


def test_no_seed_is_no_delay():
    began = time.monotonic()
    Delays(None).pause(60.0)
    assert time.monotonic() - began < 60.0
    assert not Delays(None)
    assert Delays(0)


def test_a_stuck_camera_repeats_the_frame_before_through_all_requests():
    rows = digits.split(0).cameras[0]
    turned = digits.CHANGES["turn30"](rows.frames)
    stream = LabelledStream(rows.labels, {"plain": rows.frames, "turn30": turned}, 0, 1)
    frames, labels = stream.read(50)
    assert (rows.frames[:, None] == frames).all(axis=(2, 3, 4)).any(axis=0).all()
    assert set(labels) <= set(range(10))
    stream.fault = "stuck"
    again = [stream.read(10)[0] for _ in range(3)]
    assert all(np.array_equal(part[i], again[0][0]) for part in again for i in range(10))
    stream.fault, stream.world = None, "turn30"
    frames, _ = stream.read(50)
    assert (turned[:, None] == frames).all(axis=(2, 3, 4)).any(axis=0).all()


def test_a_camera_obeys_between_two_requests_and_says_what_was_answered_before(tmp_path):
    """No router listens: nothing is answered, and an order is obeyed all the same."""
    rows = digits.split(0).cameras[0]
    np.savez(tmp_path / "rows.npz", labels=rows.labels, plain=rows.frames, turn30=digits.CHANGES["turn30"](rows.frames))
    told = io.StringIO()
    options = Options(str(tmp_path), versions.SLOT, str(tmp_path / "rows.npz"), 1000.0, 10, 0, 1)
    sensor = Sensor(options, io.StringIO('{"world": "turn30"}\n'), told)
    sensor._versions["digits-1"] = 420
    sensor._listen()
    sensor._obey()
    sensor._say()
    assert sensor._stream.world == "turn30"
    assert json.loads(told.getvalue())["before"] == {"digits-1": 420}


def test_the_first_window_that_says_so_from_a_window_on():
    said = {3: windows.MOVED, 6: windows.QUIET, 9: windows.MOVED, 8: windows.FAULT, 10: windows.MOVED}
    assert windows.first(said, windows.MOVED, 4) == 9
    assert windows.first(said, windows.FAULT, 8) == 8
    assert windows.first(said, windows.FAULT, 9) is None


def test_versions_that_are_bad_only_in_the_field():
    frames = digits.split(0).reference.frames
    wrong = versions.bad_bundle("wrong", frames, "3", 3, "digits-1")
    good = versions.good_bundle(frames)
    assert wrong.manifest.release_counter > good.manifest.release_counter
    assert wrong.manifest.lineage.parent == "digits-1"
    assert wrong.blobs["model.onnx"] != good.blobs["model.onnx"]
    half = versions.wrong_in_the_field(versions.digits_model(), frames)
    shares = [versions._mean_confidence(model, frames) for model in (versions.digits_model(), half)]
    assert shares[1] == pytest.approx(shares[0] / 2, abs=0.01)


@dataclass
class Samples:
    inputs: dict
    names: list

    def keys(self):
        return self.names


def test_the_labeller_knows_all_worlds_and_is_wrong_about_one_in_twenty():
    rows = digits.split(0).cameras[0]
    frames = np.concatenate([rows.frames, digits.CHANGES["turn30"](rows.frames), np.full((1, 1, 8, 8), 3, np.float32)])
    names = [("dv-1", number) for number in range(len(frames))]
    samples = Samples({"image": frames}, names)
    said = labeller.Labeller(seed=1).label(samples)
    truth = dict(zip(names, np.concatenate([rows.labels, rows.labels]).astype(str), strict=False))
    assert set(said.labels) == set(truth), "what shows no digit has no label"
    wrong = sum(said.labels[name] != digit for name, digit in truth.items())
    assert wrong == round(0.05 * len(truth)) == 8
    assert labeller.Labeller(seed=1).label(samples) == said
    assert said.cost == len(truth)


def test_the_labeller_counts_its_wrong_labels(tmp_path):
    rows = digits.split(0).cameras[0]
    names = [("dv-1", number) for number in range(len(rows))]
    given = labeller.Labeller(seed=2, told=tmp_path / "told").label(Samples({"image": rows.frames}, names))
    wrong = sum(given.labels[name] != str(digit) for name, digit in zip(names, rows.labels, strict=True))
    assert json.loads((tmp_path / "told").read_text()) == {"labels": 75, "wrong": wrong}


def test_what_the_server_may_retrain_is_a_configuration_that_it_takes(tmp_path):
    for devices in (4, 7, 12):
        folder = tmp_path / str(devices)
        folder.mkdir()
        retraining.configure(folder, digits.split(0), devices)
        plan = load_models(folder / "retrain.toml")["digits"].plan
        assert plan.wanted_labels <= plan.most_samples <= 200
        assert plan.device_budget_bytes * devices >= plan.most_samples * 384


def test_a_run_without_acts_or_with_one_that_failed_has_not_passed():
    result = Result(Settings())
    assert not result.passed
    result.acts, result.seconds = [Act(1, "Enrol", True, "")], [1.0]
    assert result.passed
    result.acts.append(Act(2, "Version 1", False, "it was late"))
    result.seconds.append(90.0)
    assert not result.passed
    assert ("2 Version 1", "NO", "90 s", "it was late") in draw.tables(result)[-1].rows


def test_the_last_rollout_does_not_end_before_each_canary_has_found_out_for_itself():
    """Of three canaries two failed before the server knew that the third had begun, and called it back."""
    limit = gates.HardLimit(count=3, share=1.0)

    def decide(failed, attempted, outstanding):
        names = [f"dv-{number}" for number in range(attempted)]
        failures = {gates.Metric.FAILURES: frozenset(names[:failed])}
        return gates.judge(limit, gates.Observations(frozenset(names), failures, outstanding)).decision

    assert decide(2, 2, 1) is gates.GateDecision.UNDECIDED
    assert decide(2, 3, 1) is gates.GateDecision.UNDECIDED
    assert decide(3, 3, 0) is gates.GateDecision.BREACH
    assert decide(2, 2, 0) is gates.GateDecision.BREACH, "all that there are"
    assert decide(2, 3, 0) is gates.GateDecision.PASS


@pytest.mark.parametrize("devices", range(4, 13))
def test_the_server_takes_as_many_canaries_as_the_demo_counts_on(devices):
    wanted = StageSpec("canary", percent=CANARY_PERCENT).size(devices)
    assert Settings(devices=devices).canaries == wanted
