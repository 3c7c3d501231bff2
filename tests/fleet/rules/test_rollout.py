"""What a rollout does, case by case."""

import pytest
from tests.fleet.rules.rollouts import HOUR, NEW, OLD, World, spec

from sanderling.errors import InputError
from sanderling_fleet.alerts import Severity
from sanderling_fleet.gates import Arm, Comparison, HardLimit, Metric, Reading
from sanderling_fleet.rollout_events import (
    Device,
    Measured,
    Progressed,
    Restore,
    ResultArrived,
    Resume,
    WantVersion,
)
from sanderling_fleet.rollout_state import (
    AssignmentState,
    OnBreach,
    ResultCode,
    RolloutState,
    StageSpec,
)

COMMITTED, REVERTED, DISCARDED = AssignmentState.COMMITTED, AssignmentState.REVERTED, AssignmentState.DISCARDED


def test_a_good_version_reaches_everyone():
    world = World(6)
    world.send()
    assert world.members == world.order[:2]
    assert set(world.wanted) == set(world.members)
    world.end_all()
    assert world.states == ["soaking", "pending"]
    world.send(after=HOUR - 1)
    assert world.states == ["soaking", "pending"]
    world.send(after=1)
    assert world.states == ["passed", "active"]
    assert world.members == world.order
    world.end_all()
    assert world.rollout.state is RolloutState.SUCCEEDED
    assert world.rollout.reason == "all 2 stages passed"
    assert world.wanted == dict.fromkeys(world.fleet, NEW)


def test_offers_carry_assignment_and_attempt():
    world = World(2)
    offers = [action for action in world.send() if isinstance(action, WantVersion)]
    assert {(o.assignment_id, o.attempt, o.version) for o in offers} == {("r1/d00", 1, NEW), ("r1/d01", 1, NEW)}


@pytest.mark.parametrize(
    ("on_breach", "state", "wanted"),
    [
        (OnBreach.PAUSE, RolloutState.PAUSED, NEW),
        (OnBreach.ABORT, RolloutState.ABORTED, NEW),
        (OnBreach.ROLL_BACK, RolloutState.ROLLING_BACK, OLD),
    ],
)
def test_breach(on_breach, state, wanted):
    """Two of five fail; two have committed, one is under way."""
    world = World(8, spec(StageSpec("canary", count=5), StageSpec("all", percent=100), on_breach=on_breach))
    world.send()
    good, also_good, bad, worse, late = world.members
    world.end(good)
    world.end(also_good)
    world.end(bad, REVERTED, ResultCode.CONFIDENCE)
    assert world.rollout.state is RolloutState.RUNNING
    world.end(worse, REVERTED, ResultCode.CONFIDENCE)
    assert world.rollout.state is state
    assert world.states[0] == "failed"
    assert world.wanted[bad] == world.wanted[worse] == OLD
    assert world.wanted[good] == wanted
    assert world.wanted[late] == (NEW if on_breach is OnBreach.PAUSE else OLD)
    (alert,) = world.alerts
    assert (alert.kind, alert.severity, alert.devices) == (
        "rollout.breach",
        Severity.ERROR,
        tuple(sorted((bad, worse))),
    )
    assert "2 of 4 devices that attempted" in alert.summary
    assert len(world.members) == 5


def test_failures_are_of_those_that_attempted():
    """Half of the two that attempted, in a stage of 50: hawkBit would divide by 50."""
    gate = HardLimit(count=40, share=0.5)
    world = World(50, spec(StageSpec("all", percent=100, gates=(gate,))))
    world.send()
    first, second = world.members[:2]
    world.end(first)
    world.end(second, REVERTED)
    assert world.states == ["failed"]
    assert "1 of 2 devices that attempted" in world.rollout.reason


def test_results_are_taken_once():
    world = World(8, spec(StageSpec("canary", count=4), StageSpec("all", percent=100)))
    world.send()
    device = world.members[0]
    world.end(device, REVERTED, ResultCode.CRASH)
    before = world.rollout
    for _ in range(3):
        assert world.send(ResultArrived(f"r1/{device}", 1, REVERTED, ResultCode.CRASH)) == ()
        assert world.send(ResultArrived(f"r1/{device}", 1, COMMITTED, ResultCode.OK)) == ()
    assert world.send(ResultArrived("r1/stranger", 1, COMMITTED, ResultCode.OK)) == ()
    assert world.rollout is before


def test_excused_results_are_offered_again_then_given_up():
    world = World(2, spec(StageSpec("all", percent=100), max_attempts=2))
    world.send()
    first, second = world.members
    actions = world.end(first, DISCARDED, ResultCode.FETCH_FAILED)
    assert WantVersion(first, NEW, f"r1/{first}", 2) in actions
    assert world.send(ResultArrived(f"r1/{first}", 1, DISCARDED, ResultCode.CRASH)) == ()
    actions = world.end(first, DISCARDED, ResultCode.FETCH_FAILED)
    assert Restore(first, OLD) in actions
    item = world.assignment(first)
    assert (item.state, item.attempted, item.failed) == (DISCARDED, False, False)
    world.end(second)
    assert world.rollout.state is RolloutState.SUCCEEDED


def test_a_silent_device_does_not_hold_a_stage():
    """A third is offline for two days: it times out unattempted, the stage passes, and its late result is taken."""
    world = World(6, spec(StageSpec("all", percent=100, soak_seconds=48 * HOUR)))
    world.send()
    *alive, away, gone = world.members
    for device in alive:
        world.end(device)
    assert world.states == ["active"]
    world.send(after=24 * HOUR)
    assert world.states == ["soaking"]
    assert world.assignment(away).state is AssignmentState.TIMED_OUT
    assert world.assignment(away).failed is False
    assert world.wanted[away] == NEW
    world.end(away, after=HOUR)
    assert world.assignment(away).state is COMMITTED
    world.send(after=48 * HOUR)
    assert world.rollout.state is RolloutState.SUCCEEDED
    world.end(gone)
    assert world.assignment(gone).state is COMMITTED
    assert world.rollout.state is RolloutState.SUCCEEDED


def test_a_device_that_vanishes_with_the_version_counts_as_failed():
    world = World(2, spec(StageSpec("all", percent=100)))
    world.send()
    first, second = world.members
    world.end(first)
    world.send(Progressed(f"r1/{second}", 1, AssignmentState.FETCH))
    assert world.assignment(second).attempted is False
    world.send(Progressed(f"r1/{second}", 1, AssignmentState.SWITCH))
    world.send(after=24 * HOUR)
    item = world.assignment(second)
    assert (item.state, item.failed) == (AssignmentState.TIMED_OUT, True)
    assert item.detail == "no result in 86400 s, last seen in switch"
    assert world.states == ["failed"]


def test_a_revoked_device_is_let_go_at_once():
    world = World(3, spec(StageSpec("all", percent=100)))
    world.send()
    first, second, third = world.members
    world.end(first)
    world.end(second)
    world.send(Progressed(f"r1/{third}", 1, AssignmentState.PROBATION))
    world.fleet[third] = Device(OLD, "revoked")
    world.send()
    assert world.assignment(third).detail == "revoked"
    assert world.rollout.state is RolloutState.SUCCEEDED


def test_blocked_devices_are_not_offered():
    world = World(4, spec(StageSpec("all", percent=100)))
    world.fleet["d01"] = Device(OLD, "not approved")
    world.send()
    assert sorted(world.members) == ["d00", "d02", "d03"]


@pytest.mark.parametrize("metric", [Metric.DRIFT, Metric.CRASHES])
def test_a_limit_on_telemetry_does_not_pass_when_none_arrives(metric):
    """The broker is down: nothing is known of drift and crashes, which is not that there are none."""
    gates = (HardLimit(), HardLimit(metric))
    canary = StageSpec("canary", count=2, soak_seconds=HOUR, deadline_seconds=30 * HOUR, gates=gates)
    world = World(4, spec(canary, StageSpec("all", percent=100)))
    world.send()
    world.end_all()
    world.send(Measured({}), after=2 * HOUR)
    assert world.states == ["soaking", "pending"]
    world.send(Measured({metric: (Reading(world.members[0], Arm.CANDIDATE, 0.0),)}))
    assert world.states == ["passed", "active"]


def test_without_telemetry_to_the_deadline_a_person_is_asked():
    gates = (HardLimit(), HardLimit(Metric.DRIFT))
    canary = StageSpec("canary", count=2, soak_seconds=HOUR, deadline_seconds=30 * HOUR, gates=gates)
    world = World(4, spec(canary, StageSpec("all", percent=100)))
    world.send()
    world.end_all()
    world.send(Measured({}), after=30 * HOUR)
    assert world.states[0] == "inconclusive"
    assert "0 of 2 devices that have the version have reported" in world.rollout.reason


def test_a_crash_that_a_result_tells_is_known_without_telemetry():
    gate = HardLimit(Metric.CRASHES, count=1)
    world = World(4, spec(StageSpec("all", percent=100, gates=(gate,))))
    world.send()
    world.end(world.members[0])
    world.end(world.members[1], REVERTED, ResultCode.CRASH)
    assert world.states == ["failed"]
    assert "crashes: 1 of 2 devices" in world.rollout.reason


@pytest.mark.parametrize("metric", [Metric.GOLDEN_SCORE, Metric.OUTCOMES])
def test_a_gate_on_what_nobody_reads_is_refused(metric):
    stages = (StageSpec("canary", count=2, gates=(Comparison(metric, 0.1),)), StageSpec("all", percent=100))
    with pytest.raises(InputError, match=f"stage 'canary' has a gate on {metric}, of which there are no readings"):
        spec(*stages, control_percent=20)


def test_no_devices_is_inconclusive():
    world = World(0)
    world.send()
    world.send(after=100 * HOUR)
    assert world.rollout.state is RolloutState.PAUSED
    assert world.states == ["inconclusive", "pending"]
    assert "0 of 0 devices have the version" in world.rollout.reason
    assert world.alerts[0].kind == "rollout.inconclusive"


def test_a_stage_that_found_nobody_takes_who_is_there_when_it_is_resumed():
    """With its control group, which the first stage deals."""
    world = compared()
    everyone, world.fleet = world.fleet, {}
    world.send()
    world.send(after=100 * HOUR)
    assert world.states == ["inconclusive", "pending"]
    world.fleet = everyone
    world.send(after=HOUR)
    assert world.members == []
    world.send(Resume("ann"))
    assert world.states == ["active", "pending"]
    assert len(world.members) == 12
    assert set(world.wanted) == set(world.members)
    assert len(world.rollout.controls) == 16
    assert not set(world.rollout.controls) & set(world.members)


def test_devices_of_a_stage_that_is_resumed_stay_the_same():
    world = World(8, spec(StageSpec("canary", percent=25, deadline_seconds=30 * HOUR), StageSpec("all", percent=100)))
    world.send()
    before = world.members
    world.send(after=30 * HOUR)
    world.fleet |= {f"e{i:02}": Device(OLD) for i in range(20)}
    world.send(Resume("ann"))
    assert world.members == before


def test_undecided_at_the_deadline_pauses_and_resume_gives_it_again():
    stage = StageSpec("canary", count=2, deadline_seconds=30 * HOUR, gates=(HardLimit(), HardLimit(Metric.DRIFT)))
    world = World(4, spec(stage, StageSpec("all", percent=100), device_deadline_seconds=24 * HOUR))
    world.send()
    world.send(after=30 * HOUR)
    assert world.states[0] == "inconclusive"
    assert "no data" in world.rollout.reason
    world.send(Resume("ann"), after=HOUR)
    assert world.states[0] == "active"
    assert world.rollout.stages[0].deadline_at == world.now + 30 * HOUR
    for device in world.members:
        world.end(device)
    quiet = tuple(Reading(device, Arm.CANDIDATE, 0.0) for device in world.members)
    world.send(Measured({Metric.DRIFT: quiet}))
    assert world.states[0] == "passed"


def test_stages_by_percent_count_earlier_devices():
    stages = [StageSpec("one", count=1), StageSpec("third", percent=33), StageSpec("all", percent=100)]
    world = World(12, spec(*stages))
    world.send()
    assert len(world.members) == 1
    world.end_all()
    assert len(world.members) == 4
    world.end_all()
    assert len(world.members) == 12


def test_a_stage_that_adds_no_device_is_judged_by_those_before():
    stages = [StageSpec("one", count=1), StageSpec("tenth", percent=10), StageSpec("all", percent=100)]
    world = World(5, spec(*stages))
    world.send()
    world.end_all()
    assert world.states == ["passed", "passed", "active"]


def test_membership_is_frozen_but_in_the_last_stage():
    world = World(
        4, spec(StageSpec("half", percent=50, soak_seconds=HOUR), StageSpec("all", percent=100, soak_seconds=HOUR))
    )
    world.send()
    world.fleet |= {f"e{i:02}": Device(OLD) for i in range(20)}
    world.send()
    assert len(world.members) == 2
    world.end_all()
    world.send(after=HOUR)
    assert len(world.members) == 24
    world.fleet["late"] = Device(OLD)
    world.send()
    assert "late" in world.members
    world.end_all()
    assert world.states[-1] == "soaking"
    world.fleet["later"] = Device(OLD)
    world.send(after=1)
    assert world.wanted["later"] == NEW
    world.send(after=HOUR)
    assert world.rollout.state is RolloutState.SUCCEEDED  # one that joined in the soak is not waited for
    world.fleet["too late"] = Device(OLD)
    world.send()
    assert "too late" not in world.members


def compared(on_breach=OnBreach.PAUSE):
    gate = Comparison(Metric.CONFIDENCE, 0.05)
    canary = StageSpec("canary", count=12, deadline_seconds=100 * HOUR, soak_seconds=HOUR, gates=(HardLimit(), gate))
    return World(40, spec(canary, StageSpec("all", percent=100), control_percent=40, on_breach=on_breach))


def confidence(world, candidate, control=0.8, windows=5, devices=12):
    arms = [(Arm.CANDIDATE, world.members[:devices], candidate), (Arm.CONTROL, world.rollout.controls, control)]
    rows = [
        Reading(device, arm, value + i / 10000)
        for _ in range(windows)
        for arm, names, value in arms
        for i, device in enumerate(names)
    ]
    return Measured({Metric.CONFIDENCE: tuple(rows)})


def test_the_control_group_keeps_its_version_until_the_last_stage():
    world = compared()
    world.send()
    assert len(world.rollout.controls) == 16
    assert not set(world.rollout.controls) & set(world.members)
    world.end_all()
    world.send(confidence(world, 0.8), after=HOUR)
    assert world.states == ["passed", "active"]
    assert set(world.rollout.controls) < set(world.members)


def test_the_comparison_stops_a_version_that_is_worse_only_in_confidence():
    world = compared(OnBreach.ROLL_BACK)
    world.send()
    world.end_all()
    world.send(confidence(world, 0.68))
    assert world.rollout.state is RolloutState.ROLLING_BACK
    assert "confidence: difference -0.12" in world.rollout.reason
    assert len(world.members) == 12
    assert set(world.wanted.values()) == {OLD}
    status = world.rollout.stages[0].gates[1]
    assert status.decision.upper < -0.05
    assert status.judged_at == world.now


def test_a_comparison_without_readings_never_passes():
    world = compared()
    world.send()
    world.end_all()
    world.send(after=50 * HOUR)
    assert world.states[0] == "soaking"
    world.send(confidence(world, 0.8, devices=4))
    world.send(after=50 * HOUR)
    assert world.states[0] == "inconclusive"
    assert "too few devices for a comparison: 4 of 10" in world.rollout.reason


def test_crashes_and_drift_that_are_measured_count():
    gates = (HardLimit(), HardLimit(Metric.CRASHES), HardLimit(Metric.DRIFT))
    world = World(8, spec(StageSpec("canary", count=6, soak_seconds=HOUR, gates=gates), StageSpec("all", percent=100)))
    world.send()
    world.end_all()
    first, second = world.members[:2]
    world.send(Measured({Metric.DRIFT: (Reading(first, Arm.CANDIDATE, 1.0), Reading(second, Arm.CONTROL, 1.0))}))
    assert world.states[0] == "soaking"
    world.send(Measured({Metric.DRIFT: (Reading(second, Arm.CANDIDATE, 1.0), Reading("stranger", Arm.CANDIDATE, 1.0))}))
    assert world.states[0] == "failed"
    assert "drift: 2 of 6" in world.rollout.reason
