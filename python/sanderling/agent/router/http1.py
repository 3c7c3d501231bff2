"""HTTP/1.1 on asyncio streams, by h11: what the router and the runners' inference sockets have in common."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import h11

Headers = Sequence[tuple[bytes, bytes]]
READ_BYTES = 1 << 16
_MOST_DISCARDED = 1 << 20
_log = logging.getLogger("sanderling.http")


@dataclass(frozen=True)
class Limits:
    """What one client may ask of a server.

    Attributes:
        header_bytes: Of the request line and all headers together; more is answered 431.
        body_bytes: Of a request; more is answered 413.
        connections: Open at once; the next is answered 503.
        idle_s: How long a connection may stand between requests.
        slow_s: How long a client may take for the head of a request, send nothing of its body, or read nothing of its
            answer.
    """

    header_bytes: int = 16 << 10
    body_bytes: int = 64 << 20
    connections: int = 512
    idle_s: float = 75.0
    slow_s: float = 10.0


class BodyTooLarge(Exception):
    """A request's body is over the limit."""


class Peer:
    """One connection and what it says, as client or as server."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        role: type[h11.CLIENT] | type[h11.SERVER],
        *,
        header_bytes: int,
    ) -> None:
        self.reader, self.writer = reader, writer
        self.h11 = h11.Connection(role, max_incomplete_event_size=header_bytes)

    async def receive(self, timeout_s: float) -> h11.Event | type[h11.PAUSED]:
        """The next event from the other side.

        Raises:
            TimeoutError: It sent nothing for so long.
            OSError: The connection broke.
            h11.RemoteProtocolError: What it sent is not HTTP/1.1, or it ended in mid-message.
        """
        while True:
            event = self.h11.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            async with asyncio.timeout(timeout_s):
                data = await self.reader.read(READ_BYTES)
            self.h11.receive_data(data)

    async def send(self, *events: h11.Event, timeout_s: float) -> None:
        """Sends events as one write.

        Raises:
            TimeoutError: The other side did not read for so long.
            OSError: The connection broke.
        """
        self.writer.write(b"".join([self.h11.send(event) or b"" for event in events]))
        async with asyncio.timeout(timeout_s):
            await self.writer.drain()

    @property
    def reusable(self) -> bool:
        """Whether both sides have ended their message and keep the connection."""
        return self.h11.our_state is h11.DONE and self.h11.their_state is h11.DONE

    def close(self) -> None:
        """Closes the connection without waiting."""
        self.writer.close()


class Exchange:
    """One request and its answer."""

    def __init__(self, peer: Peer, request: h11.Request, limits: Limits, closing: Callable[[], bool]) -> None:
        self.peer, self.request = peer, request
        self._limits, self._closing = limits, closing
        self._body_bytes = 0
        self.started = False

    @property
    def method(self) -> str:
        """In capitals."""
        return self.request.method.decode("ascii")

    @property
    def path(self) -> str:
        """Without the query, still percent-encoded."""
        return self.request.target.decode("ascii").partition("?")[0]

    def header(self, name: bytes) -> str | None:
        """The value of a header by its lower-case name."""
        return next((value.decode("latin-1") for key, value in self.request.headers if key == name), None)

    async def body(self) -> AsyncIterator[bytes]:
        """The parts of the body as they come.

        Raises:
            BodyTooLarge: It is over the limit.
            TimeoutError: The client is too slow.
        """
        length = self.header(b"content-length")
        if length is not None and int(length) > self._limits.body_bytes:
            raise BodyTooLarge
        if self.peer.h11.they_are_waiting_for_100_continue:
            proceed = h11.InformationalResponse(status_code=100, headers=[])
            await self.peer.send(proceed, timeout_s=self._limits.slow_s)
        while self.peer.h11.their_state is h11.SEND_BODY:
            event = await self.peer.receive(self._limits.slow_s)
            if not isinstance(event, h11.Data):
                return
            self._body_bytes += len(event.data)
            if self._body_bytes > self._limits.body_bytes:
                raise BodyTooLarge
            yield bytes(event.data)

    async def start(self, status: int, headers: Headers) -> None:
        """Sends the head of the answer."""
        self.started = True
        close = [(b"connection", b"close")] if self._closing() else []
        response = h11.Response(status_code=status, headers=[*headers, *close])
        await self.peer.send(response, timeout_s=self._limits.slow_s)

    async def write(self, data: bytes) -> None:
        """Sends a part of the answer's body."""
        await self.peer.send(h11.Data(data=data), timeout_s=self._limits.slow_s)

    async def end(self) -> None:
        """Ends the answer."""
        await self.peer.send(h11.EndOfMessage(), timeout_s=self._limits.slow_s)

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Sends a whole answer in one write, after what is left of the request's body was read and thrown away."""
        close = self._closing() or not await self._discard()
        self.started = True
        head = [*headers, (b"content-length", b"%d" % len(body)), *([(b"connection", b"close")] if close else [])]
        events: list[h11.Event] = [h11.Response(status_code=status, headers=head)]
        if body and self.request.method != b"HEAD":
            events.append(h11.Data(data=body))
        await self.peer.send(*events, h11.EndOfMessage(), timeout_s=self._limits.slow_s)

    async def fail(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        """Answers {"error": message}."""
        body = json.dumps({"error": message}).encode()
        await self.respond(status, [(b"content-type", b"application/json"), *headers], body)

    async def _discard(self) -> bool:
        """Reads what the client still sends, so that it gets to see the answer; False if there is too much of it."""
        if self.peer.h11.they_are_waiting_for_100_continue:
            return False
        thrown = 0
        try:
            while self.peer.h11.their_state is h11.SEND_BODY:
                event = await self.peer.receive(1.0)
                thrown += len(event.data) if isinstance(event, h11.Data) else 0
                if thrown > _MOST_DISCARDED:
                    return False
        except TimeoutError:
            return False
        return True


Handler = Callable[[Exchange], Awaitable[None]]


class Server:
    """Listens and hands each request to a handler; connections are kept alive.

    Args:
        handler: Answers one exchange. What it leaves unanswered closes the connection.
        limits: See `Limits`.
    """

    def __init__(self, handler: Handler, limits: Limits | None = None) -> None:
        self._handler = handler
        self.limits = limits or Limits()
        self._server: asyncio.Server | None = None
        self._busy: dict[asyncio.StreamWriter, bool] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.closing = False

    async def listen_unix(self, path: str) -> None:
        """Listens on a Unix socket; who may open it is up to the umask."""
        self._server = await asyncio.start_unix_server(self._connected, path)

    async def listen_tcp(self, host: str, port: int) -> int:
        """Listens on TCP; port 0 chooses a free one. Returns the port."""
        self._server = await asyncio.start_server(self._connected, host, port, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, *, drain_s: float) -> bool:
        """Accepts nothing new, waits for the exchanges under way, and closes. Returns whether all ended in time."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        self._close_idle()
        try:
            async with asyncio.timeout(drain_s):
                await self._quiet.wait()
            return True
        except TimeoutError:
            return False
        finally:
            for writer in list(self._busy):
                writer.close()

    def _close_idle(self) -> None:
        for writer, busy in list(self._busy.items()):
            if not busy:
                writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, h11.SERVER, header_bytes=self.limits.header_bytes)
        full = len(self._busy) >= self.limits.connections
        wait_s = self.limits.slow_s
        self._busy[writer] = False
        self._quiet.clear()
        try:
            if full:
                await _refuse(peer, 503, f"{self.limits.connections} connections are open. Try again later")
                return
            while await self._exchange(peer):
                peer.h11.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await _refuse(peer, error.error_status_hint, str(error))
        except OSError:
            wait_s = 0.0  # the client is gone or too slow: there is nobody to tell
        finally:
            try:
                await _hang_up(writer, wait_s)
            finally:
                del self._busy[writer]
                if not self._busy:
                    self._quiet.set()

    async def _exchange(self, peer: Peer) -> bool:
        """Reads and answers one request; whether another may follow."""
        self._busy[peer.writer] = False
        if self.closing:
            return False
        if peer.h11.trailing_data[0] == b"" and not await self._wait_for_request(peer):
            return False
        self._busy[peer.writer] = True
        async with asyncio.timeout(self.limits.slow_s):  # of all of the head, however many pieces it comes in
            request = await peer.receive(self.limits.slow_s)
        if not isinstance(request, h11.Request):
            return False
        exchange = Exchange(peer, request, self.limits, lambda: self.closing)
        if sum(len(key) + len(value) for key, value in request.headers) > self.limits.header_bytes:
            await exchange.fail(431, f"the headers are over {self.limits.header_bytes:,} bytes")
            return False
        try:
            await self._handler(exchange)
        except BodyTooLarge:
            if exchange.started:
                return False
            await exchange.fail(413, f"the body is over {self.limits.body_bytes:,} bytes. Send fewer rows at once")
        except (OSError, h11.RemoteProtocolError):
            raise  # the client's doing
        except Exception:
            _log.exception("%s %s failed", exchange.method, exchange.path)
            if exchange.started:
                return False
            await exchange.fail(500, "a bug of ours: the log of this process has more")
        return peer.reusable and not self.closing

    async def _wait_for_request(self, peer: Peer) -> bool:
        """Waits for the first byte of a request; False when the client has closed instead."""
        async with asyncio.timeout(self.limits.idle_s):
            data = await peer.reader.read(READ_BYTES)
        if data:
            peer.h11.receive_data(data)
        return bool(data)


async def _hang_up(writer: asyncio.StreamWriter, wait_s: float) -> None:
    """Closes a connection. What the client has not read in time is thrown away: it would hold memory for ever."""
    writer.close()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(wait_s):
            await writer.wait_closed()
    writer.transport.abort()


async def _refuse(peer: Peer, status: int, message: str) -> None:
    """Answers what is no request, if the connection still allows an answer."""
    if peer.h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    body = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    response = h11.Response(status_code=status, headers=[*headers, (b"connection", b"close")])
    with contextlib.suppress(OSError):
        await peer.send(response, h11.Data(data=body), h11.EndOfMessage(), timeout_s=1.0)
