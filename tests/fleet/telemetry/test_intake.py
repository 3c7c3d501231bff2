"""Envelopes into either store: counted once, totals right, nothing a device sends stops the others."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest
from envelopes import NOW, SLOT, VERSION, device, envelope, event, metrics, received, run_in, window

from sanderling.api.telemetry.v1 import telemetry_pb2 as pb
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.core.alerts import KIND, raise_alert, resolve_alert
from sanderling_fleet.core.fleet_watch import fleet_windows
from sanderling_fleet.core.telemetry import Intake, TelemetryPolicy, set_presences
from sanderling_fleet.core.telemetry_rows import Identity, Received
from sanderling_fleet.store import (
    Document,
    DriftRow,
    EventRow,
    MetricsRow,
    Presence,
    Standing,
    TelemetryAhead,
    TelemetryProgress,
    Version,
    VersionMetrics,
)

pytestmark = pytest.mark.parametrize("kind", ["memory", "sql"])


async def take(store, items, now=NOW, intake=None):
    async with store.transaction() as tx:
        return await (intake or Intake()).take(tx, items, now)


async def committed(store, name="dv-1", boot="boot-1"):
    async with store.transaction() as tx:
        found = await tx.get(TelemetryProgress, name, boot)
    return found.sequence if found else 0


def test_any_order_and_repetition_counts_each_row_once(kind, tmp_path):
    async def test(store):
        rng = random.Random(3)
        sent = [(name, n) for name in ("dv-1", "dv-2") for n in range(1, 41)] * 3
        rng.shuffle(sent)
        counted = repeated = 0
        while sent:
            batch, sent = sent[:17], sent[17:]
            taken = await take(store, [item for name, n in batch for item in received(name, envelope(n))])
            counted, repeated = counted + taken.counted, repeated + taken.repeated
            assert not taken.refused
        assert (counted, repeated) == (80, 160)
        async with store.transaction() as tx:
            assert len(await tx.find(MetricsRow)) == 80
            assert await tx.find(TelemetryAhead) == []
            totals = await Intake().totals(tx, SLOT, VERSION)
        assert [(t.device_id, t.rows, t.inferences) for t in totals] == [("dv-1", 40, 4000), ("dv-2", 40, 4000)]
        assert await committed(store) == await committed(store, "dv-2") == 40

    run_in(kind, tmp_path, test)


def test_a_device_is_told_what_is_whole_and_boots_are_apart(kind, tmp_path):
    async def test(store):
        await take(store, received("dv-1", envelope(1), envelope(2), envelope(4), envelope(5)))
        assert await committed(store) == 2
        await take(store, received("dv-1", envelope(1, boot="boot-2"), envelope(2)))
        assert (await committed(store), await committed(store, boot="boot-2")) == (2, 1)
        taken = await take(store, received("dv-1", envelope(3), envelope(3)))
        assert (taken.counted, taken.repeated) == (1, 1)
        assert await committed(store) == 5

    run_in(kind, tmp_path, test)


def test_a_gap_is_given_up_in_time_and_not_before(kind, tmp_path):
    async def test(store):
        intake = Intake(TelemetryPolicy(gap_seconds=100.0))

        async def tend(now):
            async with store.transaction() as tx:
                return await intake.tend(tx, now)

        await take(store, received("dv-1", envelope(1), envelope(4)), NOW)
        await take(store, received("dv-1", envelope(9)), NOW + 60)  # the lowest gap is as old as it was
        assert await tend(NOW + 99) == 0
        assert await tend(NOW + 100) == 2
        assert await committed(store) == 4
        assert await tend(NOW + 199) == 0
        assert await tend(NOW + 200) == 4
        assert await committed(store) == 9
        taken = await take(store, received("dv-1", envelope(2), envelope(10)), NOW + 201)
        assert (taken.counted, taken.repeated) == (1, 1)
        await take(store, received("dv-1", envelope(12), envelope(14)), NOW + 300)
        await take(store, received("dv-1", envelope(11)), NOW + 350)  # that gap is closed; the next is seen from now on
        assert await tend(NOW + 449) == 0
        assert await tend(NOW + 450) == 1

    run_in(kind, tmp_path, test)


def test_a_transaction_that_fails_counts_nothing(kind, tmp_path):
    async def test(store):
        async def fail():
            async with store.transaction() as tx:
                await Intake().take(tx, received("dv-1", envelope(1), envelope(2, event())), NOW)
                raise RuntimeError("killed before commit")

        with pytest.raises(RuntimeError, match="killed"):
            await fail()
        assert await committed(store) == 0
        async with store.transaction() as tx:
            assert await tx.find(MetricsRow) == await tx.find(EventRow) == await tx.find(Document) == []
        assert (await take(store, received("dv-1", envelope(1)))).counted == 1

    run_in(kind, tmp_path, test)


def test_totals_sum_counts_and_keep_the_newest_gauges(kind, tmp_path):
    async def test(store):
        newest = metrics(300, errors=2, mean_confidence=0.5, latency_p95_us=1200.0, runner_restarts=1)
        await take(store, received("dv-1", envelope(2, newest, at=NOW + 50)), NOW + 60)
        await take(store, received("dv-1", envelope(1, metrics(100, errors=1), at=NOW + 10)), NOW + 61)
        moved = window(1, pb.DEVICE_VERDICT_MOVED)
        await take(store, received("dv-1", envelope(3, moved), envelope(4, metrics(7), version="digits-2.0")), NOW + 62)
        async with store.transaction() as tx:
            (total,) = await Intake().totals(tx, SLOT, VERSION)
        assert (total.inferences, total.errors, total.runner_restarts, total.windows_moved) == (400, 3, 1, 1)
        assert total.mean_confidence == pytest.approx(0.6)
        assert total.latency_p95_us == 1200.0

    run_in(kind, tmp_path, test)


def test_a_clock_that_was_ahead_leaves_no_newest_row_behind(kind, tmp_path):
    async def test(store):
        await take(store, received("dv-1", envelope(1, metrics(latency_p95_us=1.0), at=NOW + 1e9)), NOW)
        await take(store, received("dv-1", envelope(2, metrics(latency_p95_us=2.0), at=NOW + 60)), NOW + 61)
        async with store.transaction() as tx:
            (total,) = await Intake().totals(tx, SLOT, VERSION)
        assert (total.latency_p95_us, total.at) == (2.0, NOW + 60)

    run_in(kind, tmp_path, test)


def test_names_that_a_device_makes_up_do_not_fill_the_database(kind, tmp_path):
    """Boots, versions and kinds of events are its own words; others keep what is known of them."""

    async def test(store):
        await take(store, received("dv-2", envelope(1), envelope(3)))
        for batch in range(4):
            made_up = [
                envelope(1 + gap, version=f"v-{batch}-{n}", boot=f"boot-{batch}-{n}")
                for n in range(100)
                for gap in (0, 5)
            ]
            taken = await take(store, received("dv-1", *made_up), NOW + batch)
            assert taken.counted == 200
        async with store.transaction() as tx:
            await Intake().tend(tx, NOW + 8)
        again = await take(store, received("dv-1", *made_up[-64:]), NOW + 9)
        assert (again.counted, again.repeated) == (0, 64), "the last are known"
        async with store.transaction() as tx:
            for table in (TelemetryProgress, TelemetryAhead):
                assert Counter(item.device_id for item in await tx.find(table)) == {"dv-1": 64, "dv-2": 1}
            assert len(await tx.find(VersionMetrics, {"device_id": "dv-1"})) == 64
            assert len(await Intake().totals(tx, SLOT, VERSION)) == 1

    run_in(kind, tmp_path, test)


HOSTILE = {
    "no envelope": b"\xff\xff",
    "empty": b"",
    "no boot": envelope(2, boot="").SerializeToString(),
    "sequence 0": envelope(0).SerializeToString(),
    "sequence beyond a database's integers": envelope((1 << 64) - 1, at=NOW).SerializeToString(),
    "boot with a NUL": envelope(2, boot="b\0").SerializeToString(),
    "long boot": envelope(2, boot="b" * 300).SerializeToString(),
}
HOSTILE_BODIES = {
    "version with a NUL": (metrics(), {"version": "digits\0"}),
    "not a number": metrics(latency_p95_us=float("nan")),
    "infinite": metrics(cpu_seconds=float("inf")),
    "negative": metrics(latency_p50_us=-1.0),
    "confidence": metrics(mean_confidence=1.5),
    "huge": metrics((1 << 64) - 1),
    "verdict": pb.DriftWindow(window=1),
    "window": window((1 << 64) - 1),
    "ranks": pb.DriftWindow(
        window=1,
        verdict=pb.DEVICE_VERDICT_QUIET,
        ranks=[pb.RankCounts(input="x", features=1 << 31, cells=32, counts=[1])],
    ),
    "effect": pb.DriftWindow(
        window=1,
        rows=32,
        verdict=pb.DEVICE_VERDICT_QUIET,
        ranks=[
            pb.RankCounts(
                input="x", features=1, cells=32, counts=[1] * 32, design_effects=[float("nan")] * 24, reference_rows=9
            )
        ],
    ),
    "event kind": event(kind="Rollout breach\n"),
    "severity": event(severity=9),
}


def _hostile(number, body):
    body, fields = body if isinstance(body, tuple) else (body, {})
    return envelope(number, body, **fields)


def test_what_cannot_be_read_is_refused_and_blocks_nobody(kind, tmp_path):
    async def test(store):
        items = [Received("dv-1", content, Identity.VERIFIED) for content in HOSTILE.values()]
        taken = await take(store, [*items, *received("dv-2", envelope(1))])
        assert (taken.counted, len(taken.refused)) == (1, len(HOSTILE))
        assert {name for name, _ in taken.refused} == {"dv-1"}

    run_in(kind, tmp_path, test)


def test_what_cannot_be_used_is_counted_so_that_its_device_lets_go_of_it(kind, tmp_path):
    async def test(store):
        bodies = list(HOSTILE_BODIES.values())
        taken = await take(store, received("dv-1", *(_hostile(n, body) for n, body in enumerate(bodies, 1))))
        assert taken.counted == len(bodies) == len(taken.refused)
        assert {name for name, _ in taken.refused} == {"dv-1"}
        assert await committed(store) == len(bodies)
        taken = await take(store, received("dv-1", envelope(len(bodies) + 1, pb.Metrics())))
        assert not taken.refused
        assert await committed(store) == len(bodies) + 1

    run_in(kind, tmp_path, test)


def test_every_proto_body_is_known(kind, tmp_path):
    oneof = pb.Envelope.DESCRIPTOR.oneofs_by_name["body"]
    assert {field.name for field in oneof.fields} == {"metrics", "drift", "event"}
    columns = {field.name for field in dataclasses.fields(MetricsRow)}
    assert {field.name for field in pb.Metrics.DESCRIPTOR.fields} <= columns


@pytest.mark.parametrize("standing", [Standing.PENDING, Standing.REVOKED, Standing.CONFLICT, None])
def test_only_active_devices_are_believed(kind, tmp_path, standing):
    async def test(store):
        taken = await take(store, received("dv-x", envelope(1)))
        assert taken.counted == 0
        assert [name for name, _ in taken.refused] == ["dv-x"]
        assert await committed(store, "dv-x") == 0

    run_in(kind, tmp_path, test, () if standing is None else (device("dv-x", standing),))


def test_asserted_telemetry_is_kept_and_judges_only_where_it_is_trusted(kind, tmp_path):
    async def test(store):
        asserted = received("dv-1", envelope(1), envelope(2, window(1)), identity=Identity.ASSERTED)
        await take(store, [*asserted, *received("dv-2", envelope(1))])
        async with store.transaction() as tx:
            assert len(await tx.find(MetricsRow)) == 2
            wary, trusting = Intake(), Intake(TelemetryPolicy(trust_asserted=True))
            assert [t.device_id for t in await wary.totals(tx, SLOT, VERSION)] == ["dv-2"]
            assert {t.device_id for t in await trusting.totals(tx, SLOT, VERSION)} == {"dv-1", "dv-2"}
            (judged,) = await fleet_windows(tx, SLOT, 10)
            assert not wary.trusts(judged["identity"])
            assert trusting.trusts(judged["identity"])

    run_in(kind, tmp_path, test)


def test_errors_become_alerts_that_do_not_speak_in_the_fleets_name(kind, tmp_path):
    async def test(store):
        await take(store, received("dv-1", envelope(1, event()), envelope(2, event(severity=pb.SEVERITY_INFO))))
        await take(store, received("dv-2", envelope(1, event()), envelope(2, event(kind="rollout.breach"))))
        async with store.transaction() as tx:
            alerts = {d.body["kind"]: d.body for d in await tx.find(Document, {"kind": KIND})}
            assert len(await tx.find(EventRow)) == 4
        assert set(alerts) == {"device.runner.crash", "device.other"}
        assert alerts["device.other"]["summary"].startswith("dv-2: rollout.breach: ")
        assert alerts["device.runner.crash"]["devices"] == ["dv-1", "dv-2"]
        assert alerts["device.runner.crash"]["repeats"] == 1
        await take(store, received("dv-2", *(envelope(n, event(message=f"exit {n}")) for n in range(3, 6))))
        async with store.transaction() as tx:
            (crash,) = [d for d in await tx.find(Document, {"kind": KIND}) if d.body["kind"] == "device.runner.crash"]
        assert (crash.body["repeats"], crash.body["summary"]) == (4, "dv-2: runner.crash: exit 5")

    run_in(kind, tmp_path, test)


def test_words_that_devices_make_up_do_not_fill_the_alerts(kind, tmp_path):
    async def test(store):
        made_up = [envelope(n, event(kind=f"k{n}"), slot=f"s{n}", version=f"v{n}") for n in range(1, 30)]
        made_up += [envelope(n, event(), slot=f"s{n}", version=f"v{n}") for n in range(30, 60)]
        await take(store, received("dv-1", *made_up))
        async with store.transaction() as tx:
            await tx.put(Version(VERSION, "digits", 1, b"", 0, "", NOW, "", False))
        await take(store, received("dv-2", envelope(1, event()), envelope(2, event(), slot="other")))
        async with store.transaction() as tx:
            alerts = {d.subject: d.body for d in await tx.find(Document, {"kind": KIND})}
            assert len(await tx.find(EventRow)) == 61
        assert alerts.keys() == {"device.other", "device.runner.crash", f"device.runner.crash/{VERSION}"}
        assert [alert["repeats"] for _, alert in sorted(alerts.items())] == [28, 29, 1]

    run_in(kind, tmp_path, test)


def test_resolved_alerts_are_deleted_when_their_days_are_over(kind, tmp_path):
    async def test(store):
        intake, day, alert = Intake(TelemetryPolicy(retention_days=2)), 86400, Alert("a.b", Severity.INFO, "once")

        async def now_and_then(at, *, resolved):
            async with store.transaction() as tx:
                await raise_alert(tx, at, alert)
                if resolved:
                    await resolve_alert(tx, at, alert.kind)

        async def left(at):
            async with store.transaction() as tx:
                await intake.tend(tx, at)
                return [d.document_id for d in await tx.find(Document, {"kind": KIND})]

        async with store.transaction() as tx:
            await raise_alert(tx, NOW, dataclasses.replace(alert, kind="c.d"))
        await now_and_then(NOW, resolved=True)
        await now_and_then(NOW + 2 * day, resolved=True)
        assert await left(NOW + 2 * day) == ["a.b-1", "a.b-2", "c.d-1"]
        assert await left(NOW + 4 * day) == ["a.b-2", "c.d-1"], "one that stands stays"
        await now_and_then(NOW + 4 * day, resolved=False)
        assert await left(NOW + 4 * day) == ["a.b-2", "a.b-3", "c.d-1"], "none is written over"

    run_in(kind, tmp_path, test)


def test_rows_are_deleted_when_their_days_are_over_and_totals_stay(kind, tmp_path):
    async def test(store):
        intake, day = Intake(TelemetryPolicy(retention_days=2)), 86400
        old = received("dv-1", envelope(1), envelope(2, window(1)), envelope(3, event()))
        await take(store, old, NOW)
        await take(store, received("dv-1", envelope(4)), NOW + 2 * day)
        async with store.transaction() as tx:
            assert len(await fleet_windows(tx, SLOT, 10)) == 1
        for passed, kept in ((2, 2), (3, 1)):
            async with store.transaction() as tx:
                await intake.tend(tx, NOW + passed * day)
            async with store.transaction() as tx:
                assert len(await tx.find(MetricsRow)) == kept
        async with store.transaction() as tx:
            assert await tx.find(DriftRow) == await tx.find(EventRow) == await fleet_windows(tx, SLOT, 10) == []
            assert (await intake.totals(tx, SLOT, VERSION))[0].rows == 2
        assert (await take(store, old)).counted == 0

    run_in(kind, tmp_path, test)


def test_presence_keeps_the_moment_of_the_last_change(kind, tmp_path):
    async def test(store):
        on, off = pb.Presence(boot_id="b", online=True, agent_version="0.1"), pb.Presence(boot_id="b", online=False)
        async with store.transaction() as tx:
            assert await set_presences(tx, {"dv-1": on, "dv-2": off}, Identity.VERIFIED, NOW) == []
            assert await set_presences(tx, {"dv-1": on}, Identity.VERIFIED, NOW + 5) == []
            assert (await tx.get(Presence, "dv-1")).changed_at == NOW
            await set_presences(tx, {"dv-1": off}, Identity.VERIFIED, NOW + 9)
            assert await tx.get(Presence, "dv-1") == Presence("dv-1", False, "b", "", "verified", NOW + 9)
            assert await tx.get(Presence, "dv-2") == Presence("dv-2", False, "b", "", "verified", NOW)
            [(name, reason)] = await set_presences(tx, {"dv-none": on}, Identity.VERIFIED, NOW)
            assert (name, "not from a device" in reason) == ("dv-none", True)
            assert await tx.get(Presence, "dv-none") is None

    run_in(kind, tmp_path, test)
