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
_MOST_DEATHS = 3  # a request that ends runner after runner must not end them all
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.1


class RunnerLost(Exception):
    """The runner cannot be reached, ended in mid-answer, or drains: another one may answer.

    Attributes:
        suspect: Whether it ended while it had the request, so that the request may be why.
    """

    def __init__(self, message: str, *, suspect: bool = False) -> None:
        super().__init__(message)
        self.suspect = suspect


class Budget:
    """Bytes that all requests together may hold in memory.

    Args:
        most: Of them.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, count: int) -> bool:
        """Takes bytes if there are so many."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give_back(self, count: int) -> None:
        """Gives bytes back."""
        self._left += count


class Replay:
    """A request's body, passed on as it comes and kept for another try while the budget has room."""

    def __init__(self, exchange: Exchange, budget: Budget) -> None:
        self._source = exchange.body()
        self._budget = budget
        self._kept: list[bytes] = []
        self._ended = False
        self.possible = True
        """Whether all that was passed on is still here."""

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
            if self.possible and self._budget.take(len(part)):
                self._kept.append(part)
            else:
                self.possible = False
                self.let_go()
            yield part

    def let_go(self) -> None:
        """Gives back what is kept."""
        self._budget.give_back(sum(len(part) for part in self._kept))
        self._kept.clear()


class Forwarder:
    """Sends exchanges to runners.

    Requests are kept, and answers of up to `hold_bytes` read whole before their first byte goes to the client, while
    there is memory for it; so a runner that dies in mid-answer costs a second try, not an error. Inference changes
    nothing, so a second try is safe.

    Args:
        pool: Connections to runners.
        current: The route of a slot now; None without one.
        retry_s: How long after a first failure another try may begin.
        hold_bytes: Largest answer that is held back until it is whole.
        memory_bytes: Of all requests kept and answers held back together.
    """

    def __init__(
        self,
        pool: Pool,
        current: Callable[[str], Route | None],
        *,
        retry_s: float = 2.0,
        hold_bytes: int = 1 << 20,
        memory_bytes: int = 64 << 20,
    ) -> None:
        self._pool, self._current = pool, current
        self._retry_s, self._hold_bytes = retry_s, hold_bytes
        self._budget = Budget(memory_bytes)

    async def forward(self, exchange: Exchange, slot: str) -> None:
        """Answers the exchange by the slot's runner.

        Raises:
            BodyTooLarge: The client sends more than the limit.
            TimeoutError: The client is too slow.
            OSError: The client is gone.
        """
        replay = Replay(exchange, self._budget)
        try:
            await self._forward(exchange, slot, replay)
        finally:
            replay.let_go()

    async def _forward(self, exchange: Exchange, slot: str, replay: Replay) -> None:
        loop = asyncio.get_running_loop()
        pause, until, deaths = _FIRST_PAUSE_S, None, 0
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
                deaths += lost.suspect
                if not replay.possible or loop.time() + pause > until or deaths > _MOST_DEATHS:
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
        try:
            await self._pass_back(peer, exchange, route, held)
        finally:
            self._budget.give_back(len(held))

    async def _pass_back(self, peer: Peer, exchange: Exchange, route: Route, held: bytearray) -> None:
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
                raise RunnerLost(f"{route.version} ended before its answer did: {error}", suspect=True) from error
            if isinstance(event, h11.Response):
                if any(key == DRAINING for key, _ in event.headers):
                    raise RunnerLost(f"{route.version} drains")
                response = event
            elif isinstance(event, h11.Data) and response is not None:
                data = bytes(event.data)
                if exchange.started:
                    await exchange.write(data)
                elif len(held) + len(data) <= self._hold_bytes and self._budget.take(len(data)):
                    held += data
                else:
                    await exchange.start(response.status_code, _passed(response, keep_length=True))
                    await exchange.write(bytes(held) + data)
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
