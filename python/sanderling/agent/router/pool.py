"""Connections to runners that are kept open between requests."""

from __future__ import annotations

import asyncio

import h11

from sanderling.agent.router.http1 import Peer

_MOST_IDLE = 32
_HEADER_BYTES = 64 << 10
_CONNECT_S = 1.0


class Pool:
    """Keep-alive connections by the path of a runner's socket."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Peer]] = {}

    async def take(self, socket: str) -> Peer:
        """An open connection to a runner, used before or new.

        Raises:
            OSError: Nobody listens there.
            TimeoutError: It did not accept in time.
        """
        idle = self._idle.get(socket, [])
        while idle:
            peer = idle.pop()
            if not peer.reader.at_eof() and not peer.writer.is_closing():
                return peer
            peer.close()
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_unix_connection(socket)
        return Peer(reader, writer, h11.CLIENT, header_bytes=_HEADER_BYTES)

    def give_back(self, socket: str, peer: Peer) -> None:
        """Keeps a connection whose answer has been read whole; closes one that cannot be used again."""
        idle = self._idle.setdefault(socket, [])
        if not peer.reusable or len(idle) >= _MOST_IDLE:
            peer.close()
            return
        peer.h11.start_next_cycle()
        idle.append(peer)

    def keep_only(self, sockets: set[str]) -> None:
        """Closes the idle connections to runners that no route names any more."""
        for socket in set(self._idle) - sockets:
            for peer in self._idle.pop(socket):
                peer.close()
