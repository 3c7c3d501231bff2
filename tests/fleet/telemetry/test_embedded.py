"""The broker for demos: on loopback, behind the fleet's password, and not believed beyond that."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import pytest
from brokers import Client
from envelopes import SLOT, VERSION, envelope, metrics
from places import publish, through_is, until

from sanderling.errors import InputError
from sanderling_fleet.broker.embedded import EmbeddedBroker
from sanderling_fleet.core.messages import Broker
from sanderling_fleet.ingest.link import password_link

pytest.importorskip("iotcore", reason="there is no iotcore for this machine")


def test_the_embedded_broker_is_on_loopback_and_wants_the_fleets_password(on_embedded, caplog):
    broker = on_embedded.embedded
    port = int(broker.address.url.rpartition(":")[2])
    listening = {
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    }
    assert listening == {f"0100007F:{port:04X}"}
    assert len(broker.address.password) >= 40
    assert (on_embedded.folder / "broker" / "broker.toml").stat().st_mode & 0o777 == 0o600
    for login in (None, ("fleet", "wrong"), ("other", broker.address.password)):
        with Client(port, login=login) as stranger:
            assert not stranger.connected
    with on_embedded.client("dv-1") as client:
        assert client.connected


def test_the_embedded_broker_is_found_again_and_stops_by_its_own_pid(tmp_path, caplog):
    first = EmbeddedBroker(tmp_path / "broker")
    with caplog.at_level(logging.WARNING):
        first.start()
    assert "identity=asserted" in caplog.text
    pid, address = first.pid, first.address
    second = EmbeddedBroker(tmp_path / "other")
    second.start()
    assert second.address.password != address.password
    first.stop()
    first.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert Path(f"/proc/{second.pid}").exists()
    again = EmbeddedBroker(tmp_path / "broker")
    again.start()
    assert again.address == address
    again.stop()
    second.stop()


def test_totals_are_readable_per_version_after_ingest(on_embedded):
    async def test():
        async with on_embedded.running() as (_, store):
            with on_embedded.client("dv-1") as client:
                publish(client, "dv-1", envelope(1, metrics(5, mean_confidence=0.25)))
                await until(lambda: through_is(store, "dv-1", 1))
            async with store.transaction() as tx:
                assert await on_embedded.intake.totals(tx, SLOT, VERSION) == []  # asserted, and not trusted

    asyncio.run(test())
    assert not [thread.name for thread in threading.enumerate() if "paho" in thread.name]


def test_a_password_does_not_leave_the_machine():
    with pytest.raises(InputError, match="not on loopback"):
        password_link(Broker("mqtt://broker.example:1883", "fleet", "secret"))
