"""The server's own certificates: each is replaced while it still has a third of its life, by whoever shows it."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from cryptography import x509

from sanderling_fleet.clock import Clock
from sanderling_fleet.trust.ca import CertificateAuthority

_RENEW_SHARE = 1 / 3


def is_due(chain: bytes, now: float) -> bool:
    """Whether less than a third of the life of a chain's first certificate is left.

    Raises:
        ValueError: It is none.
    """
    certificate = x509.load_pem_x509_certificate(chain)
    end = certificate.not_valid_after_utc.timestamp()
    return end - now < _RENEW_SHARE * (end - certificate.not_valid_before_utc.timestamp())


class ListenerCertificate:
    """Key and certificate of the listeners.

    Args:
        authority: Signs it.
        hosts: Names and addresses that clients dial.
        clock: The time.
    """

    def __init__(self, authority: CertificateAuthority, hosts: Sequence[str], clock: Clock) -> None:
        self._authority = authority
        self._hosts = hosts
        self._clock = clock
        self._made = authority.issue_server(hosts, clock.now())

    def renew(self) -> bool:
        """Makes a new one if it is due; whether it was."""
        now = self._clock.now()
        if not is_due(self._made[1], now):
            return False
        self._made = self._authority.issue_server(self._hosts, now)
        return True

    def credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        """For one listener; `mutual` asks clients for a certificate of the same authority."""
        # Not dynamic ones: asked in each handshake for what to show, a server of grpc.aio stood still under load.
        roots = self._authority.pem.encode() if mutual else None
        return grpc.ssl_server_credentials([self._made], roots, mutual)
