"""Reads a version from a content-addressed folder: blobs/aa/HEXDIGEST, aa being the digest's first two hex digits.

Nothing is trusted: what is read is hashed, and what was hashed is used. Needs no NumPy.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sanderling.errors import IntegrityError, ModelError
from sanderling.versions._formats import check_blob
from sanderling.versions._manifest import GOLDEN, MODEL, MOST_MANIFEST_BYTES, REFERENCE, Manifest, Tensor


@dataclass(frozen=True)
class StoredVersion:
    """What it takes to run a version.

    Attributes:
        manifest: What it is.
        model: ONNX.
        reference: Of its drift.Reference; None without one.
        golden: Of its golden samples; None without.
    """

    manifest: Manifest
    model: bytes
    reference: bytes | None
    golden: bytes | None


class Spec(Protocol):
    """An input or output as the model has it: `TensorSpec`."""

    @property
    def name(self) -> str:
        """The tensor's name."""

    @property
    def dtype(self) -> str | None:
        """NumPy's name, or None where the model leaves it open."""

    @property
    def shape(self) -> tuple[int | str | None, ...] | None:
        """Extents; text and None are chosen at run time."""


def blob_path(folder: str | os.PathLike[str], digest: bytes) -> Path:
    """Where the blob of this SHA-256 is kept."""
    name = digest.hex()
    return Path(folder) / name[:2] / name


def read_stored(folder: str | os.PathLike[str], digest: bytes, name: str, *, most_bytes: int) -> bytes:
    """Reads a blob and hashes what it read.

    Args:
        folder: The content-addressed folder.
        digest: SHA-256, 32 bytes.
        name: For messages.
        most_bytes: More is refused before it is read.

    Raises:
        IntegrityError: It is not there, too large, or of another digest.
    """
    path = blob_path(folder, digest)
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise IntegrityError(f"[blobs] {name!r} is not at {path}: {error.strerror}. Fetch the version again") from error
    found = hashlib.sha256(data).digest()
    if found != digest:
        raise IntegrityError(
            f"[blobs] {name!r} at {path} has digest {found.hex()[:16]} over {len(data):,} bytes, wanted is "
            f"{digest.hex()[:16]}. The file is damaged or was changed: fetch it again"
        )
    return data


def read_version(folder: str | os.PathLike[str], manifest_digest: bytes) -> StoredVersion:
    """Reads a version by its manifest's digest.

    Raises:
        IntegrityError: The manifest or a blob is missing, damaged, of another size or of a refused format.
    """
    if len(manifest_digest) != 32:
        raise IntegrityError(f"[blobs] manifest digest of {len(manifest_digest)} bytes, SHA-256 has 32")
    data = read_stored(folder, manifest_digest, "manifest.json", most_bytes=MOST_MANIFEST_BYTES)
    manifest = Manifest.from_bytes(data)
    model = _blob(folder, manifest, MODEL)
    assert model is not None, "a manifest names a model"
    return StoredVersion(manifest, model, _blob(folder, manifest, REFERENCE), _blob(folder, manifest, GOLDEN))


def _blob(folder: str | os.PathLike[str], manifest: Manifest, name: str) -> bytes | None:
    wanted = manifest.blobs.get(name)
    if wanted is None:
        return None
    data = read_stored(folder, wanted.digest, name, most_bytes=wanted.size)
    if len(data) != wanted.size:
        raise IntegrityError(f"[blobs] {name!r} has {len(data):,} bytes, the manifest says {wanted.size:,}")
    check_blob(name, data)
    return data


def check_signature(manifest: Manifest, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> None:
    """Checks that a model has the inputs and outputs that its manifest says.

    Raises:
        ModelError: A name, dtype or extent differs.
    """
    for what, wanted, found in (("input", manifest.inputs, inputs), ("output", manifest.outputs, outputs)):
        if [tensor.name for tensor in wanted] != [spec.name for spec in found]:
            raise ModelError(
                f"[load] {manifest.full_name}: the manifest says {what}s {[tensor.name for tensor in wanted]}, the "
                f"model has {[spec.name for spec in found]}. Build the version anew"
            )
        for tensor, spec in zip(wanted, found, strict=True):
            if not _fits(tensor, spec):
                raise ModelError(
                    f"[load] {manifest.full_name}: the manifest says {what} {tensor.name!r} is "
                    f"{tensor.dtype}{list(tensor.shape)}, the model has {spec.dtype}{list(spec.shape or ())}. Build "
                    "the version anew"
                )


def _fits(tensor: Tensor, spec: Spec) -> bool:
    """What the model leaves open may be anything; what it chooses at run time is None in a manifest."""
    if spec.dtype is not None and spec.dtype != tensor.dtype:
        return False
    if spec.shape is None:
        return True
    found = tuple(extent if isinstance(extent, int) else None for extent in spec.shape)
    return len(found) == len(tensor.shape) and all(
        extent is None or extent == said for extent, said in zip(found, tensor.shape, strict=True)
    )
