"""A real router: the routes that it follows and what it answers itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from router_harness import INFER, Router
from runner_harness import Runners, draw

from sanderling.agent.router.routes import ROUTES, Route, Routes
from sanderling.errors import InputError


def test_a_runner_that_stays_away_is_503_after_two_seconds(router: Router, tmp_path: Path):
    router.route({"camera": (str(tmp_path / "nobody"), "linear-1.0")})
    status, answer = router.infer(draw(0, 1))
    assert (status, "no runner that answers" in answer["error"]) == (503, True)


def test_what_the_router_answers_itself(router: Router, runners: Runners):
    assert router.call("GET", "/v2/health/live")[0] == 200
    assert router.call("GET", "/v2/health/ready")[0] == 503
    status, answer = router.infer(draw(0, 1))
    assert (status, "slot 'camera'" in answer["error"]) == (404, True)
    router.to(runners.run("1.0", 1.0), "linear-1.0")
    assert router.call("GET", "/v2/health/ready")[0] == 200
    assert router.call("GET", "/v2")[1]["name"] == "sanderling"
    assert router.call("GET", "/v2/models/camera")[1]["versions"] == ["linear-1.0"]
    assert router.call("GET", "/v2/models/c%61mera/ready") == (200, {"name": "camera", "ready": True})
    assert router.call("POST", "/v2", b"{}")[0] == 405
    assert router.call("GET", "/")[0] == 404
    status, answer = router.call("POST", INFER, b"{")
    assert (status, "no JSON" in answer["error"]) == (400, True)


def test_a_changed_file_is_seen_without_a_signal_and_a_damaged_one_changes_nothing(router: Router, runners: Runners):
    first, second = runners.run("1.0", 1.0), runners.run("2.0", 5.0)
    router.to(first, "linear-1.0")
    router.route({"camera": (second.inference, "linear-2.0")}, hang_up=False)
    assert router.infer(draw(0, 1))[1]["model_version"] == "linear-2.0"
    (router.folder / ROUTES).write_bytes(b'{"generation": 9, "slots": {"camera": 3}}')
    os.kill(router.process.pid, signal.SIGHUP)
    for _ in range(3):
        assert router.infer(draw(0, 1))[1]["model_version"] == "linear-2.0"
    router.to(first, "linear-1.0")
    assert router.infer(draw(0, 1))[1]["model_version"] == "linear-1.0"


def test_routes_come_back_equal_and_nothing_else_does():
    routes = Routes(7, {"camera": Route("/run/a", "linear-1.0")})
    assert Routes.from_bytes(routes.to_bytes()) == routes
    for wrong in (b"", b"{}", b"[]", b'{"generation": 1, "slots": []}', b'{"generation": 1, "slots": {"a": {}}}'):
        with pytest.raises(InputError, match="not a table of routes"):
            Routes.from_bytes(wrong)


def test_the_router_loads_neither_numpy_nor_grpc():
    code = (
        "import sys, sanderling.agent.router.__main__; "
        "print([m for m in ('numpy', 'grpc', 'google.protobuf', 'sanderling._core') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
