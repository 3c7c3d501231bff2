"""What holds in every rollout, whatever happens in whatever order.

`World.send` also checks the round trip by JSON, and that the same event from the same state gives the same.
"""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fleet.rules.rollouts import HOUR, NEW, OLD, World, spec

from sanderling_fleet.gates import Arm, Comparison, HardLimit, Metric, Reading
from sanderling_fleet.rollout import IllegalInState
from sanderling_fleet.rollout_events import (
    Abort,
    Device,
    Measured,
    Pause,
    Progressed,
    Promote,
    Restore,
    ResultArrived,
    Resume,
    RollBack,
    Superseded,
    Tick,
    WantVersion,
)
from sanderling_fleet.rollout_state import (
    UNDER_WAY,
    AssignmentState,
    OnBreach,
    ResultCode,
    RolloutState,
    StageSpec,
    StageState,
    next_due,
)

DEVICES = 9
NAMES = [f"d{i:02}" for i in range(DEVICES)]
ENDS = [AssignmentState.COMMITTED, AssignmentState.DISCARDED, AssignmentState.REVERTED, AssignmentState.SUPERSEDED]

devices = st.sampled_from(NAMES)
ids = devices.map(lambda name: f"r1/{name}")
attempts = st.integers(1, 4)
codes = st.sampled_from(sorted(ResultCode))
readings = st.lists(st.builds(Reading, devices, st.sampled_from(Arm), st.floats(0, 1)), max_size=30).map(tuple)
results = st.builds(ResultArrived, ids, attempts, st.sampled_from(ENDS), codes)
OWN = ["good", "good", "good", "bad", "excused", "tries", "confirms"]
own = st.tuples(st.integers(0, DEVICES), st.sampled_from(OWN))
commands = st.sampled_from([Pause("p"), Resume("p"), Abort("p"), RollBack("p"), Promote("p")])
events = st.one_of(
    st.just(Tick()),
    own,
    own,
    own,
    own,
    results,
    st.builds(Progressed, ids, attempts, st.sampled_from(UNDER_WAY)),
    st.builds(lambda rows: Measured({Metric.CONFIDENCE: rows, Metric.DRIFT: rows}), readings),
    st.builds(Superseded, st.lists(devices, max_size=2).map(tuple), st.just("r2")),
    st.one_of(st.just(Tick()), st.just(Resume("p")), st.just(Promote("p")), commands),
    st.tuples(devices, st.sampled_from(["gone", "blocked", "back", "new version", "stranger"])),
)
steps = st.lists(st.tuples(events, st.sampled_from([0.0, 0.0, 60.0, HOUR, 10 * HOUR])), min_size=15, max_size=50)

canaries = st.builds(
    StageSpec,
    st.just("canary"),
    count=st.integers(1, 4),
    soak_seconds=st.sampled_from([0.0, HOUR]),
    deadline_seconds=st.just(40 * HOUR),
    gates=st.sampled_from([(HardLimit(),), (HardLimit(), Comparison(Metric.CONFIDENCE, 0.05))]),
    hold=st.booleans(),
)
halves = st.builds(
    StageSpec, st.just("half"), percent=st.sampled_from([25.0, 50.0]), deadline_seconds=st.just(40 * HOUR)
)
specs = st.builds(
    lambda canary, half, breach, control: spec(
        canary,
        half,
        StageSpec("all", percent=100, deadline_seconds=40 * HOUR),
        on_breach=breach,
        control_percent=control,
    ),
    canaries,
    halves,
    st.sampled_from(OnBreach),
    st.sampled_from([20.0, 40.0]),
)


def change_fleet(world, device, what):
    if what == "gone":
        world.fleet.pop(device, None)
    elif what == "stranger":
        world.fleet[f"x{len(world.fleet)}"] = Device(OLD)
    else:
        blocked = "revoked" if what == "blocked" else ""
        world.fleet[device] = Device(NEW if what == "new version" else OLD, blocked)


def resolve(world, event):
    """Makes an event of what a script says; "own" ones are about a device that has yet to end."""
    if not isinstance(event, tuple):
        device = event.assignment_id.removeprefix("r1/") if isinstance(event, ResultArrived) else ""
        if device in world.fleet and event.state is AssignmentState.COMMITTED:
            world.fleet[device] = replace(world.fleet[device], version=NEW)
        return event
    which, what = event
    if isinstance(which, str):
        change_fleet(world, which, what)
        return Tick()
    if what == "confirms":
        touched = [item for item in world.rollout.assignments if item.device in world.fleet]
        for item in touched[which:]:
            world.fleet[item.device] = Device(item.former_version)
        return Tick()
    if not world.open:
        return Tick()
    item = world.assignment(world.open[which % len(world.open)])
    if what == "tries":
        return Progressed(item.assignment_id, item.attempt, AssignmentState.SWITCH)
    state, code = {
        "good": (AssignmentState.COMMITTED, ResultCode.OK),
        "bad": (AssignmentState.REVERTED, ResultCode.HANG),
        "excused": (AssignmentState.DISCARDED, ResultCode.FETCH_FAILED),
    }[what]
    return resolve(world, ResultArrived(item.assignment_id, item.attempt, state, code))


def play(world, script, check=lambda world, before, actions: None):
    for event, after in script:
        before = world.rollout
        try:
            actions = world.send(resolve(world, event), after)
        except IllegalInState:
            assert world.rollout is before
            continue
        check(world, before, actions)


def invariants(world, before, actions):
    rollout = world.rollout
    offers = [action for action in actions if isinstance(action, WantVersion)]
    if before.terminal:
        assert offers == []
        assert rollout.state is before.state
    if RolloutState.RUNNING not in (before.state, rollout.state):
        assert offers == []
    allowed = max(stage.size for stage in rollout.stages)
    assert len(rollout.assignments) <= allowed
    assert len({item.device for item in rollout.assignments}) == len(rollout.assignments)
    if rollout.stages[-1].state is StageState.PENDING:
        assert not {item.device for item in rollout.assignments} & set(rollout.controls)
    for item in rollout.assignments:
        assert not (item.failed and not item.attempted)
        assert (item.ended_at > 0) == item.ended
        assert item.attempt <= max(rollout.spec.max_attempts, 4)
    for old in before.assignments:
        new = world.assignment(old.device)
        assert new.attempt >= old.attempt
        if old.state in (AssignmentState.DISCARDED, AssignmentState.REVERTED, AssignmentState.SUPERSEDED):
            assert new.state is old.state
    taken_over = {item.device for item in before.assignments if item.superseded_by} | set(before.taken_over)
    assert not taken_over & {action.device for action in actions if isinstance(action, Restore | WantVersion)}
    for stage, former, settings_ in zip(rollout.stages, before.stages, rollout.spec.stages, strict=True):
        if stage.state in (StageState.SOAKING, StageState.HOLDING):
            assert stage.soak_began_at
        if stage.state is StageState.HOLDING:
            assert settings_.hold
            # Gates go on being judged: its devices may be taken over, after which there is no data.
            assert former.state is StageState.HOLDING or all(status.passed for status in stage.gates)
    assert (rollout.version == before.version) == (rollout is before)
    due = next_due(rollout)
    assert due is None or due > world.now


def test_a_stage_that_holds_says_when_it_has_no_data_any_more():
    canary = StageSpec("canary", count=1, deadline_seconds=40 * HOUR, hold=True)
    world = World(DEVICES, spec(canary, StageSpec("all", percent=100, deadline_seconds=40 * HOUR)))
    world.send()
    world.end_all()
    assert world.states == ["holding", "pending"]
    world.send(Superseded(tuple(world.members), "r2"))
    assert world.states == ["holding", "pending"]
    assert "no data" in world.rollout.stages[0].gates[0].decision.reason


@settings(max_examples=120)
@given(specs, steps)
def test_invariants(rollout_spec, script):
    play(World(DEVICES, rollout_spec), script, invariants)


@settings(max_examples=40)
@given(specs, steps)
def test_it_always_ends(rollout_spec, script):
    """Time alone ends it, in bounded steps of `next_due`."""
    world = World(DEVICES, rollout_spec)
    play(world, script)
    for _ in range(4 * DEVICES + 20):
        due = next_due(world.rollout)
        if due is None:
            break
        world.now = due
        world.send()
    assert next_due(world.rollout) is None
    assert world.rollout.terminal
    assert world.rollout.reason
    assert all(item.ended for item in world.rollout.assignments)


@settings(max_examples=40)
@given(specs, steps)
def test_every_event_twice_is_as_good_as_once(rollout_spec, script):
    once, twice = World(DEVICES, rollout_spec), World(DEVICES, rollout_spec)
    once.send()
    twice.send()
    reports = [(e, after) for e, after in script if isinstance(e, ResultArrived | Progressed | Superseded)]
    play(once, reports)
    play(twice, [step for event, after in reports for step in ((event, after), (event, 0.0))])
    assert replace(once.rollout, version=0) == replace(twice.rollout, version=0)
    assert once.wanted == twice.wanted


@settings(max_examples=40)
@given(specs, steps)
def test_nothing_wants_the_version_after_a_roll_back(rollout_spec, script):
    """Of the devices that no other rollout has taken over, and that did not have it before."""
    world = World(DEVICES, rollout_spec)
    play(world, script)
    try:
        world.send(RollBack("p"))
    except IllegalInState:
        return
    mine = {a.device for a in world.rollout.assignments if not a.superseded_by and a.former_version != NEW}
    assert {world.wanted[device] for device in mine if device in world.wanted} <= {OLD}
