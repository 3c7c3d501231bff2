"""What an enrolled device may say, and what it cannot do to others by it: over real TLS, into SQLite."""

from __future__ import annotations

import grpc
import pytest
from running_fleet import FACTS

from sanderling.api.device.v1 import device_admin_pb2, device_pb2
from sanderling.api.rollout.v1 import assignment_pb2
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import InputError
from sanderling_fleet.core.desired import want
from sanderling_fleet.services.errors import error_of
from sanderling_fleet.store import MetricsRow, Result

LONG = "x" * 100_000


def status(**fields):
    return device_pb2.SlotStatus(**{"slot": "main", "active_version": "digits-1.0", **fields})


def facts(**fields):
    return type(FACTS).FromString(FACTS.SerializeToString() + type(FACTS)(**fields).SerializeToString())


HOSTILE = {
    "a counter that leaves no room": {"desired_counter": (1 << 64) - 1},
    "a counter at the end of what is stored": {"desired_counter": (1 << 63) - 1},
    "a sequence beyond what is stored": {"sequence": (1 << 64) - 1},
    "a long boot id": {"boot_id": LONG},
    "many slots": {"slots": [status(slot=f"s{n}") for n in range(10_000)]},
    "a slot twice": {"slots": [status(), status()]},
    "a long slot": {"slots": [status(slot=LONG)]},
    "a long version": {"slots": [status(active_version=LONG)]},
    "a long assignment": {"slots": [status(assignment_id=LONG)]},
    "a long digest": {"slots": [status(manifest_digest=b"x" * 33)]},
    "a long machine": {"facts": facts(machine=LONG)},
    "a long profile": {"facts": facts(profile=LONG)},
    "many instruction sets": {"facts": facts(isas=["x"] * 10_000)},
    "a long result": {"results": [assignment_pb2.AssignmentResult(detail=LONG)]},
    "a long name of a result": {
        "results": [assignment_pb2.AssignmentResult(id=assignment_pb2.ResultId(assignment_id=LONG, attempt=1))]
    },
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_agent_says_is_refused_by_its_name_and_leaves_no_trace(fleet, what):
    device = fleet.device()
    device.check_in()
    before = fleet.admin().GetDevice(_get(device)).device
    with pytest.raises(grpc.RpcError) as failed:
        device.check_in(**HOSTILE[what])
    error = error_of(failed.value)
    assert isinstance(error, InputError)
    assert str(error).startswith("[check-in] ")
    assert len(str(error)) < 300
    after = fleet.admin().GetDevice(_get(device)).device
    assert (after.facts, list(after.slots), after.reported_counter) == (before.facts, [], 0)
    assert device.check_in().approved


def test_a_counter_just_within_bounds_can_be_counted_on(fleet):
    device = fleet.device()
    device.check_in(desired_counter=(1 << 62) - 1)

    async def offer():
        async with fleet.core.store.transaction() as tx:
            return await want(fleet.core, tx, device.device_id, device_pb2.DesiredSlot(slot="main"))

    assert fleet.run(offer()) == 1 << 62
    assert device.check_in().desired_state.desired_state


def test_more_than_is_taken_at_once_is_taken_bit_by_bit(fleet):
    device = fleet.device()
    envelopes = [
        telemetry_pb2.Envelope(
            protocol_version=1,
            boot_id="boot-1",
            sequence=n,
            slot="main",
            version="digits-1.0",
            metrics=telemetry_pb2.Metrics(inferences=1),
        )
        for n in range(1, 2501)
    ]
    results = [
        assignment_pb2.AssignmentResult(id=assignment_pb2.ResultId(assignment_id=f"a-{n}", attempt=1))
        for n in range(300)
    ]
    told, through = [], 0
    while len(told) < 300:
        answer = device.check_in(telemetry=envelopes[through:], results=results[len(told) :])
        told += [item.assignment_id for item in answer.committed_results]
        (through,) = [item.sequence for item in answer.telemetry_committed_through]
        assert len(told) <= 100 or through == 2500
    assert told == [f"a-{n}" for n in range(300)]

    async def stored():
        async with fleet.core.store.transaction() as tx:
            return len(await tx.find(MetricsRow)), len(await tx.find(Result))

    assert fleet.run(stored()) == (2500, 256), "every row; of results the last"


def _get(device):
    return device_admin_pb2.GetDeviceRequest(device_id=device.device_id)
