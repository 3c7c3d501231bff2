"""The table of routes: which runner answers for a slot. Written by the agent, read by the router."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sanderling.errors import InputError

ROUTES, ACK, ADDRESS = "routes.json", "routes.ack", "router.json"


@dataclass(frozen=True)
class Route:
    """Where a slot's requests go.

    Attributes:
        socket: Path of the runner's inference socket.
        version: "NAME-VERSION" that answers there.
    """

    socket: str
    version: str


@dataclass(frozen=True)
class Routes:
    """All routes, and the number by which the agent knows that they are in force."""

    generation: int = 0
    slots: Mapping[str, Route] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """As JSON."""
        slots = {name: {"socket": route.socket, "version": route.version} for name, route in self.slots.items()}
        return json.dumps({"generation": self.generation, "slots": slots}, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Routes:
        """Reads what `to_bytes` wrote.

        Raises:
            InputError: It is not that.
        """
        try:
            document = json.loads(data)
            slots = {
                str(name): Route(str(entry["socket"]), str(entry["version"]))
                for name, entry in document["slots"].items()
            }
            return cls(int(document["generation"]), slots)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"[routes] not a table of routes: {error!r}. The agent writes it anew") from error


def write_routes(folder: Path, routes: Routes) -> None:
    """Puts a table in force at the router's next look; whole or not at all."""
    replace_file(folder / ROUTES, routes.to_bytes())


def acknowledged(folder: Path) -> int:
    """The generation by which the router sends new requests; 0 before the first."""
    try:
        return int((folder / ACK).read_bytes())
    except (OSError, ValueError):
        return 0


def replace_file(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old content or the new, never a part."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(data)
    partial.replace(path)


class RoutesFile:
    """The router's look at the file: reads it when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> Routes | None:
        """The table if the file has changed since the last call; None if not, or if there is none.

        Raises:
            InputError: The file is not a table.
        """
        path = self._folder / ROUTES
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp == self._seen:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        self._seen = stamp
        return Routes.from_bytes(data)

    def acknowledge(self, routes: Routes) -> None:
        """Tells the agent that new requests go by `routes`."""
        replace_file(self._folder / ACK, b"%d\n" % routes.generation)
