"""The user's cache of compiled models: files that only make sessions start sooner, in a folder that may be deleted.

A file belongs to one model, release, build, instruction set and kind of float products, which its key hashes. It is
looked at only if this user owns it and nobody else may write to it, and used only if it is whole
(csrc/plan/plan_file.h). Whatever is wrong with the cache, sessions work without it: nothing here raises, reasons are
logged at debug level.

The folder is $SANDERLING_CACHE ("off": none), else $XDG_CACHE_HOME/sanderling, else ~/.cache/sanderling. Its files take
at most $SANDERLING_CACHE_BYTES; those used longest ago go first.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sanderling import _core

DEFAULT_BYTES = 1 << 30  # an edge device's disk has room for some dozens of models, not for hundreds
ABANDONED_S = 3600.0  # no writer takes an hour: an older temporary file is of one that was killed
SUFFIX, TEMPORARY = ".plan", ".tmp"

_log = logging.getLogger(__name__)


class CachedPlan:
    """Where the plan of one model for one ISA and one kind of float products is kept, whether or not it is there."""

    def __init__(self, folder: Path, key: bytes, isa: str, float_products: str, limit: int) -> None:
        """Opens nothing yet; `limit` bounds the folder's bytes."""
        self.path = folder / (key.hex() + SUFFIX)
        self._folder, self._key, self._limit = folder, key, limit
        self._isa, self._float_products = isa, float_products

    def read(self) -> _core.Plan | None:
        """Returns the plan if there is a sound one."""
        try:
            with _opened(self._folder, make=False) as folder:
                descriptor = os.open(self.path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
                try:
                    _require_own(os.fstat(descriptor), stat.S_ISREG)
                    plan = _core.Plan.read(descriptor, self._key, self._isa, self._float_products)
                    if plan is None:
                        _log.debug("%s is damaged or of another build", self.path)
                    else:
                        with suppress(OSError):  # on a read-only disk nothing is deleted either
                            os.utime(descriptor)  # the least recently used file goes first
                    return plan
                finally:
                    os.close(descriptor)
        except OSError as error:
            _log.debug("no plan from %s: %s", self.path, error)
            return None

    def write(self, plan: _core.Plan) -> bool:
        """Writes the plan in one step, in place of what is there, and says whether it could."""
        try:
            with _opened(self._folder, make=True) as folder:
                self._replace(plan, folder)
                _shrink(folder, self._limit, keep=self.path.name)
        except OSError as error:
            _log.debug("cannot keep the plan in %s: %s", self.path, error)
            return False
        return True

    def _replace(self, plan: _core.Plan, folder: int) -> None:
        name = f"{self._key.hex()}.{os.getpid()}.{time.monotonic_ns()}{TEMPORARY}"
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            try:
                plan.write(descriptor, self._key)
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > self._limit:
                raise OSError(f"{size} bytes are more than the cache's {self._limit}")
            os.replace(name, self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise


def find(model: bytes, path: Path | None, isa: str, float_products: str) -> CachedPlan | None:
    """Returns where the plan of this ONNX file is kept, which lies at `path` if anywhere; None: there is no cache."""
    folder, build = _folder(), _core.build_id()
    if folder is None or not build:
        return None
    beside = _beside(model, path)
    if beside is None:
        return None
    key = hashlib.sha256()
    texts = (_version(), build, isa, float_products)
    for part in (hashlib.sha256(model).digest(), *(text.encode() for text in texts), *beside):
        key.update(len(part).to_bytes(8, "little") + part)
    return CachedPlan(folder, key.digest(), isa, float_products, _limit())


def _folder() -> Path | None:
    given = os.environ.get("SANDERLING_CACHE")
    if given:
        return None if given.lower() == "off" else Path(given)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # as its specification says
        return Path(base) / "sanderling"
    try:
        return Path.home() / ".cache" / "sanderling"
    except RuntimeError:
        _log.debug("no cache of plans: this user has no home")
        return None


def _beside(model: bytes, path: Path | None) -> list[bytes] | None:
    """Names and digests of the files that hold tensors of this model; None if they cannot be told.

    They are found without a look at the rest: a file's name follows the key "location" in a protobuf of two texts. What
    only looks like that does no harm, since it adds to the key and is never trusted: a name that the importer refuses
    counts as no file.
    """
    parts: list[bytes] = []
    for match in re.finditer(rb"\x08location", model):
        name = _text_after(model, match.end())
        if name is None:
            return None
        relative = Path(os.fsdecode(name))
        safe = path is not None and b"\0" not in name and not relative.is_absolute() and ".." not in relative.parts
        if name not in parts:
            parts += [name, _digest(path.absolute().parent / relative) if path is not None and safe else b""]
    return parts


def _text_after(data: bytes, at: int) -> bytes | None:
    """The text in field 2 at this place, if there is one of up to 127 or 16,383 bytes."""
    head = data[at : at + 3]
    if len(head) < 3 or head[0] != 0x12 or (head[1] > 127 and head[2] > 127):
        return None
    length, start = (head[1], at + 2) if head[1] < 128 else (head[1] & 127 | head[2] << 7, at + 3)
    return data[start : start + length]


def _digest(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return b""
    with open(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest() if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def _limit() -> int:
    given = os.environ.get("SANDERLING_CACHE_BYTES", "")
    return int(given) if given.isdecimal() else DEFAULT_BYTES


def _version() -> str:
    from sanderling import __version__  # which imports this module

    return __version__


@contextmanager
def _opened(folder: Path, *, make: bool) -> Iterator[int]:
    """Gives a descriptor of the folder, so that what was checked is what is used."""
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _require_own(os.fstat(descriptor), stat.S_ISDIR)
        yield descriptor
    finally:
        os.close(descriptor)


def _require_own(status: os.stat_result, is_kind: Callable[[int], bool]) -> None:
    if not is_kind(status.st_mode):
        raise OSError("it is no regular file or folder")
    if status.st_uid != os.geteuid():
        raise OSError(f"user {status.st_uid} owns it, this is user {os.geteuid()}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"others may write to it: mode {stat.S_IMODE(status.st_mode):o}")


def _shrink(folder: int, limit: int, *, keep: str) -> None:
    """Deletes what killed writers left, and the plans that were used longest ago until the rest fits."""
    plans, now = [], time.time()
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):  # another process shrinks too
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if name.endswith(TEMPORARY) and now - status.st_mtime > ABANDONED_S:
                os.unlink(name, dir_fd=folder)
            elif name.endswith(SUFFIX):
                plans.append((name != keep, -status.st_mtime, name, status.st_size))
    total = 0
    for _, _, name, size in sorted(plans):
        total += size
        if total > limit:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
