"""One contract for every place of blobs, then what only a folder has."""

import asyncio
import hashlib
import os

import pytest

from sanderling.errors import InputError, IntegrityError
from sanderling_fleet.store.blobs import FolderBlobs, MemoryBlobs, put_blob, read_blob

DATA = os.urandom(1000)
DIGEST = hashlib.sha256(DATA).digest()


@pytest.fixture(params=["memory", "folder"])
def blobs(request, tmp_path):
    return MemoryBlobs() if request.param == "memory" else FolderBlobs(tmp_path / "blobs")


def test_an_upload_goes_on_where_it_stood(blobs):
    async def body():
        await blobs.append(DIGEST, 0, DATA[:300])
        assert await blobs.partial_size(DIGEST) == 300
        assert await blobs.size(DIGEST) is None
        await blobs.append(DIGEST, 300, DATA[300:])
        await blobs.finish(DIGEST)
        await blobs.finish(DIGEST)
        assert (await blobs.size(DIGEST), await blobs.partial_size(DIGEST)) == (1000, 0)
        assert await blobs.read(DIGEST, 990, 100) == DATA[990:]
        assert await read_blob(blobs, DIGEST) == DATA
        assert await blobs.read(DIGEST, (1 << 64) - 1, 10) == b""

    asyncio.run(body())


def test_a_gap_is_refused(blobs):
    async def body():
        await blobs.append(DIGEST, 0, DATA[:300])
        for offset in (1, 299, 301):
            with pytest.raises(InputError, match="stands at 300"):
                await blobs.append(DIGEST, offset, DATA[300:])

    asyncio.run(body())


def test_a_flipped_byte_is_refused_and_an_upload_from_zero_mends_it(blobs):
    async def body():
        await blobs.append(DIGEST, 0, DATA[:-1] + bytes([DATA[-1] ^ 1]))
        with pytest.raises(IntegrityError, match="announced was"):
            await blobs.finish(DIGEST)
        assert (await blobs.size(DIGEST), await blobs.partial_size(DIGEST)) == (None, 1000)
        await blobs.append(DIGEST, 0, DATA[:10])
        assert await blobs.partial_size(DIGEST) == 10
        assert await put_blob(blobs, DATA) == DIGEST
        assert await blobs.size(DIGEST) == 1000

    asyncio.run(body())


def test_what_is_deleted_is_gone_and_may_come_back(blobs):
    async def body():
        await put_blob(blobs, DATA)
        await put_blob(blobs, DATA[:10])
        await blobs.delete(DIGEST)
        await blobs.delete(DIGEST)
        assert await blobs.size(DIGEST) is None
        with pytest.raises(InputError, match="not here"):
            await blobs.read(DIGEST, 0, 10)
        assert await read_blob(blobs, hashlib.sha256(DATA[:10]).digest()) == DATA[:10]
        assert await put_blob(blobs, DATA) == DIGEST
        assert await read_blob(blobs, DIGEST) == DATA
        with pytest.raises(InputError, match="32 of SHA-256"):
            await blobs.delete(b"../../fleet.toml")

    asyncio.run(body())


def test_what_is_not_there_is_said(blobs):
    async def body():
        with pytest.raises(InputError, match="not here"):
            await blobs.read(DIGEST, 0, 10)
        with pytest.raises(InputError, match="32 of SHA-256"):
            await blobs.size(b"short")

    asyncio.run(body())


def test_a_folder_outlives_its_process_and_forgets_old_uploads(tmp_path):
    async def body():
        first = FolderBlobs(tmp_path / "blobs")
        await put_blob(first, DATA)
        await first.append(b"\1" * 32, 0, b"fresh")
        await first.append(b"\2" * 32, 0, b"old")
        os.utime(tmp_path / "blobs" / "partial" / ("02" * 32), (0, 0))
        second = FolderBlobs(tmp_path / "blobs")
        assert await read_blob(second, DIGEST) == DATA
        assert await second.partial_size(b"\1" * 32) == 5
        assert await second.partial_size(b"\2" * 32) == 0
        assert (tmp_path / "blobs").stat().st_mode & 0o777 == 0o700

    asyncio.run(body())
