"""The seam between rules and storage: two classes, one keyed by the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from sanderling_fleet.store.records import Document, Record

R = TypeVar("R", bound=Record)


class Transaction(Protocol):
    """Reads and writes that all happen or none; transactions run one after the other."""

    async def get(self, kind: type[R], *key: Any) -> R | None:
        """The record of this key, or None."""
        ...

    async def find(
        self,
        kind: type[R],
        where: Mapping[str, Any] | None = None,
        *,
        after: Sequence[Any] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[R]:
        """Records in the order of their keys.

        Args:
            kind: Of which table.
            where: Fields and the values that they must equal.
            after: Only keys greater than this one (smaller with `newest_first`).
            limit: At most so many.
            newest_first: From the greatest key down.
        """
        ...

    async def add(self, record: Record) -> bool:
        """Stores a new record; False, and no change, if its key is taken."""
        ...

    async def put(self, record: Record) -> None:
        """Stores a record in place of the one that has its key, if any."""
        ...

    async def delete(self, kind: type[Record], *key: Any) -> None:
        """Takes a record away; nothing happens if there is none."""
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
