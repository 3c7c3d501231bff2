"""What operators may do: every call by every role, and a line in the audit log for each, refused or not."""

import time

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass
from running_fleet import DENIED, RunningFleet, manifest_of, push, refused

from sanderling import errors
from sanderling._protocol import ERROR_KEY
from sanderling.api.artifact.v1 import artifact_pb2, artifact_pb2_grpc
from sanderling.api.device.v1 import device_admin_pb2 as pb
from sanderling.api.device.v1 import device_admin_pb2_grpc
from sanderling.api.registry.v1 import registry_pb2, registry_pb2_grpc
from sanderling.api.retrain.v1 import retrain_pb2, retrain_pb2_grpc
from sanderling.api.rollout.v1 import rollout_pb2, rollout_pb2_grpc
from sanderling.api.telemetry.v1 import alert_pb2, alert_pb2_grpc
from sanderling.errors import AuthError, InputError, IntegrityError
from sanderling_fleet.clock import ManualClock, WallClock
from sanderling_fleet.core import audit, operators
from sanderling_fleet.core.operators import Role
from sanderling_fleet.services import access
from sanderling_fleet.services.errors import error_of, status_of
from sanderling_fleet.store import AuditLine
from sanderling_fleet.store.blobs import put_blob


def calls():
    """Every method of the operator listener's services."""
    for service, stub in (
        (pb.DESCRIPTOR.services_by_name["DeviceAdminService"], device_admin_pb2_grpc.DeviceAdminServiceStub),
        (registry_pb2.DESCRIPTOR.services_by_name["RegistryService"], registry_pb2_grpc.RegistryServiceStub),
        (rollout_pb2.DESCRIPTOR.services_by_name["RolloutService"], rollout_pb2_grpc.RolloutServiceStub),
        (alert_pb2.DESCRIPTOR.services_by_name["AlertService"], alert_pb2_grpc.AlertServiceStub),
        (retrain_pb2.DESCRIPTOR.services_by_name["RetrainService"], retrain_pb2_grpc.RetrainServiceStub),
        (artifact_pb2.DESCRIPTOR.services_by_name["ArtifactService"], artifact_pb2_grpc.ArtifactServiceStub),
    ):
        for method in service.methods:
            if method.name == "GetMetadata":
                continue  # for devices: operators edit roles by RegistryService
            yield f"/{service.full_name}/{method.name}", stub, method


def test_every_call_is_named_and_given_to_roles():
    assert set(access.OPERATIONS) == {name for name, _, _ in calls()}
    assert all(Role.ADMIN in operation.roles for operation in access.OPERATIONS.values())


def test_every_role_is_refused_exactly_what_it_may_not(fleet):
    tokens = {role: fleet.token_of(role) for role in Role}
    channel = fleet.channel(fleet.server.operator_address)
    wrong = []
    for role, token in tokens.items():
        for name, stub, method in calls():
            request = GetMessageClass(method.input_type)
            call = getattr(stub(channel), method.name)
            sent = iter([request()]) if method.client_streaming else request()
            try:
                answer = call(sent, metadata=(("authorization", f"Bearer {token}"),), timeout=20)
                if method.server_streaming:
                    list(answer)
                code = grpc.StatusCode.OK
            except grpc.RpcError as error:
                code = error.code()
            if (code == DENIED) == (role in access.OPERATIONS[name].roles):
                wrong.append((role, name, code))
            assert code != grpc.StatusCode.INTERNAL, name
    assert wrong == []
    lines = fleet.run(audit.lines(fleet.core, 0, 1000))
    assert len(lines) == len(tokens) * len(access.OPERATIONS)
    refusals = [line for line in lines if line.outcome == "AuthError"]
    assert len(refusals) == sum(len(Role) - len(operation.roles) for operation in access.OPERATIONS.values())
    assert {line.actor for line in lines} == {f"a {role.value}" for role in Role}


def test_no_token_a_wrong_one_and_an_expired_one_are_refused_and_noted(tmp_path):
    clock = ManualClock(WallClock().now())
    with RunningFleet(tmp_path / "fleet", clock) as fleet:
        stub = device_admin_pb2_grpc.DeviceAdminServiceStub(fleet.channel(fleet.server.operator_address))
        with refused(AuthError, DENIED, "no bearer token"):
            stub.ListDevices(pb.ListDevicesRequest(), timeout=20)
        with refused(AuthError, DENIED, "not known"):
            fleet.admin("sdlop_guess").ListDevices(pb.ListDevicesRequest())
        short = fleet.run(operators.create_token(fleet.core, "short", Role.ADMIN, 60))
        fleet.admin(short).ListDevices(pb.ListDevicesRequest())
        clock.advance(61)
        with refused(AuthError, DENIED, "has expired"):
            fleet.admin(short).ListDevices(pb.ListDevicesRequest())
        fleet.run(operators.delete_token(fleet.core, "short"))
        with refused(AuthError, DENIED, "not known"):
            fleet.admin(short).ListDevices(pb.ListDevicesRequest())
        outcomes = [(line.actor, line.outcome) for line in fleet.run(audit.lines(fleet.core, 0, 100))]
        assert outcomes == [("unknown", "AuthError")] * 2 + [("short", "ok")] + [("unknown", "AuthError")] * 2


def test_secrets_are_not_in_the_database(fleet):
    secret, token = fleet.join_token().secret, fleet.admin_token
    stored = b"".join(path.read_bytes() for path in (fleet.folder / "server").glob("fleet.db*"))
    assert len(stored) > 10_000
    assert secret.encode() not in stored
    assert token.encode() not in stored


def test_devices_are_listed_labelled_approved_and_grouped(fleet):
    admin = fleet.admin()
    found = sorted(
        (fleet.device(labels={"site": f"hall-{n}"}, approved=n != 2) for n in range(3)), key=lambda d: d.device_id
    )
    first = admin.ListDevices(pb.ListDevicesRequest(page_size=2))
    rest = admin.ListDevices(pb.ListDevicesRequest(page_size=2, page_token=first.next_page_token))
    assert [d.device_id for d in [*first.devices, *rest.devices]] == [d.device_id for d in found]
    assert rest.next_page_token == ""
    pending = admin.ListDevices(pb.ListDevicesRequest(selector="site=hall-2")).devices
    assert [d.standing for d in pending] == [pb.DEVICE_STANDING_PENDING]
    device_id = pending[0].device_id
    admin.ApproveDevice(pb.ApproveDeviceRequest(device_id=device_id))
    changed = admin.LabelDevice(pb.LabelDeviceRequest(device_id=device_id, set={"tier": "canary"}, remove=["site"]))
    assert (dict(changed.device.labels), changed.device.standing) == (
        {"tier": "canary"},
        pb.DEVICE_STANDING_ACTIVE,
    )
    admin.SetGroup(pb.SetGroupRequest(name="canaries", selector="tier=canary"))
    assert [g.selector for g in admin.ListGroups(pb.ListGroupsRequest()).groups] == ["tier=canary"]
    for _ in range(2):
        admin.DeleteGroup(pb.DeleteGroupRequest(name="canaries"))
    assert not admin.ListGroups(pb.ListGroupsRequest()).groups
    revoked = admin.RevokeDevice(pb.RevokeDeviceRequest(device_id=device_id, reason="sold")).device
    assert (revoked.standing, revoked.reason) == (pb.DEVICE_STANDING_REVOKED, "sold")
    with refused(InputError, grpc.StatusCode.INVALID_ARGUMENT, "which is for good"):
        admin.ApproveDevice(pb.ApproveDeviceRequest(device_id=device_id))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: a.GetDevice(pb.GetDeviceRequest(device_id="dv-none")), "there is no 'dv-none'"),
        (lambda a: a.ListDevices(pb.ListDevicesRequest(selector="site=(")), "column"),
        (lambda a: a.SetGroup(pb.SetGroupRequest(name="A b", selector="x")), "is no name"),
        (lambda a: a.CreateJoinToken(pb.CreateJoinTokenRequest(labels={"a b": "c"})), "a b='c' is not allowed"),
        (lambda a: a.CreateJoinToken(pb.CreateJoinTokenRequest(labels={"device_id": "c"})), "is taken"),
        (lambda a: a.CreateJoinToken(pb.CreateJoinTokenRequest(life=Duration(seconds=-1))), "a life of -1 s"),
        (lambda a: a.CreateJoinToken(pb.CreateJoinTokenRequest(life=Duration(seconds=3 * 10**11))), "after the year"),
    ],
)
def test_wrong_requests_say_what_is_wrong(fleet, call, message):
    with refused(InputError, grpc.StatusCode.INVALID_ARGUMENT, message):
        call(fleet.admin())


def test_the_audit_log_says_who_did_what_and_shows_when_it_was_changed(fleet):
    device = fleet.device()
    operator = fleet.token_of(Role.OPERATOR)
    fleet.admin(operator).RevokeDevice(pb.RevokeDeviceRequest(device_id=device.device_id))
    with refused(AuthError, DENIED, "has the role operator, ListAudit is for admin"):
        fleet.admin(operator).ListAudit(pb.ListAuditRequest())
    lines = fleet.admin().ListAudit(pb.ListAuditRequest()).lines
    assert [(line.actor, line.action, line.subject, line.outcome) for line in lines] == [
        ("admin", "device.token", "", "ok"),
        (device.device_id, "device.enroll", device.device_id, "ok"),
        ("a operator", "device.revoke", device.device_id, "ok"),
        ("a operator", "audit.list", "", "AuthError"),
    ]
    assert fleet.run(audit.verify(fleet.core)) == 5

    async def tamper(change):
        async with fleet.core.store.transaction() as tx:
            line = await tx.get(AuditLine, 3)
            await change(tx, line)

    async def rewrite(tx, line):
        await tx.put(AuditLine(*[{"a operator": "admin"}.get(value, value) for value in vars(line).values()]))

    async def remove(tx, line):
        await tx.delete(AuditLine, line.sequence)

    for change in (rewrite, remove):
        fleet.run(tamper(change))
        with pytest.raises(IntegrityError, match="does not follow"):
            fleet.run(audit.verify(fleet.core))


def test_long_texts_fill_no_log_and_hide_no_error(fleet):
    """Nobody's token is needed to make a line: it must be short."""
    for token, kind, letter in (
        ("none", AuthError, "x"),
        (fleet.admin_token, InputError, "x"),
        (fleet.admin_token, InputError, "\U0001f426"),
        (fleet.admin_token, InputError, "\n"),
    ):
        with pytest.raises(grpc.RpcError) as failed:
            fleet.admin(token).GetDevice(pb.GetDeviceRequest(device_id=letter * 1_000_000))
        error = error_of(failed.value)
        assert type(error) is kind
        assert len(str(error)) < 3000
    lines = fleet.run(audit.lines(fleet.core, 0, 100))
    assert [line.action for line in lines] == ["device.get"] * 4
    assert all(len(line.subject) + len(line.detail) < 3000 for line in lines)
    assert fleet.run(audit.verify(fleet.core)) == 4


def test_a_download_that_its_caller_ends_leaves_its_line(fleet):
    async def put():
        return await put_blob(fleet.core.blobs, bytes(20 << 20))

    digest = fleet.run(put())
    stub = artifact_pb2_grpc.ArtifactServiceStub(fleet.channel(fleet.server.operator_address))
    request = artifact_pb2.ReadBlobRequest(digest=digest)
    parts = stub.ReadBlob(request, metadata=(("authorization", f"Bearer {fleet.admin_token}"),), timeout=20)
    assert next(parts).data
    parts.cancel()
    deadline = time.monotonic() + 20
    while not (lines := fleet.run(audit.lines(fleet.core, 0, 100))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [(line.action, line.actor, line.outcome) for line in lines] == [("blob.read", "admin", "TransportError")]


def test_every_error_travels_as_itself():
    class Call(grpc.RpcError, grpc.Call):
        def __init__(self, status, details, trailers):
            self._answer = status, details, trailers

        code = lambda self: self._answer[0]  # noqa: E731
        details = lambda self: self._answer[1]  # noqa: E731
        trailing_metadata = lambda self: self._answer[2]  # noqa: E731

    Call.__abstractmethods__ = frozenset()
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SanderlingError) and kind is not errors.SanderlingError
    ]
    assert errors.DeadlineError in kinds
    for kind in kinds:
        status, details, trailers = status_of(kind("[x] wrong, 1 and 2. Do this"))
        assert trailers == ((ERROR_KEY, kind.__name__),)
        back = error_of(Call(status, details, trailers))
        assert type(back) is kind
        assert str(back) == "[x] wrong, 1 and 2. Do this"
    assert type(error_of(Call(grpc.StatusCode.UNAVAILABLE, "gone", ()))) is errors.TransportError
    assert type(error_of(Call(grpc.StatusCode.DEADLINE_EXCEEDED, "late", ()))) is errors.DeadlineError
    assert type(error_of(Call(grpc.StatusCode.RESOURCE_EXHAUSTED, "large", ()))) is errors.TransportError


def test_a_fault_of_the_server_tells_nothing_of_its_inside(fleet, monkeypatch, caplog):
    async def fails(*_):
        raise RuntimeError("the password is 1234")

    monkeypatch.setattr("sanderling_fleet.core.devices.get_device", fails)
    with refused(errors.InternalError, grpc.StatusCode.INTERNAL, "GetDevice failed by a fault of the server's") as _:
        fleet.admin().GetDevice(pb.GetDeviceRequest(device_id="x"))
    assert "the password is 1234" in caplog.text
    assert fleet.run(audit.lines(fleet.core, 0, 10))[0].outcome == "InternalError"


def test_a_publisher_pushes_and_an_operator_does_not(fleet, release):
    with refused(AuthError, DENIED, "is for admin, publisher"):
        push(fleet, release, manifest_of(), token=fleet.token_of(Role.OPERATOR))
    assert push(fleet, release, manifest_of(), token=fleet.token_of(Role.PUBLISHER)).published
