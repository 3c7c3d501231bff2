"""The release folder: keys and metadata that never lie on the server. Everything here runs where releases are made.

root.key      signs root.json: whom the fleet trusts. To be kept offline.
targets.key   signs targets.json: which versions exist, and downgrade tokens
root.json, targets.json   as last signed here
root.next.json            signed, and perhaps not yet with the server
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets

from sanderling.api.device.v1 import device_pb2
from sanderling.errors import InputError, IntegrityError
from sanderling.trust import (
    DIRECTOR_TARGET,
    DOWNGRADE_CONTEXT,
    auto_role,
    director_document,
    key_id,
    sign,
    version_target,
)
from sanderling.versions import Manifest
from sanderling_fleet.trust import tuf_repository
from sanderling_fleet.trust.keys import load_ed25519, private_folder, to_pem, write_private

_NEXT_ROOT = "root.next.json"
ROOT_LIFE_SECONDS = 365 * 86400
TARGETS_LIFE_SECONDS = 90 * 86400


class ReleaseFolder:
    """The release role of a fleet, with root beside it."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder that `create` made.

        Raises:
            InputError: It is no release folder.
            IntegrityError: A key or file is missing or damaged.
        """
        self.folder = folder
        if not (folder / "root.json").exists():
            raise InputError(
                f"[release] {folder} is no release folder: it has no root.json. Give the one that init made"
            )
        self._targets_key = load_ed25519(folder / "targets.key")
        self.root = tuf_repository.read(Root, _content(folder / "root.json"), "root")
        self.targets = tuf_repository.read(Targets, _content(folder / "targets.json"), "targets")

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        snapshot: Ed25519PublicKey,
        timestamp: Ed25519PublicKey,
        director: Ed25519PublicKey,
        now: float,
    ) -> ReleaseFolder:
        """Makes root and targets keys (1 of 1) and the first root and targets.

        Args:
            folder: New, or empty.
            snapshot: The server's key for that role.
            timestamp: The server's key for that role.
            director: The server's key for desired states.
            now: Seconds since the epoch.
        """
        private_folder(folder)
        root_key, targets_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        root = Root(expires=_after(now, ROOT_LIFE_SECONDS), consistent_snapshot=True)
        for role, public in (
            ("root", root_key.public_key()),
            ("targets", targets_key.public_key()),
            ("snapshot", snapshot),
            ("timestamp", timestamp),
        ):
            root.add_key(SSlibKey.from_crypto(public), role)
        signed_root = Metadata(root)
        signed_root.sign(CryptoSigner(root_key))
        targets = Targets(expires=_after(now, TARGETS_LIFE_SECONDS))
        document = director_document(director)
        targets.targets[DIRECTOR_TARGET] = TargetFile.from_data(DIRECTOR_TARGET, document, ["sha256"])
        signed_targets = Metadata(targets)
        signed_targets.sign(CryptoSigner(targets_key))
        write_private(folder / "root.key", to_pem(root_key))
        write_private(folder / "targets.key", to_pem(targets_key))
        write_private(folder / "root.json", signed_root.to_bytes())
        write_private(folder / "targets.json", signed_targets.to_bytes())
        return cls(folder)

    def adopt(self, content: bytes) -> bool:
        """Takes over targets that the server has, if this folder's key signed them and they are newer.

        Returns:
            False if what lies here is newer: the server lost something, and wants it pushed again.

        Raises:
            IntegrityError: The server's are not signed by the release role.
        """
        theirs = tuf_repository.read(Targets, content, "targets")
        try:
            self.root.signed.verify_delegate("targets", theirs.signed_bytes, theirs.signatures)
        except RepositoryError as error:
            raise IntegrityError(
                f"[release] the server's targets, version {theirs.signed.version}, are not signed by this folder's "
                "role. Is it another fleet's server?"
            ) from error
        if theirs.signed.version > self.targets.signed.version:
            write_private(self.folder / "targets.json", content, replace=True)
            self.targets = theirs
        return theirs.signed.version >= self.targets.signed.version

    def add(self, manifests: Iterable[Manifest], now: float) -> bytes:
        """Signs targets that name these versions beside those of before.

        The file here is replaced only by `keep`, once the server took it.

        Raises:
            InputError: A version of that name, with another manifest, was signed before.
        """
        draft = self._draft(now)
        for manifest in manifests:
            path, content = version_target(manifest.full_name), manifest.to_bytes()
            target = TargetFile.from_data(path, content, ["sha256"])
            if draft.targets.get(path, target).hashes != target.hashes:
                raise InputError(
                    f"[release] {manifest.full_name} was signed with another manifest. A version never changes: give a "
                    "new version number"
                )
            draft.targets[path] = target
        return self._sign(draft)

    def withdraw(self, versions: Iterable[str], now: float) -> bytes:
        """Signs targets without these versions.

        Raises:
            InputError: One is not named.
        """
        draft = self._draft(now)
        for version in versions:
            if draft.targets.pop(version_target(version), None) is None:
                raise InputError(f"[release] {version} is not among the signed versions")
        return self._sign(draft)

    def delegate(self, model: str, publisher: Ed25519PublicKey, now: float) -> bytes:
        """Signs targets that let `publisher` sign versions of one model, in place of a former publisher."""
        draft = self._draft(now)
        if draft.delegations is None:
            draft.delegations = Delegations({}, {})
        assert draft.delegations.roles is not None
        draft.delegations.roles[auto_role(model)] = DelegatedRole(
            auto_role(model), [], 1, terminating=True, paths=tuf_repository.delegated_paths(model)
        )
        draft.add_key(SSlibKey.from_crypto(publisher), auto_role(model))
        return self._sign(draft)

    def keep(self, content: bytes) -> None:
        """Remembers targets that the server took."""
        self.targets = tuf_repository.read(Targets, content, "targets")
        write_private(self.folder / "targets.json", content, replace=True)

    def renew_root(self, now: float) -> bytes:
        """Signs the root for another year; needs root.key back in the folder.

        What was signed and not kept is given again: the server may have taken it, and takes no other of its version.

        Raises:
            IntegrityError: root.key is not here, or what was signed is damaged.
        """
        key = load_ed25519(self.folder / "root.key")
        waiting = self.folder / _NEXT_ROOT
        if waiting.exists():
            content = _content(waiting)
            if tuf_repository.read(Root, content, "root").signed.version == self.root.signed.version + 1:
                return content
        root = tuf_repository.read(Root, self.root.to_bytes(), "root").signed
        root.version += 1
        root.expires = _after(now, ROOT_LIFE_SECONDS)
        metadata = Metadata(root)
        metadata.sign(CryptoSigner(key))
        content = metadata.to_bytes()
        write_private(waiting, content, replace=True)
        return content

    def keep_root(self, content: bytes) -> None:
        """Remembers a root that the server took."""
        self.root = tuf_repository.read(Root, content, "root")
        write_private(self.folder / "root.json", content, replace=True)
        (self.folder / _NEXT_ROOT).unlink(missing_ok=True)

    def downgrade_token(self, manifest: Manifest, expires_at: float) -> bytes:
        """Permits devices to install a version though its release counter is lower than theirs.

        Args:
            manifest: Of the older version.
            expires_at: Seconds since the epoch.

        Returns:
            A device.v1.SignedDowngradeToken.
        """
        token = device_pb2.DowngradeToken(
            model=manifest.name, version=manifest.full_name, manifest_digest=manifest.digest
        )
        token.expires_at.FromNanoseconds(int(expires_at * 1e9))
        payload = token.SerializeToString(deterministic=True)
        return device_pb2.SignedDowngradeToken(
            token=payload,
            key_id=key_id(self._targets_key.public_key()),
            signature=sign(self._targets_key, DOWNGRADE_CONTEXT, payload),
        ).SerializeToString()

    def _draft(self, now: float) -> Targets:
        draft = tuf_repository.read(Targets, self.targets.to_bytes(), "targets").signed
        draft.version += 1
        draft.expires = _after(now, TARGETS_LIFE_SECONDS)
        return draft

    def _sign(self, draft: Targets) -> bytes:
        metadata = Metadata(draft)
        metadata.sign(CryptoSigner(self._targets_key))
        return metadata.to_bytes()


def sign_delegated(
    model: str,
    key: Ed25519PrivateKey,
    current: bytes | None,
    manifests: Sequence[Manifest],
    now: float,
    *,
    without: Sequence[str] = (),
    after: int = 0,
) -> bytes:
    """What a publisher signs: versions of its model, in the role `auto/NAME`.

    Args:
        model: NAME.
        key: The publisher's.
        current: The role's newest metadata, or None for its first.
        manifests: To be added.
        now: Seconds since the epoch.
        without: Versions ("NAME-VERSION") that it no longer names.
        after: Version of a former publisher's metadata, which that of a first one must exceed.
    """
    targets = Targets(version=after + 1)
    if current is not None:
        targets = tuf_repository.read(Targets, current, auto_role(model)).signed
        targets.version += 1
    targets.expires = _after(now, TARGETS_LIFE_SECONDS)
    for version in without:
        targets.targets.pop(version_target(version), None)
    for manifest in manifests:
        path = version_target(manifest.full_name)
        targets.targets[path] = TargetFile.from_data(path, manifest.to_bytes(), ["sha256"])
    metadata = Metadata(targets)
    metadata.sign(CryptoSigner(key))
    return metadata.to_bytes()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise IntegrityError(
            f"[release] {path} cannot be read: {error.strerror}. Restore it from its backup"
        ) from error


def _after(now: float, seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(now + seconds), dt.UTC)
