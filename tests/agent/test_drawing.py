"""The drawing in docs/agent-states.md against the transitions that the rules make."""

import re
from pathlib import Path

import pytest
from tests.agent.test_histories import FAILURES, Life
from tests.agent.world import Behaviour, World, wanted

from sanderling.agent import rules
from sanderling.agent.slot import Step
from sanderling.agent.state import Code, Phase, Settings

DOCS = Path(__file__).resolve().parents[2] / "docs" / "agent-states.md"


def drawn() -> set[tuple[str, str]]:
    table = DOCS.read_text().partition("## All transitions")[2]
    rows = re.findall(r"^\| (\w+) \| ([\w, ]+) \|$", table, re.MULTILINE)
    return {(phase, to) for phase, targets in rows if phase != "phase" for to in targets.split(", ")}


@pytest.fixture
def made(monkeypatch):
    """Transitions of all slots from now on: `_enter` and `_end` are where a slot's rules change its phase."""
    found: set[tuple[str, str]] = set()
    enter, end, checked_in = Step._enter, Step._end, rules._checked_in

    def entered(it, phase):
        found.add((it.slot.phase.value, phase.value))
        enter(it, phase)

    def ended(it, *reason):
        update = it.slot.update
        found.add((it.slot.phase.value, "report" if update.wanted.assignment else "idle"))
        end(it, *reason)

    def answered(state, event, now, settings):
        after, actions = checked_in(state, event, now, settings)
        if event.desired is None:
            pairs = ((slot.phase.value, after.slots[name].phase.value) for name, slot in state.slots.items())
            found.update(pair for pair in pairs if pair[0] != pair[1])
        return after, actions

    monkeypatch.setattr(Step, "_enter", entered)
    monkeypatch.setattr(Step, "_end", ended)
    monkeypatch.setattr(rules, "_checked_in", answered)
    return found


def test_every_transition_is_drawn_and_every_one_drawn_is_made(made):
    for seed in range(8):
        life = Life(1000 + seed)
        for _ in range(60):
            life.turn()
    for assignment in ("a-1", ""):
        for action, code in FAILURES:
            world = World()
            world.install("m-1")
            world.failures[action, "m-2"] = (code, "it broke", False)
            world.want(wanted("m-2", assignment))
            world.run(2000)
        world = World(behaviour={"m-2": Behaviour(dies=Code.CRASH)})
        world.install("m-1")
        for wish in (
            wanted("m-2", assignment),
            wanted("m-1", assignment, attempt=2),
            wanted("", assignment, attempt=3),
        ):
            world.want(wish)
            world.run(3000)
        world = World()
        world.install("m-1")
        world.confirm = False
        world.want(wanted("m-2", "a-2"))
        world.run(3000)
        assert world.slot.phase is Phase.REPORT
        world.want(wanted("", assignment, attempt=2))
        world.run(3000)
    assert {pair for pair in made if pair[0] != pair[1]} == drawn()


def test_every_phase_has_a_deadline_and_a_row():
    text = DOCS.read_text()
    for phase in Phase:
        assert f"| {phase.value.upper()} |" in text
    for phase, seconds in Settings().deadlines_s.items():
        units = [(86_400, "{} d"), (3600, "{} h"), (60, "{} min")]
        words = {form.format(round(seconds / unit)) for unit, form in units if seconds % unit == 0}
        row = next(line for line in text.splitlines() if line.startswith(f"| {phase.value.upper()} |"))
        assert any(word in row for word in words), (phase, row)
