"""TUF on the server: it checks what others signed as a client would, and signs only snapshots and timestamps.

The keys of root, targets and the delegated roles `auto/NAME` are elsewhere, so whoever owns the server can withhold
versions and can make none. Versions of what is signed here are max(last + 1, Unix seconds): a server that was restored
from a backup is not behind its devices.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, unquote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from sanderling.errors import InputError, IntegrityError
from sanderling.trust import DIRECTOR_TARGET, auto_role, version_target
from sanderling.versions import split_version
from sanderling_fleet.trust.director import next_counter

SNAPSHOT_LIFE_SECONDS = 7 * 86400
TIMESTAMP_LIFE_SECONDS = 86400
MOST_ROOT_BYTES = 512_000
MOST_TARGETS_BYTES = 5_000_000
"""python-tuf's own limits: a client refuses larger files."""

_VERSIONS, _SUFFIX = "versions/", ".json"
S = TypeVar("S", Root, Snapshot, Timestamp, Targets)


@dataclass(frozen=True)
class SignedOnline:
    """What the server signs in one go."""

    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]


class OnlineRoles:
    """The two keys that the server holds, and what is signed with them."""

    def __init__(self, snapshot: Ed25519PrivateKey, timestamp: Ed25519PrivateKey) -> None:
        self._snapshot = CryptoSigner(snapshot)
        self._timestamp = CryptoSigner(timestamp)

    def check_named_by(self, root: Metadata[Root]) -> None:
        """Checks that a root names these keys, without which nothing could be published under it.

        Raises:
            IntegrityError: It names others.
        """
        for role, signer in (("snapshot", self._snapshot), ("timestamp", self._timestamp)):
            if signer.public_key.keyid not in root.signed.roles[role].keyids:
                raise IntegrityError(
                    f"[root] names other keys for {role} than this server's {signer.public_key.keyid[:16]}. Sign a "
                    "root that names it"
                )

    def sign(
        self,
        versions: Mapping[str, int],
        last: tuple[Metadata[Snapshot], Metadata[Timestamp]] | None,
        now: float,
    ) -> SignedOnline:
        """A new snapshot and a new timestamp.

        Args:
            versions: Current version of "targets" and of every delegated role.
            last: The former pair. What its snapshot names stays named: clients refuse one that forgets a role.
            now: Seconds since the epoch.
        """
        named = dict(last[0].signed.meta) if last else {}
        named.update({f"{role}.json": MetaFile(version) for role, version in versions.items()})
        snapshot = Metadata(
            Snapshot(
                version=next_counter(now, last[0].signed.version if last else 0),
                expires=_after(now, SNAPSHOT_LIFE_SECONDS),
                meta=named,
            )
        )
        snapshot.sign(self._snapshot)
        return SignedOnline(snapshot, self.sign_timestamp(snapshot, last[1] if last else None, now))

    def sign_timestamp(
        self, snapshot: Metadata[Snapshot], last: Metadata[Timestamp] | None, now: float
    ) -> Metadata[Timestamp]:
        """A new timestamp for a snapshot."""
        timestamp = Metadata(
            Timestamp(
                version=next_counter(now, last.signed.version if last else 0),
                expires=_after(now, TIMESTAMP_LIFE_SECONDS),
                snapshot_meta=MetaFile(snapshot.signed.version),
            )
        )
        timestamp.sign(self._timestamp)
        return timestamp


def file_role(file_name: str) -> tuple[str, int | None]:
    """Splits a metadata file's name as python-tuf asks for it: "3.root.json", "timestamp.json", "7.auto%2Fdigits.json".

    Returns:
        The role, and its version or None for the newest.

    Raises:
        InputError: It is no such name.
    """
    stem = file_name.removesuffix(_SUFFIX)
    if stem == "timestamp" and stem != file_name:
        return stem, None
    version, dot, role = stem.partition(".")
    if stem == file_name or not dot or not version.isascii() or not version.isdigit() or not role:
        raise InputError(f"[metadata] {file_name!r} is no name of a metadata file, such as 3.root.json")
    return unquote(role), int(version)


def role_file(role: str, version: int) -> str:
    """The inverse of `file_role`."""
    return "timestamp.json" if role == "timestamp" else f"{version}.{quote(role, '')}{_SUFFIX}"


def read(kind: type[S], content: bytes, what: str) -> Metadata[S]:
    """Parses metadata without checking who signed it.

    Raises:
        IntegrityError: It is no metadata of this kind, or larger than a client takes.
    """
    most = MOST_ROOT_BYTES if kind is Root else MOST_TARGETS_BYTES
    if len(content) > most:
        raise IntegrityError(f"[{what}] has {len(content):,} bytes, clients take at most {most:,}")
    try:
        metadata: Metadata[S] = Metadata[S].from_bytes(content)
    except (DeserializationError, RepositoryError, ValueError) as error:
        raise IntegrityError(f"[{what}] is no TUF metadata: {error}") from error
    if not isinstance(metadata.signed, kind):
        raise IntegrityError(f"[{what}] is metadata of {metadata.signed.type}, expected {kind.type}")
    return metadata


def check_root(content: bytes, current: Metadata[Root] | None, now: float) -> Metadata[Root]:
    """Checks a root: signed by the former one's keys and by its own, one version on, not expired.

    Args:
        content: The file.
        current: The root in force; None for the very first, which is trusted as it is given.
        now: Seconds since the epoch.

    Raises:
        IntegrityError: It is none of that.
    """
    new = read(Root, content, "root")
    if current is not None:
        _verify("root", new, "root", current)
        if new.signed.version != current.signed.version + 1:
            raise IntegrityError(
                f"[root] has version {new.signed.version}, in force is {current.signed.version}: one step at a time"
            )
    _verify("root", new, "root", new)
    if not new.signed.consistent_snapshot:
        raise IntegrityError("[root] asks for no consistent snapshots. Sign one that does")
    _check_fresh("root", new, now)
    return new


def check_targets(
    role: str,
    content: bytes,
    delegator: Metadata[Root] | Metadata[Targets],
    current: Metadata[Targets] | None,
    now: float,
) -> Metadata[Targets]:
    """Checks targets as a client would, and that they name nothing but versions and the director.

    Args:
        role: "targets", or "auto/NAME".
        content: The file.
        delegator: The root in force for "targets", else the targets in force.
        current: The metadata of this role in force.
        now: Seconds since the epoch.

    Raises:
        IntegrityError: The signatures do not meet the threshold, the version is not newer, it has expired, or it names
            a target or a delegation that it may not.
    """
    new = read(Targets, content, role)
    _verify(role, new, role, delegator)
    if current is not None and new.signed.version <= current.signed.version:
        raise IntegrityError(
            f"[{role}] has version {new.signed.version}, in force is {current.signed.version}. Take the newest "
            "and sign anew"
        )
    _check_fresh(role, new, now)
    for path, target in new.signed.targets.items():
        if "sha256" not in target.hashes:
            raise IntegrityError(f"[{role}] target {path!r} has no SHA-256")
        if path == DIRECTOR_TARGET and role == "targets":
            continue
        model, _ = split_version(target_version(path))
        if role not in ("targets", auto_role(model)):
            raise IntegrityError(f"[{role}] names {path!r}, which is a version of another model")
    _check_delegations(role, new.signed)
    return new


def target_version(path: str) -> str:
    """The NAME-VERSION of "versions/NAME/VERSION.json".

    Raises:
        IntegrityError: It is another path.
    """
    name, slash, version = path.removeprefix(_VERSIONS).removesuffix(_SUFFIX).partition("/")
    if not slash or version_target(f"{name}-{version}") != path:
        raise IntegrityError(f"[targets] name {path!r}, allowed are {_VERSIONS}NAME/VERSION.json and {DIRECTOR_TARGET}")
    return f"{name}-{version}"


def delegated_paths(model: str) -> list[str]:
    """What `auto/NAME` is trusted for. A star of TUF stands for no slash."""
    return [f"{_VERSIONS}{model}/*{_SUFFIX}"]


def digest_of(target: TargetFile) -> bytes:
    """SHA-256 of a target, 32 bytes.

    Raises:
        IntegrityError: It is no such digest.
    """
    try:
        digest = bytes.fromhex(target.hashes["sha256"])
    except (KeyError, ValueError) as error:
        raise IntegrityError(f"[targets] {target.path!r} has no readable SHA-256") from error
    if len(digest) != 32:
        raise IntegrityError(f"[targets] {target.path!r} has a SHA-256 of {len(digest)} bytes")
    return digest


def _check_delegations(role: str, targets: Targets) -> None:
    delegations = targets.delegations
    if delegations is None:
        return
    if role != "targets" or delegations.succinct_roles is not None:
        raise IntegrityError(f"[{role}] delegates, which only targets may, and only to roles named auto/NAME")
    for name, delegated in (delegations.roles or {}).items():
        model = name.removeprefix(auto_role(""))
        if name != auto_role(model) or not delegated.terminating or delegated.paths != delegated_paths(model):
            raise IntegrityError(
                f"[targets] delegates {delegated.paths} to {name!r}, allowed is auto/NAME, terminating, for "
                f"{delegated_paths('NAME')[0]}"
            )


def _verify(
    what: str, new: Metadata[Root] | Metadata[Targets], role: str, by: Metadata[Root] | Metadata[Targets]
) -> None:
    try:
        by.signed.verify_delegate(role, new.signed_bytes, new.signatures)
    except (RepositoryError, ValueError) as error:
        raise IntegrityError(
            f"[{what}] is not signed by keys that {by.signed.type} version {by.signed.version} trusts: {error}. Sign "
            "it with the release folder's keys"
        ) from error


def _check_fresh(what: str, metadata: Metadata[Root] | Metadata[Targets], now: float) -> None:
    if metadata.signed.is_expired(dt.datetime.fromtimestamp(now, dt.UTC)):
        raise IntegrityError(f"[{what}] expired on {metadata.signed.expires:%Y-%m-%d}. Sign it anew")


def _after(now: float, seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(now + seconds), dt.UTC)
