"""The Files port: from a wish to verified blobs on the disk. Performs Resolve, Fetch, Verify and Collect."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sanderling import trust
from sanderling.agent.actions import Collect, Fetch, Resolve, Verify
from sanderling.agent.blobs import BlobStore, is_full
from sanderling.agent.desired import downgrade_allowed
from sanderling.agent.events import Fetched, Resolved, StepFailed, Verified
from sanderling.agent.state import Code, Release
from sanderling.agent.tuf_client import ArtifactSource, SignedVersions, Target
from sanderling.errors import AuthError, DeadlineError, IntegrityError, SanderlingError, TransportError
from sanderling.versions import Blob, Host, Manifest, check_blob

_MOST_MANIFEST_BYTES = 1 << 20
_BATCH_BYTES = 4 << 20
"""A blob is synced to the disk this often: what a cut costs."""


class Files:
    """The port.

    Args:
        blobs: Where they go.
        versions: What is signed.
        source: Of blobs.
        host: What this device is.
        now: Seconds since the epoch.
    """

    def __init__(
        self,
        blobs: BlobStore,
        versions: SignedVersions,
        source: ArtifactSource,
        host: Host,
        now: Callable[[], float],
    ) -> None:
        self._blobs, self._versions, self._source, self._host, self._now = blobs, versions, source, host, now

    def perform(self, action: Resolve | Fetch | Verify | Collect) -> Resolved | Fetched | Verified | StepFailed | None:
        """Does it; what goes wrong is the answer StepFailed."""
        try:
            if isinstance(action, Resolve):
                return self._resolve(action)
            if isinstance(action, Fetch):
                self.fetch(action.release)
                return Fetched(action.slot, action.step)
            if isinstance(action, Verify):
                self._verify(action.release)
                return Verified(action.slot, action.step)
            self._collect(action)
            return None
        except (SanderlingError, OSError) as error:
            if isinstance(action, Collect):
                return None  # the next one does it
            return failed(action.slot, action.step, error)

    def _resolve(self, action: Resolve) -> Resolved:
        wanted = action.wanted
        try:
            (target,) = self._versions.find(trust.version_target(wanted.version))
        except IntegrityError as error:
            # A fleet that was restored, or whose timestamp was late, is put right without the device's doing.
            raise _PassingError(str(error)) from error
        if target is None:
            raise _PassingError(f"[fetch] signed metadata has no {wanted.version}. Push it, or end the rollout")
        if target.digest != wanted.digest:
            # Not fetched: the rules refuse it by the digests.
            return Resolved(action.slot, action.step, Release(wanted.version, target.digest, 0))
        manifest = self._manifest(target)
        if manifest.full_name != wanted.version:
            raise IntegrityError(f"[fetch] the manifest of {wanted.version} says that it is {manifest.full_name}")
        release = Release(wanted.version, target.digest, manifest.release_counter)
        allowed = downgrade_allowed(wanted.downgrade_token, release, self._versions.release_keys(), self._now())
        why_not = manifest.compatibility.why_not(self._host) or ""
        return Resolved(action.slot, action.step, release, why_not, allowed)

    def _manifest(self, target: Target) -> Manifest:
        if not self._blobs.has(target.digest):
            self._blobs.put(self._versions.read(target, _MOST_MANIFEST_BYTES))
        return Manifest.from_bytes(self._blobs.read(target.digest))

    def fetch(self, release: Release) -> None:
        """Gets what is missing of a version whose manifest's digest is trusted.

        Raises:
            NoSpaceError: The disk or the quota is full.
            IntegrityError: A blob's bytes are not those that the manifest names.
            TransportError: The fleet cannot be reached; what came is kept.
        """
        if not self._blobs.has(release.digest):
            parts = self._source.read_blob(release.digest, limit=_MOST_MANIFEST_BYTES)
            self._blobs.append(release.digest, 0, _at_most(parts, _MOST_MANIFEST_BYTES))
            self._blobs.finish(release.digest)
        manifest = Manifest.from_bytes(self._blobs.read(release.digest))
        missing = {
            blob.digest.hex(): blob for blob in manifest.blobs.values() if not self._blobs.has(blob.digest.hex())
        }
        self._blobs.reserve(sum(blob.size - self._blobs.partial_size(digest) for digest, blob in missing.items()))
        for digest, blob in missing.items():
            self._fetch_blob(digest, blob)

    def _fetch_blob(self, digest: str, blob: Blob) -> None:
        have = self._blobs.partial_size(digest)
        if have > blob.size:
            self._blobs.discard_partial(digest)
            have = 0
        if have < blob.size:
            parts = _at_most(self._source.read_blob(digest, have), blob.size - have)
            try:
                for batch in _batches(parts):
                    have = self._blobs.append(digest, have, batch)
            except IntegrityError:
                self._blobs.discard_partial(digest)
                raise
            if have < blob.size:
                raise TransportError(f"[fetch] blob {digest[:16]} was cut off at {have:,} of {blob.size:,} bytes")
        self._blobs.finish(digest)

    def _verify(self, release: Release) -> None:
        """Signed metadata still names it, every byte is the signed one, no format runs code."""
        manifest = Manifest.from_bytes(self._blobs.read(release.digest))
        for name, blob in manifest.blobs.items():
            data = self._blobs.read(blob.digest.hex())
            if len(data) != blob.size:
                raise IntegrityError(f"[verify] {name} has {len(data):,} bytes, the manifest says {blob.size:,}")
            check_blob(name, data)

    def _collect(self, action: Collect) -> None:
        keep = {*action.manifests, *action.blobs, *action.spare}
        # One that runs and is not here is an error: its blobs could not be told from those that nobody needs.
        there = [digest for digest in action.spare if self._blobs.has(digest)]
        for digest in (*action.manifests, *there):
            manifest = Manifest.from_bytes(self._blobs.read(digest))
            keep |= {blob.digest.hex() for blob in manifest.blobs.values()}
        self._blobs.collect(keep)


class _PassingError(IntegrityError):
    """Refused now; may be right later without this device's doing."""


def failed(slot: str, step: int, error: Exception) -> StepFailed:
    """What an error means for an update."""
    if is_full(error):
        return StepFailed(slot, step, Code.NO_SPACE, str(error))
    if isinstance(error, IntegrityError):
        return StepFailed(slot, step, Code.INTEGRITY, str(error), retry=isinstance(error, _PassingError))
    if isinstance(error, TransportError | DeadlineError | AuthError):
        return StepFailed(slot, step, Code.FETCH_FAILED, str(error), retry=True)
    return StepFailed(slot, step, Code.INTERNAL, f"{type(error).__name__}: {error}")


def _at_most(parts: Iterator[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > most:
            raise IntegrityError(f"[fetch] the fleet sends more than the {most:,} bytes that are signed")
        yield part


def _batches(parts: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Parts in groups; a group that an error cut short is handed on before the error."""
    batch: list[bytes] = []
    size = 0
    try:
        for part in parts:
            batch.append(part)
            size += len(part)
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except (TransportError, DeadlineError):
        if batch:
            yield batch
        raise
    if batch:
        yield batch
