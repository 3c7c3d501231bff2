"""Passes one request on to a runner, and to the next one when that runner is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import h11

from sanderling.agent.router.http1 import Exchange, Peer
from sanderling.agent.router.pool import Pool
from sanderling.agent.router.routes import Route

DRAINING = b"sanderling-draining"
"""Header of a runner's 503: it has not looked at the request and ends; another one answers."""

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"proxy-authorization",
     b"proxy-authenticate", b"host", b"expect")
)  # fmt: skip
_ANSWER_S = 120.0  # an inference that takes longer than this is not waited for
_WRITE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.1


class RunnerLost(Exception):
    """The runner cannot be reached, ended in mid-answer, or drains: another one may answer."""


class Replay:
    """A request's body, passed on as it comes and kept for another try while it is not too large."""

    def __init__(self, exchange: Exchange, most: int) -> None:
        self._source = exchange.body()
        self._kept: list[bytes] = []
        self._bytes, self._most = 0, most
        self._ended = False

    @property
    def possible(self) -> bool:
        """Whether all that was passed on is still here."""
        return self._bytes <= self._most

    async def parts(self) -> AsyncIterator[bytes]:
        """The body from its beginning."""
        for part in list(self._kept):
            yield part
        while not self._ended:
            try:
                part = await anext(self._source)
            except StopAsyncIteration:
                self._ended = True
                return
            self._bytes += len(part)
            if self.possible:
                self._kept.append(part)
            else:
                self._kept.clear()
            yield part


class Forwarder:
    """Sends exchanges to runners.

    An answer of up to `hold_bytes` is read whole before its first byte goes to the client; so a runner that dies in
    mid-answer costs a second try, not an error. Inference changes nothing, so a second try is safe.

    Args:
        pool: Connections to runners.
        current: The route of a slot now; None without one.
        retry_s: How long after a first failure another try may begin.
        replay_bytes: Largest body that is kept for another try.
        hold_bytes: Largest answer that is held back until it is whole.
    """

    def __init__(
        self,
        pool: Pool,
        current: Callable[[str], Route | None],
        *,
        retry_s: float = 2.0,
        replay_bytes: int = 16 << 20,
        hold_bytes: int = 1 << 20,
    ) -> None:
        self._pool, self._current = pool, current
        self._retry_s, self._replay_bytes, self._hold_bytes = retry_s, replay_bytes, hold_bytes

    async def forward(self, exchange: Exchange, slot: str) -> None:
        """Answers the exchange by the slot's runner.

        Raises:
            BodyTooLarge: The client sends more than the limit.
            TimeoutError: The client is too slow.
            OSError: The client is gone.
        """
        loop = asyncio.get_running_loop()
        replay = Replay(exchange, self._replay_bytes)
        pause, until = _FIRST_PAUSE_S, None
        while True:
            route = self._current(slot)
            if route is None:
                await exchange.fail(404, f"no model in slot {slot!r}. GET /v2 lists nothing that is not there")
                return
            try:
                await self._try(exchange, route, replay)
                return
            except RunnerLost as lost:
                if exchange.started:
                    exchange.peer.close()  # half an answer is out: the client must see that it is none
                    return
                until = until or loop.time() + self._retry_s
                if not replay.possible or loop.time() + pause > until:
                    await exchange.fail(503, f"slot {slot!r} has no runner that answers: {lost}. Try again")
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _try(self, exchange: Exchange, route: Route, replay: Replay) -> None:
        try:
            peer = await self._pool.take(route.socket)
        except OSError as error:
            raise RunnerLost(f"{route.version}: {error!r}") from error
        try:
            await self._send(peer, exchange, replay)
            await self._answer(peer, exchange, route)
        except BaseException:
            peer.close()
            raise
        self._pool.give_back(route.socket, peer)

    async def _send(self, peer: Peer, exchange: Exchange, replay: Replay) -> None:
        headers = [(key, value) for key, value in exchange.request.headers if key not in _HOP_BY_HOP]
        if exchange.header(b"transfer-encoding") is not None:
            headers = [(key, value) for key, value in headers if key != b"content-length"]
            headers.append((b"transfer-encoding", b"chunked"))
        request = h11.Request(
            method=exchange.request.method, target=exchange.request.target, headers=[*headers, (b"host", b"runner")]
        )
        events: list[h11.Event] = [request]
        lost: RunnerLost | None = None
        async for part in replay.parts():
            events.append(h11.Data(data=part))
            lost = await _pass_on(peer, events)
            if lost is not None:
                break  # it may have answered before it closed
            events = []
        if lost is None:
            await _pass_on(peer, [*events, h11.EndOfMessage()])

    async def _answer(self, peer: Peer, exchange: Exchange, route: Route) -> None:
        held = bytearray()
        response: h11.Response | None = None
        while True:
            try:
                event = await peer.receive(_ANSWER_S)
            except TimeoutError:  # before OSError, of which it is a kind
                if exchange.started:
                    raise
                await exchange.fail(504, f"{route.version} did not answer within {_ANSWER_S:.0f} s")
                return
            except (OSError, h11.RemoteProtocolError) as error:
                raise RunnerLost(f"{route.version} ended before its answer did: {error}") from error
            if isinstance(event, h11.Response):
                if any(key == DRAINING for key, _ in event.headers):
                    raise RunnerLost(f"{route.version} drains")
                response = event
            elif isinstance(event, h11.Data) and response is not None:
                if exchange.started:
                    await exchange.write(bytes(event.data))
                    continue
                held += event.data
                if len(held) > self._hold_bytes:
                    await exchange.start(response.status_code, _passed(response, keep_length=True))
                    await exchange.write(bytes(held))
            elif isinstance(event, h11.EndOfMessage) and response is not None:
                if exchange.started:
                    await exchange.end()
                else:
                    await exchange.respond(response.status_code, _passed(response, keep_length=False), bytes(held))
                return


async def _pass_on(peer: Peer, events: list[h11.Event]) -> RunnerLost | None:
    """Sends to a runner; what it says to that is in what it answers, if it answered before it closed."""
    try:
        await peer.send(*events, timeout_s=_WRITE_S)
    except OSError as error:
        return RunnerLost(repr(error))
    return None


def _passed(response: h11.Response, *, keep_length: bool) -> list[tuple[bytes, bytes]]:
    dropped = _HOP_BY_HOP if keep_length else _HOP_BY_HOP | {b"content-length"}
    return [(key, value) for key, value in response.headers if key not in dropped]
