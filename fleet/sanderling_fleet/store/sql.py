"""A store in SQLite, through SQLAlchemy: one file, WAL, flushed at every commit."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Table, create_engine, event, select, tuple_
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sanderling_fleet import hooks
from sanderling_fleet.store.records import Document, Record
from sanderling_fleet.store.tables import TABLES

R = TypeVar("R", bound=Record)
_BUSY_TIMEOUT_MS = 10_000


def migrate(path: Path) -> None:
    """Brings the database at `path` to this release's tables, making it if there is none."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.begin() as connection:
            command.upgrade(alembic_config(connection), "head")
    finally:
        engine.dispose()


def alembic_config(connection: Connection) -> Config:
    """What Alembic needs to know: our migrations, and the connection to run them on."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


class SqlStore:
    """The tables of `tables.py` in one SQLite file."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # SQLite has one writer. Waiting in line here is fair; its busy handler polls and may starve one.
        self._line = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> SqlStore:
        """Opens the file at `path`, migrated; makes it if there is none."""
        await asyncio.to_thread(migrate, path)
        path.chmod(0o600)
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        event.listen(engine.sync_engine, "connect", _connected)
        event.listen(engine.sync_engine, "begin", _begin)
        return cls(engine)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        """See `Store.transaction`."""
        async with self._line:
            async with self._engine.begin() as connection:
                yield SqlTransaction(connection)
                hooks.reached(number := hooks.next_commit(), "before")
            hooks.reached(number, "after")

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()


def _connected(connection: Any, _record: Any) -> None:
    # The driver would begin transactions late and commit them before some statements: `_begin` does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


class SqlTransaction:
    """See `Transaction`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, kind: type[R], *key: Any) -> R | None:
        """See `Transaction.get`."""
        table = TABLES[kind]
        row = (await self._connection.execute(select(table).where(*_is(table, kind, key)))).one_or_none()
        return None if row is None else kind(*row)

    async def find(
        self,
        kind: type[R],
        where: Mapping[str, Any] | None = None,
        *,
        after: Sequence[Any] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[R]:
        """See `Transaction.find`."""
        table = TABLES[kind]
        keys = [table.c[name] for name in kind.KEY]
        query = select(table).where(*(table.c[name] == value for name, value in (where or {}).items()))
        query = query.order_by(*(column.desc() if newest_first else column for column in keys)).limit(limit)
        if after is not None:
            bound, key = tuple_(*after), tuple_(*keys)
            query = query.where(key < bound if newest_first else key > bound)
        return [kind(*row) for row in await self._connection.execute(query)]

    async def add(self, record: Record) -> bool:
        """See `Transaction.add`."""
        statement = insert(TABLES[type(record)]).values(_values(record)).on_conflict_do_nothing()
        return (await self._connection.execute(statement)).rowcount == 1

    async def put(self, record: Record) -> None:
        """See `Transaction.put`."""
        values = _values(record)
        statement = insert(TABLES[type(record)]).values(values)
        statement = statement.on_conflict_do_update(index_elements=record.KEY, set_=values)
        await self._connection.execute(statement)

    async def delete(self, kind: type[Record], *key: Any) -> None:
        """See `Transaction.delete`."""
        table = TABLES[kind]
        await self._connection.execute(table.delete().where(*_is(table, kind, key)))

    async def swap(self, document: Document) -> bool:
        """See `Transaction.swap`."""
        if document.version == 1:
            return await self.add(document)
        table = TABLES[Document]
        statement = (
            table.update()
            .where(*_is(table, Document, document.key()), table.c.version == document.version - 1)
            .values(_values(document))
        )
        return (await self._connection.execute(statement)).rowcount == 1


def _is(table: Table, kind: type[Record], key: Sequence[Any]) -> list[Any]:
    return [table.c[name] == value for name, value in zip(kind.KEY, key, strict=True)]


def _values(record: Record) -> dict[str, Any]:
    assert dataclasses.is_dataclass(record)
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
