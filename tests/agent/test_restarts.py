"""When a process that has ended is started again."""

import pytest

from sanderling.agent import restarts
from sanderling.agent.blobs import NoSpaceError
from sanderling.agent.restarts import Restarts

LOOK_S = 0.125  # exact in binary


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(restarts.time, "monotonic", lambda: now[0])
    return now


def pauses(clock, seconds: float, lives_s: float) -> list[float]:
    """Between the end of a process that lives so long and its next start."""
    found, ends = [], [clock[0]]

    def ensure() -> bool:
        if clock[0] < ends[-1]:
            return False
        found.append(clock[0] - ends[-1])
        ends.append(clock[0] + lives_s)
        return True

    looked = Restarts("thing", ensure)
    for _ in range(round(seconds / LOOK_S)):
        looked.look()
        assert looked.pause_s() <= 5.0
        clock[0] += LOOK_S
    return found


def test_one_that_lives_is_started_again_at_once(clock):
    assert set(pauses(clock, 60.0, 5.0)) == {0.0}


@pytest.mark.parametrize("lives_s", [0.0, 0.5])
def test_one_that_ends_soon_is_started_later_and_later(clock, lives_s):
    found = pauses(clock, 120.0, lives_s)
    assert found[0] == 0.0
    assert found == sorted(found)
    assert len(found) <= 32
    assert 5.0 - lives_s <= found[-1] <= 5.0 + LOOK_S


@pytest.mark.parametrize("kind", [OSError, NoSpaceError])
def test_one_that_cannot_be_started_is_tried_later_and_later(clock, caplog, kind):
    tries = []

    def ensure() -> bool:
        tries.append(clock[0])
        raise kind("no memory")

    looked = Restarts("thing", ensure)
    for _ in range(800):
        looked.look()
        clock[0] += LOOK_S
    assert 20 < len(tries) < 30
    assert "the thing cannot be started: no memory" in caplog.text
