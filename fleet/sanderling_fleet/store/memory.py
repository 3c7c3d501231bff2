"""A store in memory. Its coroutines never suspend, so that what runs on it under virtual time runs in one order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sanderling.errors import InternalError
from sanderling_fleet.store.base import Key
from sanderling_fleet.store.records import Document, Record

R = TypeVar("R", bound=Record)
Tables = dict[type[Record], dict[Any, dict[Key, Record]]]
"""By kind, then by the first field of the key, by which most questions are asked, then by the whole key."""


class MemoryStore:
    """Everything in dictionaries."""

    def __init__(self) -> None:
        self._tables: Tables = {}
        self._open = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        """See `Store.transaction`."""
        if self._open:
            raise InternalError("[store] a transaction is open already: pass it on instead of opening another")
        self._open = True
        transaction = MemoryTransaction(self._tables)
        try:
            yield transaction
        except BaseException:
            transaction.undo()
            raise
        finally:
            self._open = False

    async def close(self) -> None:
        """Nothing to let go of."""


class MemoryTransaction:
    """See `Transaction`. It remembers what it overwrote."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._former: list[tuple[type[Record], Key, Record | None]] = []

    async def get(self, kind: type[R], *key: Any) -> R | None:
        """See `Transaction.get`."""
        found = self._part(kind, key[0]).get(key)
        assert found is None or isinstance(found, kind)
        return found

    async def get_all(self, kind: type[R], keys: Iterable[Key]) -> dict[Key, R]:
        """See `Transaction.get_all`."""
        found = {key: await self.get(kind, *key) for key in keys}
        return {key: record for key, record in found.items() if record is not None}

    async def count(self, kind: type[Record]) -> int:
        """See `Transaction.count`."""
        return sum(len(part) for part in self._tables.get(kind, {}).values())

    async def find(
        self,
        kind: type[R],
        where: Mapping[str, Any] | None = None,
        *,
        after: Sequence[Any] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        at_least: Mapping[str, Any] | None = None,
        below: Mapping[str, Any] | None = None,
    ) -> list[R]:
        """See `Transaction.find`."""
        wanted, first = dict(where or {}), kind.KEY[0]
        parts = [self._part(kind, wanted.pop(first))] if first in wanted else self._tables.get(kind, {}).values()
        rows = [
            (key, record)
            for part in parts
            for key, record in part.items()
            if isinstance(record, kind) and all(getattr(record, name) == value for name, value in wanted.items())
        ]
        for name, value in (at_least or {}).items():
            rows = [row for row in rows if getattr(row[1], name) >= value]
        for name, value in (below or {}).items():
            rows = [row for row in rows if getattr(row[1], name) < value]
        rows.sort(key=lambda row: row[0], reverse=newest_first)
        if after is not None:
            bound = tuple(after)
            rows = [row for row in rows if (row[0] < bound if newest_first else row[0] > bound)]
        return [record for _, record in rows[:limit]]

    async def add(self, record: Record) -> bool:
        """See `Transaction.add`."""
        key = record.key()
        if key in self._part(type(record), key[0]):
            return False
        await self.put(record)
        return True

    async def put(self, record: Record) -> None:
        """See `Transaction.put`."""
        key = record.key()
        part = self._tables.setdefault(type(record), {}).setdefault(key[0], {})
        self._former.append((type(record), key, part.get(key)))
        part[key] = record

    async def put_all(self, records: Iterable[Record]) -> None:
        """See `Transaction.put_all`."""
        for record in records:
            await self.put(record)

    async def delete(self, kind: type[Record], *key: Any) -> None:
        """See `Transaction.delete`."""
        former = self._part(kind, key[0]).pop(key, None)
        self._former.append((kind, key, former))

    async def delete_all(self, kind: type[Record], keys: Iterable[Key]) -> None:
        """See `Transaction.delete_all`."""
        for key in keys:
            await self.delete(kind, *key)

    async def swap(self, document: Document) -> bool:
        """See `Transaction.swap`."""
        stored = await self.get(Document, *document.key())
        found = stored.version if stored else 0
        if found != document.version - 1:
            return False
        await self.put(document)
        return True

    def undo(self) -> None:
        """Puts everything back as it was."""
        for kind, key, record in reversed(self._former):
            if record is None:
                self._part(kind, key[0]).pop(key, None)
            else:
                self._part(kind, key[0])[key] = record

    def _part(self, kind: type[Record], first: Any) -> dict[Key, Record]:
        return self._tables.get(kind, {}).get(first, {})
