"""What one client may ask for, and what the router does with more; and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from router_harness import INFER, Router
from runner_harness import WAIT_S, Runners, draw, wait_until


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_pass_both_ways(router: Router, runners: Runners, chunked: bool):
    runner = runners.run("1.0", 1.0, max_batch_size=1024)
    router.to(runner, "linear-1.0")
    rows = draw(0, 200_000)  # 3.2 MB in, 2.4 MB out
    tensor = {"name": "x", "datatype": "FP32", "shape": [200_000, 4], "parameters": {"binary_data_size": rows.nbytes}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    data = head + rows.tobytes()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    with contextlib.closing(router.connect()) as connection:
        if chunked:
            pieces = iter([data[begin : begin + 100_000] for begin in range(0, len(data), 100_000)])
            connection.request("POST", INFER, pieces, headers, encode_chunked=True)
        else:
            connection.request("POST", INFER, data, headers)
        response = connection.getresponse()
        body = response.read()
    length = int(response.headers["Inference-Header-Content-Length"])
    assert response.status == 200
    assert json.loads(body[:length])["outputs"][0]["shape"] == [200_000, 3]
    answers = np.frombuffer(body[length:], "<f4").reshape(-1, 3)
    assert np.allclose(answers[:, 0], rows.sum(axis=1), atol=1e-5)


def test_limits_of_size(tmp_path: Path, runners: Runners):
    with Router(tmp_path / "small", "--body-bytes", "1000") as router:
        router.to(runners.run("1.0", 1.0), "linear-1.0")
        assert router.infer(draw(0, 1))[0] == 200
        status, answer = router.infer(draw(0, 100))
        assert (status, "over 1,000 bytes" in answer["error"]) == (413, True)
        with contextlib.closing(router.connect()) as connection:
            connection.request("POST", INFER, iter([b"1" * 600] * 3), encode_chunked=True)
            assert connection.getresponse().status == 413
        assert router.call("GET", "/v2", None, {"X": "a" * 20_000})[0] == 431
        assert router.infer(draw(0, 1))[0] == 200


def test_slow_clients_are_hung_up_on(tmp_path: Path, runners: Runners):
    with Router(tmp_path / "brisk", "--slow-s", "0.2") as router:
        router.to(runners.run("1.0", 1.0), "linear-1.0")
        body = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{".encode()
        for begun in (b"POST", body):
            with socket.create_connection(("127.0.0.1", router.port), WAIT_S) as connection:
                connection.sendall(begun)
                assert connection.recv(1) == b""
        assert router.infer(draw(0, 1))[0] == 200


def test_what_is_no_http_is_400(router: Router):
    for data in (
        b"hello\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", router.port), WAIT_S) as connection:
            connection.sendall(data)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'{"error": ' in answer
    assert router.call("GET", "/v2/health/live")[0] == 200


SLOW = """
import sanderling._session as s, time, pathlib
run = s.Session.run
def slow(self, inputs):
    pathlib.Path({marker!r}).touch()
    time.sleep(0.5)
    return run(self, inputs)
s.Session.run = slow
"""


def test_more_requests_at_once_than_allowed_and_drain(tmp_path: Path, runners: Runners):
    marker = tmp_path / "in the model"
    digest = runners.store.add("1.0", 1.0, batch=1)  # a fixed batch runs through Session.run
    runner = runners.load(runners.start(code=SLOW.format(marker=str(marker))), "1.0", digest)
    with Router(tmp_path / "narrow", "--concurrent", "1") as router:
        router.to(runner, "linear-1.0")
        kept = router.connect()
        kept.request("GET", "/v2/health/live")
        kept.getresponse().read()
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(router.infer(draw(0, 1))[0]))
        thread.start()
        wait_until(marker.exists)
        status, answer = router.infer(draw(0, 1))
        assert (status, "under way" in answer["error"]) == (429, True)
        os.kill(router.process.pid, signal.SIGTERM)
        thread.join(WAIT_S)
        assert answers == [200]
        assert router.process.wait(WAIT_S) == 0
        assert kept.sock.recv(1) == b""
        kept.close()
