import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanderling.drift import Scope
from sanderling.errors import InputError
from sanderling_fleet.trigger import (
    PHASE_TRANSITIONS,
    CancelJob,
    CollectSamples,
    DriftJudged,
    DriftOver,
    IllegalInPhase,
    JobEnded,
    Phase,
    RaiseAlert,
    Requested,
    SamplesArrived,
    StartJob,
    StopCollecting,
    Tick,
    TriggerPolicy,
    TriggerState,
    decide,
    next_due,
)

DAY = 86400.0
WORLD = DriftJudged(Scope.WORLD, "the world moved")
COHORT = DriftJudged(Scope.COHORT, "site=hall-2 moved")
CALM = DriftJudged(Scope.QUIET)
POLICY = TriggerPolicy(max_jobs=2)


class Slot:
    def __init__(self, policy=POLICY):
        self.state, self.now, self.actions = TriggerState("main", policy), 1000.0, []

    def send(self, event, after=0.0):
        self.now += after
        assert TriggerState.from_json(self.state.to_json()) == self.state
        self.state, actions = decide(self.state, event, self.now)
        self.actions += actions
        return list(actions)

    def kinds(self):
        return [action.alert.kind for action in self.actions if isinstance(action, RaiseAlert)]


def collecting():
    slot = Slot()
    slot.send(WORLD)
    return slot


def training():
    slot = collecting()
    slot.send(SamplesArrived(100))
    return slot


def cooling():
    slot = training()
    slot.send(JobEnded("failed"))
    return slot


# Phase after each event, and the actions.
COLLECT, STOP, START = CollectSamples, StopCollecting, StartJob
TABLE = {
    ("idle", "world"): (Phase.COLLECTING, [COLLECT]),
    ("idle", "cohort"): (Phase.COLLECTING, [COLLECT]),
    ("idle", "device"): (Phase.IDLE, []),
    ("idle", "quiet"): (Phase.IDLE, []),
    ("idle", "fault"): (Phase.IDLE, [RaiseAlert]),
    ("idle", "few samples"): (Phase.IDLE, []),
    ("idle", "samples"): (Phase.IDLE, []),
    ("idle", "job ended"): (Phase.IDLE, []),
    ("idle", "over"): (Phase.IDLE, []),
    ("idle", "request"): (Phase.TRAINING, [START]),
    ("idle", "month"): (Phase.IDLE, []),
    ("collecting", "world"): (Phase.COLLECTING, []),
    ("collecting", "cohort"): (Phase.COLLECTING, []),
    ("collecting", "device"): (Phase.IDLE, [STOP]),
    ("collecting", "quiet"): (Phase.IDLE, [STOP]),
    ("collecting", "fault"): (Phase.IDLE, [RaiseAlert, STOP]),
    ("collecting", "few samples"): (Phase.COLLECTING, []),
    ("collecting", "samples"): (Phase.TRAINING, [START]),
    ("collecting", "job ended"): (Phase.COLLECTING, []),
    ("collecting", "over"): (Phase.IDLE, [STOP]),
    ("collecting", "request"): (Phase.TRAINING, [START]),
    ("collecting", "month"): (Phase.IDLE, [STOP, RaiseAlert, RaiseAlert]),
    ("training", "world"): (Phase.TRAINING, []),
    ("training", "cohort"): (Phase.TRAINING, []),
    ("training", "device"): (Phase.TRAINING, []),
    ("training", "quiet"): (Phase.TRAINING, []),
    ("training", "fault"): (Phase.TRAINING, [RaiseAlert]),
    ("training", "few samples"): (Phase.TRAINING, []),
    ("training", "samples"): (Phase.TRAINING, []),
    ("training", "job ended"): (Phase.IDLE, [RaiseAlert]),
    ("training", "over"): (Phase.TRAINING, []),
    ("training", "request"): (None, []),
    ("training", "month"): (Phase.IDLE, [CancelJob, RaiseAlert, RaiseAlert]),
    ("cooling", "world"): (Phase.IDLE, []),
    ("cooling", "cohort"): (Phase.IDLE, []),
    ("cooling", "device"): (Phase.IDLE, []),
    ("cooling", "quiet"): (Phase.IDLE, []),
    ("cooling", "fault"): (Phase.IDLE, [RaiseAlert]),
    ("cooling", "few samples"): (Phase.IDLE, []),
    ("cooling", "samples"): (Phase.IDLE, []),
    ("cooling", "job ended"): (Phase.IDLE, []),
    ("cooling", "over"): (Phase.IDLE, []),
    ("cooling", "request"): (Phase.TRAINING, [START]),
    ("cooling", "month"): (Phase.COLLECTING, [COLLECT]),
}
STATES = {"idle": Slot, "collecting": collecting, "training": training, "cooling": cooling}
EVENTS = {
    "world": WORLD,
    "cohort": COHORT,
    "device": DriftJudged(Scope.DEVICE, "d3 moved"),
    "quiet": CALM,
    "fault": DriftJudged(Scope.QUIET, faulty=("d3",)),
    "few samples": SamplesArrived(99),
    "samples": SamplesArrived(100),
    "job ended": JobEnded("published"),
    "over": DriftOver(),
    "request": Requested("ann", "now"),
    "month": Tick(),
}


def test_the_table_is_whole():
    assert set(TABLE) == {(state, event) for state in STATES for event in EVENTS}


@pytest.mark.parametrize(("state", "event"), TABLE)
def test_every_state_with_every_event(state, event):
    slot = STATES[state]()
    phase, actions = TABLE[state, event]
    if phase is None:
        with pytest.raises(IllegalInPhase, match="which is training with 1 of 2 jobs"):
            slot.send(EVENTS[event])
        return
    found = slot.send(EVENTS[event], after=31 * DAY if event == "month" else 0.0)
    assert slot.state.phase is phase
    assert [type(action) for action in found] == actions


def test_a_sensor_fault_makes_one_ticket_and_never_a_job():
    slot = Slot()
    fault = DriftJudged(Scope.DEVICE, "d3", faulty=("d3",))
    for _ in range(5):
        slot.send(fault, after=DAY)
    (action,) = slot.actions
    assert action.alert.kind == "sensor.fault"
    assert action.alert.devices == ("d3",)
    slot.send(CALM)
    slot.send(fault)
    assert len(slot.actions) == 2


def test_the_reason_goes_along():
    slot = training()
    assert slot.actions == [CollectSamples("main", "the world moved"), StartJob("main", "the world moved")]
    slot = Slot()
    assert slot.send(Requested("ann", "new labels")) == [StartJob("main", "by ann: new labels")]


def test_only_the_scopes_of_the_policy():
    slot = Slot(TriggerPolicy(scopes=(Scope.WORLD,)))
    assert slot.send(COHORT) == []
    assert slot.send(WORLD) == [CollectSamples("main", "the world moved")]


def test_cooldown_is_said_once_and_ends():
    slot = cooling()
    assert slot.kinds() == ["retrain.deferred"]
    slot.send(WORLD, after=DAY)
    assert slot.kinds() == ["retrain.deferred"]
    assert next_due(slot.state) == 1000.0 + 7 * DAY
    assert slot.send(Tick(), after=6 * DAY - 1) == []
    assert slot.send(Tick(), after=1) == [CollectSamples("main", "the world moved")]


def test_drift_that_is_over_starts_nothing_after_the_cooldown():
    slot = cooling()
    slot.send(DriftOver())
    assert next_due(slot.state) is None
    assert slot.send(Tick(), after=30 * DAY) == []


def test_budget():
    slot = Slot(TriggerPolicy(max_jobs=2, cooldown_seconds=0.0))
    slot.send(WORLD)
    for _ in range(2):
        slot.send(SamplesArrived(500), after=DAY)
        slot.send(JobEnded("refused"), after=DAY)
    assert slot.state.phase is Phase.IDLE
    assert slot.kinds() == ["retrain.deferred"]
    assert "the budget of 2 jobs" in slot.actions[-1].alert.summary
    with pytest.raises(IllegalInPhase, match="2 of 2 jobs"):
        slot.send(Requested("ann"))
    assert next_due(slot.state) == 1000.0 + DAY + 30 * DAY
    slot.now = next_due(slot.state)
    assert slot.send(Tick()) == [CollectSamples("main", "the world moved")]


def test_no_budget_is_no_job():
    slot = Slot(TriggerPolicy(max_jobs=0))
    slot.send(WORLD)
    assert slot.kinds() == ["retrain.deferred"]
    assert next_due(slot.state) is None


def test_too_few_samples_say_so():
    slot = collecting()
    slot.send(SamplesArrived(42))
    slot.send(Tick(), after=2 * DAY)
    assert slot.kinds()[0] == "retrain.starved"
    assert "42 of 100 samples" in slot.actions[2].alert.summary


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": ()},
        {"scopes": (Scope.DEVICE,)},
        {"cooldown_seconds": -1},
        {"minimum_samples": 0},
        {"max_jobs": -1},
        {"period_seconds": 0},
        {"collect_seconds": 0},
        {"job_seconds": 0},
    ],
)
def test_policy_is_checked(change):
    with pytest.raises(InputError, match=r"\[trigger\]"):
        TriggerPolicy(**change)
    with pytest.raises(InputError, match="-1 samples"):
        Slot().send(SamplesArrived(-1))


events = st.one_of(
    st.builds(
        DriftJudged,
        st.sampled_from(Scope),
        st.just("r"),
        st.sets(st.sampled_from("abc")).map(lambda s: tuple(sorted(s))),
    ),
    st.builds(SamplesArrived, st.integers(0, 200)),
    st.sampled_from([WORLD, WORLD, JobEnded("x"), DriftOver(), Requested("p"), Tick()]),
)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(events, st.sampled_from([0.0, 60.0, DAY, 3 * DAY])), max_size=60),
    st.integers(0, 3),
    st.sampled_from([0.0, 2 * DAY]),
)
def test_invariants(script, max_jobs, cooldown):
    slot = Slot(TriggerPolicy(max_jobs=max_jobs, cooldown_seconds=cooldown, period_seconds=10 * DAY))
    starts, ended = [], None
    for event, after in script:
        before = slot.state
        try:
            actions = slot.send(event, after)
        except IllegalInPhase:
            assert isinstance(event, Requested)
            continue
        if isinstance(event, DriftJudged | DriftOver | Tick):
            again, more = decide(slot.state, event, slot.now)
            assert (again.phase, again.phase_at, more) == (slot.state.phase, slot.state.phase_at, ())
        for action in actions:
            if isinstance(action, StartJob):
                starts.append(slot.now)
            if isinstance(action, CollectSamples) and ended is not None:
                assert slot.now >= ended + cooldown
        if before.phase is Phase.TRAINING and slot.state.phase is not Phase.TRAINING:
            ended = slot.now
        if before.phase is not slot.state.phase:
            steps = {(before.phase, slot.state.phase)}
            assert steps <= PHASE_TRANSITIONS | {(Phase.TRAINING, Phase.COLLECTING)}
        due = next_due(slot.state)
        assert due is None or due > slot.now
    for at in starts:
        assert len([other for other in starts if at - 10 * DAY < other <= at]) <= max_jobs
