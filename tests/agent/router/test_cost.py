"""What the processes cost: memory at rest, and the time that the router adds to a request."""

from __future__ import annotations

import contextlib
import json
import time

import numpy as np
import pytest
from router_harness import INFER, Router
from runner_harness import Runners, UnixConnection, draw, infer_body, pss_mib


def test_memory_at_rest(router: Router, runners: Runners):
    """Agent, router and one runner are to have 120 MiB together; the agent loads no NumPy and has the rest."""
    runner = runners.run("1.0", 1.0)
    router.to(runner, "linear-1.0")
    assert router.infer(draw(0, 1))[0] == 200
    of_router, of_runner = pss_mib(router.process.pid), pss_mib(runner.process.pid)
    print(f"Pss: router {of_router:.1f} MiB, runner {of_runner:.1f} MiB")
    assert of_router < 25
    assert of_runner < 65


@pytest.mark.slow
def test_time_that_the_router_adds(router: Router, runners: Runners):
    runner = runners.run("1.0", 1.0)
    router.to(runner, "linear-1.0")
    body = infer_body(draw(0, 1))
    times: dict[str, list[float]] = {"direct": [], "routed": []}
    with contextlib.closing(UnixConnection(runner.inference)) as direct, contextlib.closing(router.connect()) as routed:
        for i in range(1100):
            for name, connection in (("direct", direct), ("routed", routed)):
                begin = time.perf_counter()
                connection.request("POST", INFER, body)
                json.loads(connection.getresponse().read())
                if i >= 100:
                    times[name].append((time.perf_counter() - begin) * 1e6)
    p50 = {name: float(np.median(values)) for name, values in times.items()}
    print(f"p50: direct {p50['direct']:.0f} us, routed {p50['routed']:.0f} us")
    assert p50["routed"] - p50["direct"] < 3000  # half a millisecond here; a laden machine must not fail it
