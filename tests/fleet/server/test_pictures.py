"""What people see of a rollout, and what they are told to do about alerts."""

import re
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sanderling.api.rollout.v1 import assignment_pb2
from sanderling.api.rollout.v1 import rollout_pb2 as pb
from sanderling_fleet.commands.alert import WHAT_TO_DO
from sanderling_fleet.commands.rollout_picture import bar, picture

FLEET = Path(__file__).parents[3] / "fleet" / "sanderling_fleet"


@pytest.mark.parametrize(
    ("counts", "cells"),
    [
        ((0, 0, 0, 4), "...................."),
        ((1, 1, 1, 4), "#####xxxxx>>>>>....."),
        ((4, 0, 0, 4), "####################"),
        ((1, 1, 1, 3), "######xxxxxxx>>>>>>>"),
        ((999, 1, 0, 1000), "###################x"),
        ((0, 0, 0, 0), "...................."),
        ((5, 0, 0, 4), "####################"),
    ],
)
def test_a_bar_is_as_long_as_its_devices(counts, cells):
    assert bar(*counts) == f"[{cells}]"


def rollout(state=pb.ROLLOUT_STATE_RUNNING, stage=pb.STAGE_STATE_ACTIVE, devices=3):
    limit = pb.Gate(hard_limit=pb.HardLimit(metric=pb.METRIC_FAILURES, count=2, share=0.5))
    against = pb.Gate(comparison=pb.Comparison(metric=pb.METRIC_CONFIDENCE, margin=0.05))
    gates = [
        pb.GateStatus(gate=limit, decision=pb.GATE_DECISION_PASS, reason="failures: 0 of 12 devices", candidates=12),
        pb.GateStatus(
            gate=against,
            decision=pb.GATE_DECISION_UNDECIDED,
            estimate=-0.012,
            lower=-0.061,
            upper=0.034,
            candidates=12,
            controls=11,
            reason="confidence: the interval has both sides of the margin",
        ),
    ]
    canary = pb.StageStatus(
        stage=pb.Stage(name="canary", count=24, deadline=Duration(seconds=3600)),
        state=stage,
        gates=gates,
        devices=24,
        attempted=18,
        committed=12,
        activated_at=Timestamp(seconds=1_790_000_000),
    )
    last = pb.StageStatus(stage=pb.Stage(name="all", percent=100), state=pb.STAGE_STATE_PENDING, devices=99)
    found = pb.Rollout(rollout_id="ro-1", state=state, reason="why", stages=[canary, last])
    found.spec.version, found.spec.slot = "digits-2", "main"
    for number in range(devices):
        item = found.assignments.add(device_id=f"dv-{number}", state=assignment_pb2.ASSIGNMENT_STATE_COMMITTED)
        item.code = assignment_pb2.RESULT_CODE_OK
    found.assignments.add(device_id="dv-moving", state=assignment_pb2.ASSIGNMENT_STATE_FETCH)
    found.assignments.add(
        device_id="dv-broken",
        state=assignment_pb2.ASSIGNMENT_STATE_REVERTED,
        code=assignment_pb2.RESULT_CODE_CRASH,
        detail="it crashed",
    )
    return found


def test_a_running_rollout():
    lines = picture(rollout()).splitlines()
    assert lines[0] == "ro-1  digits-2 in slot main  running: why"
    (canary,) = [line for line in lines if "[##" in line]
    assert re.split(r"\s{2,}", canary) == [
        *("canary", "[##########>>>>>.....]", "active", "24", "18", "12", "0", "09-21 15:13:20"),
    ]
    (limit,) = [line for line in lines if "failures limit" in line]
    assert re.split(r"\s{2,}", limit) == ["canary", "failures limit", "pass", "-", "-", "12", "-", "0 of 12 devices"]
    (against,) = [line for line in lines if "confidence vs control" in line]
    assert re.split(r"\s{2,}", against)[2:7] == ["undecided", "-0.012", "-0.061 to +0.034", "12", "11"]
    devices = lines[[line.startswith("device ") for line in lines].index(True) + 2 :]
    assert [line.split()[0] for line in devices] == ["dv-broken", "dv-moving", "dv-0", "dv-1", "dv-2"]


def test_a_fleets_many_devices_are_a_number():
    text = picture(rollout(devices=5000))
    assert len(text.splitlines()) < 40
    assert "dv-broken" in text
    assert "and 4,982 more: -o json has all" in text


@pytest.mark.parametrize(
    ("state", "stage", "words"),
    [
        (pb.ROLLOUT_STATE_RUNNING, pb.STAGE_STATE_HOLDING, "sanderling rollout promote ro-1"),
        (pb.ROLLOUT_STATE_PAUSED, pb.STAGE_STATE_INCONCLUSIVE, "sanderling rollout resume ro-1"),
    ],
)
def test_who_is_waited_for_is_told(state, stage, words):
    assert words in picture(rollout(state, stage)).splitlines()[-1]


def test_every_kind_of_alert_says_what_to_do():
    text = "".join(path.read_text() for path in FLEET.rglob("*.py") if "commands" not in path.parts)
    kinds = set(re.findall(r'"((?:drift|fleet|registry|retrain|rollout|sensor|telemetry)\.[a-z]+)"', text))
    operations = set(re.findall(r'Operation\("([a-z.]+)"', text)) | {
        "rollout.step",
        "fleet.toml",
        "fleet.db",
        "retrain.toml",
    }
    kinds = {kind for kind in kinds - operations if not kind.endswith((".toml", ".db"))}
    assert len(kinds) > 10
    assert kinds <= set(WHAT_TO_DO), kinds - set(WHAT_TO_DO)
