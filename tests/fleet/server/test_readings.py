"""What gates compare, read bit by bit, against the same from all rows at once."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections import Counter
from statistics import fmean

import pytest
from virtual_fleet import VirtualFleet

from sanderling_fleet.core.readings import measure
from sanderling_fleet.gates import Arm, Metric, Reading
from sanderling_fleet.rollout_state import Assignment, RolloutSpec, StageSpec, StageState
from sanderling_fleet.rollout_state import create as new_rollout
from sanderling_fleet.store import Device, DriftRow, MemoryStore, MetricsRow, Standing
from sanderling_fleet.store.sql import SqlStore

DAY = 86400.0
NEW, OLD, OLDER = "digits-2.0", "digits-1.0", "digits-0.9"
CANDIDATES, CONTROLS = [f"ca-{n:02}" for n in range(8)], [f"co-{n:02}" for n in range(6)]
VERDICTS = ["quiet", "moved", "warming", "fault"]
DEVICES = [*CANDIDATES, *CONTROLS, "stranger", "late"]


def rollout_at(since):
    made = new_rollout("ro-1", RolloutSpec("main", NEW, "", stages=(StageSpec("all", percent=100),)), since - 100)
    stage = dataclasses.replace(made.stages[0], state=StageState.ACTIVE, activated_at=since)
    # The first candidate had nothing before; the last control was a candidate too, which goes first.
    assignments = tuple(
        Assignment(f"ro-1/{device}", device, 0, former_version="" if n == 0 else OLDER if n == 1 else OLD)
        for n, device in enumerate(CANDIDATES)
    )
    return dataclasses.replace(made, stages=(stage,), assignments=assignments, controls=(*CONTROLS, CANDIDATES[-1]))


class Telemetry:
    """Rows that are put into a store and remembered."""

    def __init__(self, seed):
        self.rng, self.rows, self.sequence = random.Random(seed), [], 0

    def row(self, now, device, version):
        self.sequence += 1
        rng = self.rng
        shared = (int(now // DAY), device, "boot", self.sequence, "main", version)
        known = (rng.choice(["verified", "verified", "verified", "asserted"]), now - rng.random(), now)
        if rng.random() < 0.3:
            row = DriftRow(*shared, *known, self.sequence, rng.choice(VERDICTS), b"")
        else:
            seen = (
                rng.choice([0, 50]),
                0,
                1.0,
                100 * rng.random(),
                rng.choice([0.0, rng.random()]),
                rng.randrange(3),
                0,
                0.0,
            )
            row = MetricsRow(*shared, *known, *seen)
        self.rows.append(row)
        return row


def reference(rows, rollout, trusted, arrival):
    """From all rows at once, in the order in which they were found."""
    since = rollout.stages[0].activated_at
    former = {item.device: item.former_version for item in rollout.assignments if not item.superseded_by}
    controls = set(rollout.controls) - {item.device for item in rollout.assignments} - set(rollout.taken_over)
    values = {
        Metric.LATENCY_P95: lambda row: row.latency_p95_us if row.inferences else None,
        Metric.CONFIDENCE: lambda row: row.mean_confidence if row.inferences and row.mean_confidence > 0 else None,
        Metric.CRASHES: lambda row: float(row.runner_restarts),
    }
    rows = [row for row in rows if row.identity in trusted]
    metrics = sorted(
        (row for row in rows if isinstance(row, MetricsRow)),
        key=lambda row: (row.received_at, row.device_id, row.at, row.sequence),
    )
    found = {}

    def arm(row):
        if row.device_id in former and row.version == NEW:
            return Arm.CANDIDATE
        return Arm.CONTROL if row.device_id in controls and row.version != NEW else None

    for metric, value in values.items():
        for row in sorted(metrics, key=arrival):
            if row.received_at > since and arm(row) and value(row) is not None:
                before = [
                    value(old)
                    for old in metrics
                    if old.device_id == row.device_id
                    and since - 7 * DAY <= old.received_at <= since
                    and value(old) is not None
                    and old.version == former.get(row.device_id, old.version)
                ][-24:]
                reading = Reading(row.device_id, arm(row), value(row), fmean(before) if before else None)
                found.setdefault(metric, []).append(reading)
    for row in sorted((row for row in rows if isinstance(row, DriftRow)), key=arrival):
        if row.received_at > since and arm(row) and row.verdict in ("quiet", "moved"):
            reading = Reading(row.device_id, arm(row), float(row.verdict == "moved"))
            found.setdefault(Metric.DRIFT, []).append(reading)
    return found


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for metric, readings in wanted.items():
        assert [(r.device, r.arm, r.value) for r in found[metric]] == [(r.device, r.arm, r.value) for r in readings]
        for one, other in zip(found[metric], readings, strict=True):
            assert one.baseline == (None if other.baseline is None else pytest.approx(other.baseline))


def unordered(found):
    return {metric: Counter((r.device, r.arm, r.value) for r in readings) for metric, readings in found.items()}


@pytest.mark.parametrize("kind", ["memory", "sql"])
@pytest.mark.parametrize("trust_asserted", [False, True])
def test_bit_by_bit_is_as_all_at_once(kind, trust_asserted, tmp_path):
    async def body():
        core = VirtualFleet(tmp_path).core
        core.telemetry.policy = dataclasses.replace(core.telemetry.policy, trust_asserted=trust_asserted)
        trusted = ("verified", "asserted") if trust_asserted else ("verified",)
        store = MemoryStore() if kind == "memory" else await SqlStore.open(tmp_path / "fleet.db")
        clock, telemetry, rng = core.clock, Telemetry(5), random.Random(4)
        since = clock.now() + 10 * DAY
        rollout, read, found_at, looks = rollout_at(since), measure(core), {}, 0

        async def put(*rows):
            async with store.transaction() as tx:
                await tx.put_all(rows)

        async def look(reader):
            async with store.transaction() as tx:
                return await reader(tx, rollout)

        await put(*(Device(d, Standing.ACTIVE, "", {}, {}, 1.0, 0.0, "", [], 0, [], 0, 9.0) for d in DEVICES))
        while clock.now() < since:
            old = [telemetry.row(clock.now(), d, rng.choice([OLD, OLD, OLDER])) for d in DEVICES if rng.random() < 0.5]
            await put(*old)
            clock.advance(rng.choice([0.0, 3600.0, 7200.0]))
        clock.advance(since - clock.now())
        await put(*(telemetry.row(clock.now(), device, OLD) for device in CONTROLS))
        for number in range(60):
            clock.advance(rng.choice([0.0, 0.0, 5.0, 3600.0]))
            late = max(since + 1e-3, clock.now() - rng.choice([0.0, 0.0, 40.0]))
            some = rng.sample(DEVICES, 6)
            await put(*(telemetry.row(late, device, rng.choice([NEW, NEW, OLD])) for device in some))
            if number == 30:  # a candidate and a control are taken over by another rollout, one joins
                first, *others = rollout.assignments
                joined = Assignment("ro-1/late", "late", 0, former_version=OLD)
                taken = dataclasses.replace(first, superseded_by="ro-2")
                rollout = dataclasses.replace(rollout, assignments=(taken, *others, joined), taken_over=CONTROLS[:1])
            if rng.random() < 0.7:
                looks += 1
                for row in telemetry.rows:
                    found_at.setdefault(row.sequence, looks)
                seen = await look(read)
                wanted = reference(
                    telemetry.rows,
                    rollout,
                    trusted,
                    lambda row: (found_at[row.sequence], row.received_at, row.device_id, row.at, row.sequence),
                )
                same(seen, wanted)
        assert set(seen) == set(Metric) - {Metric.FAILURES, Metric.GOLDEN_SCORE, Metric.OUTCOMES}
        assert unordered(await look(measure(core))) == unordered(await look(read)), "as after a restart"
        clock.advance(-1800.0)
        again = telemetry.row(clock.now(), CANDIDATES[2], NEW)
        await put(again)
        assert unordered(await look(read)) == unordered(await look(measure(core))), "the clock was set back"
        await store.close()

    asyncio.run(body())


@pytest.mark.parametrize("history_days", [1, 30])
def test_what_a_look_reads_does_not_grow_with_history(history_days, tmp_path):
    async def body():
        core = VirtualFleet(tmp_path).core
        store, telemetry, clock, read_rows = MemoryStore(), Telemetry(5), core.clock, []
        rollout, read = rollout_at(clock.now()), measure(core)

        class Counting:
            def __init__(self, tx):
                self._tx = tx

            async def find(self, *args, **wanted):
                found = await self._tx.find(*args, **wanted)
                read_rows.append(len(found))
                return found

        async def look():
            read_rows.clear()
            async with store.transaction() as tx:
                await read(Counting(tx), rollout)
            return sum(read_rows)

        async with store.transaction() as tx:
            for hour in range(24 * history_days):
                then = clock.now() - 3600.0 * hour
                await tx.put_all([telemetry.row(then, device, OLD) for device in DEVICES])
        first = await look()
        assert first <= 24 * 8 * len(DEVICES), "a week at most"
        for _ in range(48):
            clock.advance(3600.0)
            async with store.transaction() as tx:
                await tx.put_all([telemetry.row(clock.now(), device, OLD) for device in DEVICES])
            assert await look() == len(DEVICES)
            clock.advance(5.0)
            assert await look() <= len(DEVICES), "once more, since it may have come late"
            clock.advance(61.0)
            assert await look() <= len(DEVICES)
            assert await look() == 0

    asyncio.run(body())


def test_a_warm_up_a_fault_and_no_class_scores_are_no_evidence(tmp_path):
    """Else a version that nothing was measured of passes: 0 is not worse than 0."""

    async def body():
        core = VirtualFleet(tmp_path).core
        store, now = MemoryStore(), core.clock.now()
        rollout = rollout_at(now - 10.0)
        shared = (int(now // DAY), CANDIDATES[2], "boot")
        late = ("main", NEW, "verified", now, now)
        rows = [
            DriftRow(*shared, 1, *late, 1, "warming", b""),
            DriftRow(*shared, 2, *late, 2, "fault", b""),
            MetricsRow(*shared, 3, *late, 50, 0, 1.0, 2.0, 0.0, 0, 0, 0.0),
        ]
        async with store.transaction() as tx:
            await tx.put_all(rows)
            found = await measure(core)(tx, rollout)
        assert {Metric.CONFIDENCE, Metric.DRIFT}.isdisjoint(found)
        assert found.keys() == {Metric.LATENCY_P95, Metric.CRASHES}

    asyncio.run(body())
