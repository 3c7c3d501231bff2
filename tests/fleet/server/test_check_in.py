"""The check-in: over real TLS what a device meets, and under a manual clock and a store in memory its rules."""

import asyncio

import pytest
from running_fleet import FACTS, manifest_of, push
from virtual_fleet import VirtualFleet

from sanderling import trust
from sanderling.api.device.v1 import device_admin_pb2, device_pb2
from sanderling.api.rollout.v1 import assignment_pb2
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import AuthError, InputError, InternalError, UnsupportedError
from sanderling_fleet.core import devices, registry
from sanderling_fleet.core.alerts import RESOLVED
from sanderling_fleet.core.clones import Seen, next_seen
from sanderling_fleet.core.desired import want
from sanderling_fleet.core.messages import ReportedResult, TelemetryRow
from sanderling_fleet.services.translate import slot_of
from sanderling_fleet.store import MetricsRow, Standing
from sanderling_fleet.store.blobs import put_blob
from sanderling_fleet.trust.director import next_counter


@pytest.fixture
def virtual(tmp_path):
    return VirtualFleet(tmp_path)


def slot(version="", counter_digest=b"\1" * 32, name="main"):
    return slot_of(device_pb2.SlotStatus(slot=name, active_version=version, manifest_digest=counter_digest))


def desired_of(answer):
    return device_pb2.DesiredState.FromString(answer.desired_state.payload)


def test_a_device_that_waits_for_approval_is_given_nothing(virtual):
    device = virtual.enroll(approved=False)
    virtual.want(device, slot="main", version="digits-1.0")
    answer = virtual.check_in(device, 1, results=[ReportedResult("a", 1, b"")])
    assert not answer.approved
    assert (answer.desired_state, answer.timestamp_version, answer.addresses) == (None, 0, None)
    assert (answer.committed_results, answer.committed_through, virtual.results) == ((), {}, [])
    virtual.run(devices.approve(virtual.core, device))
    assert virtual.check_in(device, 2).desired_state is not None


def test_the_desired_state_comes_until_the_device_holds_it(virtual):
    device = virtual.enroll()
    assert virtual.check_in(device, 1).desired_state is None
    first = virtual.want(device, slot="main", version="digits-1.0", manifest_digest=b"\1" * 32, assignment_id="a-1")
    answer = virtual.check_in(device, 2)
    state = answer.desired_state
    keys = {state.key_id: virtual.core.director.public_key.public_bytes_raw()}
    trust.verify(keys, state.key_id, state.signature, trust.DESIRED_STATE_CONTEXT, state.payload)
    assert desired_of(answer).device_id == device
    assert desired_of(answer).counter == first
    assert virtual.check_in(device, 3, desired_counter=first).desired_state is None
    second = virtual.want(device, slot="other", version="cats-1.0")
    assert second == first + 1
    both = desired_of(virtual.check_in(device, 4, desired_counter=first))
    assert [(s.slot, s.version) for s in both.slots] == [("main", "digits-1.0"), ("other", "cats-1.0")]


def test_a_device_hears_of_how_many_it_is_one(virtual):
    """One device alarms at so many times the fleet's level: of many devices one does by chance."""
    heard = []
    for _ in range(6):
        device = virtual.enroll()
        virtual.want(device, slot="main", version="digits-1.0")
        heard.append(desired_of(virtual.check_in(device, 1)).telemetry.fleet_devices)
    assert heard == [1, 2, 4, 4, 8, 8]


def test_counters_are_at_least_the_time_and_never_repeat():
    assert next_counter(100.9) == 100
    assert next_counter(100.9, 40) == 100
    assert next_counter(100.9, 100, 7) == 101
    assert next_counter(100.9, 500) == 501


def test_results_are_taken_once_and_confirmed_every_time(virtual):
    one, two = virtual.enroll(), virtual.enroll()
    results = [ReportedResult("a", 1, b"x"), ReportedResult("a", 2, b"y")]
    for sequence in (1, 2):
        assert virtual.check_in(one, sequence, results=results).committed_results == (("a", 1), ("a", 2))
    virtual.check_in(two, 1, results=results[:1])
    assert virtual.results == [(one, "a", 1), (one, "a", 2), (two, "a", 1)]


def test_a_result_whose_taking_fails_is_not_confirmed(virtual):
    device = virtual.enroll()
    taken = virtual.core.on_result

    async def fails(tx, device, result):
        raise RuntimeError("no")

    virtual.core.on_result = fails
    with pytest.raises(RuntimeError, match="no"):
        virtual.check_in(device, 1, results=[ReportedResult("a", 1, b"")])
    virtual.core.on_result = taken
    assert virtual.check_in(device, 1, results=[ReportedResult("a", 1, b"")]).committed_results == (("a", 1),)
    assert virtual.results == [(device, "a", 1)]


def test_telemetry_is_counted_once_per_boot(virtual):
    device = virtual.enroll()

    def rows(boot, *sequences):
        metrics = telemetry_pb2.Metrics(inferences=1)
        made = [telemetry_pb2.Envelope(protocol_version=1, boot_id=boot, sequence=n, slot="main") for n in sequences]
        for envelope in made:
            envelope.version = "digits-1.0"
            envelope.metrics.CopyFrom(metrics)
        return [TelemetryRow(boot, item.sequence, item.SerializeToString()) for item in made]

    assert virtual.check_in(device, 1, telemetry=rows("b1", 2, 1)).committed_through == {"b1": 2}
    assert virtual.check_in(device, 2, telemetry=rows("b1", 2, 3, 7)).committed_through == {"b1": 3}
    assert virtual.check_in(device, 3, telemetry=rows("b2", 1)).committed_through == {"b1": 3, "b2": 1}

    async def kept():
        async with virtual.core.store.transaction() as tx:
            return [(row.boot_id, row.sequence) for row in await tx.find(MetricsRow)]

    assert sorted(virtual.run(kept())) == [("b1", 1), ("b1", 2), ("b1", 3), ("b1", 7), ("b2", 1)]


def test_rows_that_a_device_dropped_are_told(virtual):
    device = virtual.enroll()
    virtual.check_in(device, 1, telemetry_dropped=12)
    [alert] = virtual.alerts()
    assert (alert.body["kind"], "dropped 12 rows" in alert.body["summary"]) == ("telemetry.dropped", True)


def test_waits_are_spread_around_the_interval(virtual):
    device = virtual.enroll()
    waits = [virtual.check_in(device, sequence).next_check_in_seconds for sequence in range(1, 201)]
    assert all(720 <= wait <= 1080 for wait in waits)
    assert min(waits) < 760
    assert max(waits) > 1040
    assert 880 < sum(waits) / 200 < 920


def test_the_same_seed_gives_the_same_fleet(tmp_path):
    runs = []
    for name in ("a", "b"):
        fleet = VirtualFleet(tmp_path / name)
        device = fleet.enroll()
        runs.append((device, fleet.check_in(device, 1).next_check_in_seconds))
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("last", "boot", "sequence", "expected"),
    [
        (Seen("", [], 0), "a", 1, Seen("a", [], 1)),
        (Seen("a", [], 4), "a", 5, Seen("a", [], 5)),
        (Seen("a", [], 4), "a", 4, Seen("a", [], 4)),
        (Seen("a", [], 4), "b", 5, Seen("b", ["a"], 5)),
        (Seen("a", [], 4), "a", 90, Seen("a", [], 90)),
        (Seen("b", ["a"], 5), "a", 6, "boot a is back after boot b: two machines take turns with one identity"),
        (Seen("a", [], 4), "a", 3, "check-in 3 came after check-in 4: the machine was cloned or restored"),
        (Seen("a", [], 4), "b", 3, "check-in 3 came after check-in 4: the machine was cloned or restored"),
    ],
)
def test_two_machines_with_one_identity_are_told_apart(last, boot, sequence, expected):
    assert next_seen(last, boot, sequence) == expected


def test_former_boots_are_bounded():
    seen = Seen("", [], 0)
    for number in range(1, 200):
        seen = next_seen(seen, f"b{number}", number)
    assert len(seen.former_boot_ids) == 64


def test_a_clone_is_given_nothing_until_an_operator_approves_it_again(virtual):
    device = virtual.enroll()
    virtual.want(device, slot="main", version="digits-1.0")
    assert virtual.check_in(device, 1, boot="here").approved
    assert virtual.check_in(device, 2, boot="there").approved
    for sequence in (3, 4):
        answer = virtual.check_in(device, sequence, boot="here", results=[ReportedResult("a", 1, b"")])
        assert not answer.approved
        assert answer.desired_state is None
    assert virtual.results == []
    assert virtual.device(device).standing == Standing.CONFLICT
    [alert] = virtual.alerts()
    assert alert.body["kind"] == "device.conflict"
    assert alert.body["devices"] == [device]
    virtual.run(devices.approve(virtual.core, device))
    assert virtual.check_in(device, 1, boot="here").approved
    assert [a.state for a in virtual.alerts()] == [RESOLVED]


def test_protocols_and_empty_boots_are_refused(virtual):
    device = virtual.enroll()
    with pytest.raises(UnsupportedError, match="version 0, this server 1 to 1"):
        virtual.check_in(device, 1, protocol_version=0)
    with pytest.raises(UnsupportedError, match="Update the server"):
        virtual.check_in(device, 1, protocol_version=2)
    with pytest.raises(InputError, match="boot id is empty"):
        virtual.check_in(device, 1, boot="")
    virtual.run(devices.revoke(virtual.core, device, "stolen"))
    with pytest.raises(AuthError, match="revoked"):
        virtual.check_in(device, 1)


def test_a_version_that_the_registry_lacks_raises_one_alert_that_names_it(virtual):
    one, two = virtual.enroll(), virtual.enroll()
    for device in (one, two):
        virtual.check_in(device, 1, slots=[slot("digits-2.0")])
    [alert] = virtual.alerts()
    assert "digits-2.0" in alert.body["summary"]
    assert alert.body["devices"] == sorted([one, two])
    manifest, blobs = manifest_of(version="2.0", counter=2)
    for data in [*blobs.values(), manifest.to_bytes()]:
        virtual.run(put_blob(virtual.core.blobs, data))
    virtual.run(registry.publish(virtual.core, "targets", virtual.release.add([manifest], virtual.clock.now())))
    virtual.check_in(one, 2, slots=[slot("digits-2.0")])
    assert [a.state for a in virtual.alerts()] == [RESOLVED]


def test_a_restored_server_downgrades_nothing_and_counts_on_from_the_device(virtual):
    device = virtual.enroll()
    old = virtual.want(device, slot="main", version="digits-1.0")
    ahead = old + 5000  # what the lost server had handed out
    slots = [slot("digits-2.0"), slot("cats-3.0", name="other")]
    answer = virtual.check_in(device, 1, desired_counter=ahead, slots=slots)
    assert answer.desired_state is None
    assert {a.body["kind"] for a in virtual.alerts()} == {"fleet.restored", "registry.stale"}
    assert virtual.want(device, slot="other", version="cats-4.0") == ahead + 1
    state = desired_of(virtual.check_in(device, 2, desired_counter=ahead, slots=slots))
    assert [(s.slot, s.version) for s in state.slots] == [("main", "digits-2.0"), ("other", "cats-4.0")]


def test_over_the_wire_everything_arrives(fleet, release):
    seen = []

    async def on_result(tx, device, result):
        seen.append(assignment_pb2.AssignmentResult.FromString(result.content))

    fleet.core.on_result = on_result
    manifest, blobs = manifest_of()
    push(fleet, release, (manifest, blobs))
    device = fleet.device()

    async def offer():
        async with fleet.core.store.transaction() as tx:
            wanted = device_pb2.DesiredSlot(
                slot="main", version="digits-1.0", manifest_digest=manifest.digest, assignment_id="a-1", attempt=1
            )
            await want(fleet.core, tx, device.device_id, wanted)

    fleet.run(offer())
    result = assignment_pb2.AssignmentResult(
        id=assignment_pb2.ResultId(assignment_id="a-1", attempt=1), slot="main", detail="p95 2.1 ms, allowed 3.0 ms"
    )
    envelope = telemetry_pb2.Envelope(
        protocol_version=1,
        boot_id="boot-1",
        sequence=1,
        slot="main",
        version="digits-1.0",
        metrics=telemetry_pb2.Metrics(inferences=7),
    )
    status = device_pb2.SlotStatus(slot="main", active_version="digits-1.0", manifest_digest=manifest.digest)
    answer = device.check_in(results=[result], telemetry=[envelope], slots=[status])
    assert seen == [result]
    assert list(answer.committed_results) == [result.id]
    assert list(answer.telemetry_committed_through) == [telemetry_pb2.Committed(boot_id="boot-1", sequence=1)]
    assert answer.addresses.device == fleet.core.settings.addresses.device
    state = device_pb2.DesiredState.FromString(answer.desired_state.desired_state)
    assert state.slots[0].manifest_digest == manifest.digest
    shown = fleet.admin().GetDevice(device_admin_pb2.GetDeviceRequest(device_id=device.device_id)).device
    assert list(shown.slots) == [status]
    assert shown.desired_counter == state.counter
    assert shown.facts == FACTS


def test_the_memory_store_refuses_what_virtual_time_cannot_have(virtual):
    async def nested():
        async with virtual.core.store.transaction(), virtual.core.store.transaction():
            pass

    with pytest.raises(InternalError, match="open already"):
        asyncio.run(nested())
