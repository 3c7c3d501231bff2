"""What operators' programs speak to the fleet server with: one connection, typed errors, uploads that go on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import grpc
from tuf.api.metadata import Targets

from sanderling.api.device.v1.device_admin_pb2_grpc import DeviceAdminServiceStub
from sanderling.api.registry.v1 import registry_pb2
from sanderling.api.registry.v1.registry_pb2_grpc import RegistryServiceStub
from sanderling.api.rollout.v1.rollout_pb2_grpc import RolloutServiceStub
from sanderling.api.telemetry.v1.alert_pb2_grpc import AlertServiceStub
from sanderling.errors import IntegrityError, TransportError
from sanderling.trust import version_target
from sanderling.versions import Bundle
from sanderling_fleet.services.errors import error_of
from sanderling_fleet.store.blobs import CHUNK_BYTES
from sanderling_fleet.trust import tuf_repository
from sanderling_fleet.trust.release import ReleaseFolder

R = TypeVar("R")
_CALL_SECONDS, _UPLOAD_SECONDS = 30.0, 3600.0


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        versions: Newly visible, "NAME-VERSION".
        targets_version: Of the targets in force now.
        repeated: The server had lost targets that the release folder had, and got them again.
    """

    versions: Sequence[str]
    targets_version: int
    repeated: bool


class OperatorClient:
    """A connection to the operator listener."""

    def __init__(self, address: str, ca_certificate: bytes, token: str) -> None:
        """Opens it; nothing is sent before the first call.

        Args:
            address: "host:port".
            ca_certificate: PEM of the fleet's CA.
            token: A bearer token.
        """
        self._address = address
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca_certificate))
        self.devices = DeviceAdminServiceStub(self._channel)
        self.registry = RegistryServiceStub(self._channel)
        self.rollouts = RolloutServiceStub(self._channel)
        self.alerts = AlertServiceStub(self._channel)

    def __enter__(self) -> OperatorClient:
        """Nothing happens before the first call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        self._channel.close()

    def call(self, method: Callable[..., R], request: Any, timeout_seconds: float = _CALL_SECONDS) -> R:
        """Calls a method of one of the stubs.

        Raises:
            SanderlingError: Of the class that the server raised; TransportError if it cannot be reached.
        """
        try:
            return method(request, metadata=self._metadata, timeout=timeout_seconds)
        except grpc.RpcError as failure:
            error = error_of(failure)
        if isinstance(error, TransportError):
            raise TransportError(
                f"[fleet] {self._address} cannot be reached. Is the server running, and is the CA certificate its own?"
            ) from error
        raise error

    def every(self, method: Callable[..., Any], request: Any, field: str) -> list[Any]:
        """All that a method lists, page by page.

        Args:
            method: Of one of the stubs.
            request: Of the first page.
            field: Of the answer, that has the items.

        Raises:
            SanderlingError: As `call`.
        """
        found: list[Any] = []
        while True:
            page = self.call(method, request)
            found += getattr(page, field)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def upload(self, data: bytes) -> None:
        """Uploads a blob, from where a former upload broke off; nothing is sent if the server has it.

        Raises:
            SanderlingError: As `call`.
        """
        digest = hashlib.sha256(data).digest()
        status = self.call(self.registry.QueryUpload, registry_pb2.QueryUploadRequest(digest=digest))
        if status.complete:
            return
        offset = min(status.committed_bytes, len(data))
        try:
            self.call(self.registry.UploadBlob, _parts(digest, data, offset), _UPLOAD_SECONDS)
        except IntegrityError:
            if offset == 0:
                raise
            # What was there was not the beginning of this blob.
            self.call(self.registry.UploadBlob, _parts(digest, data, 0), _UPLOAD_SECONDS)

    def push(self, release: ReleaseFolder, bundles: Sequence[Bundle], now: float) -> Pushed:
        """Uploads bundles and publishes targets that name them; without any, signs the present ones for longer.

        If the server lacks targets that were signed here before (it was restored from a backup), it gets those first.

        Raises:
            SanderlingError: As `call`; or `ReleaseFolder` refuses.
        """
        self._upload(bundles)
        role = self.call(self.registry.GetRole, registry_pb2.GetRoleRequest(role="targets"))
        published = []
        repeated = not release.adopt(role.metadata)
        if repeated:
            published += self._publish(release.targets.to_bytes())
        signed = release.targets.signed.targets
        fresh = [b.manifest for b in bundles if not _is_signed(signed, b)]
        if fresh or not (bundles or repeated):
            content = release.add(fresh, now)
            published += self._publish(content)
            release.keep(content)
        return Pushed(published, release.targets.signed.version, repeated)

    def push_signed(self, content: bytes, bundles: Sequence[Bundle]) -> Pushed:
        """Uploads bundles and publishes targets that were signed elsewhere.

        Raises:
            SanderlingError: As `call`.
        """
        self._upload(bundles)
        published = self._publish(content)
        return Pushed(published, tuf_repository.read(Targets, content, "targets").signed.version, False)

    def renew_root(self, release: ReleaseFolder, now: float) -> int:
        """Signs the root for another year and publishes it; returns its version.

        Raises:
            SanderlingError: As `call`; or root.key is not in the folder.
        """
        content = release.renew_root(now)
        self._publish(content, "root")
        release.keep_root(content)
        return release.root.signed.version

    def _upload(self, bundles: Sequence[Bundle]) -> None:
        for bundle in bundles:
            for data in [*bundle.blobs.values(), bundle.manifest.to_bytes()]:
                self.upload(data)

    def _publish(self, content: bytes, role: str = "targets") -> list[str]:
        request = registry_pb2.PublishMetadataRequest(role=role, metadata=content)
        return [version.version for version in self.call(self.registry.PublishMetadata, request).published]


def _is_signed(targets: Any, bundle: Bundle) -> bool:
    target = targets.get(version_target(bundle.manifest.full_name))
    return target is not None and target.hashes["sha256"] == bundle.manifest.digest.hex()


def _parts(digest: bytes, data: bytes, offset: int) -> Iterator[registry_pb2.UploadBlobRequest]:
    first = data[offset : offset + CHUNK_BYTES]
    yield registry_pb2.UploadBlobRequest(digest=digest, size_bytes=len(data), offset=offset, data=first)
    for start in range(offset + CHUNK_BYTES, len(data), CHUNK_BYTES):
        yield registry_pb2.UploadBlobRequest(data=data[start : start + CHUNK_BYTES])
