"""The agent's database: one SQLite file, in WAL mode, each commit on the disk before it returns."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from sanderling.agent import outbox as outbox_table
from sanderling.agent.actions import Emit
from sanderling.agent.blobs import NoSpaceError
from sanderling.agent.codec import from_plain, to_plain
from sanderling.agent.outbox import Caps, Outbox, Row
from sanderling.agent.state import AgentState, Slot
from sanderling.errors import IntegrityError

SCHEMA_VERSION = 1
# A full disk says the one of its file, the other of the index of its log.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_MIGRATIONS = {
    0: "CREATE TABLE document (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;"
    "CREATE TABLE process (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;" + outbox_table.SCHEMA
}


class SqliteStore:
    """State, records of processes and the outbox; usable from several threads.

    Args:
        path: Of the file; created with mode 0600.
        caps: Of the outbox.

    Raises:
        IntegrityError: The file is no database, is damaged, or was written by a newer agent.
        NoSpaceError: The disk is full, and what it takes to open the file has no room.
    """

    def __init__(self, path: Path, caps: Caps | None = None) -> None:
        self._lock = threading.Lock()
        path.touch(mode=0o600)
        try:
            self._sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
            self._sql.execute("PRAGMA journal_mode = WAL")
            self._sql.execute("PRAGMA synchronous = FULL")
            self._migrate()
        except sqlite3.DatabaseError as error:
            if _is_full(error):  # not a reason to reset
                raise NoSpaceError(f"[state] {path} cannot be opened, the disk is full: {error}. Free space") from error
            raise IntegrityError(
                f"[state] {path} cannot be read: {error}. If it is damaged, run: sanderling agent reset"
            ) from error
        self._outbox = Outbox(self._sql, caps or Caps())
        self._saved: dict[str, str] = {}

    def _migrate(self) -> None:
        version = int(self._sql.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise IntegrityError(
                f"[state] the database has schema {version}, this agent knows {SCHEMA_VERSION}. Install the newer agent"
            )
        for former in range(version, SCHEMA_VERSION):
            self._sql.executescript(f"BEGIN; {_MIGRATIONS[former]} PRAGMA user_version = {former + 1}; COMMIT;")

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._sql.close()

    # ports.Store

    def load(self) -> AgentState | None:
        """The state saved last.

        Raises:
            IntegrityError: It cannot be read.
        """
        try:
            with self._lock:
                found = dict(self._sql.execute("SELECT name, body FROM document"))
            if "agent" not in found:
                return None
            slots = {n.removeprefix("slot/"): json.loads(b) for n, b in found.items() if n.startswith("slot/")}
            plain = {**json.loads(found["agent"]), "slots": slots}
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise IntegrityError(
                f"[state] the database is damaged: {error}. If it stays so, run: sanderling agent reset"
            ) from error
        return from_plain(AgentState, plain)

    def save(self, state: AgentState, rows: Sequence[Emit], now: float) -> None:
        """Stores what changed, and outbox rows, in one transaction.

        Raises:
            NoSpaceError: The disk is full; nothing was stored.
        """
        documents = {f"slot/{name}": _text(slot) for name, slot in state.slots.items()}
        plain = to_plain(state)
        plain["slots"] = {}
        documents["agent"] = json.dumps(plain)
        changed = [(name, body) for name, body in documents.items() if self._saved.get(name) != body]
        with self._transaction():
            self._sql.executemany("INSERT OR REPLACE INTO document VALUES (?, ?)", changed)
            self._outbox.append(rows, state.boot_id, now)
        self._saved = documents

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._lock, self._sql:
                self._sql.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.OperationalError as error:
            if _is_full(error):
                raise NoSpaceError(f"[state] {error}. Free space; until then this device takes no update") from error
            raise

    # Outbox

    def pending(self, after: int, most_rows: int, most_bytes: int = 1 << 62) -> list[Row]:
        """The oldest rows of the outbox after a number."""
        with self._lock:
            return self._outbox.pending(after, most_rows, most_bytes)

    def forget(self, boot_id: str, sequence: int) -> None:
        """Deletes rows that the fleet has stored. On a full disk they stay: the fleet tells it again."""
        with contextlib.suppress(NoSpaceError), self._transaction():
            self._outbox.forget(boot_id, sequence)

    def dropped(self) -> int:
        """Rows dropped that the fleet does not know of."""
        with self._lock:
            return self._outbox.dropped()

    def confirm_dropped(self, count: int) -> None:
        """The fleet knows of `count` of them. On a full disk they are told again."""
        with contextlib.suppress(NoSpaceError), self._transaction():
            self._outbox.confirm_dropped(count)

    def waiting(self) -> tuple[int, int, int]:
        """Rows of the outbox, their bytes, and rows dropped that the fleet does not know of."""
        with self._lock:
            return self._outbox.waiting()

    # Processes

    def processes(self) -> dict[str, str]:
        """Records of processes by name, as `record_process` got them."""
        with self._lock:
            return dict(self._sql.execute("SELECT name, body FROM process"))

    def record_process(self, name: str, body: str | None) -> None:
        """Stores or, with None, deletes a record. On a full disk it stays: it names a process that has ended.

        Raises:
            NoSpaceError: The disk is full; nothing was stored.
        """
        if body is None:
            with contextlib.suppress(NoSpaceError), self._transaction():
                self._sql.execute("DELETE FROM process WHERE name = ?", (name,))
            return
        with self._transaction():
            self._sql.execute("INSERT OR REPLACE INTO process VALUES (?, ?)", (name, body))


def _is_full(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", None) in _FULL


def _text(slot: Slot) -> str:
    return json.dumps(to_plain(slot))
