"""What operators, newer rollouts and restored servers do to a rollout, and what settings are refused."""

import pytest
from tests.fleet.rules.rollouts import HOUR, NEW, OLD, World, spec

from sanderling.errors import InputError
from sanderling_fleet.gates import Comparison, HardLimit, Metric
from sanderling_fleet.rollout import IllegalInState
from sanderling_fleet.rollout_events import (
    Abort,
    Device,
    Note,
    Pause,
    Progressed,
    Promote,
    Restore,
    ResultArrived,
    Resume,
    RollBack,
    Superseded,
    Tick,
)
from sanderling_fleet.rollout_state import (
    AssignmentState,
    OnBreach,
    ResultCode,
    RolloutState,
    StageSpec,
    next_due,
)

COMMITTED, REVERTED, DISCARDED = AssignmentState.COMMITTED, AssignmentState.REVERTED, AssignmentState.DISCARDED


def test_hold_waits_for_a_person_and_not_for_ever():
    def held():
        world = World(4, spec(StageSpec("canary", count=2, hold=True), StageSpec("all", percent=100)))
        world.send()
        world.end_all()
        assert world.states == ["holding", "pending"]
        assert world.alerts[-1].kind == "rollout.holding"
        return world

    world = held()
    world.send(Promote("ann", 0))
    assert world.states == ["passed", "active"]
    before = world.rollout
    world.send(Promote("ann", 0))
    assert world.rollout == before, "the first answer was lost"
    for stage in (1, 2):
        with pytest.raises(IllegalInState, match="Allowed now" if stage == 1 else "at stage 1 of 2"):
            world.send(Promote("ann", stage))
    assert any("promoted by ann" in note for note in world.notes)
    world = held()
    world.send(after=7 * 24 * HOUR)
    assert world.states == ["inconclusive", "pending"]
    assert "nobody promoted it" in world.rollout.reason
    world.send(Promote("bob"))
    assert world.states == ["passed", "active"]
    assert world.rollout.state is RolloutState.RUNNING


def test_pause_stops_offers_and_the_stage_deadline():
    world = World(6)
    world.send()
    deadline = world.rollout.stages[0].deadline_at
    world.send(Pause("ann", "lunch"))
    assert world.rollout.reason == "by ann: lunch"
    first, second = world.members
    world.end(first)
    offers = world.offers
    world.end(second, DISCARDED, ResultCode.NO_SPACE)
    world.send(after=HOUR)
    assert world.offers == offers
    world.send(after=48 * HOUR)
    assert next_due(world.rollout) > world.now  # one that waits to be offered again is no reason to wake up
    world.send(Resume("ann"))
    assert world.offers == offers + 1
    assert world.rollout.stages[0].deadline_at == deadline + 49 * HOUR


def test_a_breach_acts_also_in_a_pause():
    world = World(6, spec(StageSpec("canary", count=2), StageSpec("all", percent=100), on_breach=OnBreach.ROLL_BACK))
    world.send()
    world.send(Pause("ann"))
    for device in world.members:
        world.end(device, REVERTED)
    assert world.rollout.state is RolloutState.ROLLED_BACK


def test_a_pause_that_nobody_ends_is_aborted():
    world = World(6)
    world.send()
    world.send(Pause("ann", "lunch"))
    world.send(after=14 * 24 * HOUR)
    assert world.rollout.state is RolloutState.ABORTED
    assert "by ann: lunch" in world.rollout.reason
    assert set(world.wanted.values()) == {OLD}


def test_abort_keeps_what_is_committed():
    world = World(6)
    world.send()
    first, second = world.members
    world.end(first)
    world.send(Abort("ann", "enough"))
    assert world.rollout.state is RolloutState.ABORTED
    assert world.wanted == {first: NEW, second: OLD}
    assert world.assignment(second).state is AssignmentState.SUPERSEDED


def test_roll_back_ends_when_devices_confirm():
    world = World(6)
    world.send()
    first, second = world.members
    world.end(first)
    world.send(Progressed(f"r1/{second}", 1, AssignmentState.PROBATION))
    world.send(RollBack("ann", "no"))
    assert world.wanted == {first: OLD, second: OLD}
    assert world.rollout.state is RolloutState.ROLLING_BACK
    world.fleet[first] = Device(OLD)
    world.send()
    assert world.assignment(first).state is REVERTED
    assert world.rollout.state is RolloutState.ROLLING_BACK
    world.end(second, REVERTED, ResultCode.INTERNAL)
    assert world.rollout.state is RolloutState.ROLLED_BACK
    assert world.alerts == []


def test_roll_back_ends_by_force_and_says_who_is_missing():
    world = World(6)
    world.send()
    world.end(world.members[0])
    world.send(RollBack("ann", "no"))
    world.send(after=24 * HOUR)
    assert world.rollout.state is RolloutState.ROLLED_BACK
    assert f"1 of 1 devices did not confirm in time: {world.members[0]}" in world.rollout.reason
    assert world.alerts[-1].kind == "rollout.incomplete"


def test_the_newer_rollout_wins():
    """Its devices are no longer counted, waited for or restored by the older one."""
    world = World(6)
    world.send()
    first, second = world.members
    world.end(first)
    world.send(Superseded((first, second, "d99"), "r2"))
    assert world.assignment(first).state is COMMITTED
    assert world.assignment(second).state is AssignmentState.SUPERSEDED
    assert world.assignment(second).detail == "by rollout r2"
    assert world.end(second, REVERTED) == ()
    actions = world.send(RollBack("ann"))
    assert not [action for action in actions if isinstance(action, Restore)]
    assert world.rollout.state is RolloutState.ROLLED_BACK


def test_a_late_failure_sets_back_only_what_is_still_ours():
    for taken, restores in ((False, 1), (True, 0)):
        world = World(6)
        world.send()
        first, second = world.members
        world.end(first)
        world.send(after=24 * HOUR)
        if taken:
            world.send(Superseded((second,), "r2"))
        actions = world.end(second, REVERTED, ResultCode.CRASH)
        assert world.assignment(second).state is REVERTED
        assert [type(action) for action in actions].count(Restore) == restores


@pytest.mark.parametrize("command", [Abort("p"), RollBack("p")])
def test_a_device_that_gave_the_attempt_up_is_set_back_with_the_others(command):
    """It says that something newer was wanted of it, which no rollout here knows: the offer stands until the end."""
    world = World(6)
    world.send()
    device = world.members[0]
    world.end(device, AssignmentState.SUPERSEDED, ResultCode.SUPERSEDED)
    assert world.wanted[device] == NEW
    world.send(command)
    assert world.wanted[device] == OLD


def test_what_was_withdrawn_is_not_set_back_twice():
    world = World(6)
    world.send()
    first = world.members[0]
    world.send(Progressed(f"r1/{first}", 1, AssignmentState.PROBATION))
    assert Restore(first, OLD) in world.send(Abort("ann"))
    assert world.end(first, REVERTED, ResultCode.HANG) == ()
    assert world.assignment(first).state is REVERTED


def test_a_restored_server_takes_results_that_it_has_forgotten():
    """The database is yesterday's: the device has tried more often than the server knows."""
    world = World(2, spec(StageSpec("all", percent=100)))
    world.send()
    first = world.members[0]
    world.send(ResultArrived(f"r1/{first}", 3, COMMITTED, ResultCode.OK))
    assert world.assignment(first).attempt == 3
    assert world.assignment(first).state is COMMITTED


def test_a_device_that_has_the_version_is_not_offered_it():
    world = World(2, spec(StageSpec("all", percent=100)))
    world.fleet["d00"] = Device(NEW)
    world.send()
    assert set(world.wanted) == {"d01"}
    world.end("d01")
    assert world.rollout.state is RolloutState.SUCCEEDED


@pytest.mark.parametrize("command", [Pause("a"), Resume("a"), Abort("a"), RollBack("a"), Promote("a")])
def test_commands_to_an_ended_rollout_name_the_state(command):
    world = World(1, spec(StageSpec("all", percent=100)))
    world.send()
    world.end_all()
    with pytest.raises(IllegalInState, match=r"r1, which is succeeded .* Allowed now: nothing"):
        world.send(command)
    assert IllegalInState.grpc_status == "FAILED_PRECONDITION"


def test_results_must_name_an_end():
    world = World(1, spec(StageSpec("all", percent=100)))
    world.send()
    with pytest.raises(InputError, match="an end is wanted"):
        world.send(ResultArrived("r1/d00", 1, AssignmentState.FETCH, ResultCode.OK))


def test_nothing_new_changes_nothing():
    world = World(6)
    world.send()
    before = world.rollout
    assert world.send(Tick(), after=1) == ()
    assert world.rollout is before


def test_every_change_counts_and_state_changes_are_noted():
    world = World(6)
    actions = world.send()
    assert world.rollout.version == 2
    assert Note("rollout r1: stage canary: active") in actions


def test_next_due_wakes_it_up_in_time():
    world = World(6)
    assert next_due(world.rollout) == world.now
    world.send()
    assert next_due(world.rollout) == world.now + 24 * HOUR
    world.end_all()
    assert next_due(world.rollout) == world.now + HOUR
    world.send(Pause("ann"))
    assert next_due(world.rollout) == world.now + 14 * 24 * HOUR
    world.send(Abort("ann"))
    assert next_due(world.rollout) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: StageSpec("s"),
        lambda: StageSpec("s", count=1, percent=1),
        lambda: StageSpec("s", count=0),
        lambda: StageSpec("s", percent=0),
        lambda: StageSpec("s", percent=101),
        lambda: StageSpec("s", count=1, soak_seconds=-1),
        lambda: StageSpec("s", count=1, soak_seconds=10, deadline_seconds=10),
        lambda: spec(device_deadline_seconds=200 * HOUR),
        lambda: spec(control_percent=91),
        lambda: spec(pause_deadline_seconds=0),
        lambda: spec(max_attempts=0),
        lambda: spec(StageSpec("s", count=1, gates=(Comparison(Metric.CONFIDENCE, 0.1),)), control_percent=20),
        lambda: spec(
            StageSpec("s", count=1, gates=(Comparison(Metric.CONFIDENCE, 0.1),)), StageSpec("all", percent=100)
        ),
    ],
)
def test_settings_are_checked(make):
    with pytest.raises(InputError):
        make()
    assert StageSpec("s", count=1, gates=()).gates == (HardLimit(),)
