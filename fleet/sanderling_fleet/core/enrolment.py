"""How a machine becomes a device, and how a device keeps its certificate."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import struct
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sanderling import trust
from sanderling.errors import AuthError, InputError, UnsupportedError
from sanderling_fleet.core import audit
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.messages import Enrolled
from sanderling_fleet.core.said import check_facts
from sanderling_fleet.store import Certificate, Device, JoinToken, Metadata, Standing, Transaction, UsedNonce
from sanderling_fleet.trust.ca import Issued

_LAST_DATE = 253_402_300_799
"""The last second of the year 9999, after which neither Python nor protobuf has dates."""


def check_protocol(version: int) -> None:
    """Checks that this server speaks an agent's protocol.

    Raises:
        UnsupportedError: It is too old or too new.
    """
    if not trust.OLDEST_PROTOCOL_VERSION <= version <= trust.PROTOCOL_VERSION:
        older = version < trust.OLDEST_PROTOCOL_VERSION
        raise UnsupportedError(
            f"[protocol] the agent speaks version {version}, this server {trust.OLDEST_PROTOCOL_VERSION} to "
            f"{trust.PROTOCOL_VERSION}. Update the {'agent' if older else 'server'}"
        )


async def create_join_token(
    core: Core, *, labels: Mapping[str, str], approved: bool, life_seconds: float = 0.0
) -> tuple[trust.JoinToken, float]:
    """Makes a token that one machine may enrol with.

    Args:
        core: The fleet.
        labels: Given to the device.
        approved: The device needs no approval.
        life_seconds: 0 for the fleet's default.

    Returns:
        The token, which is shown once, and when it expires (seconds since the epoch).

    Raises:
        InputError: The life is negative, or ends later than dates do.
    """
    if life_seconds < 0:
        raise InputError(f"[join token] a life of {life_seconds:g} s, expected more than 0")
    now = core.clock.now()
    expires = now + (life_seconds or core.settings.join_token_seconds)
    if not expires < _LAST_DATE:
        raise InputError(f"[join token] a life of {life_seconds:g} s ends after the year 9999. Give it days, or months")
    secret = base64.urlsafe_b64encode(core.entropy(32)).decode().rstrip("=")
    async with core.store.transaction() as tx:
        root = (await tx.find(Metadata, {"role": "root"}, newest_first=True, limit=1))[0]
        await tx.put(JoinToken(_secret_digest(secret), root.version, now, expires, dict(labels), approved, 0.0, "", ""))
    digest = hashlib.sha256(root.content).digest()
    return trust.JoinToken(core.settings.addresses.enrolment, core.authority.digest, digest, secret), expires


async def enroll(
    core: Core, *, protocol_version: int, request_id: str, secret: str, csr: bytes, facts: Mapping[str, Any]
) -> Enrolled:
    """Makes a machine a device. The same secret and request id again answer with the same device.

    Raises:
        AuthError: The secret is unknown, expired, or was used by another request.
        InputError: The request id is empty, the CSR is refused, or a fact is larger than any agent makes it.
        UnsupportedError: The agent's protocol is too old or too new.
    """
    check_protocol(protocol_version)
    if not request_id:
        raise InputError(
            "[enrol] the request id is empty: without one, a repeated request cannot be told from a second"
        )
    check_facts(facts, "enrol")
    now = core.clock.now()
    async with core.store.transaction() as tx:
        token = await tx.get(JoinToken, _secret_digest(secret))
        if token is None:
            raise AuthError("[enrol] the join token is not known here. Ask an operator for another")
        if token.expires_at <= now:
            raise AuthError(f"[enrol] the join token expired {now - token.expires_at:,.0f} s ago. Ask for another")
        if token.used_at and token.request_id != request_id:
            raise AuthError(f"[enrol] the join token was used, by {token.device_id}. It serves once: ask for another")
        device_id = token.device_id or f"dv-{core.entropy(10).hex()}"
        issued = core.authority.issue_device(csr, device_id, now)
        device = await tx.get(Device, device_id)
        if device is None:
            standing = Standing.ACTIVE if token.approved else Standing.PENDING
            device = Device(
                device_id, standing, "", token.labels, dict(facts), now, 0.0, "", [], 0, [], 0, issued.not_after
            )
            await tx.put(device)
            await tx.put(dataclasses.replace(token, used_at=now, request_id=request_id, device_id=device_id))
            await audit.append(tx, now, device_id, "device.enroll", device_id, "ok", f"standing {standing}")
        if device.standing == Standing.REVOKED:
            raise AuthError(f"[enrol] {device_id} was revoked: {device.reason or 'no reason given'}")
        await _keep(tx, device, issued, now)
        root = await tx.get(Metadata, "root", token.root_version)
    assert root is not None, token.root_version
    return Enrolled(
        device_id,
        issued.chain,
        core.authority.pem,
        root.content,
        core.settings.addresses,
        device.standing == Standing.ACTIVE,
    )


async def identify(core: Core, name: str, serial: str, expires_at: float) -> Device:
    """Says which device a certificate of our CA is for; called before every operation of a device.

    A serial that is not in the store, of a device that is, was issued after the backup that this server was restored
    from: it is taken in.

    Args:
        core: The fleet.
        name: The certificate's common name.
        serial: Hexadecimal.
        expires_at: Seconds since the epoch.

    Raises:
        AuthError: The device is unknown or revoked, or the certificate is revoked, expired or another device's.
    """
    device = await _check_standing(core, name, serial, expires_at)
    if expires_at <= core.clock.now():
        raise AuthError(f"[device] certificate {serial[:16]} of {name} has expired. Recover it")
    return device


async def _check_standing(core: Core, name: str, serial: str, expires_at: float) -> Device:
    async with core.store.transaction() as tx:
        device = await tx.get(Device, name)
        if device is None:
            raise AuthError(f"[device] {name!r} is not a device of this fleet. Enrol it")
        if device.standing == Standing.REVOKED:
            raise AuthError(f"[device] {name} was revoked: {device.reason or 'no reason given'}")
        known = await tx.get(Certificate, serial)
        if known is None:
            now, detail = core.clock.now(), f"certificate {serial[:16]}, which this server did not remember"
            await tx.put(Certificate(serial, name, now, expires_at, 0.0))
            await audit.append(tx, now, name, "device.certificate", name, "ok", detail)
        elif known.device_id != name or known.revoked_at:
            raise AuthError(f"[device] certificate {serial[:16]} is revoked or not one of {name}'s. Enrol it again")
    return device


async def renew(core: Core, device_id: str, *, protocol_version: int, csr: bytes) -> str:
    """Signs a new certificate for a device that still has a good one; returns the chain.

    Raises:
        InputError: The CSR is refused.
        UnsupportedError: The agent's protocol is too old or too new.
    """
    check_protocol(protocol_version)
    return await _issue(core, device_id, csr)


async def begin_recovery(core: Core, *, protocol_version: int, certificate: str) -> tuple[bytes, float]:
    """The first half of replacing an expired certificate.

    Returns:
        A nonce to be signed, and when it expires (seconds since the epoch). Nothing is stored, so that asking for many
        fills nothing.

    Raises:
        AuthError: The certificate is not of this CA, too old, or its device is unknown or revoked.
    """
    check_protocol(protocol_version)
    serial = (await _recoverable(core, certificate))[1]
    expires = core.clock.now() + core.settings.nonce_seconds
    body = struct.pack(">d", expires) + core.entropy(16)
    return body + _seal(core, body, serial), expires


async def recover(
    core: Core, *, protocol_version: int, certificate: str, nonce: bytes, signature: bytes, csr: bytes
) -> str:
    """The second half: the old key signs the nonce and the request for a new certificate; returns the chain.

    Raises:
        AuthError: As `begin_recovery`; or the nonce is not ours, expired or used; or the signature is wrong.
        InputError: The CSR is refused.
    """
    check_protocol(protocol_version)
    device_id, serial, public = await _recoverable(core, certificate)
    body, seal = nonce[:24], nonce[24:]
    if len(body) != 24 or not hmac.compare_digest(seal, _seal(core, body, serial)):
        raise AuthError("[recover] the nonce is not one that this server gave for this certificate. Begin again")
    expires = struct.unpack(">d", body[:8])[0]
    now = core.clock.now()
    if expires <= now:
        raise AuthError(f"[recover] the nonce expired {now - expires:,.0f} s ago. Begin again")
    try:
        public.verify(signature, trust.RECOVERY_CONTEXT + nonce + csr, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise AuthError(f"[recover] the signature is not by the key of {device_id}'s certificate") from error
    async with core.store.transaction() as tx:
        for old in await tx.find(UsedNonce):
            if old.expires_at <= now:
                await tx.delete(UsedNonce, old.nonce_digest)
        if not await tx.add(UsedNonce(hashlib.sha256(nonce).hexdigest(), expires)):
            raise AuthError("[recover] the nonce was used: it serves once. Begin again")
        await audit.append(tx, now, device_id, "device.recover", device_id, "ok", f"certificate {serial[:16]}")
    return await _issue(core, device_id, csr)


async def _recoverable(core: Core, certificate: str) -> tuple[str, str, ec.EllipticCurvePublicKey]:
    device_id, serial, expires_at, public = core.authority.read_device(certificate.encode())
    late = core.clock.now() - expires_at
    if late > core.settings.recovery_seconds:
        raise AuthError(
            f"[recover] the certificate of {device_id} ended {late / 86400:,.0f} days ago, at most "
            f"{core.settings.recovery_seconds / 86400:,.0f} are allowed. Enrol the device again"
        )
    await _check_standing(core, device_id, serial, expires_at)
    return device_id, serial, public


async def _issue(core: Core, device_id: str, csr: bytes) -> str:
    now = core.clock.now()
    issued = core.authority.issue_device(csr, device_id, now)
    async with core.store.transaction() as tx:
        device = await tx.get(Device, device_id)
        assert device is not None, device_id
        await _keep(tx, device, issued, now)
    return issued.chain


async def _keep(tx: Transaction, device: Device, issued: Issued, now: float) -> None:
    await tx.put(Certificate(issued.serial, device.device_id, now, issued.not_after, 0.0))
    await tx.put(dataclasses.replace(device, certificate_expires_at=issued.not_after))


def _seal(core: Core, body: bytes, serial: str) -> bytes:
    return hmac.digest(core.nonce_key, body + serial.encode(), "sha256")


def _secret_digest(secret: str) -> str:
    # 256 random bits need no slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()
