"""A version as one file: an uncompressed zip of manifest.json and the blobs that it names."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sanderling.errors import IntegrityError
from sanderling.versions._formats import check_blob
from sanderling.versions._manifest import MOST_MANIFEST_BYTES, Manifest

MANIFEST = "manifest.json"
SUFFIX = ".sanderling"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same version gives the same bytes


@dataclass(frozen=True)
class Bundle:
    """A version in memory: its manifest and its blobs by name, checked against each other."""

    manifest: Manifest
    blobs: Mapping[str, bytes]

    def __post_init__(self) -> None:
        """Checks the blobs.

        Raises:
            IntegrityError: A blob is missing, left over, of another digest, or of a refused format.
        """
        if set(self.blobs) != set(self.manifest.blobs):
            raise IntegrityError(f"[bundle] has {sorted(self.blobs)}, its manifest names {sorted(self.manifest.blobs)}")
        for name, data in self.blobs.items():
            digest, wanted = hashlib.sha256(data).digest(), self.manifest.blobs[name]
            if digest != wanted.digest or len(data) != wanted.size:
                raise IntegrityError(
                    f"[bundle] {name!r} has digest {digest.hex()[:16]} and {len(data):,} bytes, the manifest says "
                    f"{wanted.digest.hex()[:16]} and {wanted.size:,}. The file is damaged or was changed"
                )
            check_blob(name, data)


def write_bundle(bundle: Bundle, folder: str | os.PathLike[str]) -> Path:
    """Writes NAME-VERSION.sanderling into `folder`; whole or not at all. Returns its path."""
    path = Path(folder) / (bundle.manifest.full_name + SUFFIX)
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST, _EPOCH), bundle.manifest.to_bytes())
        for name, data in sorted(bundle.blobs.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    partial.replace(path)
    return path


def read_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Reads and checks a bundle.

    Raises:
        IntegrityError: It is no zip, its members are compressed, doubled or larger than the manifest says, or `Bundle`
            refuses it.
        OSError: The file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [info.filename for info in members]
            if len(set(names)) != len(names) or MANIFEST not in names:
                raise IntegrityError(
                    f"[bundle] {path}: members {sorted(names)}, expected {MANIFEST} and each name once"
                )
            if any(info.compress_type != zipfile.ZIP_STORED for info in members):
                raise IntegrityError(f"[bundle] {path}: a member is compressed, expected a stored zip")
            if archive.getinfo(MANIFEST).file_size > MOST_MANIFEST_BYTES:
                raise IntegrityError(f"[bundle] {path}: the manifest is larger than {MOST_MANIFEST_BYTES:,} bytes")
            manifest = Manifest.from_bytes(archive.read(MANIFEST))
            for info in members:
                wanted = manifest.blobs.get(info.filename)
                if wanted is not None and info.file_size != wanted.size:
                    raise IntegrityError(
                        f"[bundle] {info.filename!r} has {info.file_size:,} bytes, the manifest says {wanted.size:,}"
                    )
            return Bundle(manifest, {name: archive.read(name) for name in names if name != MANIFEST})
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise IntegrityError(f"[bundle] {path}: not a bundle: {error}") from error
