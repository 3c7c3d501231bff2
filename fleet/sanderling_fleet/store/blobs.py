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
        """Adds to an upload; from offset 0 on, begins it anew.

        Raises:
            InputError: `offset` is not where the upload stands, or it grows beyond `MOST_BLOB_BYTES`.
        """
        ...

    async def finish(self, digest: bytes) -> None:
        """Makes the upload a blob; one that is whole already stays.

        Raises:
            IntegrityError: Its bytes have another digest. They stay, since they may be the beginning of the right ones:
                an upload that was cut off cannot be told from one that ended.
        """
        ...

    async def delete(self, digest: bytes) -> None:
        """Takes a whole blob away; nothing happens if there is none. Nothing may name it any more."""
        ...


async def put_blob(blobs: Blobs, data: bytes) -> bytes:
    """Stores bytes that are in memory; returns their digest."""
    digest = hashlib.sha256(data).digest()
    if await blobs.size(digest) is None:
        await blobs.append(digest, 0, data)
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
            # In the loop's own thread: a chunk goes to the page cache, and a call that is cancelled leaves no writer.
            with self._partial(digest).open("ab" if offset else "wb") as file:
                file.write(data)

    async def finish(self, digest: bytes) -> None:
        """See `Blobs.finish`."""
        # Shielded: a caller that goes away must not let the next upload in while a thread still works on this one.
        finishing = asyncio.ensure_future(self._finish_alone(digest))
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            finishing.add_done_callback(lambda task: task.exception())
            raise

    async def _finish_alone(self, digest: bytes) -> None:
        async with self._writing:
            if await self.size(digest) is None:
                await asyncio.to_thread(self._finish, digest)

    async def delete(self, digest: bytes) -> None:
        """See `Blobs.delete`."""
        async with self._writing:
            path = self._path(digest)
            if path.exists():
                await asyncio.to_thread(_unlink, path)

    def _path(self, digest: bytes) -> Path:
        _check_digest(digest)
        return self._folder / digest.hex()[:2] / digest.hex()

    def _partial(self, digest: bytes) -> Path:
        _check_digest(digest)
        return self._partials / digest.hex()

    def _read(self, digest: bytes, offset: int, limit: int) -> bytes:
        try:
            with self._path(digest).open("rb") as file:
                file.seek(min(offset, MOST_BLOB_BYTES))  # a caller's 64 bits are more than a file has
                return file.read(limit)
        except FileNotFoundError:
            raise _no_blob(digest) from None

    def _finish(self, digest: bytes) -> None:
        partial, path = self._partial(digest), self._path(digest)
        partial.touch()
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
            if found != digest:
                raise _wrong(digest, found)
            os.fsync(file.fileno())
        path.parent.mkdir(mode=0o700, exist_ok=True)
        partial.replace(path)
        sync_folder(path.parent)
        sync_folder(self._folder)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


class MemoryBlobs:
    """Blobs in a dictionary; its coroutines never suspend."""

    def __init__(self) -> None:
        self._whole: dict[bytes, bytes] = {}
        self._partial: dict[bytes, bytes] = {}

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
        self._partial[digest] = self._partial[digest] + data if offset else data

    async def finish(self, digest: bytes) -> None:
        """See `Blobs.finish`."""
        if digest in self._whole:
            return
        data = self._partial.get(digest, b"")
        found = hashlib.sha256(data).digest()
        if found != digest:
            raise _wrong(digest, found)
        self._whole[digest] = self._partial.pop(digest, b"")

    async def delete(self, digest: bytes) -> None:
        """See `Blobs.delete`."""
        _check_digest(digest)
        self._whole.pop(digest, None)


def _check_digest(digest: bytes) -> None:
    if len(digest) != 32:
        raise InputError(f"[blob] a digest of {len(digest)} bytes, expected the 32 of SHA-256")


def _check_append(digest: bytes, size: int, offset: int, count: int) -> None:
    if offset not in (0, size):
        raise InputError(
            f"[blob] {digest.hex()[:16]}: bytes from {offset:,} on, the upload stands at {size:,}. Ask again"
        )
    if offset + count > MOST_BLOB_BYTES:
        raise InputError(f"[blob] {digest.hex()[:16]} grows beyond {MOST_BLOB_BYTES:,} bytes")


def _no_blob(digest: bytes) -> InputError:
    return InputError(f"[blob] {digest.hex()[:16]} is not here. Upload it first")


def _wrong(digest: bytes, found: bytes) -> IntegrityError:
    return IntegrityError(
        f"[blob] the bytes have SHA-256 {found.hex()[:16]}, announced was {digest.hex()[:16]}. Upload it from 0 on"
    )
