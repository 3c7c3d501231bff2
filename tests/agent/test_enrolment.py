"""Enrolment, renewal and recovery over real TLS: who is believed, and what is never sent to whom is not."""

import dataclasses
import datetime
import stat
import time

import grpc
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tests.agent.fleet import Authority, Fleet, utc

from sanderling.agent.enrolment import enroll, keep_valid
from sanderling.agent.identity import Identity, private_key
from sanderling.agent.transport import FleetClient
from sanderling.api.device.v1 import device_pb2, enrolment_pb2
from sanderling.errors import AuthError, InputError, IntegrityError, TransportError

FACTS = enrolment_pb2.DeviceFacts(machine="x86_64", runtime_version="0.1.0")


def test_a_device_enrols(fleet, tmp_path):
    identity, approved = enroll(fleet.token(), tmp_path / "identity", FACTS)
    assert approved
    assert identity.device_id == "dv-1"
    assert identity.tuf_root == fleet.repository.root
    assert Identity.load(tmp_path / "identity") == identity
    assert fleet.enrolments[0].facts == FACTS
    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o700
    for name in ("device.pem", "device.json", "ca.pem"):
        assert stat.S_IMODE((tmp_path / "identity" / name).stat().st_mode) == 0o600
    assert not (tmp_path / "identity" / "attempt.json").exists()


def test_another_ca_never_gets_the_secret(fleet, tmp_path):
    other = Fleet(authority=Authority("other")).start()
    try:
        with pytest.raises(IntegrityError, match="the token's secret was not sent"):
            enroll(dataclasses.replace(fleet.token(), address=f"127.0.0.1:{other.ports[0]}"), tmp_path, FACTS)
        assert other.enrolments == []
    finally:
        other.stop()


def test_a_server_that_only_shows_the_right_ca_never_gets_the_secret(tmp_path):
    """The CA's certificate is public: whoever is in between can append it to a chain of its own."""
    right, wrong = Authority("fleet ca"), Authority("fleet ca")
    key, chain = wrong.server()
    wrong.server = lambda: (key, chain + right.pem)
    other = Fleet(authority=wrong).start()
    try:
        with pytest.raises(AuthError, match="CA did not sign"):
            enroll(other.token(ca_digest=right.digest), tmp_path, FACTS)
        assert other.enrolments == []
    finally:
        other.stop()


def test_another_tuf_root_is_refused(fleet, tmp_path):
    with pytest.raises(IntegrityError, match="TUF root has SHA-256"):
        enroll(fleet.token(root_digest=b"x" * 32), tmp_path, FACTS)
    with pytest.raises(AuthError, match="not enrolled"):
        Identity.load(tmp_path)


def test_a_second_try_is_the_same_request(fleet, tmp_path):
    fleet.fail["Enroll"] = (grpc.StatusCode.UNAVAILABLE, "TransportError", "the database is away")
    with pytest.raises(TransportError, match="the database is away"):
        enroll(fleet.token(), tmp_path, FACTS)
    fleet.fail.clear()
    enroll(fleet.token(), tmp_path, FACTS)
    first, second = fleet.enrolments
    assert first.request_id == second.request_id


def test_another_token_is_another_request(fleet, tmp_path):
    fleet.fail["Enroll"] = (grpc.StatusCode.PERMISSION_DENIED, "AuthError", "the token was used")
    with pytest.raises(AuthError, match="the token was used"):
        enroll(fleet.token(), tmp_path, FACTS)
    fleet.fail.clear()
    enroll(fleet.token(secret="another"), tmp_path, FACTS)
    first, second = fleet.enrolments
    assert first.request_id != second.request_id


def test_who_is_enrolled_does_not_enrol_again(fleet, identity):
    with pytest.raises(InputError, match="agent reset"):
        enroll(fleet.token(), identity.folder, FACTS)


def test_nobody_there(fleet, tmp_path):
    with pytest.raises(TransportError, match="cannot be reached"):
        enroll(fleet.token(address="127.0.0.1:1"), tmp_path, FACTS)


def test_renewal_at_two_thirds(fleet, identity, client):
    life = 30 * 86_400
    start = identity.certificate.not_valid_before_utc.timestamp()
    assert keep_valid(identity, client, start + life * 0.66) is identity
    renewed = keep_valid(identity, client, start + life * 0.67)
    assert renewed.key != identity.key
    assert Identity.load(identity.folder) == renewed
    FleetClient(lambda: renewed).check_in(device_pb2.CheckInRequest())


def test_an_expired_certificate_is_recovered(fleet, identity):
    public = private_key(identity.key).public_key()
    day = datetime.timedelta(days=1)
    expired = identity.with_certificate(
        identity.key, fleet.authority.device(public, "dv-1", utc() - 40 * day, utc() - 10 * day)
    )
    client = FleetClient(lambda: expired)
    with pytest.raises(AuthError, match="refuses this device's certificate"):
        client.check_in(device_pb2.CheckInRequest())
    valid = keep_valid(expired, client, time.time())
    assert valid.key != identity.key
    FleetClient(lambda: valid).check_in(device_pb2.CheckInRequest())


def test_a_certificate_for_another_key_or_device_is_refused(fleet, identity, client):
    before = Identity.load(identity.folder)
    own = private_key(identity.key).public_key()
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    for public, name, words in ((other, "dv-1", "another key"), (own, "dv-2", "this device is dv-1")):
        with pytest.raises(IntegrityError, match=words):
            identity.with_certificate(identity.key, fleet.authority.device(public, name))
    assert Identity.load(identity.folder) == before
    assert before.certificate.signature_hash_algorithm.name == hashes.SHA256.name


def test_a_damaged_identity_is_named(identity):
    (identity.folder / "device.pem").write_bytes(b"x")
    with pytest.raises(IntegrityError, match="damaged"):
        Identity.load(identity.folder)
