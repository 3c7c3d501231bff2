"""Updates of a slot in virtual time: how each one ends, and what the device says of it."""

import re

import pytest
from tests.agent.world import DEVICE, START, Behaviour, World, digest, wanted

from sanderling.agent import actions
from sanderling.agent.codec import from_plain, to_plain
from sanderling.agent.events import (
    Died,
    Fetched,
    HealDue,
    Loaded,
    Observed,
    RetryDue,
    Served,
    StepDue,
    Verified,
    Window,
)
from sanderling.agent.rules import step
from sanderling.agent.state import AgentState, Code, Outcome, Phase, Trial


def ended(world: World):
    """The only result, whether or not it is confirmed."""
    world.confirm = False
    world.run(5000)
    (result,) = world.driver.state.results
    return result


@pytest.fixture
def world():
    world = World()
    world.install("m-1")
    return world


def test_the_first_version_commits_without_an_incumbent(world):
    assert world.served == {"main": "m-1"}
    assert world.slot.phase is Phase.IDLE
    assert world.slot.floors == {"m": 1}


def test_a_good_version_commits(world):
    world.want(wanted("m-2", "a-1"))
    result = ended(world)
    assert (result.outcome, result.code, result.version) == (Outcome.COMMITTED, Code.OK, "m-2")
    assert result.candidate.rows >= 500
    assert result.candidate.golden_score == 1.0
    assert result.incumbent.mean_confidence == pytest.approx(0.9)
    assert world.served == {"main": "m-2"}
    assert world.kept == (("main", "m-2"),)
    assert set(world.collected) == {digest("m-1"), digest("m-2")}, "the previous version's files are kept"


def test_probation_needs_both_rows_and_time(world):
    world.want(wanted("m-2", "a-1", trial=Trial(rows=100, duration_s=600)))
    world.check_in_now()
    world.run(300)
    assert world.slot.phase is Phase.PROBATION
    assert world.slot.update.candidate.all_rows > 1000
    world.run(320)
    assert world.slot.active.release.version == "m-2"
    world.want(wanted("m-3", "a-2", trial=Trial(rows=100_000, duration_s=1)))
    world.check_in_now()
    world.run(5000)
    assert world.slot.phase is Phase.PROBATION
    world.run(6000)
    assert world.slot.active.release.version == "m-3"


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (actions.Resolve, Code.INTEGRITY),
        (actions.Fetch, Code.NO_SPACE),
        (actions.Verify, Code.INTEGRITY),
        (actions.Load, Code.BUILD_FAILED),
        (actions.SelfTest, Code.SELFTEST_FAILED),
    ],
)
def test_an_error_before_the_switch_discards(world, action, code):
    world.failures[action, "m-2"] = (code, "it broke", False)
    world.want(wanted("m-2", "a-1"))
    result = ended(world)
    assert (result.outcome, result.code, result.detail) == (Outcome.DISCARDED, code, "it broke")
    assert world.served == {"main": "m-1"}
    assert world.kept == (("main", "m-1"),)
    assert digest("m-2") not in world.collected


def test_an_error_at_the_switch_reverts(world):
    world.failures[actions.Serve, "m-2"] = (Code.CRASH, "it broke", False)
    world.want(wanted("m-2", "a-1"))
    assert ended(world).outcome is Outcome.REVERTED
    assert world.served == {"main": "m-1"}


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        (Behaviour(dies=Code.CRASH, dies_after=20), Code.CRASH, "died"),
        (Behaviour(dies=Code.HANG, dies_after=20), Code.HANG, "died"),
        (Behaviour(confidence=0.45), Code.CONFIDENCE, r"0\.450, the incumbent's was 0\.900"),
    ],
)
def test_what_reverts_in_probation(world, behaviour, code, words):
    world.behaviour["m-2"] = behaviour
    world.want(wanted("m-2", "a-1"))
    result = ended(world)
    assert (result.outcome, result.code) == (Outcome.REVERTED, code)
    assert re.search(words, result.detail)
    assert world.served == {"main": "m-1"}
    assert world.slot.floors == {"m": 1}, "a reverted version does not raise the floor"
    assert world.kept == (("main", "m-1"),)


def test_latency_reverts(world):
    world.run(100)
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    world.run(20)
    assert world.slot.phase is Phase.PROBATION
    world.of("m-2").latency_us = 2_100.0
    result = ended(world)
    assert (result.outcome, result.code) == (Outcome.REVERTED, Code.LATENCY)
    assert "2,100 us, the incumbent's 1,000 us, allowed are 2,000 us" in result.detail


@pytest.mark.parametrize(("latency", "ends"), [(1_990.0, Outcome.COMMITTED), (2_010.0, Outcome.DISCARDED)])
def test_latency_in_the_self_test(world, latency, ends):
    world.behaviour["m-2"] = Behaviour(latency_us=latency)
    world.want(wanted("m-2", "a-1"))
    assert ended(world).outcome is ends


def test_golden_samples_must_all_pass(world):
    world.behaviour["m-2"] = Behaviour(golden=9)
    world.want(wanted("m-2", "a-1"))
    result = ended(world)
    assert (result.code, result.detail) == (Code.SELFTEST_FAILED, "9 of 10 golden samples are within tolerance; row 3")


def test_without_rows_the_trial_ends_at_its_deadline(world):
    world.run(600)
    world.rows_per_second = 0.0
    world.want(wanted("m-2", "a-1", trial=Trial(deadline_s=2000)))
    result = ended(world)
    assert (result.outcome, result.code) == (Outcome.REVERTED, Code.PROBATION_TIMEOUT)
    assert "0 of 500 rows" in result.detail


@pytest.mark.parametrize(
    ("action", "code", "outcome"),
    [
        (actions.Fetch, Code.FETCH_FAILED, Outcome.DISCARDED),
        (actions.Verify, Code.FETCH_FAILED, Outcome.DISCARDED),
        (actions.Load, Code.BUILD_FAILED, Outcome.DISCARDED),
        (actions.SelfTest, Code.HANG, Outcome.DISCARDED),
        (actions.Serve, Code.HANG, Outcome.REVERTED),
    ],
)
def test_every_phase_has_a_deadline(world, action, code, outcome):
    world.slow_s[action] = 1e9
    world.want(wanted("m-2", "a-1"))
    world.confirm = False
    world.run(100_000)
    (result,) = world.driver.state.results
    assert (result.outcome, result.code) == (outcome, code)


def test_offline_in_the_middle_of_a_fetch(world):
    world.want(wanted("m-2", "a-1"))
    world.failures[actions.Fetch, "m-2"] = (Code.FETCH_FAILED, "unreachable", True)
    world.check_in_now()
    world.run(7200)
    assert world.slot.phase is Phase.FETCH
    assert world.served == {"main": "m-1"}
    world.failures.clear()
    assert ended(world).outcome is Outcome.COMMITTED


def test_what_does_not_run_here(world):
    world.why_not = "machine is x86_64, wanted is aarch64"
    world.want(wanted("m-2", "a-1"))
    result = ended(world)
    assert (result.code, result.detail) == (Code.INCOMPATIBLE, world.why_not)


def test_a_downgrade_needs_a_token(world):
    world.want(wanted("m-5"))
    world.run(2000)
    world.want(wanted("m-4", "a-1"))
    result = ended(world)
    assert result.code is Code.INTEGRITY
    assert "release counter 4, this slot has seen 5" in result.detail
    world.confirm = True
    world.downgrade_allowed = True
    world.want(wanted("m-4", "a-2", downgrade_token=b"token"))
    world.run(3000)
    assert world.slot.active.release.version == "m-4"
    assert world.slot.floors == {"m": 4}


def test_the_active_version_again_is_a_commit_without_work(world):
    world.want(wanted("m-1", "a-1"))
    before = len(world.performer.performed)
    result = ended(world)
    assert (result.outcome, result.detail) == (Outcome.COMMITTED, "m-1 was already active")
    assert not any(isinstance(a, actions.Resolve | actions.Load) for a in world.performer.performed[before:])


def test_a_newer_wish_supersedes_before_the_switch(world):
    world.slow_s[actions.Fetch] = 1e9
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    world.run(10)
    world.slow_s.clear()
    world.confirm = False
    world.want(wanted("m-3", "a-2"))
    world.check_in_now()
    world.run(3000)
    first, second = world.driver.state.results
    assert (first.assignment, first.outcome, first.code) == ("a-1", Outcome.SUPERSEDED, Code.SUPERSEDED)
    assert (second.assignment, second.outcome) == ("a-2", Outcome.COMMITTED)


def test_a_newer_wish_waits_for_the_trial(world):
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    world.run(60)
    assert world.slot.phase is Phase.PROBATION
    world.confirm = False
    world.want(wanted("m-3", "a-2"))
    world.check_in_now()
    assert world.slot.phase is Phase.PROBATION
    world.run(5000)
    assert [(r.assignment, r.outcome) for r in world.driver.state.results] == [
        ("a-1", Outcome.COMMITTED),
        ("a-2", Outcome.COMMITTED),
    ]


def test_asking_for_the_former_version_ends_the_trial_at_once(world):
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    world.run(60)
    world.confirm = False
    world.want(wanted("m-1", "a-2"))
    world.check_in_now()
    world.run(10)
    assert [(r.assignment, r.outcome, r.code) for r in world.driver.state.results] == [
        ("a-1", Outcome.REVERTED, Code.SUPERSEDED),
        ("a-2", Outcome.COMMITTED, Code.OK),
    ]
    assert world.served == {"main": "m-1"}


def test_an_ended_attempt_is_not_begun_again_a_new_one_is(world):
    world.failures[actions.Load, "m-2"] = (Code.BUILD_FAILED, "it broke", False)
    world.want(wanted("m-2", "a-1"))
    world.run(2000)
    assert world.confirmed == [("a-1", 1)]
    world.failures.clear()
    world.want(wanted("m-2", "a-1"))
    world.run(2000)
    assert world.slot.active.release.version == "m-1"
    world.want(wanted("m-2", "a-1", attempt=2))
    world.run(3000)
    assert world.slot.active.release.version == "m-2"
    assert world.confirmed == [("a-1", 1), ("a-1", 2)]


def test_taking_the_model_away(world):
    world.want(wanted("", "a-1"))
    result = ended(world)
    assert result.outcome is Outcome.COMMITTED
    assert world.served == {}
    assert world.slot.active is None
    assert world.kept == ()


def test_slots_do_not_touch_each_other(world):
    world.want(("main", wanted("m-1")), ("other", wanted("n-1")))
    world.run(2000)
    assert world.served == {"main": "m-1", "other": "n-1"}
    world.behaviour["n-2"] = Behaviour(dies=Code.CRASH, dies_after=5)
    world.want(("main", wanted("m-2", "a-1")), ("other", wanted("n-2", "a-2")))
    world.run(3000)
    assert world.served == {"main": "m-2", "other": "n-1"}


def test_a_crash_of_the_active_version_is_healed_later_and_later(world):
    waits = []
    state = world.driver.state
    for _ in range(12):
        state, asked = step(state, Died("main", "m-1", Code.CRASH, "signal 11"), START, world.settings)
        waits += [a.at - START for a in asked if isinstance(a, actions.Wake) and isinstance(a.event, HealDue)]
    assert waits == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60])
    assert state.slots["main"].restarts == 12


def test_a_crash_is_healed(world):
    world.served.clear()
    world.driver.post(Died("main", "m-1", Code.CRASH, "signal 11"))
    world.run(60)
    assert world.served == {"main": "m-1"}
    assert world.slot.heals == 0, "it answers rows again"
    assert [m.event.kind for m in world.store.outbox if m.WhichOneof("body") == "event"][-1] == "runner.crash"


def test_a_loop_of_restarts_is_broken(world):
    world.slow_s[actions.Fetch] = 1e9
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    world.confirm = False
    for _ in range(30):
        world.start()
        world.run(2)
    (result,) = world.driver.state.results
    assert (result.outcome, result.code) == (Outcome.DISCARDED, Code.INTERNAL)
    assert result.detail.startswith("29 stored transitions")


def test_machine_restarts_in_probation_revert(world):
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    world.run(60)
    world.confirm = False
    for n in range(4):
        world.boot_id = f"boot-{n + 2}"
        world.start()
        world.run(5)
    (result,) = world.driver.state.results
    assert (result.outcome, result.code) == (Outcome.REVERTED, Code.CRASH)
    assert "restarted 4 times" in result.detail


def test_windows_are_stored_once(world):
    active = world.slot.active
    windows = tuple(Window(n, b"") for n in range(active.next_window + 2))
    again = Observed("main", "m-1", active.instance, active.rows, 0, 900.0, windows=windows)
    before = len([m for m in world.store.outbox if m.WhichOneof("body") == "drift"])
    for _ in range(3):
        world.driver.handle(again)
    assert len([m for m in world.store.outbox if m.WhichOneof("body") == "drift"]) == before + 2


def test_answers_to_a_former_step_change_nothing(world):
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    state = world.driver.state
    for event in (Fetched, Verified, Loaded, Served, RetryDue, StepDue):
        world.driver.handle(event("main", world.slot.step + 7))
        world.driver.handle(event("nowhere", 1))
    assert world.driver.state == state


def test_json_comes_back_equal(world):
    world.want(wanted("m-2", "a-1", downgrade_token=b"\x00\xff"), ("other", wanted("n-1")))
    world.check_in_now()
    for _ in range(30):
        world.run(30)
        state = world.driver.state
        assert from_plain(AgentState, to_plain(state)) == state
    assert world.driver.state.device_id == DEVICE


def test_an_active_version_that_cannot_be_served_for_weeks(world):
    """Offline, and its blobs are gone: tried again for ever, at the longest wait."""
    world.failures[actions.Serve, "m-1"] = (Code.INTEGRITY, "blobs are missing", False)
    del world.served["main"]
    world.driver.post(Died("main", "m-1", Code.CRASH, "it broke"))
    world.run(1100 * 60)
    assert world.slot.heals > 1030
    world.start()
    world.failures.clear()
    world.run(200)
    assert world.served == {"main": "m-1"}


def test_a_fetch_that_fails_for_weeks_with_reboots(world):
    world.failures[actions.Fetch, "m-2"] = (Code.FETCH_FAILED, "unreachable", True)
    world.want(wanted("m-2", "a-1"))
    for day in range(15):
        world.run(80_000)
        world.boot_id = f"boot-{day + 2}"
        world.start()
    assert world.slot.phase is Phase.FETCH
    assert world.slot.update.retries > 1030
    world.failures.clear()
    world.run(5000)
    assert world.slot.active.release.version == "m-2"


def test_a_former_version_that_dies_while_it_is_brought_back_is_healed(world):
    """Its death may be known before the answer that it serves is."""
    world.behaviour["m-2"] = Behaviour(dies=Code.CRASH, dies_after=5)
    world.slow_s[actions.Serve] = 3.0
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    while world.slot.phase is not Phase.REVERT:
        world.run(1)
    serves = [a for a in world.performer.performed if isinstance(a, actions.Serve)]
    world.driver.post(Died("main", "m-1", Code.CRASH, "it broke"))
    world.run(60)
    assert world.slot.phase in (Phase.REPORT, Phase.IDLE)
    later = [a for a in world.performer.performed if isinstance(a, actions.Serve)][len(serves) :]
    assert [a.step for a in later if a.launch.release.version == "m-1"] == [0], "started once more after the revert"
