"""`sanderling demo device` itself, on the seeds that it is accepted by."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sanderling.errors import UnsupportedError
from sanderling_devices.demo import command, digits, measure, scenario
from sanderling_devices.demo import report as demo_report
from sanderling_devices.demo.command import demo

pytest.importorskip("sklearn", reason="the demo's images come with scikit-learn (extra 'demo')")
pytest.importorskip("onnx", reason="quantizing needs onnx (extra 'quantize')")
pytest.importorskip("rich", reason="the demo draws with rich (extra 'demo')")

from sanderling_devices.demo.machine import Machine

# A run takes three seconds of a core, so the fast suite plays one seed and `make test-all` the other nine.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


def play(settings: demo_report.Settings) -> demo_report.Result:
    with Machine(settings) as machine:
        return scenario.run(settings, machine, lambda event: None)


@cache
def played(seed: int, change: str | None = "shift", fault: bool = True) -> demo_report.Result:
    return play(demo_report.Settings(seed=seed, change=change, fault=fault))


@pytest.mark.parametrize("change", digits.CHANGES)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_act_happens(seed: int, change: str) -> None:
    result = played(seed, change)
    assert [act.reason for act in result.acts if not act.passed] == []
    assert result.false_alarms == 0
    # Independent of the acts' own checks: the windows say the same, by what the scenario did and when.
    camera = result.broken_camera
    assert camera is not None
    named = [window.cameras[camera - 1] for window in result.windows]
    assert named[10:16] == ["stuck"] * 3 + ["saturated"] * 3
    for index, window in enumerate(result.windows[:19]):
        others = window.cameras[: camera - 1] + window.cameras[camera:]
        assert set(others) == {"quiet"}, index
        assert window.verdict == "quiet", index
    assert named[:10] == ["quiet"] * 10
    assert result.windows[-1].verdict == "world"
    assert result.change_delay is not None
    assert result.change_delay <= 4


@pytest.mark.parametrize("seed", SEEDS)
def test_quiet_runs_stay_quiet(seed: int) -> None:
    result = played(seed, None, False)
    assert result.passed
    assert {state for window in result.windows for state in window.cameras} == {"quiet"}
    assert {window.verdict for window in result.windows} == {"quiet"}
    assert len(result.windows) == 23


@pytest.mark.parametrize("seed", SEEDS)
def test_figures_are_plausible(seed: int) -> None:
    figures = played(seed).models
    assert figures is not None
    before, after = figures.accuracy["unchanged"], figures.accuracy["shift"]
    assert before["float"] > 0.95
    assert before["int8"] >= before["float"] - 0.02
    assert after["float"] < before["float"] - 0.05
    assert after["int8"] < before["int8"] - 0.05
    assert figures.agreement["int8"] > 0.97
    assert figures.size_bytes["int8"] < figures.size_bytes["float"]
    if figures.onnxruntime is not None:
        assert before["onnxruntime float"] == before["float"]


def test_same_seed_same_verdicts() -> None:
    first, again = (play(demo_report.Settings(seed=4, windows=1)) for _ in range(2))
    assert json.dumps(first.verdicts()) == json.dumps(again.verdicts())
    assert first.models is not None
    assert again.models is not None
    assert first.models.accuracy == again.models.accuracy


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(demo, ["device", *arguments], catch_exceptions=False)


def test_command_tells_on_stderr_and_gives_the_table_on_stdout(tmp_path: Path) -> None:
    result = invoke("--seed", "1", "--windows", "2", "--json", str(tmp_path / "figures.json"))
    assert result.exit_code == 0, result.stderr
    assert "Act 4" in result.stderr
    assert "accuracy under shift" in result.stdout
    assert "Act 4" not in result.stdout
    document = json.loads((tmp_path / "figures.json").read_text())
    assert set(document) == {"format", "settings", "verdicts", "acts", "models", "watch"}
    assert document["settings"] == {"seed": 1, "change": "shift", "fault": True, "windows": 2}
    assert document["verdicts"]["passed"] is True
    assert document["verdicts"]["fault_delay_windows"] == {"stuck": 1, "saturated": 1}
    assert len(document["verdicts"]["windows"]) == 2 + 9 + 4
    assert set(document["models"]["latency_us"]) >= {"float", "int8"}
    assert all(value > 0 for value in document["models"]["latency_us"].values())
    assert document["watch"]["bytes_per_window"] > 0
    assert document["watch"]["judge_ms"] > 0
    assert set(document["watch"]["percent"]) == {"frame", "window"}


def test_quiet_command_without_onnxruntime_says_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.OnnxRuntime, "find", lambda: None)
    result = invoke("--no-change", "--no-fault", "--windows", "1")
    assert result.exit_code == 0, result.stderr
    assert "ONNX Runtime is not installed" in result.stderr
    assert "ONNX Runtime int8" not in result.stdout
    assert "Nothing breaks" in result.stderr
    assert "no alarm" in result.stderr
    assert "0 of 14" in result.stdout


def test_fault_and_change_that_do_nothing_exit_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Machine, "break_sensor", lambda self, camera, fault: None)
    monkeypatch.setitem(digits.CHANGES, "shift", lambda frames: frames)  # type: ignore[attr-defined]
    result = invoke("--windows", "1", "--json", str(tmp_path / "figures.json"))
    assert result.exit_code == 3
    assert "not every act happened: 3 (One sensor breaks), 4 (The world changes)" in result.stderr
    assert "not found within 4 windows" in result.stdout
    assert json.loads((tmp_path / "figures.json").read_text())["verdicts"]["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--change", "shift", "--no-change"], "contradict"),
        (["--change", "flood"], "flood"),
        (["--windows", "0"], "--windows"),
        (["--seed", "-1"], "--seed"),
        (["--json", "no/such/folder/figures.json"], "does not exist"),
    ],
)
def test_wrong_options_exit_2(arguments: list[str], says: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command.NEEDED, "no_such_module", "no-such-package")
    with pytest.raises(UnsupportedError, match=r"no-such-package.*pip install 'sanderling\[demo\]'"):
        invoke()


def test_help_teaches() -> None:
    text = invoke("--help").stdout
    for word in ("--seed", "--change", "--no-change", "--no-fault", "--json", "Exit code"):
        assert word in text


def test_on_a_terminal_it_draws(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    program = "from sanderling_devices.demo.command import demo; demo(['device', '--windows', '1'])"
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"}
    child = subprocess.Popen([sys.executable, "-c", program], stderr=slave, stdout=subprocess.PIPE, env=environment)
    os.close(slave)
    drawn = b""
    try:
        while chunk := os.read(master, 65536):
            drawn += chunk
    except OSError:  # Linux: the other end has closed
        pass
    os.close(master)
    assert child.stdout is not None
    table = child.stdout.read().decode()
    child.stdout.close()
    assert child.wait() == 0
    assert "▀" in drawn.decode()
    assert "saturated" in drawn.decode()
    assert "accuracy under shift" in table
