"""The database: what is saved comes back, rows and state together, caps hold, damage is named."""

import sqlite3
import stat
from dataclasses import replace

import pytest
from tests.agent.world import World, wanted

from sanderling.agent.actions import Emit
from sanderling.agent.blobs import NoSpaceError
from sanderling.agent.bodies import Notice
from sanderling.agent.outbox import MOST_ROW_BYTES, Caps
from sanderling.agent.state import AgentState, Slot
from sanderling.agent.store import SCHEMA_VERSION, SqliteStore
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import IntegrityError

STATE = AgentState("dv-1", boot_id="boot-1", slots={"main": Slot("main")})


def note(text="x"):
    return Emit("main", "m-1", Notice("test", "info", text))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


def test_a_new_store_is_empty_and_private(path):
    store = SqliteStore(path)
    assert store.load() is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert store._sql.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._sql.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_full_state_comes_back_equal(path):
    world = World()
    world.install("m-1")
    world.confirm = False
    world.want(wanted("m-2", "a-1", downgrade_token=b"\x00"), ("other", wanted("n-1")))
    world.run(1300)
    store = SqliteStore(path)
    store.save(world.driver.state, [note()], 1.0)
    store.close()
    again = SqliteStore(path)
    assert again.load() == world.driver.state
    assert len(again.pending(0, 10)) == 1
    again.close()


def test_state_and_rows_are_saved_together_or_not_at_all(path):
    store = SqliteStore(path)
    store.save(STATE, [], 1.0)
    broken = Emit("main", "m-1", b"\xff\xff no DriftWindow")
    with pytest.raises(Exception, match="parsing"):
        store.save(AgentState("dv-1", sequence=7), [note(), broken], 2.0)
    assert store.load() == STATE
    assert store.pending(0, 10) == []
    store.close()


def test_rows_are_numbered_over_restarts_and_boots(path):
    for boot in ("boot-1", "boot-1", "boot-2"):
        store = SqliteStore(path)
        store.save(AgentState("dv-1", boot_id=boot), [note("a"), note("b")], 1.0)
        store.forget("boot-1", 2)
        store.close()
    store = SqliteStore(path)
    rows = store.pending(0, 10)
    assert [(r.boot_id, r.sequence) for r in rows] == [("boot-1", 3), ("boot-1", 4), ("boot-2", 1), ("boot-2", 2)]
    message = telemetry_pb2.Envelope.FromString(rows[0].payload)
    assert (message.boot_id, message.sequence, message.event.message) == ("boot-1", 3, "a")
    assert rows[0].topic == "events"
    assert [r.sequence for r in store.pending(rows[1].number, 1)] == [1]
    store.close()


def test_a_name_is_never_used_twice_though_all_rows_are_gone(path):
    store = SqliteStore(path)
    store.save(STATE, [note(), note()], 1.0)
    store.forget("boot-1", 2)
    store.save(AgentState("dv-1", boot_id="boot-1", sequence=1), [note()], 1.0)
    assert [r.sequence for r in store.pending(0, 10)] == [3]
    store.close()


def test_bytes_are_capped_and_drops_counted(path):
    store = SqliteStore(path, Caps(bytes=10_000))
    for number in range(100):
        store.save(AgentState("dv-1", boot_id="boot-1", sequence=number), [note("x" * 500)], 1.0)
    rows = store.pending(0, 1000)
    assert 8_000 < sum(len(r.payload) for r in rows) <= 10_000
    assert [r.sequence for r in rows] == list(range(100 - len(rows) + 1, 101)), "the oldest go first"
    assert store.dropped() == 100 - len(rows)
    store.confirm_dropped(50)
    assert store.dropped() == 50 - len(rows)
    store.forget("boot-1", 100)
    assert store._sql.execute("SELECT bytes FROM outbox_totals").fetchone() == (0,)
    store.close()


def test_age_is_capped(path):
    store = SqliteStore(path, Caps(age_s=100.0))
    store.save(STATE, [note("old")], 1000.0)
    store.save(AgentState("dv-1", boot_id="boot-1", sequence=1), [note("new")], 1101.0)
    assert [r.sequence for r in store.pending(0, 10)] == [2]
    assert store.dropped() == 1
    store.close()


def test_batches_are_bounded_by_bytes_but_never_empty(path):
    store = SqliteStore(path)
    store.save(STATE, [note("x" * 1000) for _ in range(5)], 1.0)
    assert len(store.pending(0, 10, most_bytes=2500)) == 2
    assert len(store.pending(0, 10, most_bytes=1)) == 1
    store.close()


def test_a_full_disk_stores_nothing_and_says_so(path):
    store = SqliteStore(path)
    store.save(STATE, [], 1.0)
    pages = store._sql.execute("PRAGMA page_count").fetchone()[0]
    store._sql.execute(f"PRAGMA max_page_count = {pages}")
    big = replace(STATE, sequence=7)
    with pytest.raises(NoSpaceError, match="takes no update"):
        store.save(big, [note("x" * 100_000)], 2.0)
    assert store.load() == STATE
    store._sql.execute("PRAGMA max_page_count = 100000")
    store.save(big, [note("x" * 100_000)], 3.0)
    assert store.load() == big
    assert [r.sequence for r in store.pending(0, 10)] == [1]
    store.close()


def test_records_of_processes(path):
    store = SqliteStore(path)
    store.record_process("main/m-1", "{}")
    store.record_process("router", "{}")
    store.record_process("router", None)
    assert store.processes() == {"main/m-1": "{}"}
    store.close()


def test_a_damaged_file_is_named(path):
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(IntegrityError, match="sanderling agent reset"):
        SqliteStore(path)


def test_a_newer_schema_is_refused(path):
    SqliteStore(path).close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    other.close()
    with pytest.raises(IntegrityError, match="Install the newer agent"):
        SqliteStore(path)


def test_a_document_of_a_newer_agent_is_refused(path):
    store = SqliteStore(path)
    store.save(STATE, [], 1.0)
    store._sql.execute("""UPDATE document SET body = '{"name": "main", "unknown": 1}' WHERE name = 'slot/main'""")
    with pytest.raises(IntegrityError, match="unknown"):
        store.load()
    store.close()


def test_a_row_that_no_message_can_carry_is_dropped_and_counted(path):
    """It would stop every check-in after it, and with them all that the fleet wants of the device."""
    store = SqliteStore(path)
    store.save(STATE, [note("a"), note("x" * (MOST_ROW_BYTES + 1)), note("b")], 1.0)
    assert [r.sequence for r in store.pending(0, 10)] == [1, 2], "without a gap"
    assert store.dropped() == 1
    store.close()


@pytest.mark.parametrize("name", ["agent", "slot/main"])
@pytest.mark.parametrize("body", ["{", "[]", "null", '"word"', ""])
def test_damaged_documents_are_named(path, name, body):
    store = SqliteStore(path)
    store.save(STATE, [], 1.0)
    store._sql.execute("UPDATE document SET body = ? WHERE name = ?", (body, name))
    with pytest.raises(IntegrityError, match=r"\[state\]"):
        store.load()
    store.close()
