"""Calls of a fleet server's operator listener, for the publisher and for commands about retraining."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from sanderling.api.artifact.v1 import artifact_pb2
from sanderling.api.artifact.v1.artifact_pb2_grpc import ArtifactServiceStub
from sanderling.api.registry.v1 import registry_pb2
from sanderling.api.registry.v1.registry_pb2_grpc import RegistryServiceStub
from sanderling.api.retrain.v1 import retrain_pb2
from sanderling.api.retrain.v1.retrain_pb2_grpc import RetrainServiceStub
from sanderling.api.rollout.v1 import rollout_pb2
from sanderling.api.rollout.v1.rollout_pb2_grpc import RolloutServiceStub
from sanderling.errors import InputError, IntegrityError
from sanderling_fleet.services.errors import error_of
from sanderling_fleet.services.retrain import SAMPLES_DIGEST
from sanderling_fleet.store.blobs import CHUNK_BYTES

MOST_DOWNLOAD_BYTES = 2 << 30
_CALL_SECONDS = 30.0
_TRANSFER_SECONDS = 600.0
T = TypeVar("T")


class Operator:
    """A connection; errors of the server are raised as the classes that it raised."""

    def __init__(self, address: str, ca: bytes, token: str) -> None:
        """Connects when it is first used.

        Args:
            address: "host:port" of the operator listener.
            ca: The fleet's CA certificate, PEM.
            token: Bearer token.
        """
        self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca))
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._retrain = RetrainServiceStub(self._channel)
        self._registry = RegistryServiceStub(self._channel)
        self._artifacts = ArtifactServiceStub(self._channel)
        self._rollouts = RolloutServiceStub(self._channel)

    @classmethod
    def from_files(cls, address: str, ca: Path, token_file: Path) -> Operator:
        """Reads the CA certificate and the token.

        Raises:
            InputError: One cannot be read.
        """
        try:
            return cls(address, ca.read_bytes(), token_file.read_text().strip())
        except OSError as error:
            raise InputError(f"[operator] {error.filename} cannot be read: {error.strerror}") from error

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def start(self, request_id: str, slot: str, reason: str) -> retrain_pb2.Job:
        """Opens a retraining job."""
        request = retrain_pb2.StartRetrainRequest(request_id=request_id, slot=slot, reason=reason)
        return self._call(self._retrain.StartRetrain, request).job

    def jobs(self, slot: str = "") -> list[retrain_pb2.Job]:
        """Jobs of a slot, or all."""
        return list(self._call(self._retrain.ListJobs, retrain_pb2.ListJobsRequest(slot=slot)).jobs)

    def job(self, job_id: str) -> tuple[retrain_pb2.Job, bytes]:
        """A job, and the digest of its file of samples; empty as long as there is none."""
        try:
            answer, call = self._retrain.GetJob.with_call(
                retrain_pb2.GetJobRequest(job_id=job_id), metadata=self._metadata, timeout=_CALL_SECONDS
            )
        except grpc.RpcError as error:
            raise error_of(error) from error
        trailers: Mapping[str, Any] = {key: value for key, value in call.trailing_metadata() or ()}
        return answer.job, bytes.fromhex(str(trailers.get(SAMPLES_DIGEST, "")))

    def import_labels(
        self, job_id: str, labels: Mapping[tuple[str, int], str], cost: float
    ) -> tuple[retrain_pb2.Job, int]:
        """Hands in labels; the job, and how many were of samples that it does not have."""
        messages = [
            retrain_pb2.Label(device_id=device, sample_id=sample, label=label)
            for (device, sample), label in sorted(labels.items())
        ]
        request = retrain_pb2.ImportLabelsRequest(job_id=job_id, labels=messages, cost=cost)
        answer = self._call(self._retrain.ImportLabels, request)
        return answer.job, answer.unknown

    def drafts(self) -> list[retrain_pb2.Job]:
        """Jobs whose drafts await a signature."""
        return list(self._call(self._retrain.ListDrafts, retrain_pb2.ListDraftsRequest()).drafts)

    def reject(self, job_id: str, reason: str) -> retrain_pb2.Job:
        """Ends a draft."""
        return self._call(self._retrain.RejectDraft, retrain_pb2.RejectDraftRequest(job_id=job_id, reason=reason)).job

    def download(self, digest: bytes) -> bytes:
        """A blob, checked.

        Raises:
            IntegrityError: Its bytes have another digest, or are too many.
        """
        parts, size = [], 0
        stream = self._artifacts.ReadBlob(
            artifact_pb2.ReadBlobRequest(digest=digest), metadata=self._metadata, timeout=_TRANSFER_SECONDS
        )
        for response in _streamed(stream):
            parts.append(response.data)
            size += len(response.data)
            if size > MOST_DOWNLOAD_BYTES:
                stream.cancel()
                raise IntegrityError(f"[download] {digest.hex()[:16]} has more than {MOST_DOWNLOAD_BYTES:,} bytes")
        data = b"".join(parts)
        found = hashlib.sha256(data).digest()
        if found != digest:
            raise IntegrityError(
                f"[download] {len(data):,} bytes have SHA-256 {found.hex()[:16]}, asked for was {digest.hex()[:16]}"
            )
        return data

    def upload(self, data: bytes) -> None:
        """Uploads a blob, from where an earlier upload broke off; one that is there stays."""
        digest = hashlib.sha256(data).digest()
        known = self._call(self._registry.QueryUpload, registry_pb2.QueryUploadRequest(digest=digest))
        if not known.complete:
            self._call(self._registry.UploadBlob, _parts(digest, known.committed_bytes, data), _TRANSFER_SECONDS)

    def role_metadata(self, role: str) -> bytes | None:
        """The newest metadata of a role; None if there is none yet."""
        try:
            return self._call(self._registry.GetRole, registry_pb2.GetRoleRequest(role=role)).metadata
        except InputError:
            return None

    def publish(self, role: str, metadata: bytes) -> None:
        """Publishes signed metadata; the same bytes again change nothing."""
        self._call(self._registry.PublishMetadata, registry_pb2.PublishMetadataRequest(role=role, metadata=metadata))

    def versions(self, model: str) -> list[registry_pb2.Version]:
        """Published versions of a model."""
        return list(self._call(self._registry.ListVersions, registry_pb2.ListVersionsRequest(model=model)).versions)

    def create_rollout(self, request_id: str, spec: rollout_pb2.RolloutSpec) -> rollout_pb2.Rollout:
        """Asks for a rollout; the same request id gives the same one."""
        request = rollout_pb2.CreateRolloutRequest(request_id=request_id, spec=spec)
        return self._call(self._rollouts.CreateRollout, request).rollout

    def _call(self, method: Callable[..., T], request: Any, seconds: float = _CALL_SECONDS) -> T:
        try:
            return method(request, metadata=self._metadata, timeout=seconds)
        except grpc.RpcError as error:
            raise error_of(error) from error


def _streamed(stream: Iterable[T]) -> Iterator[T]:
    try:
        yield from stream
    except grpc.RpcError as error:
        raise error_of(error) from error


def _parts(digest: bytes, offset: int, data: bytes) -> Iterator[registry_pb2.UploadBlobRequest]:
    yield registry_pb2.UploadBlobRequest(digest=digest, offset=offset, data=data[offset : offset + CHUNK_BYTES])
    for start in range(offset + CHUNK_BYTES, len(data), CHUNK_BYTES):
        yield registry_pb2.UploadBlobRequest(data=data[start : start + CHUNK_BYTES])
