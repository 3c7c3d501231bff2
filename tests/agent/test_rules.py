"""Check-ins, desired states and results of a device, in virtual time."""

import dataclasses

import pytest
from tests.agent.world import DEVICE, START, World, wanted

from sanderling.agent import actions, events
from sanderling.agent.blobs import NoSpaceError
from sanderling.agent.rules import step
from sanderling.agent.state import AgentState, Settings, TelemetryPlan


@pytest.fixture
def world():
    return World()


def check_ins(world):
    return [a for a in world.performer.performed if isinstance(a, actions.CheckIn)]


def notices(world):
    return [m.event for m in world.store.outbox if m.WhichOneof("body") == "event"]


def test_check_ins_come_at_the_interval_with_jitter(world):
    world.run(40 * 900)
    assert 36 <= len(check_ins(world)) <= 45
    assert [c.sequence for c in check_ins(world)] == list(range(1, len(check_ins(world)) + 1))


def test_the_sequence_survives_a_restart(world):
    world.run(3000)
    last = check_ins(world)[-1].sequence
    world.start()
    world.run(100)
    assert check_ins(world)[0].sequence == last + 1


def test_devices_do_not_come_together():
    waits = set()
    for n in range(50):
        _, asked = step(AgentState(f"dv-{n}"), events.CheckInFailed("x"), START, Settings())
        waits.add(asked[0].at)
    assert len(waits) == 50


def test_waits_after_failures_grow_up_to_the_interval(world):
    world.online = False
    state, waits = world.driver.state, []
    for _ in range(12):
        state, _ = step(state, events.CheckInDue(), START, Settings(retry_s=5.0))
        state, asked = step(state, events.CheckInFailed("unreachable"), START, Settings(retry_s=5.0))
        waits.append(asked[0].at - START)
    assert all(0.5 <= wait <= 900 for wait in waits)
    assert max(waits[:2]) <= 10
    assert max(waits[8:]) > 90


def test_a_hint_brings_a_check_in_within_its_spread(world):
    world.run(10)
    before = len(check_ins(world))
    world.driver.post(events.Hinted(spread_s=30.0))
    world.run(31)
    assert len(check_ins(world)) == before + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counter": 99}, "its counter is 99, this device has seen"),
        ({"device_id": "dv-2"}, "it is for dv-2, this device is"),
    ],
)
def test_a_desired_state_that_is_not_believed(world, change, words):
    world.install("m-1")
    state = world.driver.state
    refused = dataclasses.replace(world.desired, **{"counter": 10_000, **change, "slots": (("main", wanted("m-2")),)})
    world.driver.handle(events.CheckedIn(900.0, True, refused))
    assert world.driver.state.slots == state.slots
    assert world.driver.state.desired_counter == state.desired_counter
    assert words in notices(world)[-1].message


def test_a_refused_signature_is_reported(world):
    world.driver.handle(events.CheckedIn(900.0, True, None, refused="[signature] by key 12 is wrong"))
    assert [n.kind for n in notices(world)] == ["desired.refused"]


def test_a_slot_that_is_not_named_stays(world):
    world.install("m-1")
    world.want(("other", wanted("n-1")))
    world.run(2000)
    assert world.served == {"main": "m-1", "other": "n-1"}


def test_results_are_sent_until_they_are_confirmed(world):
    world.install("m-1")
    world.confirm = False
    world.want(wanted("m-2", "a-1"))
    world.run(5000)
    sent = [c for c in check_ins(world) if c.results]
    assert len(sent) >= 3
    world.start()
    world.confirm = True
    world.run(1000)
    assert world.confirmed == [("a-1", 1)]
    assert world.driver.state.results == ()
    assert world.slot.phase.value == "idle"


def test_a_result_is_reported_soon(world):
    world.install("m-1")
    world.want(wanted("m-2", "a-1"))
    world.check_in_now()
    while world.slot.active.release.version == "m-1":
        world.run(1)
    world.run(Settings().hint_spread_s + 2)
    assert world.confirmed == [("a-1", 1)]


@pytest.mark.parametrize("event", [events.Started("boot-1"), events.Hinted(0.0), events.Hinted(60.0)])
def test_soon_is_never_later_than_the_next_check_in(event):
    for n in range(20):
        state = AgentState(f"dv-{n}", check_in_interval_s=0.5)
        _, asked = step(state, event, START, Settings())
        assert asked[-1].at - START < 0.5


def test_offline_for_a_week(world):
    world.install("m-1")
    world.online = False
    world.run(7 * 86_400)
    assert world.served == {"main": "m-1"}
    waiting = len(world.store.outbox)
    assert waiting > 500
    world.online = True
    world.driver.handle(events.CheckedIn(900.0, True, telemetry=(("boot-1", waiting - 3),)))
    assert len(world.store.outbox) == 3


def test_telemetry_is_numbered_without_gaps_over_restarts(world):
    world.install("m-1")
    world.start()
    world.run(3000)
    numbers = [m.sequence for m in world.store.outbox]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_full_disk_puts_everything_off(world, monkeypatch):
    world.install("m-1")
    save, full = world.store.save, True

    def sometimes(state, rows, now):
        if full:
            raise NoSpaceError("full")
        save(state, rows, now)

    monkeypatch.setattr(world.store, "save", sometimes)
    world.want(wanted("m-2", "a-1"))
    state, performed = world.driver.state, len(world.performer.performed)
    world.run(3000)
    assert world.driver.state == state, "what could not be stored has not happened"
    done = world.performer.performed[performed:]
    assert all(isinstance(a, actions.Observe) for a in done), "nothing was done that was not stored"
    full = False
    world.run(5000)
    assert world.confirmed == [("a-1", 1)]
    assert world.slot.active.release.version == "m-2"


def test_metrics_add_up(world):
    world.install("m-1")
    world.run(5000)
    metrics = [m.metrics for m in world.store.outbox if m.WhichOneof("body") == "metrics"]
    assert sum(m.inferences for m in metrics) == world.slot.sent_rows
    assert metrics[-1].mean_confidence == pytest.approx(0.9)


def test_the_telemetry_plan_reaches_the_runner(world):
    world.desired = events.Desired(DEVICE, 500, (("main", wanted("m-1")),), TelemetryPlan(window_rows=50))
    world.run(1000)
    loads = [a.launch.plan.window_rows for a in world.performer.performed if isinstance(a, actions.Load)]
    assert loads == [50]


def test_the_same_events_give_the_same_states():
    def history():
        world = World()
        world.install("m-1")
        world.want(wanted("m-2", "a-1"))
        world.run(3000)
        return world.driver.state, world.performer.performed

    assert history() == history()


def test_hints_that_keep_coming_put_no_check_in_off(world):
    world.run(10)
    before = len(check_ins(world))
    for _ in range(400):
        world.driver.post(events.Hinted(spread_s=30.0))
        world.run(1)
    assert len(check_ins(world)) - before >= 400 // 31, "each within its spread"


def test_a_hint_that_meets_a_check_in_under_way_is_followed_by_another(world):
    """Its answer may have been given before what the hint is about."""
    world.run(100)
    before = len(check_ins(world))
    world.driver.handle(events.CheckInDue())
    world.driver.post(events.Hinted(spread_s=0.05))
    world.run(10)
    assert len(check_ins(world)) == before + 2
    for _ in range(50):
        world.driver.handle(events.Hinted(spread_s=0.05))
    world.run(800)
    assert len(check_ins(world)) == before + 3, "many hints are one"


def test_a_result_that_meets_a_check_in_under_way_is_reported_soon(world):
    world.install("m-1")
    state, _ = step(world.driver.state, events.CheckInDue(), world.clock.now(), Settings())
    state = dataclasses.replace(state, slots={**state.slots, "main": world.slot})
    desired = events.Desired(DEVICE, 10_000, (("main", wanted("m-1", "a-9")),))
    now = world.clock.now() + 5
    state, _ = step(state, events.CheckedIn(900.0, True, desired), now, Settings())
    state, asked = step(state, events.CheckInDue(), now + 1, Settings())
    result = next(a for a in asked if isinstance(a, actions.CheckIn)).results
    assert [r.assignment for r in result] == ["a-9"]
    assert state.checking_in


def test_a_check_in_that_is_never_answered_is_begun_anew(world):
    world.run(100)
    world.performer.on(actions.CheckIn, lambda action: ())
    world.run(3 * Settings().check_in_lost_s)
    before = len(check_ins(world))
    world.run(3 * Settings().check_in_lost_s)
    assert len(check_ins(world)) >= before + 2


def test_why_check_ins_fail_is_known_until_one_does_not(world):
    world.driver.handle(events.CheckInFailed("TransportError: unreachable"))
    assert world.store.state.check_in_error == "TransportError: unreachable"
    world.run(2000)
    assert world.store.state.check_in_error == ""


def test_on_a_full_disk_what_applications_send_is_not_piled_up(world, monkeypatch):
    world.install("m-1")

    def full(state, rows, now):
        raise NoSpaceError("full")

    monkeypatch.setattr(world.store, "save", full)
    for _ in range(1000):
        world.driver.post(events.Attached("main", "m-1", b""))
    world.run(100)
    assert len(world.driver._heap) < 50


def test_what_is_due_is_done_though_events_keep_coming(world):
    """As from applications that send faster than the disk stores."""
    world.run(10)
    before = len(check_ins(world))
    handled = 0

    class Flood:
        def qsize(self):
            return 1

        def empty(self):
            return False

        def get_nowait(self):
            nonlocal handled
            handled += 1
            world.clock.wait_until(world.clock.now() + 1)
            assert handled < 5000, "nothing else is done"
            return events.Attached("main", "m-1", b"")

    world.driver._posted = Flood()
    world.driver.run(stop=lambda: len(check_ins(world)) > before)
    assert len(check_ins(world)) == before + 1
