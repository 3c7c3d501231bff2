"""Blobs by their SHA-256: an upload may break off and go on, and nothing has a name before its bytes have its digest.

The folder alone says what there is: a table beside it could disagree with it after a power cut.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import Protocol

from sanderling.errors import InputError, IntegrityError
from sanderling_fleet.trust.keys import private_folder, sync_folder

CHUNK_BYTES = 256 << 10
MOST_BLOB_BYTES = 4 << 30
_PARTIAL_LIFE_SECONDS = 7 * 86400


class Blobs(Protocol):
    """Where blobs are. Digests are SHA-256, 32 bytes."""

    async def size(self, digest: bytes) -> int | None:
        """Bytes of a whole blob; None if there is none."""
        ...

    async def read(self, digest: bytes, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on, empty at the end.

        Raises:
            InputError: There is no such blob.
        """
        ...

    async def partial_size(self, digest: bytes) -> int:
        """Bytes of it that were uploaded; 0 if none or if it is whole."""
        ...

    async def append(self, digest: bytes, offset: int, data: bytes) -> None:
        """Adds to an upload.

        Raises:
            InputError: `offset` is not where the upload stands, or it grows beyond `MOST_BLOB_BYTES`.
        """
        ...

    async def finish(self, digest: bytes) -> None:
        """Makes the upload a blob; one that is whole already stays.

        Raises:
            IntegrityError: Its bytes have another digest; they are thrown away.
        """
        ...


async def put_blob(blobs: Blobs, data: bytes) -> bytes:
    """Stores bytes that are in memory; returns their digest."""
    digest = hashlib.sha256(data).digest()
    if await blobs.size(digest) is None:
        start = await blobs.partial_size(digest)
        await blobs.append(digest, start, data[start:])
        await blobs.finish(digest)
    return digest


async def read_blob(blobs: Blobs, digest: bytes) -> bytes:
    """A whole blob in memory.

    Raises:
        InputError: There is none.
    """
    size = await blobs.size(digest)
    return await blobs.read(digest, 0, size or 0)


class FolderBlobs:
    """Blobs in files: AB/ABCDEF... for what is whole, partial/ABCDEF... for uploads."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._partials = private_folder(folder / "partial")
        self._writing = asyncio.Lock()
        oldest = time.time() - _PARTIAL_LIFE_SECONDS
        for path in self._partials.iterdir():
            if path.stat().st_mtime < oldest:
                path.unlink()

    async def size(self, digest: bytes) -> int | None:
        """See `Blobs.size`."""
        path = self._path(digest)
        return path.stat().st_size if path.is_file() else None

    async def read(self, digest: bytes, offset: int, limit: int) -> bytes:
        """See `Blobs.read`."""
        return await asyncio.to_thread(self._read, digest, offset, limit)

    async def partial_size(self, digest: bytes) -> int:
        """See `Blobs.partial_size`."""
        path = self._partial(digest)
        return path.stat().st_size if path.is_file() else 0

    async def append(self, digest: bytes, offset: int, data: bytes) -> None:
        """See `Blobs.append`."""
        async with self._writing:
            _check_append(digest, await self.partial_size(digest), offset, len(data))
            await asyncio.to_thread(self._append, digest, data)

    async def finish(self, digest: bytes) -> None:
        """See `Blobs.finish`."""
        async with self._writing:
            if await self.size(digest) is None:
                await asyncio.to_thread(self._finish, digest)

    def _path(self, digest: bytes) -> Path:
        _check_digest(digest)
        return self._folder / digest.hex()[:2] / digest.hex()

    def _partial(self, digest: bytes) -> Path:
        _check_digest(digest)
        return self._partials / digest.hex()

    def _read(self, digest: bytes, offset: int, limit: int) -> bytes:
        try:
            with self._path(digest).open("rb") as file:
                file.seek(offset)
                return file.read(limit)
        except FileNotFoundError:
            raise _no_blob(digest) from None

    def _append(self, digest: bytes, data: bytes) -> None:
        with self._partial(digest).open("ab") as file:
            file.write(data)

    def _finish(self, digest: bytes) -> None:
        partial, path = self._partial(digest), self._path(digest)
        partial.touch()
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
            if found != digest:
                partial.unlink()
                raise _wrong(digest, found)
            os.fsync(file.fileno())
        path.parent.mkdir(mode=0o700, exist_ok=True)
        partial.replace(path)
        sync_folder(path.parent)
        sync_folder(self._folder)


class MemoryBlobs:
    """Blobs in a dictionary; its coroutines never suspend."""

    def __init__(self) -> None:
        self._whole: dict[bytes, bytes] = {}
        self._partial: dict[bytes, bytearray] = {}

    async def size(self, digest: bytes) -> int | None:
        """See `Blobs.size`."""
        _check_digest(digest)
        return len(self._whole[digest]) if digest in self._whole else None

    async def read(self, digest: bytes, offset: int, limit: int) -> bytes:
        """See `Blobs.read`."""
        if digest not in self._whole:
            raise _no_blob(digest)
        return self._whole[digest][offset : offset + limit]

    async def partial_size(self, digest: bytes) -> int:
        """See `Blobs.partial_size`."""
        _check_digest(digest)
        return len(self._partial.get(digest, b""))

    async def append(self, digest: bytes, offset: int, data: bytes) -> None:
        """See `Blobs.append`."""
        _check_append(digest, await self.partial_size(digest), offset, len(data))
        self._partial.setdefault(digest, bytearray()).extend(data)

    async def finish(self, digest: bytes) -> None:
        """See `Blobs.finish`."""
        if digest in self._whole:
            return
        data = bytes(self._partial.pop(digest, b""))
        found = hashlib.sha256(data).digest()
        if found != digest:
            raise _wrong(digest, found)
        self._whole[digest] = data


def _check_digest(digest: bytes) -> None:
    if len(digest) != 32:
        raise InputError(f"[blob] a digest of {len(digest)} bytes, expected the 32 of SHA-256")


def _check_append(digest: bytes, size: int, offset: int, count: int) -> None:
    if offset != size:
        raise InputError(
            f"[blob] {digest.hex()[:16]}: bytes from {offset:,} on, the upload stands at {size:,}. Ask again"
        )
    if size + count > MOST_BLOB_BYTES:
        raise InputError(f"[blob] {digest.hex()[:16]} grows beyond {MOST_BLOB_BYTES:,} bytes")


def _no_blob(digest: bytes) -> InputError:
    return InputError(f"[blob] {digest.hex()[:16]} is not here. Upload it first")


def _wrong(digest: bytes, found: bytes) -> IntegrityError:
    return IntegrityError(
        f"[blob] the bytes have SHA-256 {found.hex()[:16]}, announced was {digest.hex()[:16]}. Upload it again, whole"
    )
