"""From `fleet init` to a reverted version, in real processes over mutual TLS."""

from __future__ import annotations

import json

import pytest
from tests.loop.processes import SLOT, Fleet, active, serves, state_of, stopped, wait_for

from sanderling.api.rollout.v1 import assignment_pb2
from sanderling_devices.demo.fleet.processes import sanderling

pytest.importorskip("sklearn", reason="the images come with scikit-learn (extra 'demo')")


def assignments(rollout):
    return {item.device_id: item for item in rollout.assignments}


def code_of(item) -> str:
    return assignment_pb2.ResultCode.Name(item.code).removeprefix("RESULT_CODE_")


def standing_of(item) -> str:
    return assignment_pb2.AssignmentState.Name(item.state).removeprefix("ASSIGNMENT_STATE_")


def counted(device) -> int:
    return device.remembered().slots[SLOT].active.rows


def test_from_nothing_to_a_version_that_is_reverted(tmp_path):
    with Fleet(tmp_path) as fleet:
        token = sanderling("device", "token", "--label", "site=hall", environment=fleet.server.environment).strip()
        devices = [fleet.device(plain=True, token=token), fleet.device(plain=True)]
        applications = [fleet.application(device) for device in devices]
        assert (
            json.loads(sanderling("device", "ls", "site=hall", "-o", "json", environment=fleet.server.environment))[0][
                "device_id"
            ]
            == devices[0].device_id
        )

        first = fleet.push("good", 1)
        done = fleet.ended(fleet.roll_out(first))
        assert state_of(done) == "SUCCEEDED", done.reason
        assert [standing_of(item) for item in done.assignments] == ["COMMITTED"] * 2
        for device, application in zip(devices, applications, strict=True):
            assert active(device) == first
            assert application.since(first) > 150, "it was on trial under real inference"

        runners = [device.runner(SLOT) for device in devices]
        bad = fleet.push("wrong", 3)
        done = fleet.ended(fleet.roll_out(bad))
        assert state_of(done) == "ABORTED", done.reason
        assert "failures" in done.reason
        (canary,) = [item for item in done.assignments if item.attempt]
        assert (standing_of(canary), code_of(canary)) == ("REVERTED", "CONFIDENCE"), canary.detail
        assert "mean confidence" in canary.detail
        for device, application in zip(devices, applications, strict=True):
            wait_for(serves(device, first), f"{first} on {device.device_id}")
            assert active(device) == first
            is_canary = device.device_id == canary.device_id
            assert bool(application.since(bad)) is is_canary, "it never goes beyond the canary"
        # The incumbents never stopped.
        assert [device.runner(SLOT) for device in devices] == runners

        before = counted(devices[0])
        with stopped(devices[0]):
            assert serves(devices[0], first)(), "router and runner answer without the agent"
        # The new agent reads the counters of the process that the old one started.
        wait_for(lambda: counted(devices[0]) > before + 100, "a look at the adopted runner")
        assert devices[0].runner(SLOT) == runners[0]
        for application in applications:
            application.stop()
            began = next(i for i, request in enumerate(application.asked) if request.version)
            assert [request for request in application.asked[began:] if request.failure] == []
            assert application.wrong == []


def test_a_version_that_hangs_in_the_field(tmp_path):
    pytest.importorskip("onnxruntime", reason="a model with a Loop runs on ONNX Runtime")
    with Fleet(tmp_path) as fleet:
        devices = [fleet.device(), fleet.device()]
        for device in devices:
            fleet.application(device)
        first = fleet.push("good", 1)
        assert state_of(fleet.ended(fleet.roll_out(first))) == "SUCCEEDED"
        bad = fleet.push("hang", 3)
        done = fleet.ended(fleet.roll_out(bad))
        assert state_of(done) == "ABORTED", done.reason
        (canary,) = [item for item in done.assignments if item.attempt]
        assert (standing_of(canary), code_of(canary)) == ("REVERTED", "HANG"), canary.detail
        for device in devices:
            wait_for(serves(device, first), f"{first} on {device.device_id}")
            assert active(device) == first
