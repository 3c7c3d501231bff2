"""The server's own certificates: each is replaced while it still has a third of its life, by whoever shows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import grpc
from cryptography import x509

from sanderling_fleet.clock import Clock
from sanderling_fleet.trust.ca import CertificateAuthority

_RENEW_SHARE = 1 / 3
_log = logging.getLogger(__name__)


def is_due(chain: bytes, now: float) -> bool:
    """Whether less than a third of the life of a chain's first certificate is left.

    Raises:
        ValueError: It is none.
    """
    certificate = x509.load_pem_x509_certificate(chain)
    end = certificate.not_valid_after_utc.timestamp()
    return end - now < _RENEW_SHARE * (end - certificate.not_valid_before_utc.timestamp())


class ListenerCertificate:
    """Key and certificate of the listeners: made at the start, and anew while the server runs.

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
        self._lock = threading.Lock()

    def credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        """For one listener; `mutual` asks clients for a certificate of the same authority."""
        roots = self._authority.pem.encode() if mutual else None

        # gRPC asks before each handshake, in a thread of its own; connections that stand go on.
        def configuration() -> grpc.ServerCertificateConfiguration:
            return grpc.ssl_server_certificate_configuration([self._current()], roots)

        return grpc.dynamic_ssl_server_credentials(configuration(), configuration, mutual)

    def _current(self) -> tuple[bytes, bytes]:
        with self._lock:
            now = self._clock.now()
            if is_due(self._made[1], now):
                self._made = self._authority.issue_server(self._hosts, now)
                _log.info("the server's certificate is a new one")
            return self._made
