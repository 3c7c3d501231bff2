"""A runner's inference socket: the Open Inference Protocol over HTTP/1.1."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from urllib.parse import unquote

import h11

from sanderling.agent.router.forward import DRAINING
from sanderling.agent.router.http1 import BodyTooLarge, Exchange, Server
from sanderling.agent.runner import oip
from sanderling.agent.runner.serving import QueueFull, Serving
from sanderling.errors import InputError, SanderlingError, UnsupportedError

_JSON = [(b"content-type", b"application/json")]
_log = logging.getLogger("sanderling.runner")


class InferenceFace:
    """Answers the router, and whoever else may open the socket.

    Args:
        serving: What is loaded.
        active: Whether it may answer.
    """

    def __init__(self, serving: Serving, active: Callable[[], bool]) -> None:
        self._serving, self._active = serving, active
        self.server = Server(self._handle)
        self.draining = False

    async def _handle(self, exchange: Exchange) -> None:
        if self.draining:
            await exchange.fail(503, "this runner drains. Try again", (DRAINING, b"1"))
            return
        try:
            await self._route(exchange)
        except InputError as error:
            await exchange.fail(400, str(error))
        except UnsupportedError as error:
            await exchange.fail(501, str(error))
        except QueueFull:
            size = self._serving.options.max_queue_size
            await exchange.fail(429, f"{size} requests wait already. Try again later", (b"retry-after", b"1"))
        except (OSError, BodyTooLarge, h11.RemoteProtocolError):
            raise  # the client's doing
        except Exception as error:
            if exchange.started:
                raise
            _log.exception("a request failed")
            name = str(error) if isinstance(error, SanderlingError) else type(error).__name__
            await exchange.fail(500, f"the request failed in the runner: {name}")

    async def _route(self, exchange: Exchange) -> None:
        slot = self._serving.options.slot
        match [unquote(part) for part in exchange.path.strip("/").split("/")]:
            case ["v2"]:
                await _get(exchange, {"name": "sanderling", "version": "2", "extensions": ["binary_tensor_data"]})
            case ["v2", "health", "live"]:
                await _get(exchange, {"live": True})
            case ["v2", "health", "ready"]:
                await self._ready(exchange)
            case ["v2", "models", name, *rest] if name == slot:
                await self._model(exchange, rest)
            case ["v2", "models", name, *_]:
                await exchange.fail(404, f"no model {name!r} here, this runner has {slot!r}")
            case _:
                await exchange.fail(404, f"no {exchange.path}. The Open Inference Protocol is under /v2")

    async def _model(self, exchange: Exchange, rest: list[str]) -> None:
        full, short = self._serving.options.version, self._serving.manifest.version
        if rest[:1] == ["versions"] and len(rest) > 1:
            if rest[1] not in (full, short):
                await exchange.fail(404, f"no version {rest[1]!r} here, this is {full!r}")
                return
            rest = rest[2:]
        session = self._serving.session
        match rest:
            case []:
                await _get(exchange, oip.metadata(self._serving.options.slot, full, session.inputs, session.outputs))
            case ["ready"]:
                await self._ready(exchange)
            case ["infer"]:
                await self._infer(exchange)
            case _:
                await exchange.fail(404, f"no {exchange.path}: a model has ready, infer and versions/VERSION")

    async def _ready(self, exchange: Exchange) -> None:
        ready = self._active()
        await _get(exchange, {"name": self._serving.options.slot, "ready": ready}, status=200 if ready else 503)

    async def _infer(self, exchange: Exchange) -> None:
        if exchange.method != "POST":
            await exchange.fail(405, f"{exchange.method} {exchange.path}: POST is wanted", (b"allow", b"POST"))
            return
        if not self._active():
            await exchange.fail(503, f"{self._serving.options.version} is loaded, not active. Try again later")
            return
        encoding = exchange.header(b"content-encoding")
        if encoding not in (None, "identity"):
            raise InputError(f"[infer] content-encoding is {encoding}, only identity is taken")
        body = b"".join([part async for part in exchange.body()])
        request = oip.read_infer(body, exchange.header(oip.LENGTH_HEADER))
        outputs = await self._serving.infer(request.inputs)
        version = self._serving.options.version
        headers, answer = oip.write_answer(request, outputs, model=self._serving.options.slot, version=version)
        await exchange.respond(200, [*headers, (b"sanderling-version", version.encode("ascii"))], answer)


async def _get(exchange: Exchange, document: object, *, status: int = 200) -> None:
    if exchange.method not in ("GET", "HEAD"):
        await exchange.fail(405, f"{exchange.method} {exchange.path}: GET is wanted", (b"allow", b"GET"))
        return
    await exchange.respond(status, _JSON, json.dumps(document).encode())
