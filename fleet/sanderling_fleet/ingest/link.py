"""How the fleet server reaches its broker."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sanderling.errors import InputError
from sanderling_fleet.broker.embedded import WINDOW
from sanderling_fleet.broker.mosquitto import RECEIVE_MAXIMUM
from sanderling_fleet.core.messages import Broker
from sanderling_fleet.core.telemetry_rows import Identity
from sanderling_fleet.server_certificate import is_due
from sanderling_fleet.trust.ca import CertificateAuthority
from sanderling_fleet.trust.keys import write_private

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class IngestCertificate:
    """A key and certificate for the broker, in a TLS context that shows a new one from its next connection on.

    Args:
        authority: The fleet's CA.
        server: The fleet's folder server/: both are kept there.
        now: Seconds since the epoch.
    """

    def __init__(self, authority: CertificateAuthority, server: Path, now: float) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=authority.pem)
        self._authority = authority
        self._server = server
        self._issue(now)

    def renew(self, now: float) -> bool:
        """Makes a new one if the present one's life nears its end; whether it did."""
        due = is_due((self._server / "ingest.pem").read_bytes(), now)
        if due:
            self._issue(now)
        return due

    def _issue(self, now: float) -> None:
        key, chain = self._authority.issue_server(["localhost"], now)
        write_private(self._server / "ingest.key", key, replace=True)
        write_private(self._server / "ingest.pem", chain, replace=True)
        self.context.load_cert_chain(self._server / "ingest.pem", self._server / "ingest.key")


@dataclass(frozen=True)
class Link:
    """A broker, and who the server is to it.

    Attributes:
        host: Of the broker.
        port: Of the broker.
        identity: Whether the broker knows devices by their certificates.
        window: Messages that the broker sends before it has acknowledgements.
        shared: Share the subscription with other ingest processes. The embedded broker's own sharing fails when a
            member's connection breaks, and there is one process.
        context: TLS; None on loopback without it.
        certificate: What the context shows; None without it.
        username: Empty to be known by the certificate.
        password: Of the user.
    """

    host: str
    port: int
    identity: Identity
    shared: bool
    window: int
    context: ssl.SSLContext | None = None
    certificate: IngestCertificate | None = None
    username: str = ""
    password: str = ""


def certified_link(url: str, authority: CertificateAuthority, server: Path, now: float) -> Link:
    """A link to a broker with mutual TLS, by a new certificate of the server's.

    Args:
        url: "mqtts://HOST:PORT".
        authority: The fleet's CA, which signed the broker's certificate too.
        server: The fleet's folder server/: key and certificate are kept there.
        now: Seconds since the epoch.

    Raises:
        InputError: The URL is none, or not "mqtts".
    """
    host, port = _host_and_port(url, "mqtts")
    certificate = IngestCertificate(authority, server, now)
    context = certificate.context
    return Link(host, port, Identity.VERIFIED, True, RECEIVE_MAXIMUM, context=context, certificate=certificate)


def password_link(address: Broker) -> Link:
    """A link to the embedded broker.

    Raises:
        InputError: It is not on loopback: a password must not cross a network in clear text.
    """
    host, port = _host_and_port(address.url, "mqtt")
    if host not in _LOOPBACK:
        raise InputError(f"[broker] {address.url} is not on loopback. Use mqtts and certificates: broker-config")
    return Link(
        host, port, Identity.ASSERTED, shared=False, window=WINDOW, username=address.username, password=address.password
    )


def _host_and_port(url: str, scheme: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"[broker] {url!r} is no URL: {error}. Expected {scheme}://HOST:PORT") from error
    if parts.scheme != scheme or not parts.hostname or parts.path.strip("/"):
        raise InputError(f"[broker] {url!r} cannot be used here. Expected {scheme}://HOST:PORT")
    return parts.hostname, port or _PORTS[scheme]
