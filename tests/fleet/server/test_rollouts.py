"""Rollouts in the store and over gRPC: what the rules ask for reaches devices, once, and survives a restart."""

from __future__ import annotations

import dataclasses
import random

import grpc
import pytest
from running_fleet import RunningFleet, manifest_of, push
from virtual_fleet import VirtualFleet

from sanderling.api.device.v1 import device_pb2
from sanderling.api.rollout.v1 import assignment_pb2, rollout_pb2
from sanderling.api.rollout.v1.rollout_pb2_grpc import RolloutServiceStub
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import GateRefused, InputError
from sanderling.versions import Compatibility
from sanderling_fleet.core import audit, devices, registry, rollouts
from sanderling_fleet.core.messages import ReportedResult, TelemetryRow
from sanderling_fleet.core.operators import Role
from sanderling_fleet.core.readings import measure
from sanderling_fleet.gates import Comparison, HardLimit, Metric
from sanderling_fleet.rollout import IllegalInState
from sanderling_fleet.rollout_events import Abort, Pause, Promote, Resume, RollBack
from sanderling_fleet.rollout_state import AssignmentState, OnBreach, RolloutSpec, RolloutState, StageSpec, StageState
from sanderling_fleet.services.translate import slot_of
from sanderling_fleet.store.blobs import put_blob
from sanderling_fleet.trust.release import ReleaseFolder

_P = assignment_pb2


class Fleet(VirtualFleet):
    """Devices that do what they are told, or report that they did not."""

    def __init__(self, tmp_path, devices_=6):
        super().__init__(tmp_path)
        rollouts.join(self.core)
        self.ids = sorted(self.enroll() for _ in range(devices_))
        self.active = dict.fromkeys(self.ids, "")
        self.counters = dict.fromkeys(self.ids, 0)
        self.sequences = dict.fromkeys(self.ids, 0)

    def publish(self, *versions):
        for manifest, blobs in versions:
            for data in [*blobs.values(), manifest.to_bytes()]:
                self.run(put_blob(self.core.blobs, data))
        content = self.release.add([manifest for manifest, _ in versions], self.clock.now())
        self.run(registry.publish(self.core, "targets", content))
        self.release.keep(content)

    def spec(self, version="digits-1.0", **changes):
        stages = (StageSpec("canary", count=2, soak_seconds=60), StageSpec("all", percent=100, soak_seconds=60))
        return RolloutSpec(**{"slot": "main", "version": version, "selector": "", "stages": stages, **changes})

    def create(self, spec, request="r1", **settings):
        stored, unable = self.run(rollouts.create(self.core, spec, request_id=request, created_by="olga", **settings))
        self.id = stored.rollout.rollout_id
        return stored, unable

    @property
    def rollout(self):
        return self.run(rollouts.get(self.core, self.id)).rollout

    def command(self, event, tokens=()):
        return self.run(rollouts.command(self.core, self.id, event, tokens)).rollout

    def slot(self, device, wanted=None, state=0):
        return slot_of(
            device_pb2.SlotStatus(
                slot="main",
                active_version=self.active[device],
                manifest_digest=b"\1" * 32,
                state=state,
                assignment_id=wanted.assignment_id if wanted else "",
            )
        )

    def ask(self, device, wanted=None, state=0, results=()):
        self.sequences[device] += 1
        answer = self.check_in(
            device,
            self.sequences[device],
            slots=[self.slot(device, wanted, state)],
            desired_counter=self.counters[device],
            results=results,
        )
        if answer.desired_state is None:
            return None
        told = device_pb2.DesiredState.FromString(answer.desired_state.payload)
        self.counters[device] = told.counter
        return told.slots[0]

    def obey(self, device, state=_P.ASSIGNMENT_STATE_COMMITTED, code=_P.RESULT_CODE_OK):
        """Checks in, does what is wanted and reports it, until nothing more is wanted; returns what was."""
        done = []
        wanted = self.ask(device)
        while wanted is not None:
            done.append(wanted)
            results = []
            if wanted.assignment_id:
                message = _P.AssignmentResult(
                    id=_P.ResultId(assignment_id=wanted.assignment_id, attempt=wanted.attempt),
                    slot="main",
                    version=wanted.version,
                    state=state,
                    code=code,
                )
                results = [ReportedResult(wanted.assignment_id, wanted.attempt, message.SerializeToString())]
            if not wanted.assignment_id or state == _P.ASSIGNMENT_STATE_COMMITTED:
                self.active[device] = wanted.version
            wanted = self.ask(device, results=results)
        return done

    def round(self, **how):
        """What the devices that something was wanted of did, by id."""
        return {device: done for device in self.ids if (done := self.obey(device, **how))}

    def wait(self, seconds=61.0):
        self.clock.advance(seconds)
        self.run(rollouts.tick(self.core))

    def wait_measured(self, seconds):
        self.clock.advance(seconds)
        self.run(rollouts.tick(self.core, measure(self.core)))


@pytest.fixture
def virtual(tmp_path):
    fleet = Fleet(tmp_path)
    fleet.publish(manifest_of(version="1.0", counter=1), manifest_of(version="2.0", counter=2))
    return fleet


def everywhere(fleet, version="digits-1.0", request="first"):
    fleet.create(fleet.spec(version, stages=(StageSpec("all", percent=100),)), request)
    fleet.round()
    fleet.wait()
    assert fleet.rollout.state is RolloutState.SUCCEEDED
    assert set(fleet.active.values()) == {version}


def test_a_version_goes_to_the_canary_and_then_to_all(virtual):
    virtual.create(virtual.spec())
    offered = virtual.round()
    assert len(offered) == 2
    assert {wanted.version for (wanted,) in offered.values()} == {"digits-1.0"}
    assert virtual.round() == {}
    virtual.wait()
    assert len(virtual.round()) == 4
    virtual.wait()
    assert virtual.rollout.state is RolloutState.SUCCEEDED
    assert set(virtual.active.values()) == {"digits-1.0"}
    lines = virtual.run(audit.lines(virtual.core, 0, 100))
    assert any("all: passed" in line.detail for line in lines)
    assert virtual.run(audit.verify(virtual.core)) == len(lines)


def test_the_manifest_that_is_wanted_is_the_published_one(virtual):
    virtual.create(virtual.spec())
    manifest, _ = manifest_of(version="1.0", counter=1)
    assert {wanted.manifest_digest for (wanted,) in virtual.round().values()} == {manifest.digest}


def test_a_bad_version_reaches_the_canary_only_and_is_taken_back(virtual):
    everywhere(virtual)
    virtual.create(virtual.spec("digits-2.0", on_breach=OnBreach.ABORT), "second")
    bad = virtual.round(state=_P.ASSIGNMENT_STATE_REVERTED, code=_P.RESULT_CODE_CONFIDENCE)
    assert len(bad) == 2
    assert virtual.rollout.state is RolloutState.ABORTED
    assert "2 of 2" in virtual.rollout.reason
    told = {device: [wanted.version for wanted in done] for device, done in bad.items()}
    assert set(map(tuple, told.values())) <= {("digits-2.0", "digits-1.0"), ("digits-2.0", "digits-1.0", "digits-1.0")}
    assert virtual.round() == {}
    assert set(virtual.active.values()) == {"digits-1.0"}
    (alert,) = [item for item in virtual.alerts() if item.body["kind"] == "rollout.breach"]
    assert alert.body["devices"] == sorted(bad)


def test_the_same_request_is_one_rollout(virtual):
    first, _ = virtual.create(virtual.spec())
    again, _ = virtual.create(virtual.spec())
    assert first.rollout.rollout_id == again.rollout.rollout_id
    assert len(virtual.run(rollouts.list_all(virtual.core))) == 1
    with pytest.raises(InputError, match="request id is empty"):
        virtual.create(virtual.spec(), "")


def test_validation_makes_nothing_and_names_who_could_not(virtual):
    virtual.publish(manifest_of("other", "1.0", 1))
    virtual.run(devices.revoke(virtual.core, virtual.ids[0], "stolen"))
    stored, unable = virtual.create(virtual.spec(), validate_only=True)
    assert unable == {virtual.ids[0]: "it is revoked"}
    assert stored.rollout.assignments == ()
    assert virtual.run(rollouts.list_all(virtual.core)) == []


def test_unknown_versions_and_versions_that_run_nowhere(virtual):
    with pytest.raises(InputError, match=r"digits-9.0 is not a version that this server has"):
        virtual.create(virtual.spec("digits-9.0"))
    manifest, blobs = manifest_of("arm", "1.0", 1)
    virtual.publish((dataclasses.replace(manifest, compatibility=Compatibility(machines=("aarch64",))), blobs))
    with pytest.raises(InputError, match=r"no device that matches 'everything' can have arm-1.0: .*wanted is aarch64"):
        virtual.create(virtual.spec("arm-1.0"))
    with pytest.raises(InputError, match="none matches"):
        virtual.create(virtual.spec(selector="site=nowhere"))


def test_an_older_release_needs_the_release_roles_token(virtual):
    everywhere(virtual)
    everywhere(virtual, "digits-2.0", "second")
    with pytest.raises(InputError, match=r"it has digits-2.0, a later release"):
        virtual.create(virtual.spec("digits-1.0"), "third")
    manifest, _ = manifest_of(version="1.0", counter=1)
    token = virtual.release.downgrade_token(manifest, virtual.clock.now() + 3600)
    virtual.create(virtual.spec("digits-1.0"), "third", tokens=[token])
    assert {wanted.downgrade_token for (wanted,) in virtual.round().values()} == {token}


def test_a_roll_back_needs_tokens_and_brings_the_former_version_back(virtual):
    everywhere(virtual)
    virtual.create(virtual.spec("digits-2.0"), "second")
    changed = virtual.round()
    with pytest.raises(GateRefused, match=r"missing for digits-1.0"):
        virtual.command(RollBack("olga", "bad light"))
    assert virtual.rollout.state is RolloutState.RUNNING
    manifest, _ = manifest_of(version="1.0", counter=1)
    token = virtual.release.downgrade_token(manifest, virtual.clock.now() + 3600)
    assert virtual.command(RollBack("olga", "bad light"), [token]).state is RolloutState.ROLLING_BACK
    back = virtual.round()
    assert set(back) == set(changed)
    assert {(wanted.version, wanted.downgrade_token) for (wanted,) in back.values()} == {("digits-1.0", token)}
    virtual.wait()
    assert virtual.rollout.state is RolloutState.ROLLED_BACK


def test_a_device_whose_labels_changed_is_waited_for_in_a_roll_back(virtual):
    virtual.create(virtual.spec(selector="!moved"))
    first, second = virtual.round()
    for device in (first, second):
        virtual.run(devices.label(virtual.core, device, {"moved": "yes"}, []))
    virtual.command(RollBack("olga", "bad light"))
    virtual.obey(first)
    virtual.wait()
    assert virtual.rollout.state is RolloutState.ROLLING_BACK, "the second has it still"
    virtual.obey(second)
    virtual.wait()
    assert virtual.rollout.state is RolloutState.ROLLED_BACK
    assert {item.state for item in virtual.rollout.assignments} == {AssignmentState.REVERTED}
    assert "rollout.incomplete" not in {alert.body["kind"] for alert in virtual.alerts()}


def test_a_device_that_is_revoked_is_not_waited_for_whatever_its_labels(virtual):
    virtual.create(virtual.spec(selector="!moved"))
    first, second = virtual.round()
    virtual.run(devices.label(virtual.core, second, {"moved": "yes"}, []))
    virtual.run(devices.revoke(virtual.core, second, "sold"))
    virtual.command(RollBack("olga", "bad light"))
    virtual.obey(first)
    virtual.wait()
    assert virtual.rollout.state is RolloutState.ROLLED_BACK
    assert "rollout.incomplete" not in {alert.body["kind"] for alert in virtual.alerts()}


def test_canaries_whose_labels_changed_keep_nobody_from_joining(virtual):
    virtual.create(virtual.spec(selector="!moved"))
    for device in virtual.round():
        virtual.run(devices.label(virtual.core, device, {"moved": "yes"}, []))
    virtual.wait()
    assert len(virtual.round()) == len(virtual.ids) - 2
    virtual.wait()
    assert virtual.rollout.state is RolloutState.SUCCEEDED


def test_a_newer_rollout_takes_the_devices_over(virtual):
    virtual.create(virtual.spec("digits-1.0"), "first")
    older = virtual.id
    virtual.create(virtual.spec("digits-2.0"), "second")
    wanted = virtual.round()
    joined = {item.device for item in virtual.rollout.assignments}
    assert {device for device, (item,) in wanted.items() if item.version == "digits-2.0"} == joined
    assert {item.version for device, (item,) in wanted.items() if device not in joined} <= {""}  # as before
    states = {item.state for item in virtual.run(rollouts.get(virtual.core, older)).rollout.assignments}
    assert states == {AssignmentState.SUPERSEDED}


def test_commands_that_do_not_fit_are_refused_and_change_nothing(virtual):
    virtual.create(virtual.spec())
    with pytest.raises(IllegalInState, match=r"Promote of rollout .* Allowed now: Pause, Abort, RollBack"):
        virtual.command(Promote("olga"))
    assert virtual.command(Pause("olga", "lunch")).state is RolloutState.PAUSED
    assert virtual.command(Resume("olga")).state is RolloutState.RUNNING
    assert virtual.command(Abort("olga", "enough")).state is RolloutState.ABORTED
    with pytest.raises(IllegalInState, match="Allowed now: nothing"):
        virtual.command(Resume("olga"))
    with pytest.raises(InputError, match="there is no 'ro-x'"):
        virtual.run(rollouts.get(virtual.core, "ro-x"))


def test_a_device_cannot_report_for_another(virtual):
    virtual.create(virtual.spec())
    canary = {item.device for item in virtual.rollout.assignments}
    other = next(device for device in virtual.ids if device not in canary)
    item = virtual.rollout.assignments[0]
    message = _P.AssignmentResult(
        id=_P.ResultId(assignment_id=item.assignment_id, attempt=1),
        state=_P.ASSIGNMENT_STATE_REVERTED,
        code=_P.RESULT_CODE_CRASH,
    )
    virtual.ask(other, results=[ReportedResult(item.assignment_id, 1, message.SerializeToString())])
    assert virtual.rollout.assignments[0].state is AssignmentState.OFFERED


def test_progress_is_shown_and_a_silent_device_times_out(virtual):
    spec = virtual.spec(stages=(StageSpec("all", percent=100, deadline_seconds=7200),), device_deadline_seconds=3600)
    virtual.create(spec)
    first, *others = virtual.ids
    wanted = virtual.ask(first)
    virtual.ask(first, wanted, _P.ASSIGNMENT_STATE_PROBATION)
    states = {item.device: item.state for item in virtual.rollout.assignments}
    assert states[first] is AssignmentState.PROBATION
    for device in others:
        virtual.obey(device)
    virtual.wait(3601)
    item = next(item for item in virtual.rollout.assignments if item.device == first)
    assert item.state is AssignmentState.TIMED_OUT
    assert item.failed
    assert "last seen in probation" in item.detail


def spec_message(**changes):
    fields = {
        "slot": "main",
        "version": "digits-1.0",
        "stages": [rollout_pb2.Stage(name="canary", count=1, hold=True), rollout_pb2.Stage(name="all", percent=100)],
        "on_breach": rollout_pb2.ON_BREACH_ABORT,
        **changes,
    }
    return rollout_pb2.RolloutSpec(**fields)


def calls(fleet, token=None):
    stub = RolloutServiceStub(fleet.channel(fleet.server.operator_address))
    metadata = (("authorization", f"Bearer {token or fleet.admin_token}"),)

    class Calls:
        def __getattr__(self, name):
            return lambda request: getattr(stub, name)(request, metadata=metadata, timeout=20)

    return Calls()


def test_over_grpc_and_across_a_restart(tmp_path):
    with RunningFleet(tmp_path / "fleet") as fleet:
        release = ReleaseFolder(fleet.folder / "release")
        push(fleet, release, manifest_of(version="1.0", counter=1))
        device = fleet.device()
        device.check_in()
        request = rollout_pb2.CreateRolloutRequest(request_id="a", spec=spec_message())
        made = calls(fleet).CreateRollout(request).rollout
        assert made.state == rollout_pb2.ROLLOUT_STATE_RUNNING
        assert made.created_by == "admin"
        told = device_pb2.DesiredState.FromString(device.check_in().desired_state.desired_state)
        (slot,) = told.slots
        assert slot.version == "digits-1.0"
        assert slot.probation.rows == 500
        assert told.telemetry.window_rows == 200

    with RunningFleet(tmp_path / "fleet") as fleet:
        device.connect(fleet)
        result = _P.AssignmentResult(
            id=_P.ResultId(assignment_id=slot.assignment_id, attempt=slot.attempt),
            state=_P.ASSIGNMENT_STATE_COMMITTED,
            code=_P.RESULT_CODE_OK,
        )
        active = device_pb2.SlotStatus(slot="main", active_version="digits-1.0", manifest_digest=slot.manifest_digest)
        answer = device.check_in(slots=[active], desired_counter=told.counter, results=[result])
        assert list(answer.committed_results) == [result.id]
        fleet.run(rollouts.tick(fleet.core))
        shown = calls(fleet).GetRollout(rollout_pb2.GetRolloutRequest(rollout_id=made.rollout_id)).rollout
        assert shown.stages[0].state == rollout_pb2.STAGE_STATE_HOLDING
        assert shown.stages[0].committed == 1
        assert shown.stages[0].gates[0].decision == rollout_pb2.GATE_DECISION_PASS
        for _ in range(2):
            calls(fleet).PromoteRollout(rollout_pb2.PromoteRolloutRequest(rollout_id=made.rollout_id, stage=0))
        (listed,) = calls(fleet).ListRollouts(rollout_pb2.ListRolloutsRequest()).rollouts
        assert listed.state == rollout_pb2.ROLLOUT_STATE_SUCCEEDED  # the fleet is this one device
        assert list(listed.assignments) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": []}, "0 stages"),
        ({"stages": [rollout_pb2.Stage(name="x")]}, "has count None and percent None"),
        ({"selector": "a=("}, "selector"),
        ({"on_breach": 99}, "OnBreach has the value 99"),
        ({"stages": [rollout_pb2.Stage(name="x", count=1, gates=[rollout_pb2.Gate()])]}, "neither a hard limit"),
        ({"downgrade_tokens": [b"\xff"]}, "downgrade token"),
    ],
)
def test_bad_requests_are_named(fleet, release, changes, words):
    tokens = changes.get("downgrade_tokens", [])
    spec = spec_message(**{name: value for name, value in changes.items() if name != "downgrade_tokens"})
    push(fleet, release, manifest_of(version="1.0", counter=1))
    fleet.device().check_in()
    request = rollout_pb2.CreateRolloutRequest(request_id="a", spec=spec, downgrade_tokens=tokens)
    with pytest.raises(grpc.RpcError) as caught:
        calls(fleet).CreateRollout(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in caught.value.details()


def test_roles(fleet):
    get = rollout_pb2.GetRolloutRequest(rollout_id="ro-x")
    pause = rollout_pb2.PauseRolloutRequest(rollout_id="ro-x")
    viewer = calls(fleet, fleet.token_of(Role.VIEWER))
    with pytest.raises(grpc.RpcError) as caught:
        viewer.GetRollout(get)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for refused in (viewer, calls(fleet, fleet.token_of(Role.PUBLISHER))):
        with pytest.raises(grpc.RpcError) as caught:
            refused.PauseRollout(pause)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    lines = fleet.run(audit.lines(fleet.core, 0, 100))
    assert [(line.action, line.outcome) for line in lines[-2:]] == [("rollout.pause", "AuthError")] * 2


def report(fleet, device, version, confidence):
    """One row of metrics by check-in, at the manual clock's time."""
    fleet.rows = getattr(fleet, "rows", {})
    sequence = fleet.rows[device] = fleet.rows.get(device, 0) + 1
    row = telemetry_pb2.Envelope(
        protocol_version=1,
        boot_id="boot-1",
        sequence=sequence,
        slot="main",
        version=version,
        metrics=telemetry_pb2.Metrics(inferences=200, latency_p95_us=900, mean_confidence=confidence),
    )
    row.recorded_at.FromSeconds(int(fleet.clock.now()))
    fleet.sequences[device] += 1
    fleet.check_in(
        device,
        fleet.sequences[device],
        slots=[fleet.slot(device)],
        desired_counter=fleet.counters[device],
        telemetry=[TelemetryRow("boot-1", sequence, row.SerializeToString())],
    )


@pytest.mark.parametrize(("drop", "stopped"), [(0.15, True), (0.0, False)])
def test_a_version_that_is_worse_only_in_confidence_is_stopped_by_its_control_group(tmp_path, drop, stopped):
    fleet = Fleet(tmp_path, devices_=26)
    fleet.publish(manifest_of(version="1.0", counter=1), manifest_of(version="2.0", counter=2))
    everywhere(fleet)
    gates = (HardLimit(), Comparison(Metric.CONFIDENCE, margin=0.05))
    stages = (
        StageSpec("half", percent=50, soak_seconds=36 * 3600, gates=gates),
        StageSpec("all", percent=100, soak_seconds=60),
    )
    spec = fleet.spec("digits-2.0", stages=stages, control_percent=50, on_breach=OnBreach.ABORT)
    level = {device: 0.7 + 0.01 * i for i, device in enumerate(fleet.ids)}  # devices differ more than the drop
    for _ in range(4):
        fleet.clock.advance(3600)
        for device in fleet.ids:
            report(fleet, device, "digits-1.0", level[device])
    fleet.create(spec, "second")
    fleet.round()
    new = [device for device in fleet.ids if fleet.active[device] == "digits-2.0"]
    assert len(new) == 13
    noise = random.Random(0)
    for _ in range(38):
        fleet.wait_measured(3600)
        for device in fleet.ids:
            worse = drop if device in new else 0.0
            report(fleet, device, fleet.active[device], level[device] - worse + noise.gauss(0, 0.01))
        if fleet.rollout.terminal:
            break
        fleet.round()
    if stopped:
        assert fleet.rollout.state is RolloutState.ABORTED
        assert "confidence" in fleet.rollout.reason
        assert sum(version == "digits-2.0" for version in fleet.active.values()) == 13
    else:
        assert fleet.rollout.stages[0].state is StageState.PASSED
