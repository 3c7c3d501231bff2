"""The database on a disk that is really full: a small file system of its own."""

import os
import subprocess
from dataclasses import replace

import pytest

from sanderling.agent.actions import Emit
from sanderling.agent.blobs import NoSpaceError
from sanderling.agent.bodies import Notice
from sanderling.agent.outbox import Caps
from sanderling.agent.state import AgentState
from sanderling.agent.store import SqliteStore

STATE = AgentState("dv-1", boot_id="boot-1")
NOTE = Emit("main", "m-1", Notice("test", "info", "x" * 3000))


class Disk:
    """A file system of 512 KiB."""

    def __init__(self, folder):
        self.folder = folder

    def fill(self):
        handle = os.open(self.folder / "filling", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while os.write(handle, bytes(4096)) == 4096:
                pass
        except OSError:
            pass
        finally:
            os.close(handle)

    def free(self):
        (self.folder / "filling").unlink()


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_what_a_full_disk_refuses_and_what_it_lets_pass(disk):
    store = SqliteStore(disk.folder / "state.db", Caps(bytes=20_000))
    store.save(STATE, [NOTE] * 10, 1.0)
    store.record_process("router", "{}")
    dropped = store.dropped()
    assert dropped > 0
    disk.fill()
    for sequence in range(100):  # until the pages that it has are used up
        try:
            store.save(replace(STATE, sequence=sequence), [NOTE], 2.0)
        except NoSpaceError:
            break
    else:
        pytest.fail("the disk never was full")
    with pytest.raises(NoSpaceError, match="Free space"):
        store.record_process("runner/main/m-1", "x" * 100_000)
    # These repeat: the fleet says again what it has stored, and a process that has ended stays ended.
    rows = store.pending(0, 100)
    store.forget("boot-1", rows[-1].sequence)
    store.confirm_dropped(dropped)
    store.record_process("router", None)
    stored = store.load()
    store.close()
    disk.free()
    store = SqliteStore(disk.folder / "state.db")
    assert store.load() == stored
    assert [r.sequence for r in store.pending(0, 100)] == [r.sequence for r in rows]
    store.forget("boot-1", rows[-1].sequence)
    assert store.pending(0, 100) == []
    store.close()


def test_a_start_on_a_full_disk_is_no_reason_to_reset(disk):
    SqliteStore(disk.folder / "state.db").close()
    disk.fill()
    with pytest.raises(NoSpaceError, match="disk is full"):
        SqliteStore(disk.folder / "state.db").load()
    disk.free()
    SqliteStore(disk.folder / "state.db").close()
