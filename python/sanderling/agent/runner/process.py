"""The runner's process: gRPC on one Unix socket, inference on another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from sanderling.agent.processes import few_arenas
from sanderling.agent.runner.errors import ErrorInterceptor
from sanderling.agent.runner.inference import InferenceFace
from sanderling.agent.runner.service import RunnerService
from sanderling.agent.runner.serving import Serving
from sanderling.api.runner.v1 import runner_pb2_grpc
from sanderling.errors import InputError, SanderlingError, TransportError

HANG_S = 10.0
"""Inference without progress for so long is a hang."""
_THREADS = 6  # Load, SelfTest and Drain may each hold one; Health must find another
_LONGEST_SOCKET_PATH = 107 - len(".http")  # of sockaddr_un
_TERM_DRAIN_S = 10.0
_STOP_S = 0.5
_MOST_REQUEST_BYTES = 64 << 20  # Load may bring the device's own reference
_log = logging.getLogger("sanderling.runner")


class RunnerProcess:
    """Serves until it is drained.

    Args:
        socket: Path of the agent's socket; inference gets the same with ".http".
        hang_s: Inference without progress for so long is a hang.

    Raises:
        InputError: The path is too long for a Unix socket.
    """

    def __init__(self, socket: Path, *, hang_s: float) -> None:
        if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
            raise InputError(
                f"[runner] socket path of {len(os.fsencode(socket))} bytes, at most {_LONGEST_SOCKET_PATH} are "
                "possible. Use a shorter state folder"
            )
        self._socket, self._http_socket = socket, socket.with_name(socket.name + ".http")
        self._hang_s = hang_s
        self._face: InferenceFace | None = None
        self._serving: Serving | None = None
        self._unanswered = 0

    async def run(self) -> None:
        """Serves until Drain, SIGTERM or SIGINT.

        Raises:
            TransportError: The socket cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._terminate)
        os.umask(0o077)  # both sockets are for this user alone
        options = [("grpc.max_receive_message_length", _MOST_REQUEST_BYTES)]
        server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="agent"), interceptors=[ErrorInterceptor()], options=options
        )
        runner_pb2_grpc.add_RunnerServiceServicer_to_server(RunnerService(self, hang_s=self._hang_s), server)
        try:
            server.add_insecure_port(f"unix:{self._socket}")
        except RuntimeError as error:
            raise TransportError(f"[runner] cannot listen on {self._socket}: {error}") from error
        self._socket.chmod(0o600)
        server.start()
        await self._ended.wait()
        await asyncio.to_thread(server.stop(grace=_STOP_S).wait, 2 * _STOP_S)
        self._close()

    def serve(self, serving: Serving, active: Callable[[], bool]) -> str:
        """Opens the inference socket; called by a gRPC thread."""
        face = InferenceFace(serving, active)
        self._http_socket.unlink(missing_ok=True)
        asyncio.run_coroutine_threadsafe(face.server.listen_unix(str(self._http_socket)), self._loop).result()
        self._http_socket.chmod(0o600)
        self._face, self._serving = face, serving
        return str(self._http_socket)

    def drain(self, timeout_s: float) -> int:
        """Answers what was accepted; called by a gRPC thread."""
        return asyncio.run_coroutine_threadsafe(self._drain(timeout_s), self._loop).result()

    def end(self) -> None:
        """Lets the process end; called by a gRPC thread."""
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _drain(self, timeout_s: float) -> int:
        if self._face is None or self._serving is None:
            return 0
        self._face.draining = True
        await self._face.server.close(drain_s=timeout_s)
        self._unanswered = self._serving.progress.running
        return self._unanswered

    def _terminate(self) -> None:
        async def drain() -> None:
            await self._drain(_TERM_DRAIN_S)
            self._ended.set()

        self._draining = self._loop.create_task(drain())

    def _close(self) -> None:
        for path in (self._socket, self._http_socket):
            with contextlib.suppress(OSError):
                path.unlink()
        if self._unanswered or (self._serving is not None and self._serving.progress.running):
            # Threads that hang in a model cannot be waited for; at exit Python would.
            logging.shutdown()
            os._exit(0)
        if self._serving is not None:
            self._serving.close()


def run_runner(socket: Path, hang_s: float = HANG_S) -> int:
    """Runs a runner until it is drained; returns the exit code."""
    logging.basicConfig(format="%(name)s %(levelname)s: %(message)s")
    few_arenas()
    try:
        asyncio.run(RunnerProcess(socket, hang_s=hang_s).run())
    except SanderlingError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0
