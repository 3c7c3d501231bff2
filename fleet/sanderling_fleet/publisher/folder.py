"""The publisher's folder, which only its owner may enter. It lies where releases are made, never on the server.

publisher.key    signs versions of one model, in the TUF role auto/MODEL
publisher.pub    its public half, for who delegates the role
publisher.toml   the policy
auto.json        the metadata that was signed last, written before it is sent
pending.json     what is being published; a publisher that was killed goes on with it
*.sanderling     the versions that it signed: a server that lost them gets them again
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, TargetFile, Targets

from sanderling.errors import InputError, IntegrityError
from sanderling.trust import auto_role, version_target
from sanderling.versions import Manifest, split_version
from sanderling_fleet.config import from_table
from sanderling_fleet.publisher.policy import POLICIES, Canary
from sanderling_fleet.trust import tuf_repository
from sanderling_fleet.trust.keys import load_ed25519, private_folder, sync_folder, to_pem, write_private
from sanderling_fleet.trust.release import sign_delegated

_KEY, _PUBLIC, _SETTINGS, _SIGNED, _PENDING = (
    "publisher.key",
    "publisher.pub",
    "publisher.toml",
    "auto.json",
    "pending.json",
)
_SUFFIX = ".sanderling"
_log = logging.getLogger(__name__)
RENEW_SECONDS = 45 * 86400.0
"""Before its metadata expires; half of what it lives."""


@dataclass(frozen=True)
class PublisherSettings:
    """What a publisher does.

    Attributes:
        model: Whose versions it signs.
        policy: "manual" (a person names each draft) or "auto-canary".
        holdout: A file of labelled rows of its own, relative to the folder, or empty; see `least_accuracy`.
        least_accuracy: What a draft must reach on these rows, surely (exact bound at 95 %): figures that the server
            shows need not be believed.
        canary: The rollout that auto-canary asks for.
    """

    model: str = ""
    policy: str = "manual"
    holdout: str = ""
    least_accuracy: float = 0.0
    canary: Canary = field(default_factory=Canary)

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: The model has no name that a version could have, the policy is none, or only one of holdout and
                least_accuracy is given.
        """
        try:
            split_version(f"{self.model}-1")
        except IntegrityError as error:
            raise InputError(
                f"[publisher] {self.model!r} is no name of a model: lower-case letters, digits, _ and -, begun by a "
                "letter, such as digits or resnet-50"
            ) from error
        if self.policy not in POLICIES:
            raise InputError(f"[publisher] policy is {self.policy!r}, expected {' or '.join(POLICIES)}")
        if bool(self.holdout) != (self.least_accuracy > 0.0) or not 0.0 <= self.least_accuracy < 1.0:
            raise InputError(
                f"[publisher] holdout {self.holdout!r} and least_accuracy {self.least_accuracy}: give both, the second "
                "below 1, or none"
            )


@dataclass(frozen=True)
class Pending:
    """What was decided and may not have been done; digests are SHA-256, hexadecimal."""

    job_id: str
    version: str
    slot: str
    draft_digest: str
    canary: bool


class PublisherFolder:
    """An open publisher's folder."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder that `create` made.

        Raises:
            InputError: publisher.toml is refused.
            IntegrityError: The key or the signed metadata is missing or damaged.
        """
        self.folder = folder
        self.settings = _load_settings(folder / _SETTINGS)
        self._key = load_ed25519(folder / _KEY)
        self._signed: bytes | None = None
        self._read_signed()

    @classmethod
    def create(cls, folder: Path, settings: PublisherSettings) -> PublisherFolder:
        """Makes a key and the settings.

        Raises:
            InputError: The folder has something in it: a key is never overwritten, nor other files' folder closed.
        """
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"[publisher] {folder} is not empty. Give a new folder")
        private_folder(folder)
        key = Ed25519PrivateKey.generate()
        write_private(folder / _KEY, to_pem(key))
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        write_private(folder / _PUBLIC, public, replace=True)
        values = dataclasses.asdict(settings)
        text = "\n".join([*_toml(values, "canary"), "", "[canary]", *_toml(values["canary"]), ""])
        write_private(folder / _SETTINGS, text.encode(), replace=True)
        return cls(folder)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from working in the folder meanwhile, and takes over what they have signed before.

        A publisher that runs and a person who signs may meet. The kernel lets go when a process ends, however it ends.
        """
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.warning("another publisher works in %s: waiting for it", self.folder)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._read_signed()
            yield
        finally:
            os.close(descriptor)

    @property
    def role(self) -> str:
        """The TUF role that it signs."""
        return auto_role(self.settings.model)

    @property
    def signed(self) -> bytes | None:
        """The metadata that was signed last."""
        return self._signed

    def signed_version(self) -> int:
        """Version of the metadata that was signed last; 0 if none was."""
        return tuf_repository.read(Targets, self._signed, self.role).signed.version if self._signed else 0

    def names(self, manifest: Manifest) -> bool:
        """Whether what was signed last names this version.

        Raises:
            IntegrityError: It names it with another manifest: a version never changes.
        """
        target = self._targets().get(version_target(manifest.full_name))
        if target is None:
            return False
        signed = tuf_repository.digest_of(target)
        if signed != manifest.digest:
            raise IntegrityError(
                f"[publisher] {manifest.full_name} was signed with the manifest {signed.hex()[:16]}, now it is "
                f"{manifest.digest.hex()[:16]}. A version never changes"
            )
        return True

    def sign(self, manifest: Manifest, now: float) -> bytes:
        """Signs metadata that names a version beside those of before, and remembers it before anyone sees it."""
        self._remember(sign_delegated(self.settings.model, self._key, self._signed, [manifest], now))
        assert self._signed is not None
        return self._signed

    def give_up(self, manifest: Manifest, now: float) -> None:
        """Signs metadata without a version that can no longer be published, if what was signed last names it."""
        if self.names(manifest):
            self._remember(
                sign_delegated(self.settings.model, self._key, self._signed, [], now, without=[manifest.full_name])
            )

    def renew(self, now: float) -> bool:
        """Signs the same versions for longer if less than `RENEW_SECONDS` are left; True if it did."""
        if self._signed is None:
            return False
        expires = tuf_repository.read(Targets, self._signed, self.role).signed.expires.timestamp()
        if expires - now >= RENEW_SECONDS:
            return False
        self._remember(sign_delegated(self.settings.model, self._key, self._signed, [], now))
        return True

    def adopt(self, content: bytes, now: float) -> bool:
        """Takes over metadata that the server has, if this key signed it and it is newer: the folder was restored.

        A key that has signed no version yet may follow a former publisher's. Then nothing is taken over but the number
        of the metadata's version, and metadata above it is signed that names no version: what the former publisher
        signed is no longer vouched for.

        Args:
            content: What the server has.
            now: Seconds since the epoch.

        Returns:
            True if this key now follows another.

        Raises:
            IntegrityError: Another key signed it, above what this one has signed: whoever owns the server must not slip
                a version in.
        """
        version = tuf_repository.read(Targets, content, self.role).signed.version
        try:
            self._check_own(content)
        except IntegrityError:
            if version < self.signed_version():
                return False  # the server has not got ours yet
            if self._targets():
                raise
            self._remember(sign_delegated(self.settings.model, self._key, None, [], now, after=version))
            return True
        if version > self.signed_version():
            self._remember(content)
        return False

    def keep_bundle(self, version: str, content: bytes) -> None:
        """Keeps a version's bundle before it is signed."""
        split_version(version)
        write_private(self.folder / (version + _SUFFIX), content, replace=True)

    def bundle(self, version: str) -> bytes:
        """A bundle that was kept.

        Raises:
            IntegrityError: It is not here.
        """
        split_version(version)
        path = self.folder / (version + _SUFFIX)
        try:
            return path.read_bytes()
        except OSError as error:
            raise IntegrityError(f"[publisher] {path} cannot be read: {error.strerror}. Restore it") from error

    def kept(self) -> list[str]:
        """Versions that are signed and whose bundles are here."""
        names = sorted(path.name.removesuffix(_SUFFIX) for path in self.folder.glob(f"*{_SUFFIX}"))
        targets = self._targets()
        return [name for name in names if version_target(name) in targets]

    def holdout(self) -> bytes:
        """The publisher's own rows.

        Raises:
            InputError: The file cannot be read.
        """
        path = self.folder / self.settings.holdout
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(
                f"[publisher] the holdout {path} cannot be read: {error.strerror}. Put it there, or correct "
                f"{self.folder / _SETTINGS}"
            ) from error

    def pending(self) -> Pending | None:
        """What was decided and may not have been done."""
        path = self.folder / _PENDING
        if not path.exists():
            return None
        try:
            return Pending(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise IntegrityError(
                f"[publisher] {path} is damaged: {error}. Delete it; the draft is offered again"
            ) from error

    def decide(self, pending: Pending) -> None:
        """Remembers what is to be published."""
        write_private(self.folder / _PENDING, json.dumps(dataclasses.asdict(pending)).encode(), replace=True)

    def done(self) -> None:
        """Forgets what was pending."""
        (self.folder / _PENDING).unlink(missing_ok=True)
        sync_folder(self.folder)

    def forget(self, version: str) -> None:
        """Deletes a bundle that was kept and is not published."""
        split_version(version)
        (self.folder / (version + _SUFFIX)).unlink(missing_ok=True)

    def _targets(self) -> dict[str, TargetFile]:
        return tuf_repository.read(Targets, self._signed, self.role).signed.targets if self._signed else {}

    def _read_signed(self) -> None:
        signed = self.folder / _SIGNED
        self._signed = signed.read_bytes() if signed.exists() else None
        if self._signed is not None:
            self._check_own(self._signed)

    def _remember(self, content: bytes) -> None:
        write_private(self.folder / _SIGNED, content, replace=True)
        self._signed = content

    def _check_own(self, content: bytes) -> None:
        metadata = tuf_repository.read(Targets, content, self.role)
        key = SSlibKey.from_crypto(self._key.public_key())
        trust = Targets(delegations=Delegations({}, {}))
        assert trust.delegations is not None
        assert trust.delegations.roles is not None
        trust.delegations.roles[self.role] = DelegatedRole(self.role, [], 1, terminating=True, paths=["*"])
        trust.add_key(key, self.role)
        try:
            Metadata(trust).signed.verify_delegate(self.role, metadata.signed_bytes, metadata.signatures)
        except RepositoryError as error:
            raise IntegrityError(
                f"[publisher] metadata of {self.role}, version {metadata.signed.version}, was not signed by this "
                "folder's key. Is another publisher at work, or is the server not to be trusted?"
            ) from error


def load_public(path: Path) -> Ed25519PublicKey:
    """Reads publisher.pub.

    Raises:
        IntegrityError: It cannot be read, or is no Ed25519 key.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise IntegrityError(
            f"[publisher] {path} is no public key in PEM. Give the publisher's publisher.pub"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise IntegrityError(f"[publisher] {path} is no Ed25519 key but {type(key).__name__}")
    return key


def _toml(values: Mapping[str, Any], *without: str) -> list[str]:
    # JSON's texts and numbers are TOML's.
    return [f"{key} = {json.dumps(value)}" for key, value in values.items() if key not in without]


def _load_settings(path: Path) -> PublisherSettings:
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(
            f"[publisher] {path} cannot be read: {error.strerror}. Make it: sanderling publisher init"
        ) from error
    except ValueError as error:
        raise InputError(f"[publisher] {path} is no TOML: {error}. Correct it") from error
    canary = from_table(Canary, values.pop("canary", {}), f"{path} [canary]")
    plain = from_table(_Plain, values, str(path))
    return PublisherSettings(**dataclasses.asdict(plain), canary=canary)


@dataclass(frozen=True)
class _Plain:
    model: str = ""
    policy: str = "manual"
    holdout: str = ""
    least_accuracy: float = 0.0
