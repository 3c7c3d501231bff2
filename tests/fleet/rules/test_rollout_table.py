"""Every state with every event, and the drawing in docs/rollout-states.md against the tables in code."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fleet.rules.rollouts import HOUR, World, spec

from sanderling_fleet.gates import Arm, HardLimit, Metric, Reading
from sanderling_fleet.rollout import IllegalInState
from sanderling_fleet.rollout_events import (
    Abort,
    Measured,
    Pause,
    Progressed,
    Promote,
    ResultArrived,
    Resume,
    RollBack,
    Superseded,
    Tick,
)
from sanderling_fleet.rollout_state import (
    ASSIGNMENT_TRANSITIONS,
    ROLLOUT_TRANSITIONS,
    STAGE_TRANSITIONS,
    UNDER_WAY,
    AssignmentState,
    ResultCode,
    StageSpec,
)
from sanderling_fleet.trigger import PHASE_TRANSITIONS

DOCS = Path(__file__).resolve().parents[3] / "docs" / "rollout-states.md"
A = AssignmentState
ILLEGAL = "illegal"


def windows(world: World, moved: float) -> Measured:
    """A drift window of each canary."""
    return Measured({Metric.DRIFT: tuple(Reading(member, Arm.CANDIDATE, moved) for member in world.members)})


def started() -> World:
    """Two canaries, one of which has committed; a soak, and a hold."""
    gates = (HardLimit(), HardLimit(Metric.DRIFT))
    canary = StageSpec("canary", count=2, soak_seconds=HOUR, deadline_seconds=30 * HOUR, gates=gates, hold=True)
    world = World(6, spec(canary, StageSpec("all", percent=100, soak_seconds=HOUR)))
    world.send()
    world.end(world.members[0])
    return world


def soaking() -> World:
    world = started()
    world.end(world.members[1])
    world.send(windows(world, 0.0))
    return world


def holding() -> World:
    world = soaking()
    world.send(after=HOUR)
    return world


def inconclusive() -> World:
    world = holding()
    world.send(after=30 * HOUR)
    return world


def breached() -> World:
    world = started()
    world.end(world.members[1], A.REVERTED)
    return world


def then(before: Callable[[], World], event: object) -> Callable[[], World]:
    def make() -> World:
        world = before()
        world.send(event)
        return world

    return make


def succeeded() -> World:
    world = then(holding, Promote("p"))()
    world.end_all()
    world.send(after=HOUR)
    return world


def rolled_back() -> World:
    world = then(started, RollBack("p"))()
    world.send(after=24 * HOUR)
    return world


STATES = {
    "new": lambda: World(6, started().rollout.spec),
    "running active": started,
    "running soaking": soaking,
    "running holding": holding,
    "paused active": then(started, Pause("p")),
    "paused soaking": then(soaking, Pause("p")),
    "paused holding": then(holding, Pause("p")),
    "paused inconclusive": inconclusive,
    "paused failed": breached,
    "succeeded passed": succeeded,
    "aborted inconclusive": then(started, Abort("p")),
    "rolling_back inconclusive": then(started, RollBack("p")),
    "rolled_back inconclusive": rolled_back,
}

# What the events of the columns lead to: rollout and stage ("." as it was).
EVENTS = (
    "pause",
    "resume",
    "abort",
    "roll back",
    "promote",
    "good result",
    "bad result",
    "drift",
    "taken over",
    "month",
)
TABLE = {
    "new": (
        "paused pending", ILLEGAL, "aborted pending", "rolled_back pending", ILLEGAL,
        *["running active"] * 5,
    ),
    "running active": (
        "paused active", ILLEGAL, "aborted inconclusive", "rolling_back inconclusive", ILLEGAL,
        "running soaking", "paused failed", "paused failed", ".", "paused inconclusive",
    ),
    "running soaking": (
        "paused soaking", ILLEGAL, "aborted inconclusive", "rolling_back inconclusive", ILLEGAL,
        ".", ".", "paused failed", ".", "running holding",
    ),
    "running holding": (
        "paused holding", ILLEGAL, "aborted inconclusive", "rolling_back inconclusive", "running active",
        ".", ".", "paused failed", ".", "paused inconclusive",
    ),
    "paused active": (
        ILLEGAL, "running active", "aborted inconclusive", "rolling_back inconclusive", ILLEGAL,
        ".", "paused failed", "paused failed", ".", "aborted inconclusive",
    ),
    "paused soaking": (
        ILLEGAL, "running soaking", "aborted inconclusive", "rolling_back inconclusive", ILLEGAL,
        ".", ".", "paused failed", ".", "aborted inconclusive",
    ),
    "paused holding": (
        ILLEGAL, "running holding", "aborted inconclusive", "rolling_back inconclusive", ILLEGAL,
        ".", ".", "paused failed", ".", "aborted inconclusive",
    ),
    "paused inconclusive": (
        ILLEGAL, "running soaking", "aborted inconclusive", "rolling_back inconclusive", "running active",
        ".", ".", ".", ".", "aborted inconclusive",
    ),
    "paused failed": (
        ILLEGAL, ILLEGAL, "aborted failed", "rolling_back failed", "running active",
        ".", ".", ".", ".", "aborted failed",
    ),
    "succeeded passed": (*[ILLEGAL] * 5, *["."] * 5),
    "aborted inconclusive": (*[ILLEGAL] * 5, *["."] * 5),
    "rolling_back inconclusive": (
        *[ILLEGAL] * 5,
        ".", ".", ".", "rolled_back inconclusive", "rolled_back inconclusive",
    ),
    "rolled_back inconclusive": (*[ILLEGAL] * 5, *["."] * 5),
}  # fmt: skip


def event_of(name: str, world: World):
    """The event, about the second canary where it is about a device."""
    device = world.members[1] if world.members else world.order[1]
    attempt = world.assignment(device).attempt if world.members else 1
    return {
        "pause": Pause("p"),
        "resume": Resume("p"),
        "abort": Abort("p"),
        "roll back": RollBack("p"),
        "promote": Promote("p"),
        "good result": ResultArrived(f"r1/{device}", attempt, A.COMMITTED, ResultCode.OK),
        "bad result": ResultArrived(f"r1/{device}", attempt, A.REVERTED, ResultCode.CRASH),
        "drift": windows(world, 1.0),
        "taken over": Superseded(tuple(world.members), "r2"),
        "month": Tick(),
    }[name]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", TABLE)
def test_every_state_with_every_event(state, event):
    world = STATES[state]()
    expected = TABLE[state][EVENTS.index(event)]
    before = (str(world.rollout.state), str(world.rollout.stages[0].state))
    if state != "new":
        assert " ".join(before) == state
    offers, terminal = world.offers, world.rollout.terminal
    if expected == ILLEGAL:
        with pytest.raises(IllegalInState, match=before[0]):
            world.send(event_of(event, world))
        return
    world.send(event_of(event, world), after=30 * 24 * HOUR if event == "month" else 0.0)
    stage = world.rollout.stages[world.rollout.current if event == "promote" else 0]
    found = f"{world.rollout.state} {stage.state}"
    assert found == (" ".join(before) if expected == "." else expected)
    if terminal:
        assert world.offers == offers


@pytest.mark.parametrize(
    ("table", "title"),
    [
        (ROLLOUT_TRANSITIONS, "rollout"),
        (STAGE_TRANSITIONS, "stage"),
        (ASSIGNMENT_TRANSITIONS, "assignment"),
        (PHASE_TRANSITIONS, "trigger"),
    ],
)
def test_the_drawing_is_the_table(table, title):
    text = DOCS.read_text()
    section = text.split(f"| {title} | to |\n| --- | --- |\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in section.strip().splitlines()]
    drawn = {(old, new) for old, targets in rows for new in targets.split(", ")}

    def word(state):
        return "UNDER_WAY" if state in UNDER_WAY else str(state).upper()

    assert drawn == {(word(old), word(new)) for old, new in table}


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("## A rollout", ROLLOUT_TRANSITIONS),
        ("## A stage", STAGE_TRANSITIONS),
        ("## A device's assignment", ASSIGNMENT_TRANSITIONS),
        ("## The trigger of retraining", PHASE_TRANSITIONS),
    ],
)
def test_the_picture_shows_every_state(heading, table):
    picture = DOCS.read_text().split(heading)[1].split("```")[1]
    names = {"UNDER_WAY" if state in UNDER_WAY else str(state).upper() for pair in table for state in pair}
    assert names == set(re.findall(r"\b[A-Z][A-Z_]{3,}\b", picture))


def test_every_stage_of_progress_is_taken():
    world = World(1, spec(StageSpec("all", percent=100, gates=(HardLimit(),))))
    world.send()
    for state in UNDER_WAY:
        world.send(Progressed("r1/d00", 1, state))
        assert world.assignment("d00").state is state
        assert world.send(Progressed("r1/d00", 2, state)) == ()
    assert world.send(Progressed("r1/d00", 1, A.COMMITTED)) == ()
    world.send(Progressed("r1/d00", 1, A.FETCH))
    assert world.assignment("d00").state is A.FETCH
