"""Tells a Mosquitto who is shut out, as the store has it, and gives it a new certificate in time."""

from __future__ import annotations

import logging

from sanderling_fleet.broker.mosquitto import BrokerFolder, Revoked
from sanderling_fleet.store import Certificate, Device, Standing, Transaction

_log = logging.getLogger(__name__)


async def revoked_of(tx: Transaction, now: float) -> Revoked:
    """Devices that were revoked and have a certificate that lives, and all revoked certificates that do."""
    devices = {device.device_id for device in await tx.find(Device, {"standing": Standing.REVOKED.value})}
    living = [certificate for certificate in await tx.find(Certificate) if certificate.expires_at > now]
    return Revoked(
        tuple(sorted({certificate.device_id for certificate in living} & devices)),
        tuple(sorted(certificate.serial for certificate in living if certificate.revoked_at)),
    )


def shut_out(folder: BrokerFolder, revoked: Revoked, now: float) -> bool:
    """Writes the broker's files if they do not say so already, and has them read; whether anything changed."""
    if not folder.revoke(revoked, now):
        return False
    if not folder.reload():
        _log.warning("the broker's acl and crl.pem have changed, and it does not run here: have it read them (SIGHUP)")
    return True


def keep_fresh(folder: BrokerFolder, now: float) -> bool:
    """Gives the broker a new certificate if the life of its own nears its end, and has it read; whether it did."""
    if not folder.renew(now):
        return False
    if not folder.reload():
        _log.warning("the broker's certificate is a new one, and it does not run here: have it read it (SIGHUP)")
    return True
