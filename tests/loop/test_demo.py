"""`sanderling demo` as it is typed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sanderling_devices.demo import digits
from sanderling_devices.demo.fleet import draw, versions
from sanderling_devices.demo.fleet.processes import COMMAND
from sanderling_devices.demo.fleet.report import Result, Settings
from sanderling_devices.demo.fleet.sensor import LabelledStream
from sanderling_devices.demo.report import Act

for module in ("sklearn", "iotcore"):
    pytest.importorskip(module, reason="the fleet demo needs the extras 'demo' and 'fleet'")


def demo(*arguments: str | Path, seconds: float = 30.0) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "demo", "--plain", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


def processes_of(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


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


def test_a_folder_that_is_too_deep(tmp_path):
    run = demo("--keep", tmp_path / ("x" * 90))
    assert run.returncode == 1
    assert "Unix sockets" in run.stderr


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


def test_a_run_without_acts_or_with_one_that_failed_has_not_passed():
    result = Result(Settings())
    assert not result.passed
    result.acts, result.seconds = [Act(1, "Enrol", True, "")], [1.0]
    assert result.passed
    result.acts.append(Act(2, "Version 1", False, "it was late"))
    result.seconds.append(90.0)
    assert not result.passed
    assert ("2 Version 1", "NO", "90 s", "it was late") in draw.tables(result)[-1].rows


@pytest.mark.slow
@pytest.mark.parametrize("bad_model", ["wrong", "hang"])
def test_every_act_happens_and_nothing_is_left(bad_model, tmp_path):
    if bad_model == "hang":
        pytest.importorskip("onnxruntime", reason="a model with a Loop runs on ONNX Runtime")
    folder = tmp_path / "k"
    run = demo("--bad-model", bad_model, "--keep", folder, "--json", tmp_path / "found.json", seconds=280.0)
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["passed"]
    assert sum(found["seconds"]) < 180
    assert [alarm["kind"] for alarm in found["alarms"]] == ["sensor.fault", "drift.world"]
    assert {device["version"] for device in found["devices"]} == {"digits-1"}
    assert all(all(device["pids"]) for device in found["devices"])
    assert sum("digits-3" in device["versions"] for device in found["devices"]) <= 3
    if bad_model == "wrong":
        assert [device["failures"] for device in found["devices"]] == [0] * 12
    assert processes_of(folder) == []
