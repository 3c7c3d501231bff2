"""Who is reached when, and what a lost call leaves behind."""

from __future__ import annotations

import random

import pytest
from fleets import SECOND, run

from sanderling.api.device.v1 import device_pb2
from sanderling.errors import InputError, TransportError
from sanderling_devices.simulator.network import Link, Silence, deal_silences, is_down, matching
from sanderling_devices.simulator.scenario import NetworkSpec, Offline, Outage

START = 1_800_000_000.0  # eight in the morning, UTC
HOUR = 3600.0
DEVICES = [{"site": "a", "line": "1"}, {"site": "b", "line": "1"}, {"site": "a", "line": "2"}]


class Server:
    """Counts what arrives."""

    def __init__(self):
        self.check_ins, self.rows = 0, []

    def check_in(self, chain, request):
        self.check_ins += 1
        return device_pb2.CheckInResponse()

    def send(self, device_id, payloads):
        self.rows += payloads


def link(server, now=START, silences=(), **spec):
    return Link(server, NetworkSpec(**spec), silences, random.Random(1), lambda: now, START)


def test_selectors_name_devices():
    assert matching("", DEVICES) == [0, 1, 2]
    assert matching("site=a", DEVICES) == [0, 2]
    assert matching(" site = a , line=1", DEVICES) == [0]
    with pytest.raises(InputError, match=r"names no device\. Labels are line=1"):
        matching("site=c", DEVICES)
    with pytest.raises(InputError, match="'site' is not key=value"):
        matching("site", DEVICES)


def test_a_share_of_the_named_devices_is_dealt_by_the_seed():
    fleet = [{"site": "a" if i < 60 else "b"} for i in range(100)]
    rules = [Offline(selector="site=a", share=1 / 3, at=10.0, lasts=5.0)]
    dealt = deal_silences(rules, fleet, random.Random(1))
    assert sum(map(bool, dealt)) == 20
    assert not any(dealt[60:])
    assert dealt == deal_silences(rules, fleet, random.Random(1))
    assert dealt != deal_silences(rules, fleet, random.Random(2))


def test_silence_holds_for_a_while_or_daily_over_midnight():
    once = Silence(10.0, 20.0)
    assert [once.holds(START + t, START) for t in (9.9, 10.0, 19.9, 20.0)] == [False, True, True, False]
    night = Silence(daily=(22.0, 5.0))
    midnight = START - START % 86400
    assert [night.holds(midnight + h * HOUR, START) for h in (0, 4.9, 5, 21.9, 22, 23)] == [
        True, True, False, False, True, True,
    ]  # fmt: skip
    assert [Silence(daily=(9.0, 10.0)).holds(midnight + h * HOUR, START) for h in (8.9, 9, 10)] == [False, True, False]


def test_a_server_is_down_from_then_to_then():
    outages = [Outage(at=100.0, lasts=10.0)]
    assert [is_down(outages, t) for t in (99.0, 100.0, 109.0, 110.0)] == [False, True, True, False]


def test_who_has_no_network_does_not_reach_the_server():
    for other in (
        {"silences": [Silence(0.0, 10.0)]},
        {"outages": (Outage(at=0.0, lasts=10.0),)},
    ):
        server = Server()
        mine = link(server, **other)
        with pytest.raises(TransportError, match="no route"):
            mine.check_in(device_pb2.CheckInRequest())
        assert (server.check_ins, mine.calls, mine.failures) == (0, 1, 1)


def test_half_of_what_is_lost_has_arrived():
    server = Server()
    mine = link(server, loss=0.5)
    for _ in range(400):
        try:
            mine.check_in(device_pb2.CheckInRequest())
        except TransportError:
            assert mine.spent_s >= 30.0
        mine.spent_s = 0.0
    assert 150 < mine.failures < 250
    lost_on_the_way_there = 400 - server.check_ins
    assert 0.3 * mine.failures < lost_on_the_way_there < 0.7 * mine.failures


def test_rows_that_are_not_acknowledged_are_sent_again_and_may_have_arrived():
    server = Server()
    mine = link(server, loss=0.3)
    rows, sent = [bytes([i]) for i in range(100)], 0
    for _ in range(200):
        sent += mine.send("dv", rows[sent:])
    assert sent == 100
    assert list(dict.fromkeys(server.rows)) == rows
    assert len(server.rows) > 100
    assert link(server, silences=[Silence(0.0, 1.0)]).send("dv", rows) == 0


def test_nothing_is_asked_of_a_server_that_is_down():
    with pytest.raises(InputError, match=r"publish m-2\.0 at 14400 s: the server is down then"):
        run(SECOND, network=NetworkSpec(outages=(Outage(at=3.9 * HOUR, lasts=HOUR),)))


def test_an_accident_to_nobody_is_refused():
    kill = '[[event]]\nat = "1h"\ndo = "kill"\nselector = "site=c"\n'
    with pytest.raises(InputError, match="names no device"):
        run(kill)


def test_an_assertion_about_nobody_is_refused():
    with pytest.raises(InputError, match="names no device"):
        run('[[expect]]\ncheck = "exposed"\nversion = "m-2.0"\nat_most = 0\nselector = "site=c"\n')
