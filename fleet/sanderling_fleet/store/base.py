"""The seam between rules and storage: two classes, one keyed by the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from sanderling_fleet.store.records import Document, Record

R = TypeVar("R", bound=Record)
Key = tuple[Any, ...]


class Transaction(Protocol):
    """Reads and writes that all happen or none; transactions run one after the other."""

    async def get(self, kind: type[R], *key: Any) -> R | None:
        """The record of this key, or None."""
        ...

    async def get_all(self, kind: type[R], keys: Iterable[Key]) -> dict[Key, R]:
        """Those records that there are of these keys, by key, in their order."""
        ...

    async def count(self, kind: type[Record]) -> int:
        """How many records of a kind there are."""
        ...

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
        """Records in the order of their keys.

        Args:
            kind: Of which table.
            where: Fields and the values that they must equal.
            after: Only keys greater than this one (smaller with `newest_first`).
            limit: At most so many.
            newest_first: From the greatest key down.
            at_least: Fields and the least values that they may have.
            below: Fields and values that they must be less than.
        """
        ...

    async def add(self, record: Record) -> bool:
        """Stores a new record; False, and no change, if its key is taken."""
        ...

    async def put(self, record: Record) -> None:
        """Stores a record in place of the one that has its key, if any."""
        ...

    async def put_all(self, records: Iterable[Record]) -> None:
        """As `put`, one after the other, at a fraction of the cost."""
        ...

    async def delete(self, kind: type[Record], *key: Any) -> None:
        """Takes a record away; nothing happens if there is none."""
        ...

    async def delete_all(self, kind: type[Record], keys: Iterable[Key]) -> None:
        """As `delete`, one after the other, at a fraction of the cost."""
        ...

    async def swap(self, document: Document) -> bool:
        """Stores a document if the stored one is the version before it (none for version 1); False if it is not."""
        ...


class Store(Protocol):
    """Where the fleet's records are."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commits when the block ends, undoes everything when it raises. Not to be nested."""
        ...

    async def close(self) -> None:
        """Lets go of files and connections."""
        ...
