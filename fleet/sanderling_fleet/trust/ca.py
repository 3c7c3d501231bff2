"""The fleet's certificate authority: P-256, one level, on the server.

It says which machine is which device and which process is the server. It says nothing about models: whoever steals it
can talk to devices, and cannot make them install anything (that is what TUF's release role is for).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sanderling.errors import AuthError, InputError, IntegrityError
from sanderling_fleet.trust.keys import load_p256, to_pem, write_private

DEVICE_LIFE_SECONDS = 30 * 86400
SERVER_LIFE_SECONDS = 397 * 86400
CA_LIFE_SECONDS = 10 * 365 * 86400
_SKEW_SECONDS = 300
"""Certificates begin so long before now: a device without a clock chip starts a little in the past."""


@dataclass(frozen=True)
class Issued:
    """A signed certificate.

    Attributes:
        serial: Hexadecimal.
        not_after: Seconds since the epoch.
        chain: PEM: the certificate, then the CA's.
    """

    serial: str
    not_after: float
    chain: str


class CertificateAuthority:
    """Signs certificates of servers and devices."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, name: str, now: float) -> CertificateAuthority:
        """Makes a CA with a new key, valid for ten years from `now`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key.public_key(), now, CA_LIFE_SECONDS)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, folder: Path) -> CertificateAuthority:
        """Reads ca.key and ca.pem.

        Raises:
            IntegrityError: One cannot be read, or they do not belong together.
        """
        key = load_p256(folder / "ca.key")
        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        except (OSError, ValueError) as error:
            raise IntegrityError(f"[ca] {folder / 'ca.pem'} cannot be read: {error}. Restore it") from error
        if certificate.public_key() != key.public_key():
            raise IntegrityError(f"[ca] {folder / 'ca.pem'} is not the certificate of ca.key beside it. Restore both")
        return cls(key, certificate)

    def save(self, folder: Path) -> None:
        """Writes ca.key (0600) and ca.pem into `folder`."""
        write_private(folder / "ca.key", to_pem(self._key))
        (folder / "ca.pem").write_text(self.pem)

    @property
    def pem(self) -> str:
        """The CA's certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the CA's certificate, DER: what join tokens name."""
        return hashlib.sha256(self._certificate.public_bytes(serialization.Encoding.DER)).digest()

    def issue_server(self, hosts: Sequence[str], now: float) -> tuple[bytes, bytes]:
        """A fresh key and certificate for the server's listeners.

        Args:
            hosts: Names and addresses that clients may dial.
            now: Seconds since the epoch.

        Returns:
            PEM of the key, and of the chain that the server presents, the CA's certificate included.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sanderling fleet server")])
        certificate = self._sign(
            _builder(subject, self._certificate.subject, key.public_key(), now, SERVER_LIFE_SECONDS),
            [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
            [_host(host) for host in dict.fromkeys(hosts)],
        )
        return to_pem(key), (certificate.public_bytes(serialization.Encoding.PEM).decode() + self.pem).encode()

    def issue_device(self, csr: bytes, device_id: str, now: float) -> Issued:
        """Signs a device's certificate for 30 days; the request's own subject is ignored.

        Args:
            csr: PKCS#10, DER.
            device_id: Becomes the common name.
            now: Seconds since the epoch.

        Raises:
            InputError: The request cannot be read, is not signed by its own key, or the key is not P-256.
        """
        try:
            request = x509.load_der_x509_csr(csr)
            public = request.public_key()
            signed = request.is_signature_valid
        except ValueError as error:
            raise InputError(f"[csr] {len(csr)} bytes are no PKCS#10 request: {error}") from error
        if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
            raise InputError(f"[csr] the key is {type(public).__name__}, expected elliptic curve P-256")
        if not signed:
            raise InputError("[csr] is not signed by its own key: it was changed on the way")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
        certificate = self._sign(
            _builder(subject, self._certificate.subject, public, now, DEVICE_LIFE_SECONDS),
            [ExtendedKeyUsageOID.CLIENT_AUTH],
            [x509.UniformResourceIdentifier(f"urn:sanderling:device:{device_id}")],
        )
        return Issued(
            format(certificate.serial_number, "x"),
            certificate.not_valid_after_utc.timestamp(),
            certificate.public_bytes(serialization.Encoding.PEM).decode() + self.pem,
        )

    def read_device(self, pem: bytes) -> tuple[str, str, float, ec.EllipticCurvePublicKey]:
        """Reads a certificate that this CA issued to a device; an expired one too.

        Returns:
            Common name, serial (hexadecimal), end of life (seconds since the epoch), public key.

        Raises:
            AuthError: It is none, another CA signed it, or it is not a device's.
        """
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            certificate.verify_directly_issued_by(self._certificate)
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, IndexError) as error:
            raise AuthError("[certificate] was not issued by this fleet's CA. Enrol the device here") from error
        public = certificate.public_key()
        if list(usage) != [ExtendedKeyUsageOID.CLIENT_AUTH] or not isinstance(public, ec.EllipticCurvePublicKey):
            raise AuthError(f"[certificate] of {name!r} is not a device's")
        return str(name), format(certificate.serial_number, "x"), certificate.not_valid_after_utc.timestamp(), public

    def _sign(
        self, builder: x509.CertificateBuilder, usages: list[x509.ObjectIdentifier], names: list[x509.GeneralName]
    ) -> x509.Certificate:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: float, life_seconds: float
) -> x509.CertificateBuilder:
    start = dt.datetime.fromtimestamp(int(now), dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - dt.timedelta(seconds=_SKEW_SECONDS))
        .not_valid_after(start + dt.timedelta(seconds=life_seconds))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
