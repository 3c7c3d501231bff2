"""Becoming a device of a fleet, and staying one: join token, renewal, recovery of an expired certificate."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sanderling.agent.blobs import write_durably
from sanderling.agent.identity import (
    Addresses,
    Identity,
    check_chain,
    new_key,
    private_key,
    signing_request,
)
from sanderling.agent.ports import Fleet
from sanderling.agent.transport import CALL_S, OPTIONS, probe, typed
from sanderling.api.device.v1 import enrolment_pb2, enrolment_pb2_grpc
from sanderling.errors import InputError, IntegrityError, TransportError
from sanderling.trust import PROTOCOL_VERSION, RECOVERY_CONTEXT, JoinToken

T = TypeVar("T")


def enroll(token: JoinToken, folder: Path, facts: enrolment_pb2.DeviceFacts) -> tuple[Identity, bool]:
    """Makes this machine a device.

    A second try after a cut uses the same key and request id, so that the token, which serves once, is not lost.

    Args:
        token: From the fleet's operator.
        folder: Of the identity; created.
        facts: What this machine is.

    Returns:
        The identity, stored, and whether an operator has approved it already.

    Raises:
        InputError: This machine is enrolled already.
        IntegrityError: The server's CA or the TUF root is not the one that the token names. If it is the CA, the secret
            was not sent.
        TransportError: The server cannot be reached.
        AuthError: The token is expired, used or unknown.
    """
    if (folder / "device.json").exists():
        raise InputError(f"[enroll] {folder} has an identity already. To leave that fleet run: sanderling agent reset")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca = _matching_ca(token)
    key, request_id = _attempt(folder, token)
    request = enrolment_pb2.EnrollRequest(
        protocol_version=PROTOCOL_VERSION,
        request_id=request_id,
        token_secret=token.secret,
        csr=signing_request(key, "device"),
        facts=facts,
    )
    # Verified against the CA that the token names: nobody else gets the secret.
    answer = _call(token.address, ca, lambda stub: stub.Enroll(request, timeout=CALL_S))
    _compare("CA certificate", _pem_digest(answer.ca_certificate), token.ca_digest)
    _compare("TUF root", hashlib.sha256(answer.tuf_root).digest(), token.root_digest)
    chain = answer.certificate_chain.encode()
    check_chain(chain, key, answer.device_id)
    identity = Identity(
        folder, answer.device_id, key, chain, ca, answer.tuf_root, addresses_of(answer.addresses, token.address)
    )
    identity.save()
    (folder / "attempt.json").unlink(missing_ok=True)
    return identity, answer.approved


def keep_valid(identity: Identity, client: Fleet, now: float) -> Identity:
    """Renews or recovers the certificate if it is time to; else returns the same.

    Args:
        identity: Of the device.
        client: Of the device listener.
        now: Seconds since the epoch.

    Raises:
        SanderlingError: The fleet could not be asked, or refused.
    """
    if identity.is_expired(now):
        return recover(identity)
    if identity.is_due(now):
        key = new_key()
        return identity.with_certificate(key, client.renew(signing_request(key, identity.device_id)))
    return identity


def recover(identity: Identity) -> Identity:
    """A new certificate for an expired one, on the enrolment listener; the old key proves who asks.

    Raises:
        AuthError: The fleet refuses: revoked, or unknown.
        TransportError: It cannot be reached.
    """
    old = identity.certificate.public_bytes(serialization.Encoding.PEM).decode()
    key = new_key()
    csr = signing_request(key, identity.device_id)
    begin = enrolment_pb2.BeginRecoveryRequest(protocol_version=PROTOCOL_VERSION, certificate=old)
    address = identity.addresses.enrolment
    nonce = _call(address, identity.ca, lambda stub: stub.BeginRecovery(begin, timeout=CALL_S)).nonce
    signature = private_key(identity.key).sign(RECOVERY_CONTEXT + nonce + csr, ec.ECDSA(hashes.SHA256()))
    request = enrolment_pb2.RecoverRequest(
        protocol_version=PROTOCOL_VERSION, certificate=old, nonce=nonce, signature=signature, csr=csr
    )
    answer = _call(address, identity.ca, lambda stub: stub.Recover(request, timeout=CALL_S))
    return identity.with_certificate(key, answer.certificate_chain.encode())


def addresses_of(message: enrolment_pb2.FleetAddresses, enrolment: str) -> Addresses:
    """The fleet's addresses; `enrolment` where it names none."""
    broker = message.broker
    return Addresses(message.device, message.enrolment or enrolment, broker.url, broker.username, broker.password)


def _attempt(folder: Path, token: JoinToken) -> tuple[bytes, str]:
    path = folder / "attempt.json"
    word = hashlib.sha256(token.to_text().encode()).hexdigest()
    if path.exists():
        former = json.loads(path.read_text())
        if former["token"] == word:
            return former["key"].encode(), former["request_id"]
    key, request_id = new_key(), secrets.token_hex(16)
    write_durably(path, json.dumps({"token": word, "key": key.decode(), "request_id": request_id}).encode())
    return key, request_id


def _matching_ca(token: JoinToken) -> bytes:
    """The CA certificate, PEM, of the server's chain whose hash the token names."""
    # Nothing is believed of this connection but the bytes of the certificates, which are compared.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, port = token.address.rpartition(":")
    host = host.strip("[]")
    try:
        with (
            socket.create_connection((host, int(port)), 10.0) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            chain = _chain(secure)
    except OSError as error:
        raise TransportError(
            f"[enroll] {token.address} cannot be reached: {error}. Check the network, and that the fleet server runs"
        ) from error
    for der in chain:
        if hashlib.sha256(der).digest() == token.ca_digest:
            return ssl.DER_cert_to_PEM_cert(der).encode()
    found = ", ".join(hashlib.sha256(der).hexdigest()[:16] for der in chain)
    raise IntegrityError(
        f"[enroll] the server at {token.address} shows certificates {found}, the join token names CA "
        f"{token.ca_digest.hex()[:16]}. It is another fleet's server, or somebody is in between; the token's secret "
        "was not sent"
    )


def _chain(secure: ssl.SSLSocket) -> list[bytes]:
    if hasattr(secure, "get_unverified_chain"):  # Python 3.13
        return list(secure.get_unverified_chain())
    inner: Any = secure
    return [certificate.public_bytes(2) for certificate in inner._sslobj.get_unverified_chain()]  # 2 is DER


def _call(address: str, ca: bytes, call: Callable[[enrolment_pb2_grpc.EnrolmentServiceStub], T]) -> T:
    context = ssl.create_default_context(cadata=ca.decode())
    with (
        grpc.secure_channel(address, grpc.ssl_channel_credentials(ca), OPTIONS) as channel,
        typed(lambda: probe(address, context)),
    ):
        return call(enrolment_pb2_grpc.EnrolmentServiceStub(channel))


def _pem_digest(pem: str) -> bytes:
    try:
        return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256())
    except ValueError as error:
        raise IntegrityError(f"[enroll] the fleet answered with no CA certificate: {error}") from error


def _compare(what: str, found: bytes, wanted: bytes) -> None:
    if found != wanted:
        raise IntegrityError(
            f"[enroll] the fleet's {what} has SHA-256 {found.hex()[:16]}, the join token names {wanted.hex()[:16]}. "
            "The server may not be trusted; ask the operator for a new token"
        )
