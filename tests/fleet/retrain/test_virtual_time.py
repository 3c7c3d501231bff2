"""The operations of retraining on a store in memory: they never suspend, so a simulation runs them in one order."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fleet.retrain.retraining_fleet import champion

from sanderling.api.device.v1 import device_pb2
from sanderling.errors import InputError
from sanderling_fleet.clock import ManualClock
from sanderling_fleet.core import samples
from sanderling_fleet.core.context import Core, Settings
from sanderling_fleet.core.messages import Addresses
from sanderling_fleet.retrain import book
from sanderling_fleet.retrain.events import TimePassed
from sanderling_fleet.retrain.job import JobState, Plan
from sanderling_fleet.retrain.rows import write_array
from sanderling_fleet.store import DesiredState, Device, Document, MemoryStore, Standing, Version
from sanderling_fleet.store.blobs import MemoryBlobs
from sanderling_fleet.trust.director import Director


def at_once(coroutine):
    """Runs a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("it waited for something")


def in_transaction(core, work):
    async def run():
        async with core.store.transaction() as tx:
            return await work(tx)

    return at_once(run())


def fleet_of(devices):
    manifest = champion("1", 1).manifest
    # Neither certificates nor TUF metadata are made here.
    core = Core(
        MemoryStore(),
        MemoryBlobs(),
        ManualClock(),
        None,
        None,
        Director(Ed25519PrivateKey.generate()),
        Settings(Addresses("", "")),
    )
    slot = {"slot": "main", "active_version": "linear-1", "manifest_digest": manifest.digest.hex()}

    async def fill(tx):
        text = manifest.to_bytes().decode()
        await tx.put(Version("linear-1", "linear", 1, manifest.digest, 1, "targets", 0.0, text, False))
        for i in range(devices):
            standing = Standing.ACTIVE if i else Standing.REVOKED
            await tx.put(Device(f"d{i}", standing.value, "", {}, {}, 0.0, 0.0, "", [], 0, [slot], 0, 0.0))

    in_transaction(core, fill)
    return core


def test_a_job_under_virtual_time():
    core = fleet_of(devices=4)
    plan = Plan(most_samples=40, least_labels=10, wanted_labels=20, collect_seconds=100.0, label_seconds=50.0)
    job = at_once(book.start(core, {"linear": plan}, request_id="r", slot="main", trigger="drift"))
    assert in_transaction(core, lambda tx: samples.ask_devices(core, tx, "main", 5000)) == 3, "one is revoked"
    assert in_transaction(core, lambda tx: samples.ask_devices(core, tx, "main", 5000)) == 0, "they were asked"
    state = in_transaction(core, lambda tx: tx.get(DesiredState, "d1"))
    wanted = device_pb2.DesiredState.FromString(state.payload)
    assert (wanted.telemetry.sample_budget_bytes, wanted.slots[0].version) == (5000, "linear-1")

    rows = [
        samples.UploadedSample(i, "main", "linear-1", 1, {"x": write_array(np.full(4, i, np.float32))}, True, 1.0)
        for i in range(15)
    ]
    assert at_once(samples.upload(core, "d1", rows)).committed == tuple(range(15))
    core.clock.advance(100.0)
    step = lambda tx: book.apply(tx, core.clock.now(), job.job_id, TimePassed())  # noqa: E731
    assert in_transaction(core, step).state == JobState.AWAITING_LABELS
    labels = {("d1", i): "yes" for i in range(9)}
    job, unknown = at_once(samples.import_labels(core, job.job_id, labels, 1.0, request_id="first", by="ada"))
    assert (job.state, job.labels, unknown) == (JobState.AWAITING_LABELS, 9, 0)
    again, unknown = at_once(samples.import_labels(core, job.job_id, labels, 1.0, request_id="first", by="ada"))
    assert (again, again.label_cost, unknown) == (job, 1.0, 0), "a repetition is not paid for"
    more = at_once(samples.import_labels(core, job.job_id, labels, 0.5, request_id="second", by="ada"))[0]
    assert more.label_cost == 1.5
    with pytest.raises(InputError, match="request id is empty"):
        at_once(samples.import_labels(core, job.job_id, labels, 1.0, request_id="", by="ada"))
    core.clock.advance(50.0)
    ended = in_transaction(core, step)
    assert ended.state == JobState.FAILED
    assert "9 labels came in time, 10 are needed" in ended.reason
    late, _ = at_once(samples.import_labels(core, job.job_id, labels, 1.0, request_id="first", by="ada"))
    assert late == ended, "whose first answer was lost"
    with pytest.raises(InputError, match="is failed"):
        at_once(samples.import_labels(core, job.job_id, labels, 1.0, request_id="third", by="ada"))
    alerts = in_transaction(core, lambda tx: tx.find(Document, {"kind": "alert"}))
    assert [(alert.body["kind"], alert.state) for alert in alerts] == [
        ("retrain.ended", "standing"),
        ("retrain.labels", "resolved"),
    ]
    core.clock.advance(1000.0)
    assert at_once(samples.forget(core, 1000.0)) == 15
