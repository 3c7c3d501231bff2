"""Random lives of a device: whatever fails in whatever order, what must hold holds. Seeds are fixed."""

import random

import pytest
from tests.agent.world import Behaviour, World, wanted

from sanderling.agent import actions
from sanderling.agent.codec import from_plain, to_plain
from sanderling.agent.events import (
    CheckInFailed,
    Died,
    Fetched,
    Loaded,
    RetryDue,
    Served,
    StepDue,
    StepFailed,
    Verified,
)
from sanderling.agent.state import AgentState, Code, Outcome, Phase, Settings, Trial

FAILURES = [
    (actions.Resolve, Code.INTEGRITY),
    (actions.Resolve, Code.FETCH_FAILED),
    (actions.Fetch, Code.NO_SPACE),
    (actions.Fetch, Code.FETCH_FAILED),
    (actions.Verify, Code.INTEGRITY),
    (actions.Load, Code.BUILD_FAILED),
    (actions.SelfTest, Code.SELFTEST_FAILED),
    (actions.Serve, Code.HANG),
]
TRIAL = Trial(rows=50, duration_s=20, deadline_s=300)


class Life:
    """A device, what the fleet asked of it, and what it said."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        deadlines = {**Settings().deadlines_s, Phase.FETCH: 3600.0}
        self.world = World(settings=Settings(deadlines_s=deadlines))
        self.offered: list[str] = []
        self.told: dict[tuple[str, int], object] = {}
        self.number = 1
        self.world.install("m-1")

    def turn(self) -> None:
        world, draw = self.world, self.random
        match draw.randrange(12):
            case 0 | 1:
                self.number += 1
                name = f"m-{self.number}"
                world.behaviour[name] = draw.choice(
                    [
                        Behaviour(),
                        Behaviour(confidence=0.3),
                        Behaviour(golden=5),
                        Behaviour(dies=Code.CRASH, dies_after=draw.randrange(30)),
                        Behaviour(dies=Code.HANG, dies_after=draw.randrange(30)),
                    ]
                )
                if draw.random() < 0.4:
                    action, code = draw.choice(FAILURES)
                    world.failures[action, name] = (code, "by chance", draw.random() < 0.3)
                self.offered.append(f"a-{self.number}")
                world.want(wanted(name, f"a-{self.number}", trial=TRIAL))
                world.check_in_now()
            case 2:
                active = world.slot.active
                if active is not None:
                    self.number += 1
                    self.offered.append(f"a-{self.number}")
                    world.want(wanted(active.release.version, f"a-{self.number}", trial=TRIAL))
            case 3:
                world.start()
            case 4:
                world.boot_id = f"boot-{draw.randrange(1000)}"
                world.start()
            case 5:
                world.online = not world.online
            case 6:
                world.driver.post(Died("main", f"m-{draw.randint(1, self.number)}", Code.CRASH, "by chance"))
            case 7:
                step = world.slot.step - draw.randrange(3)
                kind = draw.choice([Fetched, Verified, Loaded, Served, StepDue, RetryDue])
                world.driver.post(kind("main", step))
            case 8:
                world.driver.post(StepFailed("main", world.slot.step, Code.INTERNAL, "by chance", draw.random() < 0.5))
            case 9:
                world.driver.post(CheckInFailed("by chance"))
            case 10:
                world.confirm = not world.confirm
            case _:
                world.run(draw.choice([1, 10, 100, 1000]))
        world.run(draw.random() * 20)
        self.check()

    def check(self) -> None:
        state = self.world.driver.state
        assert from_plain(AgentState, to_plain(state)) == state
        assert self.world.store.state == state, "what is known is stored"
        for result in (*self.world.reported, *state.results):
            key = (result.assignment, result.attempt)
            assert self.told.setdefault(key, result) == result, "a result never changes"
        slot = state.slots["main"]
        if slot.update is not None:
            assert slot.update.transitions <= Settings().most_transitions + 2
            assert slot.deadline_at > 0
        if slot.active is not None:
            version = slot.active.release.version
            found = [r for r in self.told.values() if r.version == version and r.outcome is not Outcome.SUPERSEDED]
            assert version == "m-1" or any(r.outcome is Outcome.COMMITTED for r in found)


@pytest.mark.parametrize("seed", range(25))
def test_what_must_hold(seed):
    life = Life(seed)
    for _ in range(60):
        life.turn()
    world = life.world
    world.online = world.confirm = True
    world.failures.clear()
    world.behaviour = {name: Behaviour() for name in world.behaviour}
    world.run(10_000)
    assert world.slot.update is None, "every update ends"
    assert world.driver.state.results == (), "every result is told"
    active = world.slot.active.release.version
    assert world.served["main"] == active, "the active version answers"
    assert world.kept == (("main", active),), "no other runner is left"
    # Of offers that the device has heard of, each has exactly one result.
    answered = [assignment for assignment, _ in world.confirmed]
    assert len(answered) == len(set(answered))
    assert set(answered) <= set(life.offered)
    assert life.offered[-1] in answered, "the last offer is answered"
