"""Private keys on disk: files of mode 0600 in folders of mode 0700, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sanderling.errors import InputError, IntegrityError


def private_folder(path: Path) -> Path:
    """Makes a folder that only its owner may enter, and its parents."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Writes a file that only its owner may read, and flushes it to the disk.

    Args:
        path: Where; its folder exists.
        data: What.
        replace: Take the place of an existing file.

    Raises:
        InputError: The file exists and `replace` is false: a key is never overwritten by accident.
    """
    if path.exists() and not replace:
        raise InputError(f"[write] {path} exists, and keys are not overwritten. Give another folder")
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flushes a folder, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_pem(key: Ed25519PrivateKey | EllipticCurvePrivateKey) -> bytes:
    """PKCS#8, not encrypted: the file's mode guards it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_ed25519(path: Path) -> Ed25519PrivateKey:
    """Reads a key that `write_private` wrote.

    Raises:
        IntegrityError: It is missing, cannot be read or is no Ed25519 key.
    """
    key = _load(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise IntegrityError(f"[key] {path} is no Ed25519 key but {type(key).__name__}")
    return key


def load_p256(path: Path) -> EllipticCurvePrivateKey:
    """Reads a key that `write_private` wrote.

    Raises:
        IntegrityError: It is missing, cannot be read or is no elliptic-curve key.
    """
    key = _load(path)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise IntegrityError(f"[key] {path} is no P-256 key but {type(key).__name__}")
    return key


def _load(path: Path) -> object:
    try:
        return serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        why = getattr(error, "strerror", None) or "it is no private key in PEM"
        raise IntegrityError(f"[key] {path} cannot be read: {why}. Restore it from its backup") from error
