"""Calls to the fleet: gRPC over mutual TLS, errors as the classes that the server raised."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from sanderling import errors
from sanderling._protocol import ERROR_KEY
from sanderling.agent.identity import Identity
from sanderling.api.artifact.v1 import artifact_pb2, artifact_pb2_grpc
from sanderling.api.device.v1 import device_pb2, device_pb2_grpc
from sanderling.api.retrain.v1 import samples_pb2, samples_pb2_grpc
from sanderling.errors import AuthError, DeadlineError, SanderlingError, TransportError
from sanderling.trust import PROTOCOL_VERSION

CALL_S = 30.0
BLOB_S = 600.0
PROBE_S = 5.0
_MESSAGE_BYTES = 4 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_STATUS_ONLY = {
    grpc.StatusCode.UNAUTHENTICATED: AuthError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TransportError,
    grpc.StatusCode.CANCELLED: TransportError,
    grpc.StatusCode.ABORTED: TransportError,
    grpc.StatusCode.UNKNOWN: TransportError,
    grpc.StatusCode.NOT_FOUND: errors.InputError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InputError,
}


class FleetClient:
    """The device listener. Each use opens a channel and closes it: devices are many, and call rarely.

    Args:
        identity: Of the device; read at each call, so that a renewed certificate is used.
    """

    def __init__(self, identity: Callable[[], Identity]) -> None:
        self._identity = identity

    @contextlib.contextmanager
    def _channel(self) -> Iterator[grpc.Channel]:
        me = self._identity()
        credentials = grpc.ssl_channel_credentials(me.ca, me.key, me.chain)
        with grpc.secure_channel(me.addresses.device, credentials, OPTIONS) as channel, typed(self._probe):
            yield channel

    def _probe(self) -> SanderlingError | None:
        me = self._identity()
        context = ssl.create_default_context(cadata=me.ca.decode())
        # Key and chain in one file, which never holds one without the other.
        context.load_cert_chain(me.folder / "device.pem")
        return probe(me.addresses.device, context)

    def check_in(self, request: device_pb2.CheckInRequest) -> device_pb2.CheckInResponse:
        """Asks the fleet.

        Raises:
            TransportError: It cannot be reached.
            AuthError: It refuses this device.
            SanderlingError: What the server raised.
        """
        with self._channel() as channel:
            return device_pb2_grpc.DeviceServiceStub(channel).CheckIn(request, timeout=CALL_S)

    def renew(self, csr: bytes) -> bytes:
        """A new certificate chain, PEM; raises as `check_in`."""
        request = device_pb2.RenewCertificateRequest(protocol_version=PROTOCOL_VERSION, csr=csr)
        with self._channel() as channel:
            answer = device_pb2_grpc.DeviceServiceStub(channel).RenewCertificate(request, timeout=CALL_S)
            return answer.certificate_chain.encode()

    def upload_samples(self, request: samples_pb2.UploadSamplesRequest) -> samples_pb2.UploadSamplesResponse:
        """Hands samples over; raises as `check_in`."""
        with self._channel() as channel:
            return samples_pb2_grpc.SampleServiceStub(channel).UploadSamples(request, timeout=CALL_S)

    def metadata(self, name: str) -> bytes | None:
        """A file of TUF metadata, None if there is none; raises as `check_in`."""
        request = artifact_pb2.GetMetadataRequest(name=name)
        with self._channel() as channel:
            try:
                return artifact_pb2_grpc.ArtifactServiceStub(channel).GetMetadata(request, timeout=CALL_S).content
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise

    def read_blob(self, digest: str, offset: int = 0, limit: int = 0) -> Iterator[bytes]:
        """Parts of a blob from `offset` on; raises as `check_in`, also between parts."""
        request = artifact_pb2.ReadBlobRequest(digest=bytes.fromhex(digest), offset=offset, limit_bytes=limit)
        with self._channel() as channel:
            for part in artifact_pb2_grpc.ArtifactServiceStub(channel).ReadBlob(request, timeout=BLOB_S):
                yield part.data


@contextlib.contextmanager
def typed(probe_it: Callable[[], SanderlingError | None] = lambda: None) -> Iterator[None]:
    """Raises gRPC's errors as ours.

    Args:
        probe_it: Asked after UNAVAILABLE, which gRPC says both of a server that is away and of one that refuses the
            certificate; None means that the server answers.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise (_unavailable(error, probe_it) or _typed(error)) from error


def _unavailable(error: grpc.RpcError, probe_it: Callable[[], SanderlingError | None]) -> SanderlingError | None:
    if error.code() is not grpc.StatusCode.UNAVAILABLE or _class_name(error):
        return None
    return probe_it() or TransportError(f"[fleet] the call was cut off: {error.details()}. It will be tried again")


def _typed(error: grpc.RpcError) -> SanderlingError:
    code, details = error.code(), error.details() or "no details"
    named = getattr(errors, _class_name(error), None)
    if isinstance(named, type) and issubclass(named, SanderlingError):
        return named(details)
    if code in _STATUS_ONLY:
        return _STATUS_ONLY[code](details)
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, SanderlingError) and kind.grpc_status == code.name:
            return kind(details)
    return TransportError(f"[fleet] {code.name}: {details}")


def _class_name(error: grpc.RpcError) -> str:
    trailers: Any = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    return next((str(value) for key, value in trailers or () if key == ERROR_KEY), "")


def probe(address: str, context: ssl.SSLContext) -> SanderlingError | None:
    """One handshake that tells "unreachable" from "refused".

    Args:
        address: "host:port".
        context: With the CA, and with the device's certificate.

    Returns:
        TransportError, AuthError, DeadlineError, or None where the server answers.
    """
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        plain = socket.create_connection((host, int(port)), PROBE_S)
    except (OSError, ValueError, OverflowError) as error:  # the latter two: what the fleet gave is no address
        return TransportError(f"[fleet] {address} cannot be reached: {error}. Check the network and the address")
    with plain:
        try:
            secure = context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            return AuthError(
                f"[fleet] the server at {address} has a certificate that the fleet's CA did not sign: "
                f"{error.verify_message}. It is not this fleet's server, or the clock is wrong"
            )
        except TimeoutError:
            return DeadlineError(f"[fleet] {address} accepts connections and does not answer within {PROBE_S:.0f} s")
        except OSError as error:
            refused = isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")
            kind = AuthError if refused else TransportError
            return kind(f"[fleet] {address} cut the handshake off: {error}. It will be tried again")
        return _judgement(secure, address)


def _judgement(secure: ssl.SSLSocket, address: str) -> SanderlingError | None:
    """What a server says of the client's certificate: with TLS 1.3 after the client's part of the handshake."""
    with secure:
        try:
            secure.sendall(_PREFACE)
            if secure.recv(64):
                return None
            reason = "it closed the connection"
        except TimeoutError:
            return DeadlineError(f"[fleet] {address} accepts connections and does not answer within {PROBE_S:.0f} s")
        except OSError as error:
            reason = str(error)
    return AuthError(
        f"[fleet] {address} refuses this device's certificate: {reason}. If it has expired it is recovered by itself; "
        "else enrol again"
    )
