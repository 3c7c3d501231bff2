"""A real Mosquitto of this fleet, as an unprivileged user, and real MQTT clients of it."""

from __future__ import annotations

import contextlib
import os
import pwd
import queue
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion

from sanderling_fleet.broker.mosquitto import BrokerFolder, Listener, Revoked
from sanderling_fleet.ingest.link import certified_link
from sanderling_fleet.trust.ca import CertificateAuthority

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="Mosquitto is not installed: run `make servers` as root")
WAIT_SECONDS = 10.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machines:
    """A CA and what it signed."""

    def __init__(self, server: Path):
        self.server = server
        server.mkdir(parents=True)
        self.authority = CertificateAuthority.create("a fleet's CA", time.time())
        self.authority.save(server)

    def issue(self, name):
        """Serial and (certificate, key) files of a device."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        issued = self.authority.issue_device(request.public_bytes(serialization.Encoding.DER), name, time.time())
        paths = self.server / f"{name}.pem", self.server / f"{name}.key"
        paths[0].write_text(issued.chain)
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return issued.serial, paths

    def context(self, files=None):
        context = ssl.create_default_context(cadata=self.authority.pem)
        if files:
            context.load_cert_chain(*files)
        return context


class Mosquitto:
    """Starts it on a free port; stops it by its own pid."""

    def __init__(self, machines: Machines):
        self.machines = machines
        # Not below tmp_path: an unprivileged user must be able to get there.
        self.folder = Path(tempfile.mkdtemp(prefix="sanderling-broker-"))
        self.process = None

    def __enter__(self):
        for _ in range(5):
            self.port = free_port()
            listener = Listener(port=self.port)
            self.files = BrokerFolder.create(self.folder, self.machines.server, listener, Revoked(), time.time())
            if self.start():
                return self
        raise AssertionError((self.folder / "log").read_text())

    def start(self):
        user = self._give_away()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", self.folder / "mosquitto.conf"], stderr=log, **user)
        deadline = time.monotonic() + WAIT_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return True
            time.sleep(0.02)
        return False

    def kill(self):
        self.process.kill()
        self.process.wait(WAIT_SECONDS)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(WAIT_SECONDS)
        shutil.rmtree(self.folder)

    def _give_away(self):
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    @property
    def url(self):
        return f"mqtts://127.0.0.1:{self.port}"

    def link(self):
        return certified_link(self.url, self.machines.authority, self.machines.server, time.time())

    def client(self, context, **wanted):
        return Client(self.port, context=context, **wanted)


class Client:
    """An MQTT 5 client whose events are in queues."""

    def __init__(self, port, *, context=None, login=None, client_id="", will=None):
        self.connects, self.published, self.subscribed = queue.Queue(), queue.Queue(), queue.Queue()
        self.messages, self.gone = queue.Queue(), queue.Queue()
        client = self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        if context is not None:
            client.tls_set_context(context)
        if login:
            client.username_pw_set(*login)
        if will:
            client.will_set(*will)
        client.on_connect = lambda _c, _u, _f, reason, _p: self.connects.put(reason)
        client.on_disconnect = lambda _c, _u, _f, reason, _p: self.gone.put(reason)
        client.on_publish = lambda _c, _u, mid, reason, _p: self.published.put((mid, reason))
        client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subscribed.put(reasons)
        client.on_message = lambda _c, _u, message: self.messages.put((message.topic, message.payload))
        self._port = port

    def __enter__(self):
        """Connects; `reason` says how that went, an exception where TLS was refused."""
        try:
            self.paho.connect("127.0.0.1", self._port, 30)
            self.paho.loop_start()
            while self.connects.empty() and self.gone.empty() and self.paho._thread.is_alive():
                time.sleep(0.01)
            self.reason = self.gone.get_nowait() if self.connects.empty() else self.connects.get_nowait()
        except OSError as error:
            self.reason = error
        return self

    def __exit__(self, *_):
        self.paho.disconnect()
        self.paho.loop_stop()

    @property
    def connected(self):
        return getattr(self.reason, "is_failure", True) is False

    def publish(self, topic, payload, *, qos=1, retain=False):
        """The broker's reason code; 0 for taken."""
        mid = self.paho.publish(topic, payload, qos, retain).mid
        found, reason = self.published.get(timeout=WAIT_SECONDS)
        assert found == mid
        return 0 if reason.value < 0x80 else reason.value  # 16: nobody listens

    def subscribe(self, topic):
        self.paho.subscribe(topic, 1)
        return [reason.value for reason in self.subscribed.get(timeout=WAIT_SECONDS)]

    def drop(self):
        """Breaks the connection as a power cut would."""
        self.paho._sock.shutdown(socket.SHUT_RDWR)
