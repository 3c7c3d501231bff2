"""Content-addressed files: FOLDER/aa/HEXDIGEST, whole or not there.

A blob is written to FOLDER/partial/HEXDIGEST, which survives a cut and is gone on with; then fsync, rename, fsync of
the folder. After a power cut every blob is hashed again: a file system may keep a name and lose its bytes. A full disk
is an ordinary state: `NoSpaceError`, and what was there stays.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from sanderling.errors import IntegrityError, UnsupportedError

_FULL = {errno.ENOSPC, errno.EDQUOT}


class NoSpaceError(UnsupportedError):
    """Valid, but the disk or the quota has no room for it."""


class BlobStore:
    """The folder.

    Args:
        folder: Created with mode 0750: applications of the folder's group read models from it.
        quota_bytes: Most that all blobs together may take.
    """

    def __init__(self, folder: Path, quota_bytes: int = 1 << 40) -> None:
        self.folder = folder
        self._quota = quota_bytes
        self._lock = threading.Lock()
        self._pinned: set[str] = set()
        self._partials = folder / "partial"
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._partials.mkdir(mode=0o700, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where a blob is, if it is there."""
        return self.folder / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Whether it is there, whole."""
        return self.path(digest).is_file()

    def read(self, digest: str) -> bytes:
        """The bytes of a blob, checked.

        Raises:
            IntegrityError: It is missing, or damaged; a damaged one is deleted.
        """
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            raise IntegrityError(f"[blob] {digest[:16]} cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            self.path(digest).unlink(missing_ok=True)
            raise IntegrityError(
                f"[blob] {digest[:16]} is damaged on the disk; it was deleted and will be fetched again"
            )
        return data

    def check(self, digest: str) -> None:
        """Hashes a blob.

        Raises:
            IntegrityError: It is missing, or damaged; a damaged one is deleted.
        """
        try:
            with self.path(digest).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise IntegrityError(f"[blob] {digest[:16]} cannot be read: {error}") from error
        if found != digest:
            self.path(digest).unlink(missing_ok=True)
            raise IntegrityError(f"[blob] {digest[:16]} has digest {found[:16]} on the disk; it was deleted")

    def put(self, data: bytes) -> str:
        """Stores bytes; returns their digest. They are kept until the next `collect` that names them.

        Raises:
            NoSpaceError: No room.
        """
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            self._pinned.add(digest)
        if not self.has(digest):
            self.discard_partial(digest)
            self.reserve(len(data))
            self.append(digest, 0, [data])
            self.finish(digest)
        return digest

    # Partial blobs

    def partial_size(self, digest: str) -> int:
        """Bytes of a blob that came before it was cut off."""
        try:
            return (self._partials / digest).stat().st_size
        except FileNotFoundError:
            return 0

    def reserve(self, size: int) -> None:
        """Checks that `size` more bytes have room.

        Raises:
            NoSpaceError: They have not; says which of disk and quota, with both values.
        """
        used = self.used_bytes()
        if used + size > self._quota:
            raise NoSpaceError(f"[blobs] {size:,} bytes wanted, {used:,} of the quota's {self._quota:,} are taken")
        free = shutil.disk_usage(self.folder).free
        if size + size // 10 > free:
            raise NoSpaceError(f"[blobs] {size:,} bytes and a tenth wanted, the disk has {free:,} free")

    def append(self, digest: str, offset: int, chunks: Iterable[bytes]) -> int:
        """Adds to a partial blob from `offset` on; returns its size.

        Raises:
            NoSpaceError: The disk is full; what came is kept.
        """
        path = self._partials / digest
        try:
            with path.open("r+b" if path.exists() else "w+b") as file:
                file.seek(offset)
                file.truncate()
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
                return file.tell()
        except OSError as error:
            raise _full(error) from error

    def finish(self, digest: str) -> None:
        """Makes a blob of a partial one.

        Raises:
            IntegrityError: Its bytes have another digest; they are deleted.
            NoSpaceError: The disk is full.
        """
        partial = self._partials / digest
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            partial.unlink()
            raise IntegrityError(
                f"[blob] wanted {digest[:16]}, the bytes that came are {found[:16]}. They were deleted"
            )
        target = self.path(digest)
        try:
            target.parent.mkdir(mode=0o750, exist_ok=True)
            partial.chmod(0o640)
            partial.replace(target)
            sync_folder(target.parent)
            sync_folder(self.folder)
        except OSError as error:
            raise _full(error) from error

    def discard_partial(self, digest: str) -> None:
        """Forgets what came of a blob."""
        (self._partials / digest).unlink(missing_ok=True)

    # Upkeep

    def used_bytes(self) -> int:
        """Of all blobs and partial ones."""
        return sum(self._size(path) for path in [*self._all(), *self._partials.iterdir()])

    def collect(self, keep: Iterable[str]) -> int:
        """Deletes every blob and partial blob that `keep` does not name; returns the bytes freed."""
        kept = set(keep)
        with self._lock:
            self._pinned -= kept
            kept |= self._pinned
        freed = 0
        for path in [*self._all(), *self._partials.iterdir()]:
            if path.name not in kept:
                freed += self._size(path)
                path.unlink(missing_ok=True)
        return freed

    @staticmethod
    def _size(path: Path) -> int:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0  # another thread has just finished or deleted it

    def start(self, boot_id: str) -> list[str]:
        """To be called once, before use: after a power cut, hashes everything and deletes what is damaged.

        Returns:
            Digests of the blobs that were deleted.
        """
        mark = self.folder / "mark"
        former = mark.read_text() if mark.exists() else ""
        damaged: list[str] = []
        # Without a reboot nothing that was written can be lost; after a clean shutdown everything had been synced.
        if former not in (f"clean {boot_id}", f"running {boot_id}") and not former.startswith("clean "):
            for path in list(self._all()):
                try:
                    self.check(path.name)
                except IntegrityError:
                    path.unlink(missing_ok=True)
                    damaged.append(path.name)
        write_durably(mark, f"running {boot_id}".encode(), 0o640)
        return damaged

    def stop(self, boot_id: str) -> None:
        """Marks a clean shutdown."""
        write_durably(self.folder / "mark", f"clean {boot_id}".encode(), 0o640)

    def _all(self) -> Iterator[Path]:
        for folder in self.folder.iterdir():
            if len(folder.name) == 2 and folder.is_dir():
                yield from folder.iterdir()


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replaces a file whole, or not at all, also at a power cut.

    Raises:
        NoSpaceError: The disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            _write_whole(file, data)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _full(error) from error


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_whole(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def is_full(error: Exception) -> bool:
    """Whether an error says that there is no room."""
    return isinstance(error, NoSpaceError) or (isinstance(error, OSError) and error.errno in _FULL)


def _full(error: OSError) -> Exception:
    if error.errno in _FULL:
        return NoSpaceError(f"[blobs] the disk is full: {error}. Free space, or lower the quota of other programs")
    return error
