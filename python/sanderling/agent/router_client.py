"""The agent's side of the router: the routes that it follows, and the process itself."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from sanderling.agent.blobs import write_durably
from sanderling.agent.processes import Process, find, start, wait_for
from sanderling.agent.store import SqliteStore
from sanderling.errors import DeadlineError

_NAME = "router"
_MODULE = "sanderling.agent.router"
ACKNOWLEDGE_S = 5.0


class RouterClient:
    """One router per device; it owns the public socket and outlives the agent.

    Args:
        folder: Of routes.json.
        store: Where its process is recorded.
        logs: Folder of its log.
        host: Address to listen on.
        port: 0 lets it choose one, which it keeps.
    """

    def __init__(self, folder: Path, store: SqliteStore, logs: Path, host: str, port: int) -> None:
        self._folder, self._store, self._logs, self._host, self._port = folder, store, logs, host, port
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def process(self) -> Process | None:
        """As recorded."""
        body = self._store.processes().get(_NAME)
        return Process.from_text(body) if body else None

    def ensure(self) -> bool:
        """Adopts the recorded router or starts one; True if one had to be started."""
        with self._lock:
            process = self.process
            if process is not None and process.is_alive():
                return False
            for orphan in find(_MODULE, "--state", self._folder):
                self._store.record_process(_NAME, orphan.to_text())
                return False
            if not (self._folder / "routes.json").exists():
                self._write({})
            command = [sys.executable, "-m", _MODULE, "--state", str(self._folder)]
            command += ["--host", self._host, "--port", str(self._port or self.address()[1])]
            process = start(command, self._logs / "router.log")
            self._store.record_process(_NAME, process.to_text())
            return True

    def address(self) -> tuple[str, int]:
        """Where it listens, or last did; port 0 if it never has."""
        try:
            plain = json.loads((self._folder / "router.json").read_text())
            return str(plain["host"]), int(plain["port"])
        except (OSError, ValueError, KeyError):
            return self._host, 0

    def _up(self) -> int:
        """Pid of the router that listens, or did last; 0 if none ever has."""
        try:
            return int(json.loads((self._folder / "router.json").read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return 0

    def route(self, slot: str, target: tuple[str, str] | None) -> None:
        """Has new requests of a slot go to (socket, version), or to nobody.

        Raises:
            DeadlineError: The router has not confirmed it in time.
        """
        with self._lock:
            document = self._read()
            slots = dict(document["slots"])
            wanted = {"socket": target[0], "version": target[1]} if target else None
            if slots.get(slot) == wanted and self._acknowledged() >= document["generation"]:
                return
            slots.pop(slot, None)
            if wanted is not None:
                slots[slot] = wanted
            generation = self._write(slots)
            process = self.process
            # One that has yet to start would be ended by it, and reads the routes anyway.
            if process is not None and process.pid == self._up():
                process.send(signal.SIGHUP)
        if not wait_for(lambda: self._acknowledged() >= generation, ACKNOWLEDGE_S):
            raise DeadlineError(
                f"[router] routes {generation} were not confirmed within {ACKNOWLEDGE_S:.0f} s, confirmed are "
                f"{self._acknowledged()}. See {self._logs / 'router.log'}"
            )

    def routed(self, slot: str) -> str:
        """The version that the routes name, empty for none."""
        return str(self._read()["slots"].get(slot, {}).get("version", ""))

    def end(self) -> None:
        """Lets it answer what is under way, then ends it."""
        process = self.process
        if process is not None and process.send(signal.SIGTERM) and not process.wait_gone(12.0):
            process.kill()
        self._store.record_process(_NAME, None)

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self._folder / "routes.json").read_text()))
        except (OSError, ValueError):
            return {"slots": {}, "generation": 0}

    def _write(self, slots: dict[str, dict[str, str]]) -> int:
        # Higher than what was ever acknowledged, also if routes.json was lost.
        generation = int(max(self._read()["generation"], self._acknowledged())) + 1
        write_durably(self._folder / "routes.json", json.dumps({"slots": slots, "generation": generation}).encode())
        return generation

    def _acknowledged(self) -> int:
        try:
            return int((self._folder / "routes.ack").read_text())
        except (OSError, ValueError):
            return 0
