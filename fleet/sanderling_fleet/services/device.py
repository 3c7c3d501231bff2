"""The device listener: check-ins, renewals, and what devices install."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc

from sanderling.api.artifact.v1 import artifact_pb2
from sanderling.api.artifact.v1.artifact_pb2_grpc import ArtifactServiceServicer
from sanderling.api.device.v1 import device_pb2
from sanderling.api.device.v1.device_pb2_grpc import DeviceServiceServicer
from sanderling_fleet.core import enrolment, registry
from sanderling_fleet.core.check_in import check_in
from sanderling_fleet.core.context import Core
from sanderling_fleet.services.interceptor import CALL, Context
from sanderling_fleet.services.translate import answer_message, check_in_of
from sanderling_fleet.store.blobs import CHUNK_BYTES


class DeviceService(DeviceServiceServicer):
    """See device.proto."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def CheckIn(self, request: device_pb2.CheckInRequest, context: Context) -> device_pb2.CheckInResponse:
        """See device.proto."""
        return answer_message(await check_in(self._core, CALL.get().caller, check_in_of(request)))

    async def RenewCertificate(
        self, request: device_pb2.RenewCertificateRequest, context: Context
    ) -> device_pb2.RenewCertificateResponse:
        """See device.proto."""
        chain = await enrolment.renew(
            self._core, CALL.get().caller, protocol_version=request.protocol_version, csr=request.csr
        )
        return device_pb2.RenewCertificateResponse(certificate_chain=chain)


class ArtifactService(ArtifactServiceServicer):
    """See artifact.proto."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def GetMetadata(
        self, request: artifact_pb2.GetMetadataRequest, context: Context
    ) -> artifact_pb2.GetMetadataResponse:
        """See artifact.proto."""
        content = await registry.metadata_file(self._core, request.name)
        if content is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"[metadata] there is no {request.name}")
        assert content is not None
        return artifact_pb2.GetMetadataResponse(content=content)

    async def ReadBlob(
        self, request: artifact_pb2.ReadBlobRequest, context: Context
    ) -> AsyncIterator[artifact_pb2.ReadBlobResponse]:
        """See artifact.proto."""
        offset, left = request.offset, request.limit_bytes or 1 << 62
        while data := await self._core.blobs.read(request.digest, offset, min(CHUNK_BYTES, left)):
            yield artifact_pb2.ReadBlobResponse(data=data)
            offset, left = offset + len(data), left - len(data)
