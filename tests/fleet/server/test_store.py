"""One contract for every store, then what only SQLite has: a file, migrations, a restart."""

import asyncio
import dataclasses
import itertools
import signal
import subprocess
import sys

import pytest
from alembic import command
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError as ForeignKeyError

from sanderling.errors import IntegrityError, UnsupportedError
from sanderling_fleet.store import Certificate, Document, Group, MemoryStore, Metadata, Version, records
from sanderling_fleet.store.sql import SqlStore, alembic_config, migrate
from sanderling_fleet.store.tables import TABLES, metadata


@pytest.fixture(params=["memory", "sql"])
def in_store(request, tmp_path):
    """Runs a coroutine function with a fresh store."""

    def run(test):
        async def body():
            store = MemoryStore() if request.param == "memory" else await SqlStore.open(tmp_path / "fleet.db")
            try:
                await test(store)
            finally:
                await store.close()

        asyncio.run(body())

    return run


def document(number, version=1, state="running", body=None):
    return Document("rollout", f"r-{number}", version, state, "main", 1.0, 2.0, body or {"stages": [1, None, "é"]})


def test_put_get_and_replace(in_store):
    async def test(store):
        async with store.transaction() as tx:
            assert await tx.get(Group, "all") is None
            await tx.put(Group("all", ""))
            await tx.put(Group("all", "site=a"))
            assert await tx.get(Group, "all") == Group("all", "site=a")
        async with store.transaction() as tx:
            assert await tx.find(Group) == [Group("all", "site=a")]
            await tx.delete(Group, "all")
            await tx.delete(Group, "none")
            assert await tx.find(Group) == []

    in_store(test)


def test_many_at_once_are_as_one_by_one(in_store):
    async def test(store):
        many = [Metadata(role, number, b"x", 0.0) for role in ("root", "targets") for number in range(700)]
        groups = [Group("a", "1"), Group("b", "1"), Group("a", "2")]
        odd = [Group(name, "") for name in ("1", "1e3", "é\"'\\", "\U0001f600", "$[0]", "")]
        async with store.transaction() as tx:
            await tx.put_all([])
            await tx.put_all([*many, *groups])
            assert await tx.find(Metadata) == many
            assert [await tx.count(kind) for kind in (Metadata, Group, Certificate)] == [1400, 2, 0]
            assert await tx.find(Group) == [Group("a", "2"), Group("b", "1")], "the last one of a key stays"
            keys = [item.key() for item in many]
            found = await tx.get_all(Metadata, [*keys, ("root", 700), ("none", 1), *keys])
            assert found == dict(zip(keys, many, strict=True))
            assert await tx.get_all(Group, [("b",), ("c",)]) == {("b",): Group("b", "1")}
            assert await tx.get_all(Group, []) == {}
            await tx.put_all(odd)
            assert list((await tx.get_all(Group, [item.key() for item in odd])).values()) == odd
            await tx.delete_all(Group, [item.key() for item in odd])
            await tx.delete_all(Metadata, [("root", 700), *keys[:1399]])
            await tx.delete_all(Metadata, [])
            assert await tx.find(Metadata) == many[1399:]

        async def fail():
            async with store.transaction() as tx:
                await tx.put_all([Group("a", "3"), Group("c", "3")])
                await tx.delete_all(Group, [("b",)])
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            await fail()
        async with store.transaction() as tx:
            assert await tx.find(Group) == [Group("a", "2"), Group("b", "1")]

    in_store(test)


def test_find_from_a_value_on(in_store):
    async def test(store):
        async with store.transaction() as tx:
            await tx.put_all([Metadata(role, number, b"", 10.0 * number) for role in "ab" for number in range(5)])

            async def keys(**wanted):
                return [item.key() for item in await tx.find(Metadata, {"role": "a"}, **wanted)]

            assert await keys(at_least={"expires_at": 30.0}) == [("a", 3), ("a", 4)]
            assert await keys(at_least={"expires_at": 30.0}, below={"expires_at": 40.0}) == [("a", 3)]
            assert await keys(below={"version": 2}, newest_first=True, limit=1) == [("a", 1)]

    in_store(test)


def test_add_tells_whether_the_key_was_free(in_store):
    async def test(store):
        async with store.transaction() as tx:
            assert await tx.add(Group("a", "1"))
            assert not await tx.add(Group("a", "2"))
            assert await tx.get(Group, "a") == Group("a", "1")

    in_store(test)


def test_every_kind_of_value_comes_back_equal(in_store):
    async def test(store):
        version = Version(
            "digits-1.0", "digits", (1 << 53) - 1, bytes(range(256)), 3, "targets", 1e9 + 0.25, "{}", True
        )
        async with store.transaction() as tx:
            await tx.put(version)
            await tx.put(document(1))
        async with store.transaction() as tx:
            assert await tx.get(Version, "digits-1.0") == version
            assert await tx.get(Document, "rollout", "r-1") == document(1)

    in_store(test)


def test_an_exception_undoes_the_whole_transaction(in_store):
    async def test(store):
        async with store.transaction() as tx:
            await tx.put(Group("kept", "1"))
            await tx.put(Group("gone", "1"))

        async def fail():
            async with store.transaction() as tx:
                await tx.put(Group("kept", "2"))
                await tx.put(Group("new", "2"))
                await tx.delete(Group, "gone")
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            await fail()
        async with store.transaction() as tx:
            assert await tx.find(Group) == [Group("gone", "1"), Group("kept", "1")]

    in_store(test)


def test_find_filters_orders_and_pages(in_store):
    async def test(store):
        async with store.transaction() as tx:
            for role in ("timestamp", "snapshot"):
                for version in (9, 10, 11):
                    await tx.put(Metadata(role, version, b"", 0.0))

            def keys(found):
                return [m.key() for m in found]

            assert keys(await tx.find(Metadata, {"role": "snapshot"}, newest_first=True, limit=1)) == [("snapshot", 11)]
            assert keys(await tx.find(Metadata, after=("snapshot", 10), limit=2)) == [
                ("snapshot", 11),
                ("timestamp", 9),
            ]
            assert keys(await tx.find(Metadata, after=("timestamp", 9), newest_first=True, limit=1)) == [
                ("snapshot", 11)
            ]
            assert await tx.find(Metadata, {"role": "timestamp", "version": 12}) == []

    in_store(test)


def test_swap_takes_only_the_next_version(in_store):
    async def test(store):
        async with store.transaction() as tx:
            assert not await tx.swap(document(1, version=2))
            assert await tx.swap(document(1))
            assert not await tx.swap(document(1))
            assert await tx.swap(document(1, version=2, state="paused"))
            assert not await tx.swap(document(1, version=2, state="aborted"))
            assert [d.state for d in await tx.find(Document, {"kind": "rollout", "state": "paused"})] == ["paused"]

    in_store(test)


def test_transactions_that_overlap_run_one_after_the_other(tmp_path):
    async def body():
        store = await SqlStore.open(tmp_path / "fleet.db")

        async def count():
            async with store.transaction() as tx:
                found = await tx.get(Group, "n")
                await asyncio.sleep(0)
                await tx.put(Group("n", str(int(found.selector) + 1 if found else 1)))

        await asyncio.gather(*(count() for _ in range(20)))
        async with store.transaction() as tx:
            assert await tx.get(Group, "n") == Group("n", "20")
        await store.close()

    asyncio.run(body())


def test_a_file_keeps_everything_and_is_private(tmp_path):
    async def write():
        store = await SqlStore.open(tmp_path / "fleet.db")
        async with store.transaction() as tx:
            await tx.put(Group("all", "x"))
        await store.close()

    async def read():
        store = await SqlStore.open(tmp_path / "fleet.db")
        async with store.transaction() as tx:
            assert await tx.get(Group, "all") == Group("all", "x")
        await store.close()

    asyncio.run(write())
    asyncio.run(read())
    assert (tmp_path / "fleet.db").stat().st_mode & 0o777 == 0o600


def test_foreign_keys_hold(tmp_path):
    async def body():
        store = await SqlStore.open(tmp_path / "fleet.db")
        with pytest.raises(ForeignKeyError, match="FOREIGN KEY"):
            async with store.transaction() as tx:
                await tx.put(Certificate("1", "dv-none", 0.0, 0.0, 0.0))
        await store.close()

    asyncio.run(body())


def test_migrations_make_the_tables_as_they_are_declared(tmp_path):
    migrate(tmp_path / "fleet.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'fleet.db'}")
    with engine.begin() as connection:
        command.check(alembic_config(connection))
    engine.dispose()


def test_a_migration_that_is_killed_is_done_by_the_next_start(tmp_path):
    """SIGKILL after each of its statements: there are all of the tables or none."""
    program = (
        "import os, pathlib, signal, sys\n"
        "from sqlalchemy import Engine, event\n"
        "from sanderling_fleet.store.sql import migrate\n"
        "left = int(sys.argv[2])\n"
        "@event.listens_for(Engine, 'after_cursor_execute')\n"
        "def executed(*_):\n"
        "    global left\n"
        "    left -= 1\n"
        "    if not left:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "migrate(pathlib.Path(sys.argv[1]))\n"
    )
    for statement in itertools.count(1, 9):
        path = tmp_path / f"{statement}.db"
        code = subprocess.run([sys.executable, "-c", program, path, str(statement)], timeout=60).returncode
        migrate(path)
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            command.check(alembic_config(connection))
        engine.dispose()
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert statement > 30, "there were as many statements"


def test_a_file_that_is_no_database_of_this_release_is_refused(tmp_path):
    (tmp_path / "text.db").write_text("not a database" * 1000)
    migrate(tmp_path / "newer.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'newer.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v9999'"))
    engine.dispose()
    for name, kind, said in (("text", IntegrityError, "Restore"), ("newer", UnsupportedError, "newer release")):
        with pytest.raises(kind, match=said):
            asyncio.run(SqlStore.open(tmp_path / f"{name}.db"))


def test_every_record_has_a_table_with_its_fields():
    kinds = {kind for kind in vars(records).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}
    assert set(TABLES) == kinds
    assert {table.name for table in TABLES.values()} == set(metadata.tables)
    for kind, table in TABLES.items():
        assert [column.name for column in table.columns] == [field.name for field in dataclasses.fields(kind)]
        assert tuple(column.name for column in table.primary_key) == kind.KEY
