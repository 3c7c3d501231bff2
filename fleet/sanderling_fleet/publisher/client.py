"""Calls about retraining, for the publisher and for commands, over the connection that operators' programs share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import grpc

from sanderling.api.artifact.v1 import artifact_pb2
from sanderling.api.artifact.v1.artifact_pb2_grpc import ArtifactServiceStub
from sanderling.api.registry.v1 import registry_pb2
from sanderling.api.retrain.v1 import retrain_pb2
from sanderling.api.retrain.v1.retrain_pb2_grpc import RetrainServiceStub
from sanderling.api.rollout.v1 import rollout_pb2
from sanderling.api.rollout.v1.rollout_pb2_grpc import RolloutServiceStub
from sanderling.errors import InputError, IntegrityError
from sanderling_fleet.client import OperatorClient
from sanderling_fleet.services.errors import error_of

MOST_DOWNLOAD_BYTES = 2 << 30
_TRANSFER_SECONDS = 600.0


class RetrainClient:
    """Raises the classes of error that the server raised, as `OperatorClient` does."""

    def __init__(self, client: OperatorClient) -> None:
        """Uses the connection of `client`, which its owner closes."""
        self._client = client
        self._metadata = client._metadata
        self._retrain = RetrainServiceStub(client._channel)
        self._artifacts = ArtifactServiceStub(client._channel)
        self._rollouts = RolloutServiceStub(client._channel)

    def start(self, request_id: str, slot: str, reason: str) -> retrain_pb2.Job:
        """Opens a retraining job."""
        request = retrain_pb2.StartRetrainRequest(request_id=request_id, slot=slot, reason=reason)
        return self._client.call(self._retrain.StartRetrain, request).job

    def jobs(self, slot: str = "") -> list[retrain_pb2.Job]:
        """Jobs of a slot, or all."""
        return self._client.every(self._retrain.ListJobs, retrain_pb2.ListJobsRequest(slot=slot), "jobs")

    def job(self, job_id: str) -> retrain_pb2.Job:
        """A job."""
        return self._client.call(self._retrain.GetJob, retrain_pb2.GetJobRequest(job_id=job_id)).job

    def import_labels(
        self, job_id: str, labels: Mapping[tuple[str, int], str], cost: float
    ) -> tuple[retrain_pb2.Job, int]:
        """Hands in labels; the job, and how many were of samples that it does not have.

        The same labels at the same cost again change nothing: their digest is the request's id.
        """
        messages = [
            retrain_pb2.Label(device_id=device, sample_id=sample, label=label)
            for (device, sample), label in sorted(labels.items())
        ]
        request = retrain_pb2.ImportLabelsRequest(job_id=job_id, labels=messages, cost=cost)
        request.request_id = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        answer = self._client.call(self._retrain.ImportLabels, request)
        return answer.job, answer.unknown

    def drafts(self) -> list[retrain_pb2.Job]:
        """Jobs whose drafts await a signature."""
        return self._client.every(self._retrain.ListDrafts, retrain_pb2.ListDraftsRequest(), "drafts")

    def reject(self, job_id: str, reason: str) -> retrain_pb2.Job:
        """Ends a draft."""
        request = retrain_pb2.RejectDraftRequest(job_id=job_id, reason=reason)
        return self._client.call(self._retrain.RejectDraft, request).job

    def download(self, digest: bytes) -> bytes:
        """A blob, checked.

        Raises:
            IntegrityError: Its bytes have another digest, or are too many.
        """
        parts, size = [], 0
        stream = self._artifacts.ReadBlob(
            artifact_pb2.ReadBlobRequest(digest=digest), metadata=self._metadata, timeout=_TRANSFER_SECONDS
        )
        try:
            for response in stream:
                parts.append(response.data)
                size += len(response.data)
                if size > MOST_DOWNLOAD_BYTES:
                    stream.cancel()
                    raise IntegrityError(f"[download] {digest.hex()[:16]} has more than {MOST_DOWNLOAD_BYTES:,} bytes")
        except grpc.RpcError as error:
            raise error_of(error) from None
        data = b"".join(parts)
        found = hashlib.sha256(data).digest()
        if found != digest:
            raise IntegrityError(
                f"[download] {len(data):,} bytes have SHA-256 {found.hex()[:16]}, asked for was {digest.hex()[:16]}"
            )
        return data

    def upload(self, data: bytes) -> None:
        """Uploads a blob, from where an earlier upload broke off; one that is there stays."""
        self._client.upload(data)

    def role_metadata(self, role: str) -> bytes | None:
        """The newest metadata of a role; None if there is none yet."""
        try:
            return self._client.call(self._client.registry.GetRole, registry_pb2.GetRoleRequest(role=role)).metadata
        except InputError:
            return None

    def publish(self, role: str, metadata: bytes) -> None:
        """Publishes signed metadata; the same bytes again change nothing."""
        request = registry_pb2.PublishMetadataRequest(role=role, metadata=metadata)
        self._client.call(self._client.registry.PublishMetadata, request)

    def versions(self, model: str) -> list[registry_pb2.Version]:
        """Published versions of a model."""
        request = registry_pb2.ListVersionsRequest(model=model)
        return self._client.every(self._client.registry.ListVersions, request, "versions")

    def create_rollout(self, request_id: str, spec: rollout_pb2.RolloutSpec) -> rollout_pb2.Rollout:
        """Asks for a rollout; the same request id gives the same one."""
        request = rollout_pb2.CreateRolloutRequest(request_id=request_id, spec=spec)
        return self._client.call(self._rollouts.CreateRollout, request).rollout
