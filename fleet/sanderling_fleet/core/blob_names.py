"""Which blobs are named by something that stays, so that what retention lets go of takes no blob of others along."""

from __future__ import annotations

from collections.abc import Iterable

from tuf.api.metadata import Targets

from sanderling.versions import Manifest
from sanderling_fleet.retrain.job import Job
from sanderling_fleet.store import Document, Metadata, Transaction, Version
from sanderling_fleet.trust import tuf_repository


def of_job(job: Job) -> set[bytes]:
    """What a job has made so far: the file of its samples, the challenger, the draft."""
    return {bytes.fromhex(text) for text in (job.samples_digest, job.challenger_digest, job.draft_digest) if text}


def of_samples(samples: Iterable[Document]) -> set[bytes]:
    """The rows of samples."""
    return {bytes.fromhex(sample.body["digest"]) for sample in samples}


async def of_models(tx: Transaction) -> set[bytes]:
    """All that devices may be told to fetch, withdrawn or not: manifests, what they name, and TUF's other targets."""
    named = set()
    for version in await tx.find(Version):
        named.add(version.manifest_digest)
        named |= {blob.digest for blob in Manifest.from_bytes(version.manifest.encode()).blobs.values()}
    for file in await tx.find(Metadata, {"role": "targets"}):
        targets = tuf_repository.read(Targets, file.content, "targets").signed.targets
        named |= {tuf_repository.digest_of(target) for target in targets.values()}
    return named
