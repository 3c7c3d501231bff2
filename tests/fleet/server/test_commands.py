"""The commands as an operator meets them, against a server that `sanderling fleet run` runs in another process."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import grpc
import pytest
from running_fleet import manifest_of, new_csr

from sanderling.api.device.v1 import enrolment_pb2
from sanderling.api.device.v1.enrolment_pb2_grpc import EnrolmentServiceStub
from sanderling.cli import main
from sanderling.errors import InputError
from sanderling.trust import JoinToken
from sanderling.versions import Bundle, write_bundle
from sanderling_fleet.commands.connection import FleetSettings, find_settings
from sanderling_fleet.commands.printing import duration
from sanderling_fleet.config import ServerConfig, with_settings

SANDERLING = [sys.executable, "-m", "sanderling.cli"]


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("SANDERLING")}


class ServerProcess:
    """`sanderling fleet run` on free ports; what it printed is what clients dial."""

    def __init__(self, folder):
        free = [word for name in ("enrolment", "device", "operator") for word in (f"--{name}-port", "0")]
        self.process = subprocess.Popen(
            [*SANDERLING, "fleet", "run", str(folder), *free],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        lines = [self.process.stdout.readline().split() for _ in range(3)]
        assert all(lines), self.process.stderr.read()
        self.addresses = dict(lines)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, told = self.process.communicate(timeout=20)
        return self.process.returncode, told


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "fleet"
    made = subprocess.run(
        [*SANDERLING, "fleet", "init", str(folder)], capture_output=True, text=True, env=clean_environment(), check=True
    )
    assert "Root is 1 of 1" in made.stderr
    for part in ("server", "release", "operator"):
        assert str(folder / part) in made.stdout
    server = ServerProcess(folder)
    yield folder, server
    code, told = server.stop()
    assert (code, "draining" in told) == (0, True)


@dataclasses.dataclass
class Done:
    stdout: str
    stderr: str


@pytest.fixture
def sanderling(fleet, monkeypatch, capsys):
    """Runs a command line in this process: what it prints and the code it exits with are those of a process."""
    folder, server = fleet
    monkeypatch.chdir(folder / "operator")

    def run(*args, code=0, **environment):
        with monkeypatch.context() as scope:
            scope.setenv("SANDERLING_FLEET_ADDRESS", server.addresses["operator"])
            for name, value in environment.items():
                scope.setenv(name, value)
            with pytest.raises(SystemExit) as exit_:
                main([str(arg) for arg in args])
        done = Done(*capsys.readouterr())
        assert exit_.value.code == code, done
        return done

    return run


def test_a_process_of_its_own_finds_the_server_by_the_file_in_its_folder(fleet):
    folder, server = fleet
    found = (folder / "operator" / "sanderling.toml").read_text()
    assert 'ca = "ca.pem"' in found
    done = subprocess.run(
        [*SANDERLING, "fleet", "status", "--address", server.addresses["operator"]],
        capture_output=True,
        text=True,
        cwd=folder / "operator",
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "versions" in done.stdout


def test_a_fleet_by_hand(fleet, sanderling, tmp_path):
    folder, server = fleet
    manifest, blobs = manifest_of(blobs={"model.onnx": bytes(600_000)})
    bundle = write_bundle(Bundle(manifest, blobs), tmp_path)
    release = folder / "release"
    pushed = sanderling("model", "push", bundle, "--release", release)
    assert pushed.stdout == "digits-1.0\n"
    assert json.loads(sanderling("model", "push", bundle, "--release", release, "-o", "json").stdout)["versions"] == []
    assert "targets version 3" in sanderling("model", "push", "--release", release).stderr
    assert "digits-1.0" in sanderling("model", "ls").stdout
    shown = json.loads(sanderling("model", "show", "digits-1.0", "-o", "json").stdout)
    assert shown["manifest"]["blobs"]["model.onnx"]["bytes"] == 600_000
    made = sanderling("device", "token", "--label", "site=hall-2", "--pending").stdout
    token = JoinToken.from_text(made)
    credentials = grpc.ssl_channel_credentials((folder / "operator" / "ca.pem").read_bytes())
    with grpc.secure_channel(server.addresses["enrolment"], credentials) as channel:
        request = enrolment_pb2.EnrollRequest(
            protocol_version=1, request_id="r", token_secret=token.secret, csr=new_csr()[1]
        )
        device_id = EnrolmentServiceStub(channel).Enroll(request, timeout=20).device_id
    assert token.address == server.addresses["enrolment"]
    assert "pending" in sanderling("device", "ls", "site=hall-2").stdout
    assert device_id not in sanderling("device", "ls", "site=hall-3").stdout
    assert "active" in sanderling("device", "approve", device_id).stdout
    sanderling("device", "label", device_id, "tier=canary", "site-")
    assert json.loads(sanderling("device", "show", device_id, "-o", "json").stdout)["labels"] == {"tier": "canary"}
    status = json.loads(sanderling("fleet", "status", "-o", "json").stdout)
    assert (status["devices"], status["versions"]) == ({"active": 1}, ["digits-1.0"])
    assert "revoked" in sanderling("device", "revoke", device_id, "--reason", "sold").stdout
    lines = json.loads(sanderling("audit", "ls", "-o", "json").stdout)
    assert [line["subject"] for line in lines if line["action"] == "device.revoke"] == [device_id]
    assert "each sealed" in sanderling("audit", "verify", folder).stdout


def test_roles_and_exit_codes(fleet, sanderling):
    folder, _ = fleet
    token = sanderling("fleet", "operator", folder, "eve", "--role", "viewer", "--life", "1h").stdout.strip()
    sanderling("device", "ls", SANDERLING_FLEET_TOKEN=token)
    refused = sanderling("device", "token", code=4, SANDERLING_FLEET_TOKEN=token)
    assert "cause: AuthError" in refused.stderr
    assert refused.stdout == ""
    sanderling("fleet", "operator", folder, "eve", "--delete")
    sanderling("device", "ls", code=4, SANDERLING_FLEET_TOKEN=token)
    away = sanderling("device", "ls", code=5, SANDERLING_FLEET_ADDRESS="127.0.0.1:1")
    assert "cannot be reached" in away.stderr
    for name, value, words in (
        ("SANDERLING_FLEET_TOKEN", "two words", "has 9 characters that are no token's"),
        ("SANDERLING_FLEET_CA", str(folder / "operator" / "sanderling.toml"), "is no certificate in PEM"),
        ("SANDERLING_FLEET_CA", str(folder / "none"), "none cannot be read: No such file or directory"),
    ):
        told = sanderling("device", "ls", code=1, **{name: value}).stderr
        assert words in told
        assert "two words" not in told
    assert "is no release folder" in sanderling("model", "push", "--release", folder / "operator", code=1).stderr
    told = sanderling("retrain", "show", "job-none", code=1).stderr
    assert "there is no job 'job-none'" in told
    assert "RPC" not in told
    sanderling("device", "show", "dv-none", code=1)
    sanderling("device", "label", "dv-none", "novalue", code=2)
    sanderling("device", "token", "--life", "soon", code=2)
    assert "is not empty" in sanderling("fleet", "init", folder, code=1).stderr


def test_the_root_is_renewed(fleet, sanderling, tmp_path):
    folder, _ = fleet
    assert sanderling("fleet", "renew-root", "--release", folder / "release").stdout == "root version 2\n"
    assert sanderling("fleet", "renew-root", "--release", folder / "release").stdout == "root version 3\n"


def test_a_server_that_is_killed_has_everything_when_it_starts_again(sanderling, tmp_path):
    folder = tmp_path / "fleet"
    sanderling("fleet", "init", folder)
    server = ServerProcess(folder)
    manifest, blobs = manifest_of(blobs={"model.onnx": os.urandom(600_000)})
    bundle, release = write_bundle(Bundle(manifest, blobs), tmp_path), folder / "release"
    there = {"SANDERLING_FLEET_CA": str(folder / "operator" / "ca.pem")}
    there["SANDERLING_FLEET_TOKEN"] = (folder / "operator" / "token").read_text()
    address = {"SANDERLING_FLEET_ADDRESS": server.addresses["operator"]}
    sanderling("model", "push", bundle, "--release", release, **there, **address)
    server.process.kill()
    server.process.communicate(timeout=20)
    sanderling("model", "ls", code=5, **there, **address)
    server = ServerProcess(folder)
    address = {"SANDERLING_FLEET_ADDRESS": server.addresses["operator"]}
    assert "digits-1.0" in sanderling("model", "ls", **there, **address).stdout
    assert "each sealed" in sanderling("audit", "verify", folder).stdout
    assert server.stop()[0] == 0


def test_a_damaged_bundle_is_refused(fleet, sanderling, tmp_path):
    folder, _ = fleet
    bundle = write_bundle(Bundle(*manifest_of("cats")), tmp_path)
    data = bytearray(bundle.read_bytes())
    data[data.index(b"cats 1.0")] ^= 1
    bundle.write_bytes(data)
    sanderling("model", "push", bundle, "--release", folder / "release", code=6)


def test_a_release_folder_of_another_fleet_is_refused(fleet, sanderling, tmp_path):
    subprocess.run(
        [*SANDERLING, "fleet", "init", str(tmp_path / "other")],
        capture_output=True,
        env=clean_environment(),
        check=True,
    )
    told = sanderling("model", "push", "--release", tmp_path / "other" / "release", code=6).stderr
    assert "Is it another fleet's server?" in told


def test_flags_come_before_files_and_nearer_files_before_farther_ones(tmp_path):
    near, far = tmp_path / "near.toml", tmp_path / "far" / "sanderling.toml"
    far.parent.mkdir()
    near.write_text('[fleet]\nca = "near.pem"\n[agent]\nname = "x"\n')
    far.write_text('[fleet]\naddress = "far:1"\nca = "ca.pem"\n')
    files = [near, tmp_path / "none.toml", far]
    assert find_settings(FleetSettings(), files) == FleetSettings("far:1", str(tmp_path / "near.pem"), "")
    assert find_settings(FleetSettings(address="flag:1"), files).address == "flag:1"
    # A file in some folder, which may be anyone's, gets no token of the user's for an address of its own.
    near.write_text('[fleet]\naddress = "near:1"\nca = "near.pem"\n')
    far.write_text('[fleet]\naddress = "far:1"\nca = "ca.pem"\ntoken_file = "token"\n')
    assert find_settings(FleetSettings(), files) == FleetSettings("near:1", str(tmp_path / "near.pem"), "")
    near.write_text('[fleet]\nadress = "x"\n')
    with pytest.raises(InputError, match="Did you mean 'address'"):
        find_settings(FleetSettings(), files)


def enrolled_device(fleet, sanderling, *label):
    folder, server = fleet
    token = JoinToken.from_text(sanderling("device", "token", *label).stdout)
    credentials = grpc.ssl_channel_credentials((folder / "operator" / "ca.pem").read_bytes())
    with grpc.secure_channel(server.addresses["enrolment"], credentials) as channel:
        request = enrolment_pb2.EnrollRequest(
            protocol_version=1, request_id="r", token_secret=token.secret, csr=new_csr()[1]
        )
        return EnrolmentServiceStub(channel).Enroll(request, timeout=20).device_id


def test_a_rollout_by_hand(fleet, sanderling, tmp_path):
    folder, _ = fleet
    device = enrolled_device(fleet, sanderling, "--label", "site=attic")
    versions = [manifest_of("faces", version, counter) for version, counter in (("1.0", 1), ("2.0", 2))]
    old, new = (write_bundle(Bundle(*version), tmp_path) for version in versions)
    signed = tmp_path / "targets.json"
    sanderling("model", "sign", old, new, signed, "--release", folder / "release")
    assert sanderling("model", "push", old, new, "--signed", signed).stdout == "faces-1.0\nfaces-2.0\n"
    assert "Give either --release" in sanderling("model", "push", old, code=2).stderr

    create = ["rollout", "create", "faces-2.0", "--selector", "site=attic", "--slot", "door"]
    assert "nothing was changed" in sanderling(*create, "--dry-run").stdout
    stages = ["--stage", "canary:1:soak=1m:hold", "--stage", "all:100%"]
    rollout = sanderling(*create, *stages, "--control", "20", "--compare", "confidence=0.05").stdout.strip()
    assert rollout in sanderling("rollout", "ls").stdout
    shown = json.loads(sanderling("rollout", "status", rollout, "-o", "json").stdout)
    canary, last = shown["spec"]["stages"]
    assert (canary["count"], canary["soak"], canary["hold"], last["percent"]) == (1, "60s", True, 100)
    assert [list(gate) for gate in canary["gates"]] == [["hard_limit"], ["comparison"]]
    assert [list(gate) for gate in last["gates"]] == [["hard_limit"]]
    assert [item["device_id"] for item in shown["assignments"]] == [device]
    text = sanderling("rollout", "status", rollout).stdout
    assert "faces-2.0 in slot door  running" in text
    assert "offered" in text

    assert "paused: by admin: lunch" in sanderling("rollout", "pause", rollout, "--reason", "lunch").stdout
    assert "running" in sanderling("rollout", "resume", rollout).stdout
    refused = sanderling("rollout", "promote", rollout, code=1).stderr
    assert "Allowed now: Pause, Abort, RollBack" in refused
    token = tmp_path / "back.token"
    sanderling("model", "downgrade-token", old, token, "--release", folder / "release")
    rolled = sanderling("rollout", "roll-back", rollout, "--downgrade-token", token, "-o", "json").stdout
    assert json.loads(rolled)["state"] in ("ROLLOUT_STATE_ROLLING_BACK", "ROLLOUT_STATE_ROLLED_BACK")
    other = sanderling(*create, *stages).stdout.strip()
    assert "aborted: by admin: enough" in sanderling("rollout", "abort", other, "--reason", "enough").stdout
    ended = sanderling("rollout", "status", other, "--watch", code=7)
    assert "ended as aborted" in ended.stderr
    sanderling("device", "revoke", device)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--stage", "canary"], "expected NAME:SIZE"),
        (["--stage", "canary:few"], "expected a count or a percentage"),
        (["--stage", "canary:1:soak=soon"], "no span of time"),
        (["--stage", "canary:1:wait"], "has 'wait'"),
        (["--compare", "speed=1"], "metrics are crashes, latency_p95"),
        (["--compare", "confidence=0.1", "--stage", "all:100%"], "a stage before the last"),
        (["--compare", "confidence=0.1"], "control_percent is 0"),
        (["--selector", "a in (b"], "column 8: found the end"),
    ],
)
def test_rollouts_that_make_no_sense(sanderling, options, words):
    assert words in sanderling("rollout", "create", "digits-1.0", *options, code=1).stderr


def test_durations():
    assert [duration(text) for text in ("90s", "1.5m", "24h", "7d")] == [90, 90, 86_400, 604_800]
    for text in ("", "90", "h", "-1h", "1 h"):
        with pytest.raises(ValueError, match="no span of time"):
            duration(text)


def test_settings_on_the_command_line():
    config = with_settings(ServerConfig(), ["check_in_seconds=10", "host=fleet.example.org", "probation_rows=20"])
    assert (config.check_in_seconds, config.host, config.probation_rows) == (10, "fleet.example.org", 20)
    for setting, words in (
        ("check_in=10", "Did you mean 'check_in_seconds'"),
        ("probation_rows=x", "probation_rows is 'x', expected int"),
        ("probation_rows", "is no KEY=VALUE"),
        ("device_port=65536", "a port from 0 to 65535"),
        ("host=", "host is empty"),
        ("check_in_seconds=0", "expected at least 0.1"),
        ("check_in_seconds=nan", "check_in_seconds is nan"),
        ("rollout_tick_seconds=-1", "expected at least 0.01"),
        ("probation_seconds=inf", r"less than 2\^31"),
        ("window_rows=0", "expected at least 1"),
        ("telemetry_days=0", "expected at least 1"),
    ):
        with pytest.raises(InputError, match=words):
            with_settings(ServerConfig(), [setting])
