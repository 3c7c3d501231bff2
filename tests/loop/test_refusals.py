"""What is refused, with a real server in a process of its own and the device's own parts: TLS, python-tuf, the store.

Where the tests run as root, the server and the publisher are users of their own, and whoever becomes the server's user
(`thief`) can open neither the release folder nor the publisher's.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from tests.loop.processes import SLOT, Application, active, bundle, truth, wait_for
from tests.loop.users import can_be, program

from sanderling.agent.actions import Fetch, Resolve, Verify
from sanderling.agent.blobs import BlobStore
from sanderling.agent.enrolment import enroll
from sanderling.agent.events import Fetched, Resolved, StepFailed, Verified
from sanderling.agent.facts import find_facts, host_of
from sanderling.agent.files import Files
from sanderling.agent.identity import Identity
from sanderling.agent.state import Code, Release, Wanted
from sanderling.agent.transport import FleetClient
from sanderling.agent.tuf_client import SignedVersions
from sanderling.api.device.v1 import device_pb2, enrolment_pb2
from sanderling.api.device.v1.device_admin_pb2 import CreateJoinTokenRequest
from sanderling.errors import AuthError, IntegrityError
from sanderling.trust import JoinToken, auto_role, version_target
from sanderling.versions import Manifest, write_bundle
from sanderling_devices.demo.fleet.processes import AGENT_PROGRAM, Device, sanderling
from sanderling_fleet.client import OperatorClient
from sanderling_fleet.trust.keys import write_private
from sanderling_fleet.wire import duration

pytest.importorskip("sklearn", reason="the images come with scikit-learn (extra 'demo')")

SERVER_USER, PUBLISHER_USER = 60001, 60002
"""Of nobody on a usual machine."""
WAIT_S = 120.0
SETTINGS = ("check_in_seconds=0.25", "probation_rows=20", "probation_seconds=0.5")


class Site:
    """The machines: folders of release, publisher, operator and server, and the processes of the last two users."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.server, self.publisher = folder, folder / "fleet" / "server", folder / "publisher"
        # Elsewhere all is one user's, and only what he forges is tried.
        self.users = can_be(SERVER_USER)
        sanderling("fleet", "init", folder / "fleet")
        (folder / "fleet").chmod(0o755)
        self.publisher.mkdir(mode=0o700)
        self.process: subprocess.Popen[str] | None = None
        self.publishing: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, str] = {}
        self.own(self.server, SERVER_USER)
        self.own(self.publisher, PUBLISHER_USER)

    def own(self, place: Path, user: int) -> None:
        if self.users:
            for path in (place, *place.rglob("*")):
                os.chown(path, user, user)

    def program(self, user: int, module: str, *arguments: object) -> dict[str, Any]:
        return program(user if self.users else None, module, *arguments)

    def start(self) -> None:
        names = ("enrolment", "device", "operator")
        words = [word for n in names for word in (f"--{n}-port", self.addresses.get(n, ":0").rpartition(":")[2])]
        words += [word for setting in SETTINGS for word in ("--set", setting)]
        command = self.program(
            SERVER_USER, "sanderling.cli", "fleet", "run", self.folder / "fleet", *words, "-o", "json"
        )
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(**command, stdout=subprocess.PIPE, stderr=log, text=True)
        said = ""
        while "}" not in said:
            line = self.process.stdout.readline()
            assert line, (self.folder / "server.log").read_text()
            said += line
        self.addresses = json.loads(said)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate(timeout=30)
            self.process = None

    def begin_publishing(self) -> None:
        """`sanderling publisher run`, as the publisher's user."""
        words = ("--address", self.addresses["operator"], "--ca", self.publisher / "ca.pem", "--every", "1s")
        words += ("--token-file", self.publisher / "token")
        with (self.folder / "publisher.log").open("ab") as log:
            self.publishing = subprocess.Popen(
                **self.program(PUBLISHER_USER, "sanderling.cli", "publisher", "run", self.publisher, *words), stderr=log
            )

    def close(self) -> None:
        self.stop()
        if self.publishing is not None:
            self.publishing.kill()
            self.publishing.wait(30)

    @property
    def environment(self) -> dict[str, str]:
        """By which an operator's commands find the server."""
        operator = self.folder / "fleet" / "operator"
        there = {
            "SANDERLING_FLEET_ADDRESS": self.addresses["operator"],
            "SANDERLING_FLEET_CA": str(operator / "ca.pem"),
        }
        return {**there, "SANDERLING_FLEET_TOKEN_FILE": str(operator / "token")}

    def operate(self, *arguments: str | Path) -> str:
        return sanderling(*arguments, environment=self.environment)

    def token(self, seconds: float = 600.0, **labels: str) -> JoinToken:
        operator = self.folder / "fleet" / "operator"
        ca, token = (operator / "ca.pem").read_bytes(), (operator / "token").read_text()
        with OperatorClient(self.addresses["operator"], ca, token) as client:
            request = CreateJoinTokenRequest(life=duration(seconds), labels=labels, approved=True)
            return JoinToken.from_text(client.call(client.devices.CreateJoinToken, request).join_token)

    def thief(self, action: str, *arguments: object) -> object:
        """What the server's user does by a program of his own."""
        command = self.program(SERVER_USER, "tests.loop.thief", self.server, action, *arguments)
        done = subprocess.run(**command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def site():
    """A fleet with a released version, a publisher, and a server that runs; in a folder that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="sl-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = Site(folder)
        try:
            made.start()
            release, publisher = folder / "fleet" / "release", folder / "publisher"
            made.operate("model", "push", write_bundle(bundle("good", 2), folder), "--release", release)
            sanderling("publisher", "init", publisher, "--model", "digits")
            made.operate(
                "publisher", "delegate", publisher / "publisher.pub", "--model", "digits", "--release", release
            )
            token = sanderling("fleet", "operator", folder / "fleet", "robot", "--role", "publisher").strip()
            write_private(publisher / "token", token.encode())
            shutil.copy(folder / "fleet" / "operator" / "ca.pem", publisher / "ca.pem")
            made.own(made.publisher, PUBLISHER_USER)
            made.own(made.server, SERVER_USER)
            made.begin_publishing()
            for kind, number in (("wrong", 66), ("good", 1)):
                write_bundle(bundle(kind, number), folder)
            yield made
        finally:
            made.close()


@pytest.fixture
def stolen(site):
    """What a test does to the server is undone after it; no publisher signs anything above the thief's meanwhile."""
    site.publishing.send_signal(signal.SIGSTOP)
    site.stop()
    subprocess.run(["cp", "-a", site.server, site.folder / "backup"], check=True)
    site.start()
    yield site
    site.stop()
    shutil.rmtree(site.server)
    (site.folder / "backup").rename(site.server)
    site.start()
    site.publishing.send_signal(signal.SIGCONT)


class Client:
    """The parts of an agent that meet the fleet."""

    def __init__(self, identity: Identity, cache: Path) -> None:
        self.identity, self.time, self._cache = identity, time.time(), cache
        self.calls = FleetClient(lambda: identity)
        self.versions = SignedVersions(cache / "tuf", identity.tuf_root, self.calls, lambda: self.time)
        blobs = BlobStore(cache / "blobs", quota_bytes=100_000_000)
        self.files = Files(blobs, self.versions, self.calls, host_of(find_facts()), lambda: self.time)

    def check_in(self, sequence: int = 1) -> device_pb2.CheckInResponse:
        return self.calls.check_in(device_pb2.CheckInRequest(protocol_version=1, boot_id="b", sequence=sequence))

    def installs(self, manifest: Manifest) -> None:
        """Raises what an agent would report."""
        release = Release(manifest.full_name, manifest.digest.hex(), manifest.release_counter)
        wanted = Wanted(release.version, release.digest)
        for step, done in (
            (Resolve(SLOT, 1, wanted), Resolved),
            (Fetch(SLOT, 1, release), Fetched),
            (Verify(SLOT, 1, release), Verified),
        ):
            answer = self.files.perform(step)
            if isinstance(answer, StepFailed):
                assert answer.code is Code.INTEGRITY, answer
                raise IntegrityError(answer.detail)
            assert isinstance(answer, done), answer


@pytest.fixture
def identity(site, tmp_path):
    return enroll(site.token(), tmp_path / "identity", enrolment_pb2.DeviceFacts())[0]


@pytest.fixture
def clients(identity, tmp_path):
    """One that has seen the newest metadata, and one with an empty cache."""
    made = Client(identity, tmp_path / "seen"), Client(identity, tmp_path / "empty")
    made[0].versions.find(version_target("digits-2"))
    return made


def manifest(kind: str, number: int) -> Manifest:
    return bundle(kind, number).manifest


def refused(clients, words: str, wanted: Manifest) -> None:
    for client in clients:
        with pytest.raises(IntegrityError, match=words):
            client.installs(wanted)


def test_an_honest_server_is_believed(clients):
    for client in clients:
        client.installs(manifest("good", 2))


# The server is the thief's


def test_he_opens_neither_the_release_folder_nor_the_publishers(site):
    if not site.users:
        pytest.skip("only root can give server and publisher users of their own")
    kept = [site.folder / "fleet" / "release", site.folder / "fleet" / "operator", site.publisher]
    kept += [path for folder in kept for path in folder.rglob("*")]
    assert {"root.key", "targets.key", "publisher.key", "token"} <= {path.name for path in kept}
    assert site.publishing.poll() is None
    kept += [Path(f"/proc/{site.publishing.pid}/{what}") for what in ("environ", "mem")]
    assert site.thief("open", *kept) == []
    assert site.thief("open", site.server / "ca.key") == [str(site.server / "ca.key")], "the keys that are his"


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("targets", "targets was signed by 0/1 keys"),
        (auto_role("digits"), "auto/digits was signed by 0/1 keys"),
        ("root", "root was signed by 0/1 keys"),
    ],
)
def test_a_version_forged_with_all_that_the_server_has(role, said, clients, stolen):
    keys = stolen.thief("forge", role, stolen.folder / "digits-66.sanderling", stolen.process.pid)
    assert keys == 4, "CA, snapshot, timestamp, director"
    refused(clients, said, manifest("wrong", 66))


def test_metadata_that_is_rolled_back(clients, stolen):
    stolen.thief("roll back")
    refused(clients[:1], "BadVersionNumberError", manifest("good", 2))
    clients[1].installs(manifest("good", 2))  # it has seen nothing newer, and all of it was rightly signed


def test_metadata_that_is_frozen(clients):
    for client in clients:
        client.time += 2 * 86_400
    refused(clients, "ExpiredMetadataError", manifest("good", 2))


@pytest.mark.parametrize(("crime", "said"), [("mix", "BadVersionNumberError"), ("expire", "ExpiredMetadataError")])
def test_metadata_that_is_mixed_or_expired(crime, said, clients, stolen):
    stolen.thief(crime)
    refused(clients, said, manifest("good", 2))


def test_a_flipped_byte_in_a_blob(clients, stolen):
    stolen.thief("flip", "digits-2")
    refused(clients, "the bytes that came are", manifest("good", 2))


@pytest.fixture
def device(stolen):
    with tempfile.TemporaryDirectory(prefix="sl-") as name:
        made = Device(Path(name), AGENT_PROGRAM)
        try:
            made.enrol(stolen.token(has="agent").to_text())
            made.start()
            yield made
        finally:
            made.close()


def test_a_device_of_a_stolen_server_keeps_what_it_runs(stolen, device):
    """The agent itself, asked by the director's key for a forged version, and for an older one without leave."""
    older, evil = manifest("good", 2), manifest("wrong", 66)
    newer, release = write_bundle(bundle("good", 3), stolen.folder), stolen.folder / "fleet" / "release"
    wait_for(lambda: (device.state / "router" / "router.json").exists(), "the router", WAIT_S)
    application = Application(device, {"digits-3": truth("good")}).start()
    try:
        stolen.operate("model", "push", newer, "--release", release)
        rollout = stolen.operate(
            "rollout", "create", "digits-3", "--slot", SLOT, "--selector", "has=agent", "--stage", "all:100%"
        ).strip()
        stolen.operate("rollout", "status", rollout, "--watch")
        stolen.thief("ask", device.device_id, SLOT, older.full_name, older.digest.hex(), "theft-1")
        wait_for(lambda: stolen.thief("result", device.device_id, "theft-1") is not None, "a result", WAIT_S)
        result = stolen.thief("result", device.device_id, "theft-1")
        assert (result["state"], result["code"]) == ("ASSIGNMENT_STATE_DISCARDED", "RESULT_CODE_INTEGRITY"), result
        assert "release counter" in result["detail"]
        stolen.thief("forge", "targets", stolen.folder / "digits-66.sanderling", stolen.process.pid)
        stolen.thief("ask", device.device_id, SLOT, evil.full_name, evil.digest.hex(), "theft-2")
        wait_for(lambda: "theft-2" in repr(device.remembered()), "the agent's hearing of it", WAIT_S)
        before = device.remembered().sequence
        wait_for(lambda: device.remembered().sequence > before + 5, "check-ins", WAIT_S)
        assert active(device) == "digits-3"
    except BaseException:
        print(stolen.operate("rollout", "ls"), stolen.operate("device", "ls"), _log(device), sep="\n")
        raise
    finally:
        application.stop()
    assert {request.version for request in application.answered} == {"digits-3"}
    assert application.wrong == []


def _log(device: Device) -> str:
    return (device.state / "agent.log").read_text(errors="replace")[-3000:]


# Strangers


def test_tokens(site, tmp_path):
    facts = enrolment_pb2.DeviceFacts()
    token = site.token()
    for what in ("ca_digest", "root_digest"):
        with pytest.raises(IntegrityError, match=r"names CA 0000|TUF root has SHA-256"):
            enroll(dataclasses.replace(site.token(), **{what: bytes(32)}), tmp_path / what, facts)
    enroll(token, tmp_path / "first", facts)
    with pytest.raises(AuthError, match="was used, by dv-"):
        enroll(token, tmp_path / "second", facts)
    with pytest.raises(AuthError, match="is not known here"):
        enroll(dataclasses.replace(token, secret="guess"), tmp_path / "third", facts)
    short = site.token(0.1)
    time.sleep(0.2)
    with pytest.raises(AuthError, match="expired"):
        enroll(short, tmp_path / "late", facts)


def test_a_certificate_of_another_fleets_ca(site, identity, tmp_path):
    other = Site(tmp_path)
    other.users = False
    other.start()
    try:
        stranger = enroll(other.token(), tmp_path / "identity of another", enrolment_pb2.DeviceFacts())[0]
        liar = dataclasses.replace(stranger, ca=identity.ca, addresses=identity.addresses)
        with pytest.raises(AuthError, match="refuses this device's certificate"):
            Client(liar, tmp_path / "cache").check_in()
    finally:
        other.close()


def test_a_device_that_is_revoked_while_it_is_connected(site, identity, tmp_path):
    client = Client(identity, tmp_path / "cache")
    with client.calls._channel() as channel:
        call = channel.unary_unary(
            "/sanderling.api.device.v1.DeviceService/CheckIn",
            device_pb2.CheckInRequest.SerializeToString,
            device_pb2.CheckInResponse.FromString,
        )
        request = device_pb2.CheckInRequest(protocol_version=1, boot_id="b", sequence=1)
        assert call(request, timeout=20).approved
        site.operate("device", "revoke", identity.device_id, "--reason", "stolen")
        with pytest.raises(AuthError, match="was revoked: stolen"):
            _raise_typed(call, device_pb2.CheckInRequest(protocol_version=1, boot_id="b", sequence=2))
    with pytest.raises(AuthError, match="was revoked: stolen"):
        client.check_in(3)


def _raise_typed(call, request):
    from sanderling.agent.transport import typed

    with typed():
        call(request, timeout=20)
