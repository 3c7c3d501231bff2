"""Rollouts as people write them."""

import pytest

from sanderling.errors import InputError
from sanderling_fleet.gates import Comparison, HardLimit, Metric
from sanderling_fleet.rollout_state import StageSpec
from sanderling_fleet.rollout_text import comparison, rollout_spec, seconds, stage_spec

SETTINGS = {
    "slot": "main",
    "selector": "site=hall-2",
    "comparisons": (),
    "control_percent": 0.0,
    "on_breach": "pause",
    "device_deadline_seconds": 3600.0,
}


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("15m", 900), ("1.5h", 5400), ("7d", 604800), ("0s", 0)])
def test_spans_of_time(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "h", "-5m", "1e3s", "1h30m", "5 m", "infs"])
def test_what_is_no_span_of_time_is_refused(text):
    with pytest.raises(InputError, match=r"\[time\]"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("all:100%", StageSpec("all", percent=100.0, deadline_seconds=7200.0)),
        ("canary:2:soak=30m:hold", StageSpec("canary", 2, soak_seconds=1800.0, deadline_seconds=10800.0, hold=True)),
        ("canary:2:deadline=3d", StageSpec("canary", 2, deadline_seconds=259200.0)),
    ],
)
def test_stages(text, stage):
    assert stage_spec(text, (HardLimit(),), 3600.0) == stage


@pytest.mark.parametrize(
    "text",
    ["", "all", ":2", "all:many", "all:0", "all:101%", "all:nan%", "all:2:soak", "all:2:x=1h", "all:2:deadline=0s"],
)
def test_what_is_no_stage_is_refused(text):
    with pytest.raises(InputError, match=r"\[stage\]"):
        stage_spec(text, (), 3600.0)


def test_a_comparison_is_in_all_stages_but_the_last():
    given = {**SETTINGS, "comparisons": ["latency_p95=1.2"], "control_percent": 20.0}
    spec = rollout_spec("digits-2", stages=["canary:2", "half:50%", "all:100%"], **given)
    wanted = Comparison(Metric.LATENCY_P95, 1.2)
    assert [stage.gates for stage in spec.stages] == [(HardLimit(), wanted), (HardLimit(), wanted), (HardLimit(),)]
    with pytest.raises(InputError, match="Give two"):
        rollout_spec("digits-2", stages=["all:100%"], **given)


@pytest.mark.parametrize("text", ["", "speed=1", "confidence", "confidence=", "confidence=much", "confidence=nan"])
def test_what_is_no_comparison_is_refused(text):
    with pytest.raises(InputError, match=r"\[compare\]"):
        comparison(text)


def test_only_metrics_that_are_read_are_offered():
    with pytest.raises(InputError) as caught:
        comparison("speed=1")
    assert "metrics are crashes, latency_p95, confidence, drift" in str(caught.value)
    given = {**SETTINGS, "comparisons": ["golden_score=0.1"], "control_percent": 20.0}
    with pytest.raises(InputError, match="no readings"):
        rollout_spec("digits-2", stages=["canary:2", "all:100%"], **given)
