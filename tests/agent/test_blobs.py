"""The content-addressed folder: cuts, damage, quota, full disks, collection."""

import errno
import hashlib
import stat

import pytest

from sanderling.agent.blobs import BlobStore, NoSpaceError
from sanderling.errors import IntegrityError

DATA = bytes(range(256)) * 100
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path):
    store = BlobStore(tmp_path / "blobs", quota_bytes=100_000)
    store.start("boot-1")
    return store


def test_a_blob_is_found_by_its_digest(blobs):
    assert blobs.put(DATA) == DIGEST
    assert blobs.read(DIGEST) == DATA
    assert blobs.path(DIGEST) == blobs.folder / DIGEST[:2] / DIGEST
    assert stat.S_IMODE(blobs.path(DIGEST).stat().st_mode) == 0o640
    assert stat.S_IMODE(blobs.folder.stat().st_mode) == 0o750


def test_a_cut_blob_is_gone_on_with(blobs):
    assert blobs.append(DIGEST, 0, [DATA[:1000], DATA[1000:5000]]) == 5000
    again = BlobStore(blobs.folder)
    assert again.partial_size(DIGEST) == 5000
    assert not again.has(DIGEST)
    again.append(DIGEST, 5000, [DATA[5000:]])
    again.finish(DIGEST)
    assert again.read(DIGEST) == DATA
    assert again.partial_size(DIGEST) == 0


def test_appending_earlier_overwrites(blobs):
    blobs.append(DIGEST, 0, [b"x" * 30_000])
    blobs.append(DIGEST, 0, [DATA])
    blobs.finish(DIGEST)
    assert blobs.has(DIGEST)


@pytest.mark.parametrize("wrong", [DATA[:-1], DATA + b"x", b"", bytes([DATA[0] ^ 1]) + DATA[1:]])
def test_wrong_bytes_are_refused_and_deleted(blobs, wrong):
    blobs.append(DIGEST, 0, [wrong])
    with pytest.raises(IntegrityError, match=DIGEST[:16]):
        blobs.finish(DIGEST)
    assert not blobs.has(DIGEST)
    assert blobs.partial_size(DIGEST) == 0


def damage(blobs):
    path = blobs.path(DIGEST)
    path.write_bytes(DATA[:-1] + b"x")


@pytest.mark.parametrize("how", [BlobStore.read, BlobStore.check])
def test_a_flipped_byte_is_found_and_the_blob_deleted(blobs, how):
    blobs.put(DATA)
    damage(blobs)
    with pytest.raises(IntegrityError, match="deleted"):
        how(blobs, DIGEST)
    assert not blobs.has(DIGEST)


@pytest.mark.parametrize(
    ("clean", "boot", "found"),
    [(False, "boot-2", [DIGEST]), (True, "boot-2", []), (False, "boot-1", [])],
    ids=["power cut", "clean shutdown", "restart of the agent"],
)
def test_what_is_hashed_again_at_start(blobs, clean, boot, found):
    blobs.put(DATA)
    damage(blobs)
    if clean:
        blobs.stop("boot-1")
    assert BlobStore(blobs.folder).start(boot) == found


def test_a_power_cut_after_a_clean_start_is_seen(blobs):
    blobs.put(DATA)
    blobs.stop("boot-1")
    blobs.start("boot-2")
    damage(blobs)
    assert blobs.start("boot-3") == [DIGEST]


def test_quota(blobs):
    blobs.put(DATA)
    with pytest.raises(NoSpaceError, match=r"80,000 bytes wanted, 25,600 of the quota's 100,000"):
        blobs.reserve(80_000)
    blobs.append("0" * 64, 0, [b"x" * 60_000])
    with pytest.raises(NoSpaceError):
        blobs.reserve(20_000)
    blobs.reserve(14_000)


def test_a_full_disk_is_an_ordinary_state(blobs, monkeypatch):
    blobs.put(DATA)

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    other = DATA[::-1]
    with pytest.raises(NoSpaceError, match="full"):
        blobs.put(other)
    monkeypatch.undo()
    assert blobs.read(DIGEST) == DATA
    assert blobs.read(blobs.put(other)) == other


def test_other_errors_are_not_taken_for_a_full_disk(blobs, monkeypatch):
    def broken(_handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        blobs.put(DATA)


def test_collection_keeps_what_is_named_and_what_is_new(blobs):
    blobs.put(DATA)
    kept = blobs.put(b"kept")
    blobs.append("1" * 64, 0, [b"in flight"])
    blobs.append("2" * 64, 0, [b"abandoned"])
    assert blobs.collect([kept, "1" * 64]) == len(b"abandoned")
    assert blobs.has(DIGEST), "nobody had the chance to name it"
    blobs.collect([DIGEST, kept, "1" * 64])
    blobs.collect([kept])
    assert not blobs.has(DIGEST)
    assert blobs.has(kept)
    assert blobs.partial_size("1" * 64) == 0
