"""A real fleet server on loopback, in a thread of its own, and real clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from sanderling.api.artifact.v1 import artifact_pb2
from sanderling.api.artifact.v1.artifact_pb2_grpc import ArtifactServiceStub
from sanderling.api.device.v1 import device_pb2, enrolment_pb2
from sanderling.api.device.v1.device_admin_pb2 import CreateJoinTokenRequest
from sanderling.api.device.v1.device_admin_pb2_grpc import DeviceAdminServiceStub
from sanderling.api.device.v1.device_pb2_grpc import DeviceServiceStub
from sanderling.api.device.v1.enrolment_pb2_grpc import EnrolmentServiceStub
from sanderling.api.registry.v1 import registry_pb2
from sanderling.api.registry.v1.registry_pb2_grpc import RegistryServiceStub
from sanderling.trust import JoinToken
from sanderling.versions import Blob, Manifest, Tensor
from sanderling_fleet import folders
from sanderling_fleet.config import ServerConfig
from sanderling_fleet.core import operators
from sanderling_fleet.server import FleetServer
from sanderling_fleet.services.errors import error_of

DENIED = grpc.StatusCode.PERMISSION_DENIED
FREE_PORTS = ServerConfig(enrolment_port=0, device_port=0, operator_port=0)
FACTS = enrolment_pb2.DeviceFacts(machine="x86_64", isas=["scalar"], memory_bytes=1 << 30, runtime_version="0.1.0")


class RunningFleet:
    """Starts a server over FOLDER/server, and stops it; a new one over the same folder is a restart."""

    def __init__(self, folder: Path, clock=None, config=FREE_PORTS):
        self.folder, self.clock, self.config = folder, clock, config
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        self._thread.start()
        if not self.folder.exists():
            self.run(folders.create(self.folder, self.config, self.clock))
        self.core = self.run(folders.open_core(self.folder / "server", self.config, self.clock))
        self.server = FleetServer(self.core, self.config, self.folder / "server")
        self.run(self.server.start())
        return self

    def __exit__(self, *_):
        self._stack.close()
        self.run(self.server.stop(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def channel(self, address, *, ca=None, key=None, chain=None):
        credentials = grpc.ssl_channel_credentials((ca or self.core.authority.pem).encode(), key, chain)
        return self._stack.enter_context(grpc.secure_channel(address, credentials))

    def enrolment(self):
        return EnrolmentServiceStub(self.channel(self.core.settings.addresses.enrolment))

    def admin(self, token=None):
        return _Bearer(DeviceAdminServiceStub(self.channel(self.server.operator_address)), token or self.admin_token)

    def registry(self, token=None):
        return _Bearer(RegistryServiceStub(self.channel(self.server.operator_address)), token or self.admin_token)

    @property
    def admin_token(self):
        return (self.folder / "operator" / "token").read_text()

    def token_of(self, role):
        return self.run(operators.create_token(self.core, f"a {role.value}", role))

    def join_token(self, **wanted):
        made = self.admin().CreateJoinToken(CreateJoinTokenRequest(**{"approved": True, **wanted}))
        return JoinToken.from_text(made.join_token)

    def device(self, **wanted):
        return EnrolledDevice(self, self.join_token(**wanted).secret)


class _Bearer:
    def __init__(self, stub, token):
        self._stub, self._metadata = stub, (("authorization", f"Bearer {token}"),)

    def __getattr__(self, name):
        method = getattr(self._stub, name)
        return lambda request: method(request, metadata=self._metadata, timeout=20)


class EnrolledDevice:
    """What an agent does first: a key, a request, a certificate."""

    def __init__(self, fleet: RunningFleet, secret: str, request_id="r1"):
        self.key, csr = new_csr()
        self.enrolled = fleet.enrolment().Enroll(
            enrolment_pb2.EnrollRequest(
                protocol_version=1, request_id=request_id, token_secret=secret, csr=csr, facts=FACTS
            ),
            timeout=20,
        )
        self.device_id, self.sequence = self.enrolled.device_id, 0
        self.connect(fleet)

    def connect(self, fleet):
        """Again, after the server was restarted."""
        channel = fleet.channel(
            fleet.core.settings.addresses.device, key=pem(self.key), chain=self.enrolled.certificate_chain.encode()
        )
        self.stub, self.artifacts = DeviceServiceStub(channel), ArtifactServiceStub(channel)

    def check_in(self, **said):
        self.sequence += 1
        wanted = {"protocol_version": 1, "boot_id": "boot-1", "sequence": self.sequence, "facts": FACTS, **said}
        return self.stub.CheckIn(device_pb2.CheckInRequest(**wanted), timeout=20)

    def updater(self, folder: Path):
        """A real python-tuf client that trusts the root of its enrolment."""
        (folder / "metadata").mkdir(parents=True, exist_ok=True)
        return Updater(
            str(folder / "metadata"),
            "fleet://metadata/",
            str(folder),
            "fleet://targets/",
            fetcher=_Fetcher(self.artifacts),
            bootstrap=self.enrolled.tuf_root,
        )

    def read_blob(self, digest, **part):
        request = artifact_pb2.ReadBlobRequest(digest=digest, **part)
        return b"".join(response.data for response in self.artifacts.ReadBlob(request, timeout=20))


class _Fetcher(FetcherInterface):
    def __init__(self, artifacts):
        self._artifacts = artifacts

    def _fetch(self, url):
        kind, _, name = url.removeprefix("fleet://").partition("/")
        try:
            if kind == "targets":
                digest = bytes.fromhex(name.rpartition("/")[2].partition(".")[0])
                return iter([r.data for r in self._artifacts.ReadBlob(artifact_pb2.ReadBlobRequest(digest=digest))])
            return iter([self._artifacts.GetMetadata(artifact_pb2.GetMetadataRequest(name=name)).content])
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise DownloadHTTPError(name, 404) from error
            raise


def new_csr(key=None, name="ignored"):
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return key, request.public_bytes(serialization.Encoding.DER)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def manifest_of(name="digits", version="1.0", counter=1, blobs=None):
    blobs = {"model.onnx": f"{name} {version}".encode()} if blobs is None else blobs
    manifest = Manifest(
        name=name,
        version=version,
        release_counter=counter,
        inputs=(Tensor("x", "float32", (None, 4)),),
        outputs=(Tensor("y", "float32", (None, 2)),),
        blobs={key: Blob(hashlib.sha256(data).digest(), len(data)) for key, data in blobs.items()},
    )
    return manifest, blobs


def upload(registry, data, *, digest=None, chunk=1000):
    digest = digest or hashlib.sha256(data).digest()
    parts = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    requests = [registry_pb2.UploadBlobRequest(data=part) for part in parts]
    requests[0].digest, requests[0].size_bytes = digest, len(data)
    return registry.UploadBlob(iter(requests))


def push(fleet, release, *versions, token=None):
    """Uploads versions (manifest, blobs), signs targets with the release folder, publishes them."""
    registry = fleet.registry(token)
    for manifest, blobs in versions:
        for data in [*blobs.values(), manifest.to_bytes()]:
            upload(registry, data)
    content = release.add([manifest for manifest, _ in versions], fleet.core.clock.now())
    answer = registry.PublishMetadata(registry_pb2.PublishMetadataRequest(role="targets", metadata=content))
    release.keep(content)
    return answer


class refused:
    """The call fails with this status, and a client makes this class of it."""

    def __init__(self, kind, status, match):
        self._kind, self._status, self._raises = kind, status, pytest.raises(kind, match=match)

    def __enter__(self):
        self._raises.__enter__()

    def __exit__(self, kind, error, trace):
        if isinstance(error, grpc.RpcError):
            assert error.code() == self._status, error
            error = error_of(error)
            kind = type(error)
        return self._raises.__exit__(kind, error, trace)
