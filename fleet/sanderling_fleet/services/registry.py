"""The operator listener: versions of models."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sanderling.api.registry.v1 import registry_pb2 as pb
from sanderling.api.registry.v1.registry_pb2_grpc import RegistryServiceServicer
from sanderling.errors import InputError
from sanderling_fleet.core import registry
from sanderling_fleet.core.context import Core
from sanderling_fleet.services.interceptor import CALL, Context
from sanderling_fleet.services.paging import page
from sanderling_fleet.services.translate import version_message
from sanderling_fleet.store.blobs import CHUNK_BYTES, MOST_BLOB_BYTES


class RegistryService(RegistryServiceServicer):
    """See registry.proto."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def QueryUpload(self, request: pb.QueryUploadRequest, context: Context) -> pb.QueryUploadResponse:
        """See registry.proto."""
        size = await self._core.blobs.size(request.digest)
        partial = await self._core.blobs.partial_size(request.digest)
        return pb.QueryUploadResponse(committed_bytes=partial if size is None else size, complete=size is not None)

    async def UploadBlob(
        self, request_iterator: AsyncIterator[pb.UploadBlobRequest], context: Context
    ) -> pb.UploadBlobResponse:
        """See registry.proto. What a stream brought stays to go on from, unless the next one begins at 0."""
        digest, size_bytes, offset = b"", 0, 0
        async for request in request_iterator:
            if not digest:
                digest, size_bytes, offset = request.digest, request.size_bytes, request.offset
                CALL.get().subject = digest.hex()
                if (size := await self._core.blobs.size(digest)) is not None:
                    return pb.UploadBlobResponse(committed_bytes=size)
                if size_bytes > MOST_BLOB_BYTES:
                    raise InputError(f"[upload] a blob of {size_bytes:,} bytes, at most {MOST_BLOB_BYTES:,} are taken")
            if len(request.data) > CHUNK_BYTES:
                raise InputError(f"[upload] {len(request.data):,} bytes in one message, at most {CHUNK_BYTES:,}")
            if offset + len(request.data) > size_bytes:
                raise InputError(
                    f"[upload] {offset + len(request.data):,} bytes came, announced were {size_bytes:,}. Say the whole "
                    "blob's size in the first message"
                )
            await self._core.blobs.append(digest, offset, request.data)
            offset += len(request.data)
        if not digest:
            raise InputError("[upload] no message came, expected the digest in the first")
        await self._core.blobs.finish(digest)
        return pb.UploadBlobResponse(committed_bytes=offset)

    async def PublishMetadata(self, request: pb.PublishMetadataRequest, context: Context) -> pb.PublishMetadataResponse:
        """See registry.proto."""
        published = await registry.publish(self._core, request.role, request.metadata)
        return pb.PublishMetadataResponse(
            snapshot_version=published.snapshot_version,
            timestamp_version=published.timestamp_version,
            published=[version_message(version) for version in published.versions],
        )

    async def GetRole(self, request: pb.GetRoleRequest, context: Context) -> pb.GetRoleResponse:
        """See registry.proto."""
        return pb.GetRoleResponse(metadata=await registry.role_metadata(self._core, request.role))

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Context) -> pb.ListVersionsResponse:
        """See registry.proto."""
        versions = await registry.list_versions(self._core, request.model)
        listed, following = page(versions, lambda version: (version.name,), request)
        return pb.ListVersionsResponse(
            versions=[version_message(version) for version in listed], next_page_token=following
        )

    async def GetVersion(self, request: pb.GetVersionRequest, context: Context) -> pb.GetVersionResponse:
        """See registry.proto."""
        return pb.GetVersionResponse(version=version_message(await registry.get_version(self._core, request.version)))
