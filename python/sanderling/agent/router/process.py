"""The router's process: listens, follows the table of routes, drains."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from pathlib import Path
from urllib.parse import unquote

from sanderling.agent.router.forward import Forwarder
from sanderling.agent.router.http1 import Exchange, Limits, Server
from sanderling.agent.router.pool import Pool
from sanderling.agent.router.routes import ADDRESS, Route, Routes, RoutesFile, replace_file
from sanderling.errors import InputError, TransportError

_LOOK_S = 1.0
_DRAIN_S = 10.0
_JSON = [(b"content-type", b"application/json")]
_log = logging.getLogger("sanderling.router")


class Router:
    """Owns a device's inference port.

    Args:
        folder: Holds routes.json; routes.ack and router.json (host, port, pid) are written there.
        host: Address to listen on.
        port: 0 chooses a free one.
        limits: Of one client.
        concurrent: Requests under way at once; the next is answered 429.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        concurrent: int = 256,
    ) -> None:
        self._folder, self._host, self._port = folder, host, port
        self._file = RoutesFile(folder)
        self._routes = Routes()
        self._pool = Pool()
        self._forwarder = Forwarder(self._pool, self._current)
        self._server = Server(self._handle, limits)
        self._concurrent, self._under_way = concurrent, 0

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then answers what is under way.

        Raises:
            TransportError: The address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.look)
        self.look()
        try:
            port = await self._server.listen_tcp(self._host, self._port)
        except OSError as error:
            raise TransportError(
                f"[router] cannot listen on {self._host}:{self._port}: {error.strerror}. Choose another --port"
            ) from error
        address = {"host": self._host, "port": port, "pid": os.getpid()}
        replace_file(self._folder / ADDRESS, json.dumps(address).encode())
        # From here on the agent sends SIGHUP, which before would have ended this process. What it wrote until now:
        self.look()
        while not stop.is_set():
            try:
                async with asyncio.timeout(_LOOK_S):
                    await stop.wait()
            except TimeoutError:
                self.look()
        if not await self._server.close(drain_s=_DRAIN_S):
            _log.warning("%d requests had no answer after %.0f s", self._under_way, _DRAIN_S)

    def look(self) -> None:
        """Follows routes.json if it has changed. Requests under way end where they began."""
        try:
            routes = self._file.changed()
        except InputError as error:
            _log.error("%s; the former routes stay", error)
            return
        if routes is None:
            return
        self._routes = routes
        self._pool.keep_only({route.socket for route in routes.slots.values()})
        self._file.acknowledge(routes)

    def _current(self, slot: str) -> Route | None:
        return self._routes.slots.get(slot)

    async def _handle(self, exchange: Exchange) -> None:
        if self._under_way >= self._concurrent:
            retry = (b"retry-after", b"1")
            await exchange.fail(429, f"{self._concurrent} requests are under way. Try again later", retry)
            return
        self._under_way += 1
        try:
            await self._route(exchange)
        finally:
            self._under_way -= 1

    async def _route(self, exchange: Exchange) -> None:
        match exchange.path.strip("/").split("/"):
            case ["v2", "models", slot, *_]:
                await self._forwarder.forward(exchange, unquote(slot))
            case ["v2"]:
                await self._answer(
                    exchange, {"name": "sanderling", "version": "2", "extensions": ["binary_tensor_data"]}
                )
            case ["v2", "health", "live"]:
                await self._answer(exchange, {"live": True})
            case ["v2", "health", "ready"]:
                ready = bool(self._routes.slots)
                await self._answer(exchange, {"ready": ready}, status=200 if ready else 503)
            case _:
                await exchange.fail(404, f"no {exchange.path}. The Open Inference Protocol is under /v2")

    async def _answer(self, exchange: Exchange, document: object, *, status: int = 200) -> None:
        if exchange.method not in ("GET", "HEAD"):
            await exchange.fail(405, f"{exchange.method} {exchange.path}: GET is wanted", (b"allow", b"GET"))
            return
        await exchange.respond(status, _JSON, json.dumps(document).encode())
