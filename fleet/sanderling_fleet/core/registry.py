"""Versions of models: metadata signed elsewhere comes in, is checked as a client would, and becomes visible."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tuf.api.metadata import Metadata as Signed
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from sanderling.errors import InputError, IntegrityError
from sanderling.trust import DIRECTOR_TARGET, auto_role, director_keys, key_id
from sanderling.versions import Manifest, check_blob
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.core.alerts import raise_alert, resolve_alert
from sanderling_fleet.core.check_in import STALE_ALERT
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.messages import Published
from sanderling_fleet.store import Metadata, Transaction, Version
from sanderling_fleet.store.blobs import read_blob
from sanderling_fleet.trust import tuf_repository as tuf

RESIGN_SHARE = 0.5
"""Snapshot and timestamp are signed anew when less of their life is left."""
WARN_DAYS = 30.0
"""An alert is raised when what others sign has no more days left."""
EXPIRY_ALERT = "registry.expiring"


async def initialise(core: Core, root: bytes, targets: bytes) -> None:
    """Takes the first root as it is given, and targets under it.

    Raises:
        InputError: There is a root already.
        IntegrityError: They do not fit each other or this server.
    """
    now = core.clock.now()
    checked = tuf.check_root(root, None, now)
    core.roles.check_named_by(checked)
    async with core.store.transaction() as tx:
        if await newest(tx, "root") is not None:
            raise InputError("[registry] this server has a root already")
        await _keep(tx, "root", checked, root)
    await publish(core, "targets", targets)


async def publish(core: Core, role: str, content: bytes) -> Published:
    """Takes metadata that was signed outside; the same bytes again change nothing.

    Args:
        core: The fleet.
        role: "root", "targets" or "auto/NAME".
        content: The file.

    Raises:
        InputError: There is no such role, or a blob that it needs was not uploaded.
        IntegrityError: A client would refuse it, or a manifest that it names is refused.
    """
    async with core.store.transaction() as tx:
        current = await newest(tx, role)
        if current is not None and current.content == content:
            return Published(*await _online_versions(tx))
        checked = await _check(core, tx, role, content)
        known = {version.name: version for version in await tx.find(Version)}
    manifests = await _read_manifests(core, role, checked, known) if isinstance(checked.signed, Targets) else {}
    async with core.store.transaction() as tx:
        await _check(core, tx, role, content)
        await _keep(tx, role, checked, content)
        if not isinstance(checked.signed, Targets):
            return Published(*await _sign(core, tx, {}))
        added = await _show(core, tx, role, manifests)
        return Published(*await _sign(core, tx, {role: checked.signed.version}), added)


async def metadata_file(core: Core, file_name: str) -> bytes | None:
    """A metadata file as python-tuf asks for it; None if there is none.

    Raises:
        InputError: It is no such name.
    """
    role, version = tuf.file_role(file_name)
    async with core.store.transaction() as tx:
        found = await newest(tx, role) if version is None else await tx.get(Metadata, role, version)
    return found.content if found else None


async def role_metadata(core: Core, role: str) -> bytes:
    """The newest metadata of a role.

    Raises:
        InputError: There is none yet.
    """
    async with core.store.transaction() as tx:
        found = await newest(tx, role)
    if found is None:
        raise InputError(f"[registry] there is no metadata of {role!r} yet")
    return found.content


async def list_versions(core: Core, model: str = "") -> list[Version]:
    """Versions that are not withdrawn, of one model or all, by name."""
    where = {"model": model, "withdrawn": False} if model else {"withdrawn": False}
    async with core.store.transaction() as tx:
        return await tx.find(Version, where)


async def get_version(core: Core, name: str) -> Version:
    """A version, withdrawn or not.

    Raises:
        InputError: There is none of that name.
    """
    async with core.store.transaction() as tx:
        version = await tx.get(Version, name)
    if version is None:
        raise InputError(f"[registry] there is no version {name!r}. List those there are: sanderling model ls")
    return version


async def resign(core: Core, *, force: bool = False) -> bool:
    """Signs snapshot and timestamp anew before they expire; True if it did.

    Args:
        core: The fleet.
        force: Also when they are fresh. A server does so when it starts: if it was restored from a backup, its devices
            have seen newer ones than it remembers.
    """
    now = core.clock.now()
    async with core.store.transaction() as tx:
        snapshot, timestamp = await newest(tx, "snapshot"), await newest(tx, "timestamp")
        if snapshot is None or timestamp is None:
            return False
        if force or snapshot.expires_at - now < RESIGN_SHARE * tuf.SNAPSHOT_LIFE_SECONDS:
            await _sign(core, tx, {})
        elif timestamp.expires_at - now < RESIGN_SHARE * tuf.TIMESTAMP_LIFE_SECONDS:
            fresh = core.roles.sign_timestamp(
                tuf.read(Snapshot, snapshot.content, "snapshot"),
                tuf.read(Timestamp, timestamp.content, "timestamp"),
                now,
            )
            await _keep_timestamp(tx, fresh)
        else:
            return False
    return True


async def warn_of_expiry(core: Core) -> None:
    """Raises an alert for metadata that only the release folder can sign anew, while there is time to."""
    now = core.clock.now()
    async with core.store.transaction() as tx:
        for role in {file.role for file in await tx.find(Metadata)} - {"snapshot", "timestamp"}:
            current = await newest(tx, role)
            assert current is not None, role
            days = (current.expires_at - now) / 86400
            if days > WARN_DAYS:
                await resolve_alert(tx, now, EXPIRY_ALERT, role)
                continue
            when = f"expires in {days:.0f} days" if days > 0 else f"expired {-days:.0f} days ago"
            how = {"root": "sanderling fleet renew-root", "targets": "sanderling model push"}.get(
                role, "the publisher does, while it runs: sanderling publisher run"
            )
            summary = f"the metadata of {role} {when}; then devices install nothing new. Sign it: {how}"
            severity = Severity.WARNING if days > WARN_DAYS / 2 else Severity.ERROR
            await raise_alert(tx, now, Alert(EXPIRY_ALERT, severity, summary), role)


async def newest(tx: Transaction, role: str) -> Metadata | None:
    """The metadata of a role in force."""
    return next(iter(await tx.find(Metadata, {"role": role}, newest_first=True, limit=1)), None)


async def _check(core: Core, tx: Transaction, role: str, content: bytes) -> Signed[Root] | Signed[Targets]:
    now = core.clock.now()
    root_file, targets_file, current = await newest(tx, "root"), await newest(tx, "targets"), await newest(tx, role)
    if root_file is None:
        raise InputError("[registry] this server has no root yet. Make it with: sanderling fleet init")
    root = tuf.read(Root, root_file.content, "root")
    if role == "root":
        checked = tuf.check_root(content, root, now)
        core.roles.check_named_by(checked)
        return checked
    former = tuf.read(Targets, current.content, role) if current else None
    if role == "targets":
        return tuf.check_targets(role, content, root, former, now)
    if not role.startswith(auto_role("")) or targets_file is None:
        raise InputError(f"[registry] there is no role {role!r}, expected root, targets or auto/NAME")
    return tuf.check_targets(role, content, tuf.read(Targets, targets_file.content, "targets"), former, now)


async def _read_manifests(
    core: Core, role: str, checked: Signed[Targets], known: Mapping[str, Version]
) -> dict[str, tuple[Manifest, bytes]]:
    """Manifests by name, with their bytes; those that are not known yet are checked with all their blobs."""
    manifests = {}
    for path, target in checked.signed.targets.items():
        digest = tuf.digest_of(target)
        size = await core.blobs.size(digest)
        if size != target.length:
            raise InputError(
                f"[registry] {path} has {target.length:,} bytes in the metadata, "
                f"{'none' if size is None else f'{size:,}'} here. Upload it before the metadata"
            )
        content = await read_blob(core.blobs, digest)
        if path == DIRECTOR_TARGET:
            if key_id(core.director.public_key) not in director_keys(content):
                raise IntegrityError(f"[registry] {path} does not name this server's director: devices would refuse it")
            continue
        manifest = Manifest.from_bytes(content)
        if manifest.full_name != tuf.target_version(path):
            raise IntegrityError(f"[registry] {path} is the manifest of {manifest.full_name}")
        seen = known.get(manifest.full_name)
        if seen is None or seen.manifest_digest != digest:
            await _check_blobs(core, manifest)
        manifests[manifest.full_name] = (manifest, content)
    if role == "targets" and DIRECTOR_TARGET not in checked.signed.targets:
        raise IntegrityError(f"[registry] targets name no {DIRECTOR_TARGET}: devices would believe no desired state")
    return manifests


async def _check_blobs(core: Core, manifest: Manifest) -> None:
    for name, blob in manifest.blobs.items():
        size = await core.blobs.size(blob.digest)
        if size != blob.size:
            raise InputError(
                f"[registry] {manifest.full_name} wants {name!r} with {blob.size:,} bytes, here are "
                f"{'none' if size is None else f'{size:,}'}. Upload it before the metadata"
            )
        check_blob(name, await read_blob(core.blobs, blob.digest))


async def _show(
    core: Core, tx: Transaction, role: str, manifests: Mapping[str, tuple[Manifest, bytes]]
) -> Sequence[Version]:
    now, added = core.clock.now(), []
    known = {version.name: version for version in await tx.find(Version)}
    counters: dict[str, int] = {}
    for version in known.values():
        counters[version.model] = max(counters.get(version.model, 0), version.release_counter)
        if version.role == role and version.withdrawn != (version.name not in manifests):
            await tx.put(dataclasses.replace(version, withdrawn=not version.withdrawn))
    for name, (manifest, content) in sorted(manifests.items(), key=lambda item: item[1][0].release_counter):
        if name in known:
            if known[name].manifest_digest != manifest.digest:
                raise IntegrityError(f"[registry] {name} was published with another manifest: a version never changes")
            continue
        highest = counters.get(manifest.name, 0)
        if manifest.release_counter <= highest:
            raise IntegrityError(
                f"[registry] {name} has release counter {manifest.release_counter}, {manifest.name} has reached "
                f"{highest}. Give it a higher one"
            )
        counters[manifest.name] = manifest.release_counter
        size = sum(blob.size for blob in manifest.blobs.values())
        version = Version(
            name, manifest.name, manifest.release_counter, manifest.digest, size, role, now, content.decode(), False
        )
        await tx.put(version)
        await resolve_alert(tx, now, STALE_ALERT, name)
        added.append(version)
    return added


async def _sign(core: Core, tx: Transaction, versions: Mapping[str, int]) -> tuple[int, int]:
    """Signs a pair that names `versions` beside what was named before; returns the pair's versions."""
    snapshot, timestamp = await newest(tx, "snapshot"), await newest(tx, "timestamp")
    last = None
    if snapshot is not None and timestamp is not None:
        last = tuf.read(Snapshot, snapshot.content, "snapshot"), tuf.read(Timestamp, timestamp.content, "timestamp")
    signed = core.roles.sign(versions, last, core.clock.now())
    await _keep(tx, "snapshot", signed.snapshot, signed.snapshot.to_bytes())
    await _keep_timestamp(tx, signed.timestamp)
    return signed.snapshot.signed.version, signed.timestamp.signed.version


async def _online_versions(tx: Transaction) -> tuple[int, int]:
    snapshot, timestamp = await newest(tx, "snapshot"), await newest(tx, "timestamp")
    return (snapshot.version if snapshot else 0), (timestamp.version if timestamp else 0)


async def _keep_timestamp(tx: Transaction, signed: Signed[Timestamp]) -> None:
    # Clients ask for the newest only.
    for old in await tx.find(Metadata, {"role": "timestamp"}):
        await tx.delete(Metadata, *old.key())
    await _keep(tx, "timestamp", signed, signed.to_bytes())


async def _keep(
    tx: Transaction,
    role: str,
    signed: Signed[Root] | Signed[Targets] | Signed[Snapshot] | Signed[Timestamp],
    content: bytes,
) -> None:
    await tx.put(Metadata(role, signed.signed.version, content, signed.signed.expires.timestamp()))
