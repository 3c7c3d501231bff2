"""Random delays, by which a run shows that its verdicts hang on no moment: a slow network, slow people, slow machines.

The network's are real: devices and operators dial HOST, where a relay listens on the server's ports and hands bytes
on, each piece late. The embedded broker and the devices' own routers are reached without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Sequence
from functools import partial

HOST = "127.0.0.2"
"""Where the relay listens; the server itself is on 127.0.0.1."""
_NEAR = "127.0.0.1"
_MEAN_S, _MOST_S = 0.02, 0.5
_PIECE_BYTES = 1 << 16


class Delays:
    """Pauses of random length; none without a seed.

    Args:
        seed: The same seed gives the same lengths.
    """

    def __init__(self, seed: int | None) -> None:
        self._generator = None if seed is None else random.Random(seed)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._generator is not None

    def pause(self, most_s: float) -> None:
        """Waits up to `most_s` seconds."""
        if self._generator is not None:
            time.sleep(self._generator.uniform(0.0, most_s))


class SlowNetwork:
    """Relays TCP connections to HOST on to the same ports of 127.0.0.1, and every piece of bytes late.

    Args:
        ports: On which the server listens.
        seed: Of the delays.

    Raises:
        OSError: HOST or a port of it cannot be had.
    """

    def __init__(self, ports: Sequence[int], seed: int) -> None:
        self._generator = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        try:
            for port in ports:
                server = asyncio.start_server(partial(self._relay, port), HOST, port)
                self._servers.append(self._loop.run_until_complete(server))
        except OSError:
            self._loop.close()
            raise
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow network", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _relay(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection(_NEAR, port)
            try:
                await asyncio.gather(self._hand_on(reader, far_writer), self._hand_on(far_reader, writer))
            finally:
                far_writer.close()
        except (OSError, asyncio.CancelledError):
            pass  # either side has ended the connection, or the run is over
        finally:
            writer.close()
            self._connections.discard(task)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE_BYTES):
            await asyncio.sleep(min(self._generator.expovariate(1 / _MEAN_S), _MOST_S))
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
