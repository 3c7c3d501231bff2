"""The fleet's verdict: the same as the monitor's underneath, whatever comes late, twice, or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fleet.rules.windows import (
    EFFECTS,
    FAULT,
    FEATURES,
    HOUR,
    MOVED,
    NAMES,
    QUIET,
    ROWS,
    WARMING,
    Server,
    counts,
    window,
)

from sanderling.drift import DeviceState, DeviceVerdict, FleetMonitor, RankCounts, Scope, Settings
from sanderling_fleet.verdict import (
    Judgement,
    WindowVerdict,
)


def script(seed, windows=12, change=6, shift=0.5, alarm=("d0",)):
    """Windows of six devices; from `change` on all shift a little, and some alarm by themselves."""
    rng = np.random.default_rng(seed)
    for number in range(1, windows + 1):
        for device in NAMES:
            moved = number >= change
            verdict = MOVED if moved and device in alarm else QUIET
            yield device, number, counts(rng, shift if moved else 0.0), verdict


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.6])
def test_it_says_what_the_monitor_says(shift):
    """Restarted before every message, with the same evidence to the last bit."""
    server, monitor = Server(), FleetMonitor(NAMES, settings=Settings())
    expected = []
    for device, number, cells, verdict in script(1, shift=shift):
        ranks = RankCounts(
            cells.astype(np.int64), 2000, np.array(EFFECTS).reshape(FEATURES, 24), ("image[0]", "image[1]")
        )
        state = DeviceState.MOVED if verdict is MOVED else DeviceState.QUIET
        expected += monitor.add(DeviceVerdict(device, number, ROWS, state, ranks=ranks))
        server.send(window(device, number, cells, verdict))
    assert [(w.window, w.scope, w.log_evidence, w.moved) for w in server.windows] == [
        (v.window, v.scope, v.log_e, v.moved) for v in expected
    ]
    assert len(expected) == 12
    assert (expected[-1].scope is Scope.WORLD) == (shift == 0.6)


def test_order_of_arrival_does_not_matter():
    rng = np.random.default_rng(4)
    straight, mixed = Server(restart=False), Server()
    items = [window(*parts[:3], verdict=parts[3]) for parts in script(2)]
    for item in items:
        straight.send(item)
    for begin in range(0, len(items), len(NAMES)):
        for i in rng.permutation(len(NAMES)):
            mixed.send(items[begin + i])
    assert mixed.windows == straight.windows


@settings(max_examples=40)
@given(st.lists(st.integers(0, 35), max_size=20), st.randoms(use_true_random=False))
def test_what_comes_twice_counts_once(again, random):
    items = [window(*parts[:3], verdict=parts[3]) for parts in script(3, windows=6, change=4)]
    once, twice = Server(restart=False), Server(restart=False)
    for i, item in enumerate(items):
        once.send(item)
        twice.send(item)
        for j in again:
            if j <= i and random.random() < 0.5:
                assert twice.send(items[j]) == Judgement()
    assert twice.windows == once.windows
    assert twice.state == once.state


def test_a_window_waits_for_a_deadline_that_is_shown():
    rng = np.random.default_rng(0)
    server = Server(deadline_seconds=2 * HOUR)
    assert server.state.deadline_at is None
    server.now = 100.0
    server.all(1, rng, devices=NAMES[:4])
    assert server.state.deadline_at == 100.0 + 2 * HOUR
    assert server.state.missing == ("d4", "d5")
    assert server.expire(after=2 * HOUR - 1) == Judgement()
    (judged,) = server.expire(after=1).windows
    assert (judged.missing, judged.devices, judged.judged_at) == (("d4", "d5"), 4, server.now)
    assert server.state.deadline_at is None


def test_what_comes_late_is_added_to_the_next_window():
    """The evidence of all windows is there, once: the sum of counts is that of everything that was sent."""
    rng = np.random.default_rng(0)
    server = Server(deadline_seconds=HOUR)
    server.all(1, rng)
    server.all(2, rng, devices=NAMES[:5])
    server.expire(after=HOUR)
    late, now = counts(rng), counts(rng)
    server.send(window("d5", 2, late))
    server.send(window("d5", 3, now))
    entry = server.state.pending[0].entries["d5"]
    assert (entry.cells.values == late + now).all()
    assert entry.rows == 2 * ROWS
    server.all(3, rng, devices=NAMES[:5])
    assert [(w.window, w.missing) for w in server.windows] == [(1, ()), (2, ("d5",)), (3, ())]
    assert sum(e.cells.values.sum() for w in server.state.recent for e in w.entries.values()) == 18 * ROWS * FEATURES


def test_a_late_alarm_is_an_alarm():
    rng = np.random.default_rng(0)
    server = Server(deadline_seconds=HOUR)
    server.all(1, rng)
    server.all(2, rng, devices=NAMES[:5])
    server.expire(after=HOUR)
    server.send(window("d5", 2, counts(rng), MOVED))
    server.all(3, rng)
    assert server.windows[2].moved == ("d5",)


def test_a_silent_device_is_waited_for_three_times_only():
    rng = np.random.default_rng(0)
    server = Server(deadline_seconds=HOUR)
    for number in range(1, 4):
        server.all(number, rng, devices=NAMES[:5])
        server.expire(after=HOUR)
        assert server.windows[-1].missing == ("d5",)
    server.all(4, rng, devices=NAMES[:5])
    assert server.windows[-1].window == 4
    assert server.windows[-1].missing == ()
    server.send(window("d5", 1, counts(rng)))
    server.all(5, rng, devices=NAMES[:5])
    assert server.windows[-1].window == 5
    assert server.windows[-1].devices == 6
    server.all(6, rng, devices=NAMES[:5])
    assert server.state.missing == ("d5",)


def test_a_device_that_comes_back_is_waited_for_three_times_again():
    rng = np.random.default_rng(0)
    server = Server(deadline_seconds=HOUR)
    server.all(1, rng)
    for number in (2, 3, 5, 6, 7):
        server.all(number, rng, devices=NAMES[:5])
        server.expire(after=HOUR)
        assert server.windows[-1].missing == ("d5",)
        if number == 3:
            server.all(4, rng)
    server.all(8, rng, devices=NAMES[:5])
    assert server.windows[-1].window == 8


def test_a_device_joins_in_the_next_window_whatever_its_number():
    rng = np.random.default_rng(0)
    server = Server(NAMES[:3])
    for number in range(1, 6):
        server.all(number, rng, devices=NAMES[:3])
    server.send(window("d3", 77, counts(rng)))
    server.all(6, rng, devices=NAMES[:3])
    assert server.windows[-1].devices == 4
    server.all(7, rng, devices=NAMES[:3])
    assert server.state.missing == ("d3",)
    server.send(window("d3", 78, counts(rng)))
    assert [w.window for w in server.windows] == [1, 2, 3, 4, 5, 6, 7]


def test_a_device_that_leaves_is_not_waited_for():
    rng = np.random.default_rng(0)
    server = Server()
    server.all(1, rng, devices=NAMES[:5])
    assert server.windows == []
    server.forget("d5")
    assert [w.window for w in server.windows] == [1]


def test_a_device_that_warms_up_is_not_waited_for():
    rng = np.random.default_rng(0)
    server = Server()
    server.all(1, rng, devices=NAMES[:5])
    server.send(window("d5", 0, verdict=WARMING))
    assert [w.devices for w in server.windows] == [5]


def test_a_fast_device_does_not_run_away():
    rng = np.random.default_rng(0)
    server = Server(NAMES[:2], deadline_seconds=HOUR)
    sent = np.zeros((FEATURES, 32), np.int64)
    for number in range(1, 101):
        cells = counts(rng)
        sent += cells
        server.send(window("d0", number, cells))
    assert len(server.state.pending) <= 4
    assert sum(e.cells.values for p in server.state.pending for e in p.entries.values()).tolist() == sent.tolist()


def test_a_jump_in_numbers_is_bounded():
    rng = np.random.default_rng(0)
    server = Server(NAMES[:2])
    server.all(1, rng, devices=NAMES[:2])
    server.send(window("d0", 2**63, counts(rng)))
    assert len(server.state.members["d0"].numberings[0].gaps) <= 64
    server.send(window("d1", 2, counts(rng)))
    assert [w.window for w in server.windows] == [1, 2]


def rows_pending(server):
    return sum(entry.rows for item in server.state.pending for entry in item.entries.values())


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.integers(0, 12), st.sampled_from(WindowVerdict), st.booleans()),
        max_size=60,
    )
)
def test_counts_are_taken_once_in_any_disorder(messages):
    """Whatever comes in whatever order: rows are in the judged and pending windows once, restarted at every message."""
    server, cells = Server(deadline_seconds=HOUR), np.ones((FEATURES, 32), np.int64)
    server.state = replace(server.state, policy=replace(server.state.policy, most_rows=10**6))
    sent, judged = {}, 0
    for device, number, verdict, wait in messages:
        known = server.state.members[device].numberings
        fresh = not known or number > known[0].last or number in known[0].gaps
        held = rows_pending(server)
        server.send(window(device, number, cells, verdict, "stuck" if verdict is FAULT else ""), after=HOUR * wait)
        added = ROWS if verdict is not WARMING and (fresh or number == 0) else 0
        judged_now = held + added - rows_pending(server)
        assert judged_now >= 0
        assert (judged_now > 0) == bool(server.last.windows)
        judged += judged_now
        sent[device] = sent.get(device, 0) + added
    assert sum(sent.values()) == judged + rows_pending(server)
    assert [w.window for w in server.windows] == sorted({w.window for w in server.windows})


def test_an_application_beside_the_runner_numbers_its_own_windows():
    """Both hold the model on d0: what they see adds, and the numbers of one are not those of the other."""
    rng = np.random.default_rng(0)
    server = Server()
    for number in range(1, 6):
        server.all(number + 40, rng, devices=NAMES[1:])
        server.send(window("d0", number + 40, counts(rng), reference="runner"))
    assert [w.window for w in server.windows] == [1, 2, 3, 4, 5]
    own, runners = counts(rng), counts(rng)
    server.send(window("d0", 11, own, reference="application"))
    assert server.send(window("d0", 11, own, reference="application")) == Judgement()
    server.send(window("d0", 46, runners, reference="runner"))
    assert (server.state.pending[0].entries["d0"].cells.values == own + runners).all()
    server.all(46, rng, devices=NAMES[1:])
    assert server.windows[-1].devices == 6


def test_an_application_that_starts_anew_is_heard_at_once():
    """It learns its own reference again, and numbers from the start: those numbers were never there."""
    rng = np.random.default_rng(0)
    server = Server(deadline_seconds=HOUR)
    for number in range(30, 34):
        server.all(number, rng, devices=NAMES[:5])
        server.send(window("d5", number, counts(rng), reference="first start"))
    server.send(window("d5", 1, verdict=WARMING))
    server.all(34, rng, devices=NAMES[:5])
    assert server.windows[-1].devices == 5
    server.send(window("d5", 2, counts(rng), MOVED, reference="second start"))
    server.all(35, rng, devices=NAMES[:5])
    assert server.windows[-1].devices == 6
    assert server.windows[-1].moved == ("d5",)


def test_references_without_end_are_bounded():
    rng = np.random.default_rng(0)
    server = Server()
    for start in range(20):
        server.send(window("d0", 1, counts(rng), reference=f"start {start}"))
    assert [n.reference for n in server.state.members["d0"].numberings] == [f"start {i}" for i in range(16, 20)]


def test_a_message_writes_what_it_brings():
    """Of a fleet's stored entries one changes with a window, and all of a window go when it is out of the memory."""
    rng = np.random.default_rng(0)
    server = Server(restart=False)
    for number in range(1, 10):
        server.all(number, rng)
    before = server.state
    assert len(before.entries()) == 8 * 6
    server.send(window("d0", 10, counts(rng)))
    assert server.state.entries(before).keys() == {(10, "d0")}
    assert before.entries(server.state) == {}
    before = server.state
    server.all(10, rng, devices=NAMES[1:])
    gone = before.entries(server.state).keys() - server.state.entries(before).keys()
    assert gone == {(2, name) for name in NAMES}
    assert len(server.state.to_json()) < 5000


def test_a_version_that_nobody_runs_keeps_no_entries():
    rng = np.random.default_rng(0)
    server = Server()
    server.all(1, rng)
    for name in NAMES:
        server.forget(name)
    assert server.state.entries() == {}
