"""A challenger that passed, as a version of the champion's model: all but the signature."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping

from sanderling.versions import Blob, Bundle, Lineage, Manifest, write_bundle

GOLDEN_TOLERANCE = 1e-3
"""Where the champion states none: layers that stay in float may differ so much between instruction sets."""


def draft(
    champion: Manifest,
    blobs: Mapping[str, bytes],
    *,
    release_counter: int,
    taken: Iterable[str],
    data: str,
    code: str,
    job_id: str,
) -> Bundle:
    """Makes the version.

    Args:
        champion: What it is to replace; all that is not of the model itself is taken over from it.
        blobs: By name.
        release_counter: One more than the model's highest.
        taken: Names of versions that exist already, withdrawn ones included.
        data: SHA-256 of the labelled samples.
        code: The entry point.
        job_id: Whose work it is.

    Raises:
        IntegrityError: A blob is refused.
    """
    version = str(release_counter)
    if f"{champion.name}-{version}" in set(taken):
        version = f"{release_counter}+{job_id.removeprefix('job-')}"
    manifest = Manifest(
        name=champion.name,
        version=version,
        release_counter=release_counter,
        inputs=champion.inputs,
        outputs=champion.outputs,
        blobs={name: Blob(hashlib.sha256(content).digest(), len(content)) for name, content in blobs.items()},
        labels=champion.labels,
        compatibility=champion.compatibility,
        preprocessing=champion.preprocessing,
        golden_tolerance=champion.golden_tolerance or GOLDEN_TOLERANCE,
        lineage=Lineage(parent=champion.full_name, data=data, code=code, job=job_id),
    )
    return Bundle(manifest, dict(blobs))


def bundle_bytes(bundle: Bundle) -> bytes:
    """The bundle as one file; the same version gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        return write_bundle(bundle, folder).read_bytes()
