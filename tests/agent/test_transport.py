"""Calls over real mutual TLS: errors keep their class, unreachable and refused are told apart."""

import dataclasses
import socket
import threading

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.agent.fleet import Authority

from sanderling import errors
from sanderling.agent import transport
from sanderling.agent.identity import Addresses, private_key
from sanderling.agent.transport import FleetClient
from sanderling.api.device.v1 import device_pb2

REQUEST = device_pb2.CheckInRequest(protocol_version=1, boot_id="b", sequence=1)


def test_a_check_in(fleet, client):
    assert client.check_in(REQUEST).approved
    assert fleet.check_ins == [REQUEST]


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "AuthError", errors.AuthError),
        (grpc.StatusCode.FAILED_PRECONDITION, "GateRefused", errors.GateRefused),
        (grpc.StatusCode.INVALID_ARGUMENT, "ModelError", errors.ModelError),
        (grpc.StatusCode.UNAVAILABLE, "TransportError", errors.TransportError),
        (grpc.StatusCode.PERMISSION_DENIED, "", errors.AuthError),
        (grpc.StatusCode.UNAUTHENTICATED, "", errors.AuthError),
        (grpc.StatusCode.DATA_LOSS, "", errors.IntegrityError),
        (grpc.StatusCode.INTERNAL, "", errors.InternalError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", errors.DeadlineError),
        (grpc.StatusCode.OUT_OF_RANGE, "", errors.TransportError),
        (grpc.StatusCode.DATA_LOSS, "NoSuchClass", errors.IntegrityError),
        (grpc.StatusCode.DATA_LOSS, "annotations", errors.IntegrityError),
    ],
)
def test_errors_keep_their_class(fleet, client, status, name, kind):
    fleet.fail["CheckIn"] = (status, name, "what and why")
    with pytest.raises(kind, match="what and why") as caught:
        client.check_in(REQUEST)
    assert type(caught.value) is kind


def test_a_server_that_is_away(fleet, client):
    fleet.stop()
    with pytest.raises(errors.TransportError, match="cannot be reached"):
        client.check_in(REQUEST)


def test_a_certificate_of_another_ca_is_refused(fleet, identity):
    rogue = Authority("rogue")
    chain = rogue.device(private_key(identity.key).public_key(), "dv-1")
    forged = identity.with_certificate(identity.key, chain)
    with pytest.raises(errors.AuthError, match="refuses this device's certificate"):
        FleetClient(lambda: forged).check_in(REQUEST)
    assert fleet.check_ins == []


def test_a_server_of_another_ca_is_refused(fleet, identity):
    other = dataclasses.replace(identity, ca=Authority("other").pem)
    with pytest.raises(errors.AuthError, match="not this fleet's server"):
        FleetClient(lambda: other).check_in(REQUEST)
    assert fleet.check_ins == []


def test_a_server_that_accepts_and_says_nothing(identity, monkeypatch):
    monkeypatch.setattr(transport, "PROBE_S", 0.2)
    monkeypatch.setattr(transport, "CALL_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        mute = dataclasses.replace(identity, addresses=Addresses(address, address))
        with pytest.raises(errors.DeadlineError):
            FleetClient(lambda: mute).check_in(REQUEST)


def test_a_server_that_closes_at_once(identity):
    with socket.create_server(("127.0.0.1", 0)) as door:

        def close() -> None:
            for _ in range(100):
                try:
                    door.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=close)
        thread.start()
        address = f"127.0.0.1:{door.getsockname()[1]}"
        shut = dataclasses.replace(identity, addresses=Addresses(address, address))
        with pytest.raises(errors.SanderlingError) as caught:
            FleetClient(lambda: shut).check_in(REQUEST)
        door.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert not isinstance(caught.value, errors.AuthError), "nobody refused a certificate"


def test_blobs_from_an_offset(fleet, client):
    data = bytes(range(256)) * 4096
    digest = fleet.repository.blob(data).digest.hex()
    assert b"".join(client.read_blob(digest, 1000)) == data[1000:]
    with pytest.raises(errors.InputError, match="no such blob"):
        list(client.read_blob("0" * 64))


def test_metadata_that_does_not_exist(client):
    assert client.metadata("7.root.json") is None


def test_a_key_is_of_the_curve_that_the_fleet_signs(identity):
    assert isinstance(private_key(identity.key).curve, ec.SECP256R1)
