"""Enrolment, identity and recovery over real TLS: who gets in, and who is refused with what."""

import hashlib
import socket
import ssl

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.duration_pb2 import Duration
from running_fleet import DENIED, FREE_PORTS, EnrolledDevice, RunningFleet, new_csr, pem, refused

from sanderling.api.artifact.v1 import artifact_pb2
from sanderling.api.device.v1 import device_admin_pb2 as admin_pb2
from sanderling.api.device.v1 import device_pb2
from sanderling.api.device.v1 import enrolment_pb2 as pb
from sanderling.errors import AuthError, InputError, UnsupportedError
from sanderling.trust import RECOVERY_CONTEXT
from sanderling_fleet.clock import ManualClock, WallClock
from sanderling_fleet.core import enrolment
from sanderling_fleet.services.throttle import Throttle
from sanderling_fleet.trust.ca import CertificateAuthority


def enroll(fleet, secret, request_id="r1", **other):
    fields = {"protocol_version": 1, "csr": new_csr()[1], **other}
    return fleet.enrolment().Enroll(pb.EnrollRequest(request_id=request_id, token_secret=secret, **fields), timeout=20)


def test_a_token_makes_one_device(fleet):
    token = fleet.join_token(labels={"site": "hall-2"})
    device = EnrolledDevice(fleet, token.secret)
    certificate = x509.load_pem_x509_certificate(device.enrolled.certificate_chain.encode())
    assert certificate.subject.rfc4514_string() == f"CN={device.device_id}"
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 30
    assert hashlib.sha256(device.enrolled.tuf_root).digest() == token.root_digest
    assert device.enrolled.addresses.device == fleet.core.settings.addresses.device
    seen = fleet.admin().GetDevice(admin_pb2.GetDeviceRequest(device_id=device.device_id)).device
    assert (dict(seen.labels), seen.standing) == ({"site": "hall-2"}, admin_pb2.DEVICE_STANDING_ACTIVE)
    assert device.check_in().approved


def test_the_same_request_again_is_the_same_device_and_another_is_refused(fleet):
    secret = fleet.join_token().secret
    first = enroll(fleet, secret)
    assert enroll(fleet, secret).device_id == first.device_id
    with refused(AuthError, DENIED, "was used"):
        enroll(fleet, secret, request_id="r2")
    assert len(fleet.admin().ListDevices(admin_pb2.ListDevicesRequest()).devices) == 1


def test_unknown_and_expired_tokens_are_refused(tmp_path):
    clock = ManualClock(WallClock().now())
    with RunningFleet(tmp_path / "fleet", clock) as fleet:
        with refused(AuthError, DENIED, "not known"):
            enroll(fleet, "guess")
        secret = fleet.join_token(life=Duration(seconds=60)).secret
        clock.advance(61)
        with refused(AuthError, DENIED, "expired 1 s ago"):
            enroll(fleet, secret)


def test_a_bad_request_uses_no_token(fleet):
    secret = fleet.join_token().secret
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    with refused(InputError, invalid, "PKCS#10"):
        enroll(fleet, secret, csr=b"nonsense")
    with refused(InputError, invalid, "expected elliptic curve P-256"):
        enroll(fleet, secret, csr=new_csr(ec.generate_private_key(ec.SECP384R1()))[1])
    csr = bytearray(new_csr()[1])
    csr[-1] ^= 1
    with refused(InputError, invalid, r"\[csr\]"):
        enroll(fleet, secret, csr=bytes(csr))
    with refused(InputError, invalid, "request id is empty"):
        enroll(fleet, secret, request_id="")
    with refused(UnsupportedError, grpc.StatusCode.UNIMPLEMENTED, "Update the server"):
        enroll(fleet, secret, protocol_version=99)
    with refused(InputError, invalid, r"\[enrol\] 10,000 characters of a fact, at most 256"):
        enroll(fleet, secret, facts=pb.DeviceFacts(machine="x" * 10_000))
    with refused(InputError, invalid, r"\[enrol\] 10,000 instruction sets, at most 64"):
        enroll(fleet, secret, facts=pb.DeviceFacts(isas=["x"] * 10_000))
    assert enroll(fleet, secret).device_id


def test_the_enrolment_listener_presents_the_ca_that_tokens_name(fleet):
    host, _, port = fleet.core.settings.addresses.enrolment.rpartition(":")
    context = ssl.create_default_context(cadata=fleet.core.authority.pem)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), 5) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        # _sslobj: the chain as the other side sent it is public from Python 3.13 on.
        chain = [ssl.PEM_cert_to_DER_cert(c.public_bytes()) for c in tls._sslobj.get_unverified_chain()]
    digests = [hashlib.sha256(der).digest() for der in chain]
    assert fleet.join_token().ca_digest == fleet.core.authority.digest == digests[-1]
    assert len(chain) == 2


def test_a_client_that_trusts_another_ca_sends_nothing(fleet):
    other = CertificateAuthority.create("another", WallClock().now())
    assert other.digest != fleet.core.authority.digest
    stub_channel = fleet.channel(fleet.core.settings.addresses.enrolment, ca=other.pem)
    with pytest.raises(grpc.RpcError) as caught:
        stub_channel.unary_unary("/sanderling.api.device.v1.EnrolmentService/Enroll")(b"", timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def check_in_with(fleet, key, chain):
    channel = fleet.channel(fleet.core.settings.addresses.device, key=key, chain=chain)
    call = channel.unary_unary(
        "/sanderling.api.device.v1.DeviceService/CheckIn",
        device_pb2.CheckInRequest.SerializeToString,
        device_pb2.CheckInResponse.FromString,
    )
    return call(device_pb2.CheckInRequest(protocol_version=1, boot_id="b", sequence=1), timeout=10)


def test_a_certificate_of_another_ca_is_refused_even_with_a_devices_name(fleet):
    device = fleet.device()
    other = CertificateAuthority.create("sanderling fleet CA", WallClock().now())
    key, csr = new_csr()
    issued = other.issue_device(csr, device.device_id, WallClock().now())
    with pytest.raises(grpc.RpcError) as caught:
        check_in_with(fleet, pem(key), issued.chain.encode())
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert device.check_in().approved


def test_no_certificate_and_the_servers_own_are_refused_on_the_device_listener(fleet):
    with pytest.raises(grpc.RpcError) as caught:
        check_in_with(fleet, None, None)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    key, chain = fleet.core.authority.issue_server(["localhost"], WallClock().now())
    with refused(AuthError, DENIED, "is not a device's"):
        check_in_with(fleet, key, chain)


def test_a_certificate_names_one_device_and_one_device_only(fleet):
    mine, theirs = fleet.device(), fleet.device()
    serial = format(x509.load_pem_x509_certificate(mine.enrolled.certificate_chain.encode()).serial_number, "x")
    with pytest.raises(AuthError, match=f"not one of {theirs.device_id}'s"):
        fleet.run(enrolment.identify(fleet.core, theirs.device_id, serial, WallClock().now() + 60))
    with pytest.raises(AuthError, match="has expired"):
        fleet.run(enrolment.identify(fleet.core, mine.device_id, serial, WallClock().now() - 60))
    key, csr = new_csr(name=theirs.device_id)
    answer = mine.stub.RenewCertificate(device_pb2.RenewCertificateRequest(protocol_version=1, csr=csr))
    renewed = x509.load_pem_x509_certificate(answer.certificate_chain.encode())
    assert renewed.subject.rfc4514_string() == f"CN={mine.device_id}"
    assert check_in_with(fleet, pem(key), answer.certificate_chain.encode()).approved


def test_a_device_that_waits_for_approval_checks_in_and_reads_nothing(fleet):
    device = fleet.device(approved=False)
    assert not device.enrolled.approved
    assert not device.check_in().approved
    with refused(AuthError, DENIED, "given nothing until an operator approves it"):
        device.artifacts.GetMetadata(artifact_pb2.GetMetadataRequest(name="1.root.json"))
    with refused(AuthError, DENIED, "is pending"):
        device.read_blob(bytes(32))
    fleet.admin().ApproveDevice(admin_pb2.ApproveDeviceRequest(device_id=device.device_id))
    assert device.artifacts.GetMetadata(artifact_pb2.GetMetadataRequest(name="1.root.json")).content


def test_a_device_that_is_unknown_here_is_refused(fleet):
    key, csr = new_csr()
    issued = fleet.core.authority.issue_device(csr, "dv-nobody", WallClock().now())
    with refused(AuthError, DENIED, "'dv-nobody' is not a device of this fleet"):
        check_in_with(fleet, pem(key), issued.chain.encode())


def test_a_certificate_that_was_renewed_after_the_backup_is_taken_in(fleet):
    device = fleet.device()
    key, csr = new_csr()
    issued = fleet.core.authority.issue_device(csr, device.device_id, WallClock().now())
    assert check_in_with(fleet, pem(key), issued.chain.encode()).approved
    fleet.admin().RevokeDevice(admin_pb2.RevokeDeviceRequest(device_id=device.device_id, reason="stolen"))
    with refused(AuthError, DENIED, "revoked"):
        check_in_with(fleet, pem(key), issued.chain.encode())


def test_a_revoked_device_is_refused_on_its_open_connection(fleet):
    device = fleet.device()
    device.check_in()
    fleet.admin().RevokeDevice(admin_pb2.RevokeDeviceRequest(device_id=device.device_id, reason="stolen"))
    with refused(AuthError, DENIED, "was revoked: stolen"):
        device.check_in()
    with refused(AuthError, DENIED, "was revoked"):
        device.read_blob(bytes(32))
    certificate = device.enrolled.certificate_chain
    with refused(AuthError, DENIED, "was revoked"):
        fleet.enrolment().BeginRecovery(pb.BeginRecoveryRequest(protocol_version=1, certificate=certificate))


def recover(fleet, device, nonce, *, key=None, csr=None, signed=None):
    csr = csr or new_csr()[1]
    signature = (key or device.key).sign(RECOVERY_CONTEXT + nonce + (signed or csr), ec.ECDSA(hashes.SHA256()))
    certificate = device.enrolled.certificate_chain
    request = pb.RecoverRequest(protocol_version=1, certificate=certificate, nonce=nonce, signature=signature, csr=csr)
    return fleet.enrolment().Recover(request, timeout=20)


def begin(fleet, device):
    request = pb.BeginRecoveryRequest(protocol_version=1, certificate=device.enrolled.certificate_chain)
    return fleet.enrolment().BeginRecovery(request, timeout=20).nonce


def test_an_expired_certificate_is_recovered_by_its_own_key_once(tmp_path):
    day = 86400
    clock = ManualClock(WallClock().now() - 40 * day)
    with RunningFleet(tmp_path / "fleet", clock) as fleet:
        device = EnrolledDevice(fleet, fleet.join_token().secret)
        other = EnrolledDevice(fleet, fleet.join_token().secret)
        clock.advance(40 * day)
        nonce = begin(fleet, device)
        with refused(AuthError, DENIED, "not by the key"):
            recover(fleet, device, nonce, key=other.key)
        with refused(AuthError, DENIED, "not by the key"):
            recover(fleet, device, nonce, signed=b"another request")
        with refused(AuthError, DENIED, "not one that this server gave for this certificate"):
            recover(fleet, other, nonce)
        key, csr = new_csr()
        chain = recover(fleet, device, nonce, csr=csr).certificate_chain
        assert check_in_with(fleet, pem(key), chain.encode()).approved
        with refused(AuthError, DENIED, "serves once"):
            recover(fleet, device, nonce)
        late = begin(fleet, device)
        clock.advance(301)
        with refused(AuthError, DENIED, "nonce expired"):
            recover(fleet, device, late)
        clock.advance(180 * day)
        with refused(AuthError, DENIED, "at most 180"):
            begin(fleet, device)


def test_an_expired_certificate_does_not_pass_the_device_listener(tmp_path):
    clock = ManualClock(WallClock().now() - 40 * 86400)
    with RunningFleet(tmp_path / "fleet", clock, FREE_PORTS) as fleet:
        device = EnrolledDevice(fleet, fleet.join_token().secret)
        with pytest.raises(grpc.RpcError) as caught:
            device.check_in()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_guessing_gets_slower():
    throttle = Throttle()
    waits = []
    for _ in range(12):
        waits.append(throttle.wait_seconds("peer", 100.0))
        throttle.failed("peer", 100.0)
    assert waits == [0, 0, 0, 0.25, 0.5, 1, 2, 4, 8, 8, 8, 8]
    assert throttle.wait_seconds("another", 100.0) == 0
    assert throttle.wait_seconds("peer", 500.0) == 0
    for number in range(5000):
        throttle.failed(str(number), 100.0)
    assert len(throttle._failures) == 4096
