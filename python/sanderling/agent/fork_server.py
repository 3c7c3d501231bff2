"""The agent's side of the fork server, from which runners start."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sanderling.agent.processes import Process, boot_id, find, open_log, running_since

ANSWER_S = 30.0
"""Imports on a slow device take their time."""
REST_S = 900.0
"""Longer than a trial by default."""
_MODULE = "sanderling.agent.runner.fork_server"


class ForkServer:
    """One per agent, started when a runner is, and there for a while: what was just started is what crashes.

    It ends with the agent.

    Args:
        run: Folder of the runners' sockets.
        logs: Folder of its log and theirs.
    """

    def __init__(self, run: Path, logs: Path) -> None:
        self._run, self._logs = run, logs
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._process: Process | None = None
        self._used = 0.0

    def rest(self) -> None:
        """Ends it if nothing was started for `REST_S`: it is a runner's memory once more. To be called now and then."""
        if not self._lock.acquire(blocking=False):
            return  # it is being used
        try:
            if time.monotonic() - self._used > REST_S:
                self._end()
        finally:
            self._lock.release()

    def fork(self, socket: Path, log: str, record: Callable[[Process], None]) -> Process:
        """Starts a runner in a session of its own.

        Args:
            socket: In the folder of sockets.
            log: Name of the file that its outputs are added to.
            record: Called before it runs, so that no runner is left that is not recorded.

        Raises:
            OSError: It cannot be started.
        """
        with self._lock:
            try:
                return self._fork(socket, log, record)
            except OSError:  # it was killed since: its successor is asked
                self._end()
                return self._fork(socket, log, record)

    def forked(self) -> list[Process]:
        """What was forked into this folder's runners, by whichever agent, and the fork servers themselves."""
        return find(_MODULE, "--run", self._run)

    def close(self) -> None:
        """Ends it; runners run on."""
        with self._lock:
            self._end()

    def _fork(self, socket: Path, log: str, record: Callable[[Process], None]) -> Process:
        self._ensure()
        answer = self._ask(socket, log)
        process = Process(answer["pid"], answer["start_ticks"], boot_id())
        try:
            record(process)
            self._send({"go": process.pid})
            self._used = time.monotonic()
        except BaseException:
            process.kill()
            raise
        return process

    def _ask(self, socket: Path, log: str) -> dict[str, Any]:
        with open_log(self._logs / log) as file:
            self._send({"socket": socket.name, "log": file.name})
        assert self._server is not None
        assert self._server.stdout is not None
        ready, _, _ = select.select([self._server.stdout], [], [], ANSWER_S)
        line = self._server.stdout.readline() if ready else b""
        if not line:
            raise OSError(f"the fork server gave no answer. See {self._logs / 'fork-server.log'}")
        return dict(json.loads(line))

    def _send(self, asked: dict[str, Any]) -> None:
        assert self._server is not None
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(asked).encode() + b"\n")
        self._server.stdin.flush()

    def _ensure(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self._end()
        with open_log(self._logs / "fork-server.log") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", _MODULE, "--run", os.fspath(self._run)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._process = Process(self._server.pid, running_since(self._server.pid) or 0, boot_id())

    def _end(self) -> None:
        if self._server is None or self._process is None:
            return
        self._process.send(signal.SIGKILL)
        for pipe in (self._server.stdin, self._server.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what it has not read is lost with it
                pipe.close()
        self._process.wait_gone(5.0)
        self._server.returncode = 0  # reaped by pid
        self._server = None
