"""Check-ins against a server that answers what it should not."""

import dataclasses

import pytest

from sanderling import errors
from sanderling.agent.actions import CheckIn, SlotReport
from sanderling.agent.check_in import CheckIns
from sanderling.agent.events import CheckedIn, CheckInFailed
from sanderling.agent.identity import Addresses
from sanderling.agent.state import Phase
from sanderling.agent.store import SqliteStore
from sanderling.agent.transport import FleetClient
from sanderling.agent.tuf_client import SignedVersions
from sanderling.api.device.v1 import enrolment_pb2

ASK = CheckIn("boot-1", 1, 0, (), ())


class Place:
    def __init__(self, folder, identity):
        self.identity = identity
        self.store = SqliteStore(folder / "state.db")
        client = FleetClient(lambda: self.identity)
        versions = SignedVersions(folder / "tuf", identity.tuf_root, client, self.now)
        facts = enrolment_pb2.DeviceFacts()
        self.check_ins = CheckIns(client, versions, self.store, facts, lambda: self.identity, self.moved, self.now)

    def moved(self, identity):
        self.identity = identity

    def now(self):
        return self.identity.certificate.not_valid_before_utc.timestamp() + 60


@pytest.fixture
def place(identity, tmp_path):
    made = Place(tmp_path, identity)
    yield made
    made.store.close()


def test_a_fleet_that_names_no_port(place):
    place.identity = dataclasses.replace(place.identity, addresses=Addresses("fleet.example", "fleet.example"))
    answer = place.check_ins.perform(ASK)
    assert isinstance(answer, CheckInFailed)
    assert "cannot be reached" in answer.detail


def test_addresses_without_the_device_listener_are_not_believed(place, fleet, monkeypatch):
    monkeypatch.setattr(fleet, "_addresses", lambda: enrolment_pb2.FleetAddresses(enrolment="127.0.0.1:1"))
    before = place.identity.addresses
    assert isinstance(place.check_ins.perform(ASK), CheckedIn)
    assert place.identity.addresses == before


@pytest.mark.parametrize(("said", "taken"), [(0.0, 0.1), (-5.0, 0.1), (1e9, 86_400.0)])
def test_a_fleet_that_says_never_or_all_the_time(place, fleet, said, taken):
    fleet.next_s = said
    assert place.check_ins.perform(ASK).next_s == taken


def test_whatever_goes_wrong_is_an_answer(place):
    """A count that has no room in the message: without an answer no check-in would follow."""
    slot = SlotReport("main", "m-1", "00", Phase.IDLE, "", 1 << 64, 0)
    answer = place.check_ins.perform(dataclasses.replace(ASK, slots=(slot,)))
    assert isinstance(answer, CheckInFailed)
    assert answer.detail.startswith("ValueError")


def test_a_probe_of_what_is_no_address(identity):
    client = FleetClient(lambda: dataclasses.replace(identity, addresses=Addresses("127.0.0.1:99999", "")))
    with pytest.raises(errors.TransportError):
        client.metadata("1.root.json")
