"""Clients that ask and do not read."""

from __future__ import annotations

import asyncio
import os
import socket

from sanderling.agent.router.http1 import Exchange, Limits, Server

BODY = bytes(64 << 20)


def test_a_client_that_does_not_read_its_answer_is_let_go_of_with_all_that_it_holds():
    async def answer(exchange: Exchange) -> None:
        await exchange.respond(200, [], BODY)

    async def life() -> tuple[int, int, int]:
        server = Server(answer, Limits(slow_s=0.2))
        port = await server.listen_tcp("127.0.0.1", 0)
        clients = []
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            clients.append(client)
        await asyncio.sleep(0.1)
        opened = len(os.listdir("/proc/self/fd")) - before
        for _ in range(100):
            left = len(os.listdir("/proc/self/fd")) - before
            if left == len(clients):
                break
            await asyncio.sleep(0.1)
        for client in clients:
            client.close()
        await server.close(drain_s=1)
        return len(clients), opened, left

    clients, opened, left = asyncio.run(life())
    assert opened == 2 * clients, "both ends are of this process"
    assert left == clients, "the server's ends are closed"
