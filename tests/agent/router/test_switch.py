"""Switches and deaths of runners under load: nothing is lost, mixed or of the wrong version."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from router_harness import INFER, Load, Router
from runner_harness import WAIT_S, Runners, draw, infer_body, wait_until

from sanderling.api.runner.v1 import runner_pb2

FACTORS = {"linear-1.0": 1.0, "linear-2.0": 5.0, "linear-3.0": -3.0}


def swap(router: Router, runners: Runners, swaps: int) -> Load:
    first, second = runners.run("1.0", 1.0), runners.run("2.0", 5.0)
    router.to(first, "linear-1.0")
    with Load(router, FACTORS) as load:
        for i in range(swaps):
            before = load.answers[f"linear-{2 - i % 2}.0"]
            router.to((second, first)[i % 2], f"linear-{2 - i % 2}.0")
            with contextlib.closing(router.connect()) as connection:
                connection.request("POST", INFER, infer_body(draw(i, 1)))
                # The acknowledgement came before this request began.
                assert json.loads(connection.getresponse().read())["model_version"] == f"linear-{2 - i % 2}.0"
            wait_until(lambda i=i, before=before: load.answers[f"linear-{2 - i % 2}.0"] > before or bool(load.wrong))
    return load


def test_a_hundred_swaps_under_load_lose_and_mix_nothing(router: Router, runners: Runners):
    load = swap(router, runners, 100)
    assert load.wrong == []
    assert min(load.answers["linear-1.0"], load.answers["linear-2.0"]) >= 50


@pytest.mark.slow
def test_a_thousand_swaps(router: Router, runners: Runners):
    load = swap(router, runners, 1000)
    assert load.wrong == []
    assert min(load.answers["linear-1.0"], load.answers["linear-2.0"]) >= 500


def test_runners_that_drain_after_the_switch_or_before_it_lose_nothing(router: Router, runners: Runners):
    current = runners.run("1.0", 1.0)
    router.to(current, "linear-1.0")
    with Load(router, FACTORS) as load:
        for i, (version, factor) in enumerate([("2.0", 5.0), ("3.0", -3.0)]):
            following = runners.run(version, factor)
            drain = runner_pb2.DrainRequest(timeout=Duration(seconds=5))
            if i % 2:  # as it should not be, and still loses nothing
                drained = current.stub.Drain(drain, timeout=WAIT_S)
                router.to(following, f"linear-{version}")
            else:
                router.to(following, f"linear-{version}")
                drained = current.stub.Drain(drain, timeout=WAIT_S)
            assert drained.unanswered == 0
            assert current.process.wait(WAIT_S) == 0
            current = following
    assert load.wrong == []
    assert min(load.answers.values()) > 0


def test_killed_runners_cost_two_seconds_at_most(router: Router, runners: Runners):
    current, spare = runners.run("1.0", 1.0), runners.run("2.0", 5.0)
    router.to(current, "linear-1.0")
    with Load(router, FACTORS) as load:
        wait_until(lambda: load.answers["linear-1.0"] > 20)
        current.process.kill()
        current.process.wait(WAIT_S)
        router.to(spare, "linear-2.0")
        wait_until(lambda: load.answers["linear-2.0"] > 20 or bool(load.wrong))
    assert load.wrong == []
    assert load.longest_s < 2.0


def test_a_killed_router_starts_anew_on_its_port_and_its_routes(router: Router, runners: Runners):
    router.to(runners.run("1.0", 1.0), "linear-1.0")
    with contextlib.closing(router.connect()) as connection:  # leaves the port in use for a while
        connection.request("GET", "/v2/health/live")
        connection.getresponse().read()
        begin = time.monotonic()
        router.process.kill()
        router.process.wait(WAIT_S)
        with Router(router.folder, port=router.port) as again:
            assert again.port == router.port
            status, answer = again.infer(draw(0, 1))
    assert (status, answer["model_version"]) == (200, "linear-1.0")
    assert time.monotonic() - begin < 2.0


def test_a_request_that_ends_runner_after_runner_is_given_up(router: Router, tmp_path: Path):
    path = tmp_path / "fragile"
    ended: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def end() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        ended.append(connection.recv(1 << 16))  # the request is there, and the runner dies of it

        thread = threading.Thread(target=end)
        thread.start()
        router.route({"camera": (str(path), "linear-1.0")})
        status, answer = router.infer(draw(0, 1))
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_S)
    assert (status, "ended before its answer" in answer["error"]) == (503, True)
    assert len(ended) == 4
