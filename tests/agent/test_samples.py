"""Samples for retraining: stored once each, within the budget, never lost to a fleet that was away."""

from collections.abc import Mapping

import pytest

from sanderling.agent.samples import SampleUploads
from sanderling.api.retrain.v1 import samples_pb2
from sanderling.api.runner.v1 import runner_pb2
from sanderling.errors import TransportError


class Source:
    """A runner that keeps what is not acknowledged."""

    def __init__(self, count: int) -> None:
        self.instance, self.waiting = "one", list(range(1, count + 1))

    def take_samples(self, slot, version, acknowledged: Mapping[str, int], most_bytes):
        self.waiting = [n for n in self.waiting if n > acknowledged.get(self.instance, 0)]
        return self.instance, [runner_pb2.RunnerSample(sample_id=n, weight=2.0) for n in self.waiting[:3]]


class Fleet:
    def __init__(self) -> None:
        self.stored: list[int] = []
        self.left, self.away, self.refuse = 1000, False, set()

    def upload(self, request):
        if self.away:
            raise TransportError("away")
        fresh = [s.sample_id for s in request.samples if s.sample_id & 0xFFFFFFFF not in self.refuse]
        self.stored += fresh
        return samples_pb2.UploadSamplesResponse(committed_sample_ids=fresh, remaining_budget_bytes=self.left)


@pytest.fixture
def fleet():
    return Fleet()


SLOTS = [("main", "m-1")]


def test_all_are_stored_once(fleet):
    source = Source(8)
    uploads = SampleUploads(fleet.upload, source)
    assert uploads.send(SLOTS, 1000) == 8
    assert uploads.send(SLOTS, 1000) == 0
    assert len(fleet.stored) == len(set(fleet.stored)) == 8


def test_a_runner_that_counts_anew_gives_other_ids(fleet):
    source = Source(2)
    uploads = SampleUploads(fleet.upload, source)
    uploads.send(SLOTS, 1000)
    source.instance, source.waiting = "two", [1, 2]
    assert uploads.send(SLOTS, 1000) == 2
    assert len(set(fleet.stored)) == 4


def test_ids_are_numbers_that_every_database_has(fleet):
    for number in range(20):
        source = Source(1)
        source.instance = f"boot:{number}"
        SampleUploads(fleet.upload, source).send(SLOTS, 1000)
    assert max(fleet.stored) < 1 << 63


def test_the_fleet_says_stop(fleet):
    fleet.left = 0
    assert SampleUploads(fleet.upload, Source(8)).send(SLOTS, 1000) == 3


def test_a_fleet_that_is_away_gets_them_later(fleet):
    source = Source(4)
    uploads = SampleUploads(fleet.upload, source)
    fleet.away = True
    assert uploads.send(SLOTS, 1000) == 0
    fleet.away = False
    assert uploads.send(SLOTS, 1000) == 4


def test_only_what_has_no_gap_before_it_is_acknowledged(fleet):
    source = Source(3)
    uploads = SampleUploads(fleet.upload, source)
    fleet.refuse = {2}
    uploads.send(SLOTS, 1000)
    fleet.refuse = set()
    uploads.send(SLOTS, 1000)
    assert {n & 0xFFFFFFFF for n in fleet.stored} == {1, 2, 3}
