"""A store in SQLite, through SQLAlchemy: one file, WAL, flushed at every commit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import (
    Connection,
    Engine,
    Select,
    Table,
    and_,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sanderling.errors import InputError, IntegrityError, UnsupportedError
from sanderling_fleet import hooks
from sanderling_fleet.store.base import Key
from sanderling_fleet.store.records import Document, Record
from sanderling_fleet.store.tables import TABLES

R = TypeVar("R", bound=Record)
_BUSY_TIMEOUT_MS = 10_000


def migrate(path: Path) -> None:
    """Brings the database at `path` to this release's tables, making it if there is none: all in one transaction.

    Raises:
        IntegrityError: The file is damaged, or no database.
        UnsupportedError: A newer release wrote it.
    """
    engine = create_engine(f"sqlite:///{path}")
    _configure(engine)
    try:
        with engine.begin() as connection:
            command.upgrade(alembic_config(connection), "head")
    except CommandError as error:
        raise UnsupportedError(
            f"[store] {path} was written by a newer release: {error}. Run that one, or restore a backup"
        ) from error
    except DatabaseError as error:
        raise IntegrityError(f"[store] {path} cannot be read: {error.orig}. Restore it from a backup") from error
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
        """Opens the file at `path`, migrated; makes it if there is none.

        Raises:
            IntegrityError: The file is damaged, or no database.
            UnsupportedError: A newer release wrote it.
        """
        await asyncio.to_thread(migrate, path)
        path.chmod(0o600)
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        _configure(engine.sync_engine)
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


def _configure(engine: Engine) -> None:
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begin)


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

    async def get_all(self, kind: type[R], keys: Iterable[Key]) -> dict[Key, R]:
        """See `Transaction.get_all`."""
        wanted = list(dict.fromkeys(keys))
        if any(isinstance(part, str) and "\0" in part for key in wanted for part in key):
            raise InputError(f"[store] a key of {kind.__name__} has a NUL, which no name may have")
        rows = await self._connection.execute(_select_all(TABLES[kind]), {"keys": json.dumps(wanted)}) if wanted else ()
        found = {record.key(): record for record in (kind(*row) for row in rows)}
        return {key: found[key] for key in wanted if key in found}

    async def count(self, kind: type[Record]) -> int:
        """See `Transaction.count`."""
        query = select(func.count()).select_from(TABLES[kind])
        return int((await self._connection.execute(query)).scalar_one())

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
        table = TABLES[kind]
        keys = [table.c[name] for name in kind.KEY]
        query = select(table).where(*(table.c[name] == value for name, value in (where or {}).items()))
        query = query.where(*(table.c[name] >= value for name, value in (at_least or {}).items()))
        query = query.where(*(table.c[name] < value for name, value in (below or {}).items()))
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
        await self.put_all([record])

    async def put_all(self, records: Iterable[Record]) -> None:
        """See `Transaction.put_all`."""
        by_kind: dict[type[Record], list[dict[str, Any]]] = {}
        for record in records:
            by_kind.setdefault(type(record), []).append(_values(record))
        for kind, rows in by_kind.items():
            await self._connection.execute(_upsert(TABLES[kind]), rows)

    async def delete(self, kind: type[Record], *key: Any) -> None:
        """See `Transaction.delete`."""
        await self.delete_all(kind, [key])

    async def delete_all(self, kind: type[Record], keys: Iterable[Key]) -> None:
        """See `Transaction.delete_all`."""
        if rows := [dict(zip(kind.KEY, key, strict=True)) for key in keys]:
            table = TABLES[kind]
            statement = delete(table).where(*(table.c[name] == bindparam(name) for name in kind.KEY))
            await self._connection.execute(statement, rows)

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


@cache
def _select_all(table: Table) -> Select[Any]:
    # SQLite looks up row values in a list by reading the whole table; a join with the list uses the key's index.
    keys = func.json_each(bindparam("keys")).table_valued("value")
    same = (column == func.json_extract(keys.c.value, f"$[{index}]") for index, column in enumerate(table.primary_key))
    return select(table).select_from(keys).join(table, and_(*same))


@cache
def _upsert(table: Table) -> Insert:
    statement = insert(table)
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=dict(statement.excluded))


def _values(record: Record) -> dict[str, Any]:
    return vars(record)  # dataclasses without slots: their fields, and nothing else
