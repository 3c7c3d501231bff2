from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from fleets import SMALL

from sanderling.errors import InputError
from sanderling_devices.simulator import packaged_scenarios
from sanderling_devices.simulator.command import simulate

QUICK = SMALL.replace('duration = "8h"', 'duration = "1h"')


def invoke(*arguments):
    return CliRunner().invoke(simulate, [str(argument) for argument in arguments])


def test_packaged_scenarios_are_listed():
    result = invoke("--list")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in packaged_scenarios())


def test_a_scenario_can_be_taken_as_a_start():
    assert invoke("bad-version", "--show").stdout == packaged_scenarios()["bad-version"]


def test_help_teaches():
    text = invoke("--help").stdout
    assert "sanderling simulate --list" in text
    assert "[[expect]]" in text
    assert "Exit code" in text


def test_the_example_in_the_help_runs(tmp_path):
    text = invoke("--help").stdout
    example = text[text.index('title = "Canary') : text.index("Exit code")]
    (tmp_path / "mine.toml").write_text("\n".join(line.strip() for line in example.splitlines()))
    assert invoke(tmp_path / "mine.toml").exit_code == 0


def test_broken_assertions_are_the_exit_code(tmp_path):
    expect = '[[expect]]\ncheck = "running"\nversion = "m-2.0"\nat_least = 1\n'
    (tmp_path / "mine.toml").write_text(QUICK + expect)
    result = invoke(tmp_path / "mine.toml", "-o", "json", "--events", tmp_path / "events")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["passed"] is False
    assert "broken: devices with m-2.0 at the end: at least 1" in result.stderr
    assert {"publish", "rollout", "served"} <= {
        json.loads(line)["what"] for line in (tmp_path / "events").read_text().splitlines()
    }


def test_tables_are_for_people(tmp_path):
    (tmp_path / "mine.toml").write_text(QUICK)
    result = invoke(tmp_path / "mine.toml")
    assert result.exit_code == 0
    assert "small: 6 devices, 1h, seed 0" in result.stdout
    assert "check ins" in result.stdout


@pytest.mark.parametrize("arguments", [(), ("bad-version", "--events", "nowhere/at/all")])
def test_wrong_use_is_told(arguments):
    assert invoke(*arguments).exit_code == 2


def test_an_unknown_scenario_is_an_error():
    with pytest.raises(InputError, match="no packaged scenario"):
        CliRunner().invoke(simulate, ["nothing-of-that-name"], catch_exceptions=False)
