"""Telemetry that waits: rows in the agent's database until the fleet says that it has stored them.

Rows are named by (boot id, sequence). The boot id is that of the boot in which the row was made; sequences count from
1 in each boot, over restarts of the agent, so that no name is used twice. Bytes and age are capped; what is dropped is
the oldest, and it is counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from sanderling.agent.actions import Emit
from sanderling.agent.telemetry import envelope, topic_end

MOST_ROW_BYTES = 2 << 20
"""Of one row's message; a larger one fits into no check-in, whose limit is gRPC's of 4 MiB, and would stop them all."""

SCHEMA = """
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    boot_id TEXT NOT NULL, sequence INTEGER NOT NULL,
    topic TEXT NOT NULL, payload BLOB NOT NULL, created REAL NOT NULL,
    UNIQUE (boot_id, sequence)
) STRICT;
CREATE TABLE outbox_boot (boot_id TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT;
CREATE TABLE outbox_totals (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL, dropped INTEGER NOT NULL)
    STRICT;
INSERT INTO outbox_totals VALUES (1, 0, 0);
"""


@dataclass(frozen=True)
class Caps:
    """How much may wait: `bytes` of payload, for `age_s` seconds."""

    bytes: int = 64 << 20
    age_s: float = 30 * 86_400.0


@dataclass(frozen=True)
class Row:
    """One message: its number in the outbox, name, last word of the topic, and a serialized Envelope."""

    number: int
    boot_id: str
    sequence: int
    topic: str
    payload: bytes


class Outbox:
    """The table; callers hold the connection's lock and transaction."""

    def __init__(self, connection: sqlite3.Connection, caps: Caps) -> None:
        self._sql = connection
        self._caps = caps

    def append(self, rows: Sequence[Emit], boot_id: str, now: float) -> None:
        """Adds rows, then drops what the caps do not allow. A row over `MOST_ROW_BYTES` is dropped at once."""
        if not rows:
            return
        found = self._sql.execute("SELECT last FROM outbox_boot WHERE boot_id = ?", (boot_id,)).fetchone()
        last, added, refused = (int(found[0]) if found else 0), 0, 0
        for row in rows:
            message = envelope(row, boot_id, last + 1, now)
            payload = message.SerializeToString()
            if len(payload) > MOST_ROW_BYTES:
                refused += 1
                continue
            last += 1
            added += len(payload)
            self._sql.execute(
                "INSERT INTO outbox (boot_id, sequence, topic, payload, created) VALUES (?, ?, ?, ?, ?)",
                (boot_id, last, topic_end(message), payload, now),
            )
        self._sql.execute("INSERT OR REPLACE INTO outbox_boot VALUES (?, ?)", (boot_id, last))
        self._sql.execute("UPDATE outbox_totals SET bytes = bytes + ?, dropped = dropped + ?", (added, refused))
        self._drop(now)

    def pending(self, after: int, most_rows: int, most_bytes: int = 1 << 62) -> list[Row]:
        """The oldest rows after a number, in order; at least one if there is one."""
        rows: list[Row] = []
        size = 0
        cursor = self._sql.execute(
            "SELECT number, boot_id, sequence, topic, payload FROM outbox WHERE number > ? ORDER BY number LIMIT ?",
            (after, most_rows),
        )
        for number, boot_id, sequence, topic, payload in cursor:
            size += len(payload)
            if rows and size > most_bytes:
                break
            rows.append(Row(number, boot_id, sequence, topic, payload))
        return rows

    def forget(self, boot_id: str, sequence: int) -> None:
        """Deletes what the fleet has stored. Repeats safely."""
        self._delete("boot_id = ? AND sequence <= ?", (boot_id, sequence))

    def dropped(self) -> int:
        """Rows dropped since the last `confirm_dropped`."""
        return int(self._sql.execute("SELECT dropped FROM outbox_totals").fetchone()[0])

    def waiting(self) -> tuple[int, int, int]:
        """Rows, their bytes, and `dropped`."""
        rows = int(self._sql.execute("SELECT count(*) FROM outbox").fetchone()[0])
        size, dropped = self._sql.execute("SELECT bytes, dropped FROM outbox_totals").fetchone()
        return rows, int(size), int(dropped)

    def confirm_dropped(self, count: int) -> None:
        """The fleet knows of `count` dropped rows."""
        self._sql.execute("UPDATE outbox_totals SET dropped = max(dropped - ?, 0)", (count,))

    def _drop(self, now: float) -> None:
        gone = self._delete("created < ?", (now - self._caps.age_s,))
        waiting = int(self._sql.execute("SELECT bytes FROM outbox_totals").fetchone()[0])
        if waiting > self._caps.bytes:
            # A tenth more than needed, so that a full outbox is not swept at each row.
            excess, limit = waiting - self._caps.bytes + self._caps.bytes // 10, 0
            for number, size in self._sql.execute("SELECT number, length(payload) FROM outbox ORDER BY number"):
                excess, limit = excess - size, number
                if excess <= 0:
                    break
            gone += self._delete("number <= ?", (limit,))
        if gone:
            self._sql.execute("UPDATE outbox_totals SET dropped = dropped + ?", (gone,))

    def _delete(self, where: str, values: tuple[object, ...]) -> int:
        size = self._sql.execute(f"SELECT coalesce(sum(length(payload)), 0) FROM outbox WHERE {where}", values)
        freed = int(size.fetchone()[0])
        count = self._sql.execute(f"DELETE FROM outbox WHERE {where}", values).rowcount
        if count:
            self._sql.execute("UPDATE outbox_totals SET bytes = bytes - ?", (freed,))
        return count
