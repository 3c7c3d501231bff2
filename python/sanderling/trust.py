"""What both sides of the fleet sign and check: join tokens, signing contexts, names of TUF targets.

Roles. *root* and *targets* (the release role) are signed off the server; *snapshot* and *timestamp* by the server;
`auto/MODEL` is delegated to a publisher. The server's *director* key signs desired states; TUF's target
`DIRECTOR_TARGET` names it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sanderling._protocol import OLDEST_PROTOCOL_VERSION as OLDEST_PROTOCOL_VERSION
from sanderling._protocol import PROTOCOL_VERSION as PROTOCOL_VERSION
from sanderling.errors import InputError, IntegrityError

DIRECTOR_TARGET = "keys/director.json"
DESIRED_STATE_CONTEXT = b"sanderling desired state v1\n"
DOWNGRADE_CONTEXT = b"sanderling downgrade v1\n"
RECOVERY_CONTEXT = b"sanderling recovery v1\n"
"""What stands before the signed bytes, so that a signature of one kind is none of another."""

_TOKEN_PREFIX = "sanderling1."


def version_target(full_name: str) -> str:
    """The TUF target path of a version's manifest: "versions/NAME/VERSION.json" of "NAME-VERSION".

    A folder for each model: the pattern of what its publisher may sign matches no other model's, whatever its name.
    """
    name, _, version = full_name.rpartition("-")
    return f"versions/{name}/{version}.json"


def auto_role(model: str) -> str:
    """The delegated TUF role of a model's publisher: "auto/NAME"."""
    return f"auto/{model}"


def key_id(public: Ed25519PublicKey) -> str:
    """SHA-256 of the raw public key, hexadecimal."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()


def sign(key: Ed25519PrivateKey, context: bytes, payload: bytes) -> bytes:
    """Signs `payload` as what `context` says it is; 64 bytes."""
    return key.sign(context + payload)


def verify(keys: Mapping[str, bytes], signer: str, signature: bytes, context: bytes, payload: bytes) -> None:
    """Checks a signature.

    Args:
        keys: Raw Ed25519 public keys by key id.
        signer: The key id that the message names.
        signature: 64 bytes.
        context: One of the contexts above.
        payload: What was signed.

    Raises:
        IntegrityError: The key is not one of `keys`, or the signature is not its own.
    """
    if signer not in keys:
        raise IntegrityError(f"[signature] key {signer[:16]} is not trusted for this, trusted are {len(keys)} others")
    try:
        Ed25519PublicKey.from_public_bytes(keys[signer]).verify(signature, context + payload)
    except (InvalidSignature, ValueError) as error:
        raise IntegrityError(f"[signature] by key {signer[:16]} is wrong: the message was changed or forged") from error


def director_document(*keys: Ed25519PublicKey) -> bytes:
    """The target `DIRECTOR_TARGET`: the public keys that may sign desired states."""
    return json.dumps({"keys": {key_id(key): key.public_bytes_raw().hex() for key in keys}}, sort_keys=True).encode()


def director_keys(document: bytes) -> dict[str, bytes]:
    """Reads `director_document`.

    Raises:
        IntegrityError: It is not one.
    """
    try:
        keys = {name: bytes.fromhex(value) for name, value in json.loads(document)["keys"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"[{DIRECTOR_TARGET}] not a list of keys: {error}") from error
    if any(hashlib.sha256(raw).hexdigest() != name for name, raw in keys.items()):
        raise IntegrityError(f"[{DIRECTOR_TARGET}] a key does not have the id that it is listed by")
    return keys


@dataclass(frozen=True)
class JoinToken:
    """What an installer hands to a device: where the fleet is, how to know it, and a secret that serves once.

    Attributes:
        address: "host:port" of the enrolment listener.
        ca_digest: SHA-256 of the CA's certificate, DER.
        root_digest: SHA-256 of the TUF root metadata.
        secret: Random, 256 bits, base64url.
    """

    address: str
    ca_digest: bytes
    root_digest: bytes
    secret: str

    def to_text(self) -> str:
        """One word to copy; it is a secret."""
        plain = {
            "address": self.address,
            "ca": self.ca_digest.hex(),
            "root": self.root_digest.hex(),
            "secret": self.secret,
        }
        return _TOKEN_PREFIX + base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> JoinToken:
        """Reads `to_text`.

        Raises:
            InputError: It is not one, or was cut.
        """
        word = text.strip()
        try:
            if not word.startswith(_TOKEN_PREFIX):
                raise ValueError(f"it does not start with {_TOKEN_PREFIX}")
            body = word.removeprefix(_TOKEN_PREFIX)
            plain = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            token = cls(plain["address"], bytes.fromhex(plain["ca"]), bytes.fromhex(plain["root"]), plain["secret"])
            if len(token.ca_digest) != 32 or len(token.root_digest) != 32:
                raise ValueError("a digest in it is cut")
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise InputError(
                f"[join token] cannot be read: {error}. Copy it whole, as the operator was shown it"
            ) from error
        return token
