"""Who the device is: key, certificates, the fleet's CA, the pinned TUF root and addresses, in a folder of mode 0700.

Key and certificate chain are one file, so that a renewal replaces both or neither.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sanderling.agent.blobs import write_durably
from sanderling.errors import AuthError, IntegrityError

_PEM_END = b"-----END PRIVATE KEY-----\n"


@dataclass(frozen=True)
class Addresses:
    """Where the fleet is: "host:port" of its listeners, and the broker, if it has one."""

    device: str
    enrolment: str
    broker_url: str = ""
    broker_username: str = ""
    broker_password: str = ""


@dataclass(frozen=True)
class Identity:
    """An enrolled device.

    Attributes:
        folder: Where it is stored.
        device_id: Common name of the certificate.
        key: PEM, PKCS#8.
        chain: PEM, the device's certificate first.
        ca: PEM of the fleet's CA.
        tuf_root: Trusted from the join token on.
        addresses: As the fleet last said.
    """

    folder: Path
    device_id: str
    key: bytes
    chain: bytes
    ca: bytes
    tuf_root: bytes
    addresses: Addresses

    @classmethod
    def load(cls, folder: Path) -> Identity:
        """Reads what `save` wrote.

        Raises:
            AuthError: The device is not enrolled.
            IntegrityError: The files cannot be read.
        """
        if not (folder / "device.json").exists():
            raise AuthError(
                f"[identity] {folder} has no identity: not enrolled. Run: sanderling agent enroll JOIN_TOKEN"
            )
        try:
            plain = json.loads((folder / "device.json").read_text())
            key, mark, chain = (folder / "device.pem").read_bytes().partition(_PEM_END)
            found = cls(
                folder,
                plain["device_id"],
                key + mark,
                chain,
                (folder / "ca.pem").read_bytes(),
                (folder / "root.json").read_bytes(),
                Addresses(**plain["addresses"]),
            )
            _ = found.certificate
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"[identity] {folder} is damaged: {error}. Enrol again") from error
        return found

    def save(self) -> None:
        """Stores all of it; device.json last, since it says that the rest is there."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self.folder / "device.pem", self.key + self.chain)
        write_durably(self.folder / "ca.pem", self.ca)
        write_durably(self.folder / "root.json", self.tuf_root)
        self._save_document()

    def _save_document(self) -> None:
        plain = {"device_id": self.device_id, "addresses": asdict(self.addresses)}
        write_durably(self.folder / "device.json", json.dumps(plain).encode())

    def with_certificate(self, key: bytes, chain: bytes) -> Identity:
        """Takes and stores a new key and chain, if the chain is for this device and key.

        Raises:
            IntegrityError: It is not.
        """
        renewed = replace(self, key=key, chain=chain)
        check_chain(chain, key, self.device_id)
        write_durably(self.folder / "device.pem", key + chain)
        return renewed

    def with_addresses(self, addresses: Addresses) -> Identity:
        """Takes and stores new addresses."""
        if addresses == self.addresses:
            return self
        moved = replace(self, addresses=addresses)
        moved._save_document()
        return moved

    @cached_property
    def certificate(self) -> x509.Certificate:
        """The device's own."""
        return x509.load_pem_x509_certificate(self.chain)

    def is_expired(self, now: float) -> bool:
        """Whether it is too late to renew: only recovery helps."""
        return now >= self.certificate.not_valid_after_utc.timestamp()

    def is_due(self, now: float) -> bool:
        """Whether two thirds of the certificate's life are over."""
        start = self.certificate.not_valid_before_utc.timestamp()
        return now >= start + (self.certificate.not_valid_after_utc.timestamp() - start) * 2 / 3

    @property
    def expires(self) -> datetime.datetime:
        """When the certificate does."""
        return self.certificate.not_valid_after_utc


def new_key() -> bytes:
    """A P-256 key, PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signing_request(key: bytes, device_id: str) -> bytes:
    """PKCS#10, DER, for a key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(private_key(key), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Reads `new_key`."""
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def check_chain(chain: bytes, key: bytes, device_id: str) -> None:
    """Checks that a chain's first certificate is for this key and device.

    Raises:
        IntegrityError: It is not.
    """
    try:
        certificate = x509.load_pem_x509_certificate(chain)
    except ValueError as error:
        raise IntegrityError(f"[identity] the fleet answered with no certificate: {error}") from error
    names = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [device_id]:
        raise IntegrityError(f"[identity] the certificate is for {names}, this device is {device_id}")
    if certificate.public_key() != private_key(key).public_key():
        raise IntegrityError(f"[identity] the certificate of {device_id} is for another key than the one that was sent")
