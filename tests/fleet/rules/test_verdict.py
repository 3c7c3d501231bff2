"""The fleet's verdict: the same as the monitor's underneath, whatever comes late, twice, or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanderling.drift import DeviceState, DeviceVerdict, FleetMonitor, RankCounts, Scope, Settings
from sanderling.errors import InputError
from sanderling_fleet.verdict import (
    DeviceWindow,
    FleetState,
    InputRanks,
    Judgement,
    Policy,
    WindowVerdict,
    acknowledge,
    expect,
    expire,
    forget,
    observe,
    shared_label,
)

HOUR = 3600.0
ROWS, FEATURES = 200, 2
NAMES = [f"d{i}" for i in range(6)]
LABELS = {name: {"device_id": name, "site": f"hall-{i // 2}", "kind": "camera"} for i, name in enumerate(NAMES)}
QUIET, MOVED, FAULT, WARMING = WindowVerdict.QUIET, WindowVerdict.MOVED, WindowVerdict.FAULT, WindowVerdict.WARMING


def counts(rng, shift=0.0):
    """Rank cells of 200 rows; a shift tilts them upwards."""
    weights = 1 + shift * np.linspace(-1, 1, 32)
    return rng.multinomial(ROWS, weights / weights.sum(), size=FEATURES)


def window(device, number, cells=None, verdict=QUIET, fault=""):
    ranks = () if cells is None else (InputRanks("image", FEATURES, 32, cells.ravel().tolist(), 1.2, 2000),)
    return DeviceWindow(device, number, verdict, ROWS, fault, ranks)


class Server:
    """Hands windows in, and restarts before every message."""

    def __init__(self, devices=NAMES, restart=True, **policy):
        self.state = FleetState("main", "digits-1", Policy(**policy))
        for device in devices:
            self.state = expect(self.state, device)
        self.restart = restart
        self.now = 0.0
        self.windows = []
        self.last = Judgement()

    def send(self, item, after=0.0):
        self.now += after
        return self._take(*observe(self._state(), item, self.now, LABELS))

    def expire(self, after=0.0):
        self.now += after
        return self._take(*expire(self._state(), self.now, LABELS))

    def forget(self, device):
        return self._take(*forget(self._state(), device, self.now, LABELS))

    def acknowledge(self):
        return self._take(*acknowledge(self._state()))

    def all(self, number, rng, shifts=None, verdicts=None, devices=NAMES, **settings):
        for device in devices:
            cells = counts(rng, (shifts or {}).get(device, 0.0))
            self.send(window(device, number, cells, (verdicts or {}).get(device, QUIET), **settings))

    def _state(self):
        if self.restart:
            again = FleetState.from_json(self.state.to_json())
            assert again == self.state
            return again
        return self.state

    def _take(self, state, judged):
        self.state, self.last = state, judged
        self.windows += judged.windows
        return judged


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
        ranks = RankCounts(cells.astype(np.int64), 2000, np.full((FEATURES, 24), 1.2), ("image[0]", "image[1]"))
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
    entry = server.state.pending[0].entries[0]
    assert (entry.cells.unpack() == late + now).all()
    assert entry.rows == 2 * ROWS
    server.all(3, rng, devices=NAMES[:5])
    assert [(w.window, w.missing) for w in server.windows] == [(1, ()), (2, ("d5",)), (3, ())]
    assert sum(e.cells.unpack().sum() for w in server.state.recent for e in w) == 18 * ROWS * FEATURES


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
    assert sum(e.cells.unpack() for p in server.state.pending for e in p.entries).tolist() == sent.tolist()


def test_a_jump_in_numbers_is_bounded():
    rng = np.random.default_rng(0)
    server = Server(NAMES[:2])
    server.all(1, rng, devices=NAMES[:2])
    server.send(window("d0", 2**63, counts(rng)))
    assert len(server.state.members[0].gaps) <= 64
    server.send(window("d1", 2, counts(rng)))
    assert [w.window for w in server.windows] == [1, 2]


def test_scopes_and_their_alerts():
    rng = np.random.default_rng(0)
    server = Server(average_run_length=1e6)
    server.all(1, rng)
    server.all(2, rng, verdicts={"d0": MOVED})
    assert [a.kind for a in server.last.raised] == ["drift.device"]
    assert server.last.raised[0].devices == ("d0",)
    server.all(3, rng)
    assert server.last == Judgement(server.last.windows)  # it stands: nothing is raised again
    server.all(4, rng, verdicts={"d1": MOVED})
    assert server.windows[-1].scope is Scope.COHORT
    assert server.windows[-1].cohort == "site=hall-0"
    assert [a.kind for a in server.last.raised] == ["drift.cohort"]
    assert [a.kind for a in server.last.cleared] == ["drift.device"]
    assert "site=hall-0" in server.last.raised[0].summary
    server.all(5, rng, verdicts={"d2": MOVED})
    assert (server.last.raised, [a.devices for a in server.last.updated]) == ((), [("d0", "d1", "d2")])
    assert server.windows[-1].cohort == ""
    server.all(6, rng, verdicts={"d3": MOVED, "d4": MOVED})
    assert server.windows[-1].scope is Scope.WORLD
    assert [a.kind for a in server.last.raised] == ["drift.world"]
    server.acknowledge()
    assert [a.kind for a in server.last.cleared] == ["drift.world"]
    server.all(7, rng)
    assert server.windows[-1].scope is Scope.QUIET
    assert server.state.standing == ()


def test_the_world_by_evidence_alone():
    """No device alarms by itself, all of them together do."""
    rng = np.random.default_rng(0)
    server = Server()
    for number in range(1, 25):
        server.all(number, rng, shifts=dict.fromkeys(NAMES, 0.25 if number > 4 else 0.0))
    assert server.windows[-1].scope is Scope.WORLD
    assert server.windows[-1].moved == ()
    assert "higher" in server.windows[-1].causes[0]
    assert server.windows[3].scope is Scope.QUIET


def test_a_device_that_moved_and_went_silent_keeps_its_alarm():
    rng = np.random.default_rng(0)
    server = Server(deadline_seconds=HOUR, average_run_length=1e6)
    server.all(1, rng)
    server.all(2, rng, verdicts={"d0": MOVED})
    for number in (3, 4, 5):
        server.all(number, rng, devices=NAMES[1:])
        server.expire(after=HOUR)
    assert server.windows[-1].scope is Scope.DEVICE
    assert server.windows[-1].moved == ("d0",)


def test_absent_devices_do_not_vouch_for_the_rest():
    """All three that report have moved; the three that are offline do not make that a cohort."""
    rng = np.random.default_rng(0)
    server = Server(deadline_seconds=HOUR, average_run_length=1e6)
    server.all(1, rng)
    server.all(2, rng, devices=NAMES[:3], verdicts={"d0": MOVED, "d1": MOVED, "d2": MOVED})
    server.expire(after=HOUR)
    assert server.windows[-1].scope is Scope.WORLD


def test_a_sensor_fault_is_an_alert_until_it_heals_and_no_drift():
    rng = np.random.default_rng(0)
    server = Server()
    server.all(1, rng)
    for number in (2, 3):
        server.all(number, rng, devices=NAMES[:5])
        server.send(window("d5", number, verdict=FAULT, fault="stuck: 12 of 16 features have one value"))
        raised = [alert.summary for alert in server.last.raised]
        assert raised == (["d5: sensor fault: stuck: 12 of 16 features have one value"] if number == 2 else [])
    assert server.windows[-1].faulty == ("d5",)
    assert server.windows[-1].scope is Scope.QUIET
    server.all(4, rng)
    assert [alert.devices for alert in server.last.cleared] == [("d5",)]
    assert server.state.standing == ()


def test_a_fault_in_the_warm_up_is_told_at_once():
    server = Server([])
    server.send(window("d0", 0, verdict=FAULT, fault="missing: pixel 3"))
    assert [alert.kind for alert in server.last.raised] == ["sensor.fault"]
    server.send(window("d0", 0, verdict=FAULT, fault="missing: pixel 3"))
    assert server.last.raised == ()


def test_forgetting_a_broken_device_clears_its_alert():
    server = Server([])
    server.send(window("d0", 0, verdict=FAULT, fault="missing: pixel 3"))
    assert [alert.kind for alert in server.forget("d0").cleared] == ["sensor.fault"]


@pytest.mark.parametrize(
    ("moved", "others", "cohort"),
    [
        (["d0", "d1"], ["d2", "d3", "d4", "d5"], "site=hall-0"),
        (["d0"], ["d1", "d2"], ""),
        (["d0", "d2"], ["d1", "d3", "d4", "d5"], ""),
        (["d0", "d1"], [], ""),  # all cameras moved: that is no cohort
        (["x", "y"], ["d0"], ""),
    ],
)
def test_shared_label(moved, others, cohort):
    assert shared_label(moved, others, LABELS) == cohort


def test_shared_label_needs_two_thirds_of_its_devices():
    labels = {name: {"site": "a"} for name in "uvwxyz"} | {"q": {"site": "b"}}
    assert shared_label("uvwx", "yzq", labels) == "site=a"
    assert shared_label("uvw", "xyzq", labels) == ""


def broken(**changes):
    good = InputRanks("image", 1, 32, [1] * 32, 1.0, 100)
    return DeviceWindow("d0", 1, QUIET, ROWS, ranks=(replace(good, **changes),))


@pytest.mark.parametrize(
    "item",
    [
        broken(cells=16),
        broken(features=2),
        broken(features=0, counts=[]),
        broken(counts=[-1] + [1] * 31),
        broken(counts=[1000] + [0] * 31),
        broken(design_effect=0.5),
        broken(design_effect=float("nan")),
        broken(reference_rows=0),
        replace(broken(), rows=10**6),
        replace(broken(), window=-1),
    ],
)
def test_impossible_numbers_are_refused(item):
    with pytest.raises(InputError, match=r"\[verdict\] device 'd0'"):
        observe(FleetState("main", "v"), item, 0.0, {})


def test_other_streams_are_refused():
    server = Server()
    server.send(window("d0", 1, counts(np.random.default_rng(0))))
    with pytest.raises(InputError, match="sends 1 streams"):
        server.send(replace(broken(), device="d1"))


@pytest.mark.parametrize(
    "change",
    [{"deadline_seconds": 0}, {"forget_after": 0}, {"most_apart": 0}, {"average_run_length": 1}, {"tolerance": 1}],
)
def test_policy_is_checked(change):
    with pytest.raises(InputError, match=r"\[verdict\]"):
        Policy(**change)


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
        before = {member.device: member for member in server.state.members}
        known = before[device].last
        fresh = number > known or number in before[device].gaps or before[device].offset is None
        held = sum(entry.rows for item in server.state.pending for entry in item.entries)
        server.send(window(device, number, cells, verdict, "stuck" if verdict is FAULT else ""), after=HOUR * wait)
        added = ROWS if verdict is not WARMING and (fresh or number == 0) else 0
        judged_now = held + added - sum(entry.rows for item in server.state.pending for entry in item.entries)
        assert judged_now >= 0
        assert (judged_now > 0) == bool(server.last.windows)
        judged += judged_now
        sent[device] = sent.get(device, 0) + added
    assert sum(sent.values()) == judged + sum(e.rows for item in server.state.pending for e in item.entries)
    assert [w.window for w in server.windows] == sorted({w.window for w in server.windows})
