"""The signed metadata of the fleet's versions, by python-tuf over the device's own transport.

What is trusted begins with the root that the join token pinned. Metadata that is rolled back, frozen, mixed, forged or
expired is an IntegrityError: it blocks new installs, never the model that runs.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from sanderling import trust
from sanderling.errors import IntegrityError, SanderlingError, TransportError

_BASE = "fleet://artifacts/metadata/"
_MOST_DIRECTOR_BYTES = 64 << 10


class ArtifactSource(Protocol):
    """Where metadata and blobs come from; nothing that it answers is believed unchecked."""

    def metadata(self, name: str) -> bytes | None:
        """A file of metadata, None if there is none."""
        ...

    def read_blob(self, digest: str, offset: int = 0, limit: int = 0) -> Iterator[bytes]:
        """Parts of a blob."""
        ...


@dataclass(frozen=True)
class Target:
    """A signed file: its SHA-256, hexadecimal, and its length in bytes."""

    digest: str
    length: int


class _Fetcher(FetcherInterface):
    def __init__(self, source: ArtifactSource) -> None:
        self._source = source

    def _fetch(self, url: str) -> Iterator[bytes]:
        # The role "auto/NAME" stays "auto%2FNAME", as python-tuf names its file.
        name = urlsplit(url).path.rpartition("/")[2]
        content = self._source.metadata(name)
        if content is None:
            raise DownloadHTTPError(f"{name} does not exist", 404)
        return iter([content])


class SignedVersions:
    """What the release role and the publishers have signed, as far as this device has seen.

    Args:
        folder: Of trusted metadata; it is what tells rolled-back metadata.
        root: Pinned, from enrolment.
        source: Of metadata and blobs.
        now: Seconds since the epoch; what metadata's expiry is compared with.
    """

    def __init__(self, folder: Path, root: bytes, source: ArtifactSource, now: Callable[[], float]) -> None:
        self._folder, self._root, self._source, self._now = folder, root, source, now
        self._timestamp: int | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def find(self, *paths: str) -> list[Target | None]:
        """Refreshes the metadata and looks targets up; None for one that nobody signed.

        Raises:
            IntegrityError: The metadata is rolled back, frozen, mixed, forged or expired.
            TransportError: The fleet cannot be reached.
        """
        self._timestamp = None  # also a refresh that fails may have taken a newer one
        with _Typed():
            updater = Updater(
                str(self._folder),
                _BASE,
                fetcher=_Fetcher(self._source),
                config=UpdaterConfig(prefix_targets_with_hash=False),
                bootstrap=self._root,
            )
            # The one adapter between the device's clock and python-tuf's, which has no argument for it.
            updater._trusted_set.reference_time = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
            updater.refresh()
            found = [updater.get_targetinfo(path) for path in paths]
        targets: list[Target | None] = []
        for path, info in zip(paths, found, strict=True):
            if info is not None and "sha256" not in info.hashes:
                raise IntegrityError(f"[tuf] {path} is signed with {sorted(info.hashes)}, expected sha256")
            targets.append(Target(info.hashes["sha256"], info.length) if info is not None else None)
        return targets

    @property
    def timestamp_version(self) -> int:
        """Of the newest trusted timestamp, 0 without one: a hint of what to fetch, never trusted further."""
        if self._timestamp is None:
            try:
                self._timestamp = int(Metadata.from_file(str(self._folder / "timestamp.json")).signed.version)
            except Exception:  # of several classes, by python-tuf's storage; without a file there is none
                self._timestamp = 0
        return self._timestamp

    def director_keys(self) -> dict[str, bytes]:
        """The keys that may sign desired states, raw by key id.

        Raises:
            IntegrityError: The metadata names none, or may not be trusted.
            TransportError: The fleet cannot be reached.
        """
        (target,) = self.find(trust.DIRECTOR_TARGET)
        if target is None:
            raise IntegrityError(
                f"[tuf] the release role has not signed {trust.DIRECTOR_TARGET}: no desired state counts"
            )
        return trust.director_keys(self.read(target, _MOST_DIRECTOR_BYTES))

    def release_keys(self) -> dict[str, bytes]:
        """The Ed25519 keys of the release role (TUF's targets), raw by key id; they sign downgrade tokens."""
        with _Typed():
            path = self._folder / "root.json"
            root: Any = Metadata.from_bytes(path.read_bytes() if path.exists() else self._root).signed
        keys = [root.keys[name] for name in root.roles["targets"].keyids]
        raw = [bytes.fromhex(key.keyval["public"]) for key in keys if key.keytype == "ed25519"]
        return {hashlib.sha256(public).hexdigest(): public for public in raw}

    def read(self, target: Target, most_bytes: int) -> bytes:
        """A small signed file, whole.

        Raises:
            IntegrityError: It is larger than `most_bytes`, or its bytes are not the signed ones.
            TransportError: The fleet cannot be reached.
        """
        if target.length > most_bytes:
            raise IntegrityError(f"[tuf] {target.digest[:16]} has {target.length:,} bytes, allowed are {most_bytes:,}")
        data = bytearray()
        for part in self._source.read_blob(target.digest):
            data += part
            if len(data) > target.length:
                break
        found = hashlib.sha256(data).hexdigest()
        if found != target.digest or len(data) != target.length:
            raise IntegrityError(
                f"[tuf] wanted {target.digest[:16]} of {target.length:,} bytes, got {found[:16]} of {len(data):,}"
            )
        return bytes(data)


class _Typed:
    """Raises python-tuf's errors as ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, DownloadError):
            if isinstance(error.__cause__, SanderlingError):
                raise error.__cause__
            if isinstance(error, DownloadHTTPError):
                raise IntegrityError(f"[tuf] the fleet lacks signed metadata: {error}. Push it again") from error
            raise TransportError(f"[tuf] {error}") from error
        if isinstance(error, RepositoryError):
            raise IntegrityError(
                f"[tuf] {type(error).__name__}: {error}. The metadata is refused; what runs goes on running"
            ) from error
