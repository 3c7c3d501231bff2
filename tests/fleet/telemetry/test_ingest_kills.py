"""Kill -9 of ingest and broker: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
import signal

import pytest
from brokers import WAIT_SECONDS, needs_mosquitto
from envelopes import envelope, metrics
from places import equal, publish, stored, through_is, until

from sanderling_fleet.store import MetricsRow


@pytest.mark.parametrize("die", ["before commit", "after commit"])
def test_kill_9_around_the_commit_loses_nothing_and_counts_nothing_twice(place, die):
    async def test():
        async with place.store():
            pass
        process = place.process(die)
        with place.client("dv-1") as client:
            publish(client, "dv-1", *(envelope(n, metrics(10)) for n in range(1, 21)))
            assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
            process.stdout.close()
            async with place.store() as store:
                survived = len((await stored(store))[1])
            assert survived == 0 if die == "before commit" else survived > 0
            publish(client, "dv-1", *(envelope(n, metrics(10)) for n in range(21, 31)))
            async with place.running() as (ingest, store):
                await until(lambda: through_is(store, "dv-1", 30))
                _, rows = await stored(store)
                async with store.transaction() as tx:
                    totals = await tx.find(MetricsRow)
                assert [row[1] for row in sorted(rows)] == list(range(1, 31))
                assert sum(row.inferences for row in totals) == 300
                assert ingest.stats.counted == 30 - survived
                if survived:
                    assert ingest.stats.repeated >= 1  # they did come again

    asyncio.run(test())


@needs_mosquitto
def test_ingest_goes_on_after_the_broker_was_killed(on_mosquitto, caplog):
    async def test():
        async with on_mosquitto.running() as (ingest, store):
            with on_mosquitto.client("dv-1") as client:
                publish(client, "dv-1", envelope(1))
                await until(lambda: through_is(store, "dv-1", 1))
            on_mosquitto.mosquitto.kill()
            await until(lambda: equal(ingest._consumer.connected.is_set, False))
            assert ingest.hint(["dv-1"]) == 0
            await until(lambda: equal(lambda: "cannot reach the broker" in caplog.text, True))
            assert on_mosquitto.mosquitto.start()
            await asyncio.wait_for(ingest._consumer.connected.wait(), WAIT_SECONDS)
            with on_mosquitto.client("dv-1") as client:
                publish(client, "dv-1", envelope(2))
                await until(lambda: through_is(store, "dv-1", 2))

    asyncio.run(test())
