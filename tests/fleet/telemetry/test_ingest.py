"""Real brokers, a real database: everything arrives once, and nothing blocks the rest."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time

import pytest
from brokers import WAIT_SECONDS, needs_mosquitto
from envelopes import device, envelope
from places import equal, publish, stored, through_is, until
from sqlalchemy.exc import OperationalError

from sanderling.api.telemetry.v1 import telemetry_pb2 as pb
from sanderling.errors import InputError
from sanderling_fleet.broker.topics import device_hint, up
from sanderling_fleet.clock import WallClock
from sanderling_fleet.core.messages import Broker
from sanderling_fleet.core.telemetry import Intake
from sanderling_fleet.core.telemetry_rows import Identity
from sanderling_fleet.ingest.consumer import Consumer, Message
from sanderling_fleet.ingest.link import certified_link, password_link
from sanderling_fleet.ingest.service import Ingest
from sanderling_fleet.ingest.upkeep import Upkeep
from sanderling_fleet.store import Certificate, Presence, Standing


def test_rows_arrive_once_and_say_how_their_sender_is_known(place):
    async def test():
        async with place.running() as (ingest, store):
            with place.client("dv-1") as one, place.client("dv-2") as two:
                for n in (2, 1, 2, 3):
                    publish(one, "dv-1", envelope(n))
                    publish(two, "dv-2", envelope(n))
                await until(lambda: equal(lambda: ingest.stats.counted + ingest.stats.repeated, 8))
            through, rows = await stored(store)
            identity = Identity.VERIFIED if place.mosquitto else Identity.ASSERTED
            assert through == {"dv-1": 3, "dv-2": 3}
            assert sorted(rows) == [(name, n, identity) for name in ("dv-1", "dv-2") for n in (1, 2, 3)]
            assert (ingest.stats.counted, ingest.stats.repeated, ingest.stats.refused) == (6, 2, 0)

    asyncio.run(test())


def test_what_cannot_be_read_is_counted_said_once_and_stops_nothing(place, caplog):
    async def test():
        async with place.running() as (ingest, store):
            with place.client("dv-1") as client:
                for payload in (b"\xff\xff", b"", b"no protobuf"):
                    assert client.publish(up("dv-1", "metrics"), payload) == 0
                assert client.publish(up("dv-1", "status"), b"\xff\xff") == 0
                publish(client, "dv-1", envelope(1))
                await until(lambda: through_is(store, "dv-1", 1))
            assert (ingest.stats.counted, ingest.stats.refused) == (1, 4)

    with caplog.at_level(logging.WARNING, "sanderling_fleet.ingest.service"):
        asyncio.run(test())
    assert len([record for record in caplog.records if "refused telemetry" in record.message]) == 1


@pytest.mark.parametrize("qos", [0, 2])
def test_other_qualities_of_service_disturb_nothing(place, qos):
    """What the broker would lose is not taken; what it delivers is acknowledged as it came."""

    async def test():
        async with place.running() as (ingest, store):
            with place.client("dv-1") as client, place.client("dv-2") as other:
                assert client.publish(up("dv-1", "metrics"), envelope(1).SerializeToString(), qos=qos) == 0
                publish(client, "dv-1", envelope(2))
                publish(other, "dv-2", envelope(1))
                await until(lambda: through_is(store, "dv-2", 1))
                publish(client, "dv-1", envelope(3), envelope(1))
                await until(lambda: through_is(store, "dv-1", 3))
                publish(client, "dv-1", envelope(4))
                await until(lambda: through_is(store, "dv-1", 4))
            assert ingest._consumer._connection == 1, "the broker saw no reason to end the connection"
            # The embedded broker passes everything on at QoS 1.
            first_taken = qos == 2 or place.embedded is not None
            assert (ingest.stats.counted, ingest.stats.repeated) == (5, int(first_taken))

    asyncio.run(test())


def test_presence_follows_status_and_will(place):
    async def test():
        off = pb.Presence(boot_id="b", online=False).SerializeToString()
        on = pb.Presence(boot_id="b", online=True, agent_version="0.1").SerializeToString()

        async def online(store, wanted):
            async with store.transaction() as tx:
                found = await tx.get(Presence, "dv-1")
            return found is not None and found.online == wanted

        async with place.running() as (_, store):
            with place.client("dv-1", will=(up("dv-1", "status"), off, 1, True)) as client:
                assert client.publish(up("dv-1", "status"), on, retain=True) == 0
                await until(lambda: online(store, True))
                client.drop()
                await until(lambda: online(store, False))

    asyncio.run(test())


def test_hints_reach_a_device(place):
    async def test():
        async with place.running() as (ingest, _):
            with place.client("dv-1") as client:
                client.subscribe(device_hint("dv-1"))
                assert ingest.hint(["dv-1"]) == 1
                assert ingest.hint([f"dv-{n}" for n in range(600)]) == 600
                found = [client.messages.get(timeout=WAIT_SECONDS) for _ in range(2)]
            assert [topic for topic, _ in found] == [device_hint("dv-1")] * 2
            assert [pb.Hint.FromString(payload).spread.seconds for _, payload in found] == [0, 30]

    asyncio.run(test())


def test_an_acknowledgement_of_a_former_connection_is_not_sent(monkeypatch):
    subject = Consumer(password_link(Broker("mqtt://127.0.0.1:1")), print)
    acknowledged = []
    monkeypatch.setattr(subject._client, "ack", lambda mid, qos: acknowledged.append(mid))
    subject._connection = 2
    subject.ack([Message("t", b"", mid, connection) for mid, connection in ((7, 1), (8, 2))])
    assert acknowledged == [8]


@needs_mosquitto
def test_a_database_that_fails_for_a_while_loses_nothing(on_mosquitto, monkeypatch):
    take, failures = Intake.take, [2]

    async def failing(self, tx, received, now):
        taken = await take(self, tx, received, now)
        if received and failures[0]:
            failures[0] -= 1
            raise OperationalError("insert", {}, OSError("disk is full"))
        return taken

    monkeypatch.setattr(Intake, "take", failing)

    async def test():
        async with on_mosquitto.running() as (ingest, store):
            with on_mosquitto.client("dv-1") as client:
                publish(client, "dv-1", envelope(1), envelope(2))
                await until(lambda: through_is(store, "dv-1", 2))
            assert (ingest.stats.counted, ingest.stats.repeated) == (2, 0)

    asyncio.run(test())
    assert failures == [0]


@needs_mosquitto
def test_one_message_that_breaks_us_does_not_take_its_batch_along(on_mosquitto, monkeypatch, caplog):
    take = Intake.take

    async def breaking(self, tx, received, now):
        if any(pb.Envelope.FromString(item.content).sequence == 2 for item in received):
            raise ZeroDivisionError
        return await take(self, tx, received, now)

    monkeypatch.setattr(Intake, "take", breaking)

    async def test():
        async with on_mosquitto.running() as (ingest, store):
            with on_mosquitto.client("dv-1") as client:
                publish(client, "dv-1", *(envelope(n) for n in (1, 2, 3)))
                await until(lambda: equal(lambda: ingest.stats.counted + ingest.stats.refused, 3))
            through, rows = await stored(store)
            # The second is not said to be stored, so its device keeps it.
            assert through == {"dv-1": 1}
            assert sorted(row[1] for row in rows) == [1, 3]

    asyncio.run(test())
    assert "could not be taken" in caplog.text


@needs_mosquitto
def test_the_store_says_who_is_revoked_and_the_broker_follows(on_mosquitto):
    async def test():
        serial = on_mosquitto.machines.serials["dv-2"]
        async with on_mosquitto.running() as (ingest, store):
            upkeep = Upkeep(store, WallClock(), on_mosquitto.intake, on_mosquitto.mosquitto.files)
            with on_mosquitto.client("dv-2") as client:
                publish(client, "dv-2", envelope(1))
                async with store.transaction() as tx:
                    await tx.put(device("dv-2", Standing.REVOKED))
                    await tx.put(Certificate(serial, "dv-2", 1.0, time.time() + 1000, time.time()))

                await upkeep.look()

                async def shut_out():
                    return client.publish(up("dv-2", "metrics"), b"x") == 0x87

                await until(shut_out)
            with on_mosquitto.client("dv-2") as again:
                assert not again.connected
            with on_mosquitto.client("dv-1") as other:
                publish(other, "dv-1", envelope(1))
                await until(lambda: through_is(store, "dv-1", 1))
            assert ingest.stats.counted >= 1

    asyncio.run(test())


@needs_mosquitto
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves refused sockets open
@pytest.mark.parametrize("whose", ["ingest", "broker"])
def test_certificates_that_ended_are_replaced_and_the_connection_comes_back(on_mosquitto, whose):
    """A year has passed, in which nobody looked: nothing is restarted."""
    mosquitto, year_ago = on_mosquitto.mosquitto, time.time() - 400 * 86400
    if whose == "ingest":
        url, machines = mosquitto.url, on_mosquitto.machines
        link = certified_link(url, machines.authority, machines.server, year_ago)
        mosquitto.link = lambda: link
    else:
        link = mosquitto.link()
        mosquitto.link = lambda: link
        mosquitto.files._issue(on_mosquitto.machines.authority, ["127.0.0.1"], year_ago)
        mosquitto.kill()  # told to read it again, it does so when it gets to it: ingest might connect before
        assert mosquitto.start()

    async def test():
        async with on_mosquitto.store() as store:
            ingest = Ingest(store, WallClock(), link, on_mosquitto.intake)
            consumer, said = ingest._consumer, []
            consumer._client.on_log = lambda _client, _data, _level, text: said.append(text)
            await ingest.start()
            # The client refuses the broker, or the broker the client.
            await until(lambda: equal(lambda: consumer._told or any("EXPIRED" in text for text in said), True))
            assert consumer._connection == 0
            upkeep = Upkeep(store, WallClock(), on_mosquitto.intake, mosquitto.files, link.certificate)
            await upkeep.look()
            await asyncio.wait_for(consumer.connected.wait(), 60)
            with on_mosquitto.client("dv-1") as client:
                publish(client, "dv-1", envelope(1))
                await until(lambda: through_is(store, "dv-1", 1))
            await upkeep.look()
            await ingest.stop()

    asyncio.run(test())


@needs_mosquitto
def test_a_key_of_another_certificate_is_replaced(on_mosquitto):
    """The process died between the two files."""
    files, now = on_mosquitto.mosquitto.files, time.time()
    assert not files.renew(now)
    files._write({"server.key": on_mosquitto.machines.authority.issue_server(["h"], now)[0]})
    assert files.renew(now)
    assert not files.renew(now)
    on_mosquitto.mosquitto.kill()
    assert on_mosquitto.mosquitto.start()
    with on_mosquitto.client("dv-1") as client:
        assert client.connected


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("http://127.0.0.1:1", "mqtts://HOST"),
        ("mqtts://", "mqtts://HOST"),
        ("mqtts://h:x", "no URL"),
        ("mqtt://h", "HOST"),
    ],
)
def test_urls_that_name_no_broker_are_refused(fleet_machines, url, match):
    with pytest.raises(InputError, match=match):
        certified_link(url, fleet_machines.authority, fleet_machines.server, time.time())


@needs_mosquitto
def test_a_slow_database_leaves_messages_with_the_broker(on_mosquitto, monkeypatch):
    narrow = dataclasses.replace(on_mosquitto.link(), window=50)
    monkeypatch.setattr(on_mosquitto, "link", lambda: narrow)
    arrived, received = [], Consumer._received

    def counting(self, client, data, message):
        arrived.append(message.mid)
        received(self, client, data, message)

    monkeypatch.setattr(Consumer, "_received", counting)

    async def test():
        async with on_mosquitto.running() as (ingest, store):
            with on_mosquitto.client("dv-1") as client:
                async with store.transaction():  # nobody else gets one
                    messages = [envelope(n) for n in range(1, 301)]
                    await asyncio.to_thread(publish, client, "dv-1", *messages)
                    await until(lambda: equal(lambda: len(arrived), 50))
                    await asyncio.to_thread(publish, client, "dv-1", envelope(301))
                    assert len(arrived) == 50
                await until(lambda: through_is(store, "dv-1", 301))
            assert (len(arrived), ingest.stats.repeated) == (301, 0)
            assert ingest.stats.batches >= 301 / 50

    asyncio.run(test())
