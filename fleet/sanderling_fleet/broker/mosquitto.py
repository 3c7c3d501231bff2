"""A folder from which Mosquitto (2.0 or newer) serves a fleet with mutual TLS.

mosquitto.conf   the listener, and where the rest is
acl              what each user may do; users are the common names of certificates
ca.pem, server.pem, server.key   the fleet's CA, and the broker's own certificate
crl.pem          certificates that were revoked

A revoked device is shut out twice: `crl.pem` refuses its next handshake, and a line in `acl` takes every right from
the connection that it has. Mosquitto reads both again when it gets SIGHUP, so nothing is restarted and no other device
notices. `sanderling fleet run` keeps the two files up to date, and gives the broker a new certificate in time.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from sanderling.errors import InputError
from sanderling_fleet.broker.topics import ROOT, device_hint, up
from sanderling_fleet.server_certificate import is_due
from sanderling_fleet.trust.ca import CertificateAuthority
from sanderling_fleet.trust.keys import load_p256, private_folder, write_private

SERVER_USER = "sanderling fleet server"
"""Common name in what `CertificateAuthority.issue_server` signs, for broker and ingest; no device id has blanks."""

RECEIVE_MAXIMUM = 2000
"""Messages that ingest holds without acknowledgement: two of its batches."""

_CRL_LIFE_SECONDS = 10 * 365 * 86400
_CONF = """\
# Made by `sanderling fleet broker-config`. Start with: mosquitto -c {folder}/mosquitto.conf
# After acl or crl.pem has changed: kill -HUP $(cat {folder}/mosquitto.pid)
per_listener_settings false
allow_anonymous false
acl_file {folder}/acl
pid_file {folder}/mosquitto.pid
log_dest stderr
log_type error
log_type warning
log_type notice

# What waits for ingest while it is away: kept on disk, and more of it than Mosquitto keeps by default. What the broker
# drops or loses is sent again, since a device keeps its rows until the fleet server has told it that they are stored.
persistence true
persistence_location {folder}/state/
autosave_interval 60
max_inflight_messages {receive_maximum}
max_queued_messages 100000
max_queued_bytes 268435456
message_size_limit 1048576
persistent_client_expiration 30d

listener {port} {bind}
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
crlfile {folder}/crl.pem
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
# Otherwise a device could take over another's session by giving its client id.
use_username_as_clientid true
"""


@dataclass(frozen=True)
class Listener:
    """Where the broker listens.

    Attributes:
        bind: Address that it binds to.
        port: Not 0: Mosquitto cannot say which port it got.
        hosts: Names and addresses that devices dial, for its certificate.
    """

    bind: str = "127.0.0.1"
    port: int = 8883
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Revoked:
    """Who is shut out.

    Attributes:
        devices: Ids.
        serials: Of their certificates, hexadecimal.
    """

    devices: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()


def acl_text(revoked: Iterable[str] = ()) -> str:
    """What each user may do, in Mosquitto's words.

    Args:
        revoked: Ids of devices that may do nothing.
    """
    lines = [
        f"user {SERVER_USER}",
        f"topic read {up('+', '#')}",
        f"topic write {device_hint('+')}",
    ]
    for device_id in sorted(revoked):
        lines += ["", f"user {device_id}", "topic deny #"]
    lines += [
        "",
        "# Every device by its certificate's common name, and no topic of another.",
        f"pattern write {up('%u', '#')}",
        f"pattern read {ROOT}/d/%u/down/#",
    ]
    return "\n".join(lines) + "\n"


def crl_pem(key: EllipticCurvePrivateKey, authority: x509.Certificate, serials: Iterable[str], now: float) -> bytes:
    """The revocation list.

    Args:
        key: The CA's.
        authority: The CA's certificate.
        serials: Hexadecimal.
        now: Seconds since the epoch.
    """
    # A clock that is a little behind must not find a list that is not yet valid.
    start = dt.datetime.fromtimestamp(int(now) - 300, dt.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(start)
        # Mosquitto refuses everyone once a list is out of date; when it changes, the server says so.
        .next_update(start + dt.timedelta(seconds=_CRL_LIFE_SECONDS))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.CRLNumber(int(now)), critical=False)
    )
    for serial in sorted(serials):
        revoked = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(start).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class BrokerFolder:
    """The folder of a Mosquitto.

    Args:
        folder: Made by `create`.
        server: The fleet's folder server/, with the CA.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self._folder = folder
        self._server = server

    @classmethod
    def create(cls, folder: Path, server: Path, listener: Listener, revoked: Revoked, now: float) -> BrokerFolder:
        """Writes the whole folder, anew where it exists.

        Raises:
            InputError: The path has a blank or line break, which Mosquitto's configuration cannot name, or the port
                is 0.
            IntegrityError: The CA's key cannot be read.
        """
        folder = folder.absolute()
        if len(str(folder).split()) != 1 or not 0 < listener.port < 65536:
            raise InputError(
                f"[broker] folder {str(folder)!r} and port {listener.port}: a path without blanks and a port from 1 to "
                "65535 are wanted"
            )
        authority = CertificateAuthority.load(server)
        private_folder(folder)
        private_folder(folder / "state")
        broker = cls(folder, server)
        broker._issue(authority, listener.hosts, now)
        write_private(folder / "ca.pem", authority.pem.encode(), replace=True)
        conf = _CONF.format(folder=folder, bind=listener.bind, port=listener.port, receive_maximum=RECEIVE_MAXIMUM)
        write_private(folder / "mosquitto.conf", conf.encode(), replace=True)
        broker.revoke(revoked, now)
        return broker

    def revoke(self, revoked: Revoked, now: float) -> bool:
        """Writes who is shut out; False, and nothing is written, if the files say so already."""
        acl = acl_text(revoked.devices).encode()
        listed = self._folder / "crl.pem"
        if listed.exists() and (self._folder / "acl").read_bytes() == acl and _serials(listed) == set(revoked.serials):
            return False
        authority = x509.load_pem_x509_certificate((self._server / "ca.pem").read_bytes())
        crl = crl_pem(load_p256(self._server / "ca.key"), authority, revoked.serials, now)
        self._write({"crl.pem": crl, "acl": acl})
        return True

    def renew(self, now: float) -> bool:
        """Writes a new key and certificate for the same hosts, if those there are soon of no use; whether it did.

        Raises:
            IntegrityError: The CA's key cannot be read.
        """
        path = self._folder / "server.pem"
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        # A process that died between the two files left a key of another certificate.
        fits = load_p256(self._folder / "server.key").public_key() == certificate.public_key()
        if fits and not is_due(path.read_bytes(), now):
            return False
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self._issue(CertificateAuthority.load(self._server), [str(name.value) for name in names], now)
        return True

    def _issue(self, authority: CertificateAuthority, hosts: Sequence[str], now: float) -> None:
        key, chain = authority.issue_server(hosts, now)
        self._write({"server.key": key, "server.pem": chain})

    def _write(self, files: Mapping[str, bytes]) -> None:
        owner = self._folder.stat()
        for name, data in files.items():
            write_private(self._folder / name, data, replace=True)
            if os.geteuid() == 0:
                # The broker may run as a user of its own, to whom the folder was given.
                os.chown(self._folder / name, owner.st_uid, owner.st_gid)

    def reload(self) -> bool:
        """Has a Mosquitto on this machine read the files again; False if none has left its pid here."""
        try:
            pid = int((self._folder / "mosquitto.pid").read_text())
            if Path(f"/proc/{pid}/comm").read_text().strip() != "mosquitto":
                return False
            os.kill(pid, signal.SIGHUP)
        except (OSError, ValueError):
            return False
        return True


def _serials(path: Path) -> set[str]:
    crl = x509.load_pem_x509_crl(path.read_bytes())
    return {format(item.serial_number, "x") for item in crl}
