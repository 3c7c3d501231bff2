"""Windows of devices become windows of the fleet, across transactions and restarts; alerts rise and end."""

from __future__ import annotations

import pytest
from envelopes import NOW, SLOT, STUCK, VERSION, device, envelope, received, run_in, window

from sanderling.api.telemetry.v1 import telemetry_pb2 as pb
from sanderling_fleet.core.alerts import KIND, RESOLVED, STANDING
from sanderling_fleet.core.fleet_watch import ENTRY_KIND, STATE_KIND, FleetWatch, fleet_windows
from sanderling_fleet.core.telemetry import Intake
from sanderling_fleet.core.telemetry_rows import Identity
from sanderling_fleet.store import Document, Standing
from sanderling_fleet.verdict import Policy

FAULT, MOVED = pb.DEVICE_VERDICT_SENSOR_FAULT, pb.DEVICE_VERDICT_MOVED
THREE = tuple(device(f"dv-{n}", site="hall-1" if n < 3 else "hall-2") for n in (1, 2, 3))


def fresh():
    """As after a restart: nothing but the store is remembered."""
    return Intake(watch=FleetWatch(Policy(deadline_seconds=600.0)))


async def take(store, items, now=NOW):
    async with store.transaction() as tx:
        taken = await fresh().take(tx, items, now)
    assert not taken.refused


async def seen(store):
    async with store.transaction() as tx:
        windows = await fleet_windows(tx, SLOT, 100)
        alerts = [(d.body["kind"], d.state) for d in await tx.find(Document, {"kind": KIND})]
    return windows, alerts


@pytest.mark.parametrize("kind", ["memory", "sql"])
def test_a_window_is_judged_once_when_all_have_sent_it_across_restarts(kind, tmp_path):
    async def test(store):
        for number in (1, 2):
            for name in ("dv-1", "dv-2", "dv-3"):
                items = received(name, envelope(number, window(number)))
                await take(store, items, NOW + number)
                await take(store, items, NOW + number)
        windows, alerts = await seen(store)
        # The first device is alone when it sends its first window; the others' count in the next.
        assert [w["window"] for w in windows] == sorted((w["window"] for w in windows), reverse=True)
        assert sum(w["devices"] for w in windows) <= 6
        assert {w["scope"] for w in windows} == {"quiet"}
        assert {(w["slot"], w["version"], w["identity"]) for w in windows} == {(SLOT, VERSION, "verified")}
        assert alerts == []

    run_in(kind, tmp_path, test, THREE)


def test_a_fault_is_an_alert_of_that_device_until_it_heals(tmp_path):
    async def test(store):
        await take(store, received("dv-1", envelope(1, window(1, FAULT, faults=[STUCK]))))
        assert (await seen(store))[1] == [("sensor.fault", STANDING)]
        await take(store, received("dv-1", envelope(2, window(2))))
        assert (await seen(store))[1] == [("sensor.fault", RESOLVED)]

    run_in("sql", tmp_path, test, THREE)


def test_what_is_missing_at_the_deadline_is_said(tmp_path):
    async def test(store):
        every = [item for n in (1, 2, 3) for item in received(f"dv-{n}", envelope(1, window(1)))]
        await take(store, every)
        await take(store, [item for n in (1, 2, 3) for item in received(f"dv-{n}", envelope(2, window(2)))])
        await take(store, [item for n in (1, 2) for item in received(f"dv-{n}", envelope(3, window(3)))])
        before = len((await seen(store))[0])
        await take(store, [item for n in (1, 2) for item in received(f"dv-{n}", envelope(4, window(4)))])
        async with store.transaction() as tx:
            await fresh().tend(tx, NOW + 599)
        assert len((await seen(store))[0]) == before
        async with store.transaction() as tx:
            await fresh().tend(tx, NOW + 600)
        windows, _ = await seen(store)
        first = windows[-before - 1]
        assert first["missing"] == ["dv-3"]
        assert first["judged_at"] == NOW + 600

    run_in("sql", tmp_path, test, THREE)


def test_a_cohort_is_named_and_acknowledged(tmp_path):
    async def test(store):
        await take(store, [item for n in (1, 2, 3) for item in received(f"dv-{n}", envelope(1, window(1)))])
        for number in (2, 3):
            sent = ((name, MOVED if name != "dv-3" else pb.DEVICE_VERDICT_QUIET) for name in ("dv-1", "dv-2", "dv-3"))
            await take(
                store, [item for name, v in sent for item in received(name, envelope(number, window(number, v)))]
            )
        windows, alerts = await seen(store)
        assert windows[0]["moved"] == ["dv-1", "dv-2"]
        assert (windows[0]["scope"], windows[0]["cohort"]) == ("cohort", "site=hall-1")
        assert ("drift.cohort", STANDING) in alerts
        async with store.transaction() as tx:
            await FleetWatch().acknowledge(tx, SLOT, VERSION, NOW)
        assert {state for _, state in (await seen(store))[1]} == {RESOLVED}

    run_in("sql", tmp_path, test, THREE)


def test_a_device_that_runs_another_version_holds_up_nobody(tmp_path):
    async def test(store):
        both = [item for n in (1, 2) for item in received(f"dv-{n}", envelope(1, window(1)), envelope(2, window(2)))]
        await take(store, both)
        await take(store, received("dv-1", envelope(3, window(3)), envelope(4, window(4))))
        before = len((await seen(store))[0])
        await take(store, received("dv-1", envelope(5, window(5))))
        assert len((await seen(store))[0]) == before  # waits for dv-2
        await take(store, received("dv-2", envelope(3, window(1), version="digits-2.0")))
        judged = [w for w in (await seen(store))[0] if w["version"] == VERSION]
        assert len(judged) > before
        assert (judged[0]["devices"], judged[0]["missing"]) == (1, [])

    run_in("sql", tmp_path, test, THREE)


def test_a_revoked_device_holds_up_nobody(tmp_path):
    async def test(store):
        await take(store, [item for n in (1, 2) for item in received(f"dv-{n}", envelope(1, window(1)))])
        await take(store, received("dv-1", envelope(2, window(2)), envelope(3, window(3))))
        before = len((await seen(store))[0])
        async with store.transaction() as tx:
            await fresh().tend(tx, NOW + 1)
        assert len((await seen(store))[0]) == before
        async with store.transaction() as tx:
            await tx.put(device("dv-2", Standing.REVOKED))
            await fresh().tend(tx, NOW + 2)
        windows, _ = await seen(store)
        assert len(windows) > before
        assert windows[0]["missing"] == []

    run_in("sql", tmp_path, test, THREE)


def test_asserted_windows_are_judged_apart(tmp_path):
    async def test(store):
        await take(store, received("dv-1", envelope(1, window(1))))
        await take(store, received("dv-2", envelope(1, window(1)), identity=Identity.ASSERTED))
        windows, _ = await seen(store)
        assert sorted((w["identity"], w["devices"]) for w in windows) == [("asserted", 1), ("verified", 1)]

    run_in("sql", tmp_path, test, THREE)


class Killed(Exception):
    """The server dies before the commit."""


@pytest.mark.parametrize("kind", ["memory", "sql"])
def test_a_batch_that_was_not_committed_is_taken_again_as_if_it_had_never_been(kind, tmp_path):
    """The state that is remembered in the process is not taken for what the database holds."""

    async def stored(store):
        async with store.transaction() as tx:
            entries = {d.document_id: d.body["entry"] for d in await tx.find(Document, {"kind": ENTRY_KIND})}
            return entries, [d.body["state"] for d in await tx.find(Document, {"kind": STATE_KIND})]

    async def take_and_die(store, items):
        async with store.transaction() as tx:
            await fresh().take(tx, items, NOW + 1)
            raise Killed

    async def test(store):
        await take(store, [item for n in (1, 2) for item in received(f"dv-{n}", envelope(1, window(1)))])
        before = await stored(store)
        lost = received("dv-1", envelope(2, window(2)))
        with pytest.raises(Killed):
            await take_and_die(store, lost)
        assert await stored(store) == before
        await take(store, received("dv-2", envelope(2, window(2))), NOW + 2)
        assert (await seen(store))[0][0]["window"] == 1  # window 2 waits for dv-1, whatever it sent before
        await take(store, lost, NOW + 3)
        newest = (await seen(store))[0][0]
        assert (newest["devices"], list(newest["missing"])) == (2, [])

    run_in(kind, tmp_path, test, THREE)


def test_a_message_writes_its_own_entry_and_no_other(tmp_path):
    async def test(store):
        for number in range(1, 5):
            await take(
                store, [item for n in (1, 2, 3) for item in received(f"dv-{n}", envelope(number, window(number)))]
            )
        async with store.transaction() as tx:
            before = {d.document_id: d for d in await tx.find(Document, {"kind": ENTRY_KIND})}
        await take(store, received("dv-1", envelope(5, window(5))), NOW + 5)
        async with store.transaction() as tx:
            after = {d.document_id: d for d in await tx.find(Document, {"kind": ENTRY_KIND})}
        assert len(after) == len(before) + 1
        assert all(after[name] == document for name, document in before.items())

    run_in("sql", tmp_path, test, THREE)
