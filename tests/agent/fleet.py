"""A small fleet server for the agent's tests: real certificates, real TLS, a real TUF repository, real gRPC."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import time
from concurrent import futures
from dataclasses import dataclass, field
from urllib.parse import quote

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from sanderling import trust
from sanderling.api.artifact.v1 import artifact_pb2, artifact_pb2_grpc
from sanderling.api.device.v1 import device_pb2, device_pb2_grpc, enrolment_pb2, enrolment_pb2_grpc
from sanderling.api.retrain.v1 import samples_pb2, samples_pb2_grpc
from sanderling.versions import Blob, Compatibility, Manifest, Tensor

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


def utc():
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


class Authority:
    """A CA and what it signs."""

    def __init__(self, name: str = "fleet ca") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key.public_key(), utc() - DAY, utc() + 3650 * DAY, None)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    @property
    def digest(self) -> bytes:
        return self.certificate.fingerprint(hashes.SHA256())

    def server(self) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]),
            key.public_key(),
            utc() - DAY,
            utc() + DAY,
            ExtendedKeyUsageOID.SERVER_AUTH,
        )
        pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return pem, certificate.public_bytes(PEM) + self.pem

    def device(self, public, device_id: str, start=None, end=None) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
        start, end = start or utc() - DAY, end or utc() + 29 * DAY
        return self._sign(name, public, start, end, ExtendedKeyUsageOID.CLIENT_AUTH).public_bytes(PEM)

    def _sign(self, subject, public, start, end, usage) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=usage is None, path_length=None), critical=True)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if usage is ExtendedKeyUsageOID.SERVER_AUTH:
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


class Repository:
    """TUF metadata and blobs, published step by step."""

    def __init__(self) -> None:
        self.signers = {role: CryptoSigner.generate_ed25519() for role in ("targets", "snapshot", "timestamp")}
        self.release_key = Ed25519PrivateKey.generate()
        self.signers["targets"] = CryptoSigner(self.release_key)
        self.signers["root"] = CryptoSigner.generate_ed25519()
        self.director = Ed25519PrivateKey.generate()
        self.files: dict[str, bytes] = {}
        self.blobs: dict[bytes, bytes] = {}
        self.delegated: dict[str, Targets] = {}
        root = Root(expires=utc() + 365 * DAY, consistent_snapshot=True)
        for role, signer in self.signers.items():
            root.add_key(signer.public_key, role)
        self._put(root, "root", "1.root.json")
        self.root = self.files["1.root.json"]
        self.targets, self.number = Targets(expires=utc() + 90 * DAY), 0
        self.add(trust.DIRECTOR_TARGET, trust.director_document(self.director.public_key()))
        self.publish()

    def _put(self, signed, role: str, name: str) -> None:
        metadata = Metadata(signed)
        metadata.sign(self.signers[role])
        self.files[name] = metadata.to_bytes()

    def add(self, path: str, data: bytes, signed: Targets | None = None) -> None:
        (signed or self.targets).targets[path] = TargetFile.from_data(path, data, ["sha256"])
        self.blob(data)

    def blob(self, data: bytes) -> Blob:
        digest = hashlib.sha256(data).digest()
        self.blobs[digest] = data
        return Blob(digest, len(data))

    def publish(self, timestamp_life=DAY) -> None:
        self.number += 1
        self.targets.version = self.number
        snapshot = Snapshot(self.number, expires=utc() + 7 * DAY, meta={"targets.json": MetaFile(self.number)})
        timestamp = Timestamp(self.number, expires=utc() + timestamp_life, snapshot_meta=MetaFile(self.number))
        for role, signed in self.delegated.items():
            signed.version = self.number
            snapshot.meta[f"{role}.json"] = MetaFile(self.number)
            self._put(signed, role, f"{self.number}.{quote(role, '')}.json")
        self._put(self.targets, "targets", f"{self.number}.targets.json")
        self._put(snapshot, "snapshot", f"{self.number}.snapshot.json")
        self._put(timestamp, "timestamp", "timestamp.json")

    def delegate(self, model: str) -> None:
        """From now on a publisher's role may sign versions of a model."""
        role = trust.auto_role(model)
        self.signers[role] = CryptoSigner.generate_ed25519()
        key = self.signers[role].public_key
        delegation = DelegatedRole(role, [key.keyid], 1, True, [f"versions/{model}/*.json"])
        self.targets.delegations = Delegations({key.keyid: key}, {role: delegation})
        self.delegated[role] = Targets(expires=utc() + 90 * DAY)

    def version(self, counter: int, *, name: str = "m", model: bytes = b"", **more) -> Manifest:
        blobs = {"model.onnx": self.blob(model or f"model {counter}".encode() * 1000)}
        manifest = Manifest(
            name=name,
            version=str(counter),
            release_counter=counter,
            inputs=(Tensor("x", "float32", (None, 4)),),
            outputs=(Tensor("y", "float32", (None, 2)),),
            blobs={**blobs, **more.pop("blobs", {})},
            compatibility=more.pop("compatibility", Compatibility()),
        )
        self.add(trust.version_target(manifest.full_name), manifest.to_bytes())
        self.publish()
        return manifest


@dataclass
class Fleet(
    device_pb2_grpc.DeviceServiceServicer,
    artifact_pb2_grpc.ArtifactServiceServicer,
    enrolment_pb2_grpc.EnrolmentServiceServicer,
    samples_pb2_grpc.SampleServiceServicer,
):
    """The server: an enrolment listener, a device listener, and what they were asked."""

    authority: Authority = field(default_factory=Authority)
    repository: Repository = field(default_factory=Repository)
    secret: str = "secret"
    approved: bool = True
    check_ins: list = field(default_factory=list)
    enrolments: list = field(default_factory=list)
    reads: list = field(default_factory=list)
    results: dict = field(default_factory=dict)
    telemetry: dict = field(default_factory=dict)
    slots: list = field(default_factory=list)
    counter: int = 0
    samples: dict = field(default_factory=dict)
    sample_bytes_left: int = 1 << 20
    sample_budget: int = 0
    next_s: float = 900.0
    fail: dict = field(default_factory=dict)
    cut_after: int = 0
    corrupt: bytes = b""
    nonce: bytes = b"n" * 32
    ports: tuple[int, int] = (0, 0)

    def start(self, client_ca: bytes | None = None) -> Fleet:
        self.pool = futures.ThreadPoolExecutor(4)
        self.server = grpc.server(self.pool, options=[("grpc.so_reuseport", 0)])
        device_pb2_grpc.add_DeviceServiceServicer_to_server(self, self.server)
        artifact_pb2_grpc.add_ArtifactServiceServicer_to_server(self, self.server)
        enrolment_pb2_grpc.add_EnrolmentServiceServicer_to_server(self, self.server)
        pair = [self.authority.server()]
        samples_pb2_grpc.add_SampleServiceServicer_to_server(self, self.server)
        plain = grpc.ssl_server_credentials(pair)
        mutual = grpc.ssl_server_credentials(pair, client_ca or self.authority.pem, require_client_auth=True)
        enrolment = self.server.add_secure_port(f"127.0.0.1:{self.ports[0]}", plain)
        device = self.server.add_secure_port(f"127.0.0.1:{self.ports[1]}", mutual)
        self.ports = (enrolment, device)
        self.server.start()
        return self

    def stop(self) -> None:
        self.server.stop(0).wait()
        self.pool.shutdown()

    def token(self, **change) -> trust.JoinToken:
        plain = {
            "address": f"127.0.0.1:{self.ports[0]}",
            "ca_digest": self.authority.digest,
            "root_digest": hashlib.sha256(self.repository.root).digest(),
            "secret": self.secret,
        }
        return trust.JoinToken(**{**plain, **change})

    def want(self, slot: str, manifest: Manifest | None, **more) -> None:
        wire = device_pb2.DesiredSlot(slot=slot, **more)
        if manifest is not None:
            wire.version, wire.manifest_digest = manifest.full_name, manifest.digest
        self.slots = [*(s for s in self.slots if s.slot != slot), wire]
        self.counter = max(self.counter + 1, int(time.time()))

    def desired(self, device_id: str) -> device_pb2.SignedDesiredState:
        state = device_pb2.DesiredState(device_id=device_id, counter=self.counter, slots=self.slots)
        if self.sample_budget:
            state.telemetry.sample_budget_bytes = self.sample_budget
        body, key = state.SerializeToString(), self.repository.director
        return device_pb2.SignedDesiredState(
            desired_state=body,
            key_id=trust.key_id(key.public_key()),
            signature=trust.sign(key, trust.DESIRED_STATE_CONTEXT, body),
        )

    def _addresses(self) -> enrolment_pb2.FleetAddresses:
        return enrolment_pb2.FleetAddresses(device=f"127.0.0.1:{self.ports[1]}", enrolment=f"127.0.0.1:{self.ports[0]}")

    def _maybe_fail(self, call: str, context) -> None:
        if call in self.fail:
            status, name, details = self.fail[call]
            context.set_trailing_metadata([("sanderling-error", name)] if name else [])
            context.abort(status, details)

    # Enrolment

    def Enroll(self, request, context):
        self.enrolments.append(request)
        self._maybe_fail("Enroll", context)
        public = x509.load_der_x509_csr(request.csr).public_key()
        return enrolment_pb2.EnrollResponse(
            protocol_version=1,
            device_id="dv-1",
            certificate_chain=(self.authority.device(public, "dv-1") + self.authority.pem).decode(),
            ca_certificate=self.authority.pem.decode(),
            tuf_root=self.repository.root,
            addresses=self._addresses(),
            approved=self.approved,
        )

    def BeginRecovery(self, request, context):
        return enrolment_pb2.BeginRecoveryResponse(nonce=self.nonce)

    def Recover(self, request, context):
        old = x509.load_pem_x509_certificate(request.certificate.encode())
        signed = trust.RECOVERY_CONTEXT + request.nonce + request.csr
        old.public_key().verify(request.signature, signed, ec.ECDSA(hashes.SHA256()))
        public = x509.load_der_x509_csr(request.csr).public_key()
        return enrolment_pb2.RecoverResponse(certificate_chain=self.authority.device(public, "dv-1").decode())

    # Device

    def CheckIn(self, request, context):
        self._maybe_fail("CheckIn", context)
        who = context.auth_context()["x509_common_name"][0].decode()
        self.check_ins.append(request)
        answer = device_pb2.CheckInResponse(protocol_version=1, approved=self.approved, addresses=self._addresses())
        answer.next_check_in_after.FromNanoseconds(int(self.next_s * 1e9))
        for result in request.results:
            self.results.setdefault((result.id.assignment_id, result.id.attempt), result)
            answer.committed_results.add(assignment_id=result.id.assignment_id, attempt=result.id.attempt)
        for message in request.telemetry:
            self.telemetry.setdefault((message.boot_id, message.sequence), message)
        for boot in {boot for boot, _ in self.telemetry}:
            last = max(sequence for b, sequence in self.telemetry if b == boot)
            answer.telemetry_committed_through.add(boot_id=boot, sequence=last)
        if self.counter > request.desired_counter and self.approved:
            answer.desired_state.CopyFrom(self.desired(who))
        answer.tuf_timestamp_version = self.repository.number
        return answer

    def RenewCertificate(self, request, context):
        who = context.auth_context()["x509_common_name"][0].decode()
        public = x509.load_der_x509_csr(request.csr).public_key()
        return device_pb2.RenewCertificateResponse(certificate_chain=self.authority.device(public, who).decode())

    def UploadSamples(self, request, context):
        answer = samples_pb2.UploadSamplesResponse(remaining_budget_bytes=self.sample_bytes_left)
        for sample in request.samples:
            self.samples.setdefault(sample.sample_id, []).append(sample)
            answer.committed_sample_ids.append(sample.sample_id)
        return answer

    # Artifacts

    def GetMetadata(self, request, context):
        if request.name not in self.repository.files:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.name}")
        return artifact_pb2.GetMetadataResponse(content=self.repository.files[request.name])

    def ReadBlob(self, request, context):
        data = self.repository.blobs.get(request.digest)
        if data is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such blob")
        self.reads.append((request.digest, request.offset))
        if request.digest == self.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        end = request.offset + self.cut_after if self.cut_after else len(data)
        for start in range(request.offset, min(len(data), end), 256 << 10):
            yield artifact_pb2.ReadBlobResponse(data=data[start : min(start + (256 << 10), end)])
        if end < len(data):
            context.abort(grpc.StatusCode.UNAVAILABLE, "cut off by the test")
