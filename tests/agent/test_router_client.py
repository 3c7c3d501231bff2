"""The agent's side of the router, over a real one."""

from __future__ import annotations

from pathlib import Path

from sanderling.agent.router_client import RouterClient
from sanderling.agent.store import SqliteStore


def test_routes_that_are_written_while_a_router_starts_do_not_end_it(tmp_path: Path):
    """SIGHUP ends a process that has not yet said what it does with it."""
    store = SqliteStore(tmp_path / "state.db")
    client = RouterClient(tmp_path / "router", store, tmp_path, "127.0.0.1", 0)
    try:
        for number in range(5):
            assert client.ensure()
            process = client.process
            assert process is not None
            client.route("main", ("/nowhere", f"linear-{number}"))
            assert process.is_alive()
            assert client.routed("main") == f"linear-{number}"
            process.kill()
            assert process.wait_gone(5.0)
    finally:
        client.end()
        store.close()
