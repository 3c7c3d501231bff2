"""What the fleet's verdict tells people: scopes, cohorts, alerts while they stand; and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fleet.rules.windows import (
    FAULT,
    FEATURES,
    HOUR,
    LABELS,
    MOVED,
    NAMES,
    QUIET,
    ROWS,
    Server,
    counts,
    window,
)

from sanderling.drift import Scope
from sanderling.errors import InputError
from sanderling_fleet.verdict import (
    DeviceWindow,
    FleetState,
    InputRanks,
    Judgement,
    Policy,
    observe,
    shared_label,
)


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


@pytest.mark.parametrize("behind", [0, 1, 2])
def test_a_faults_first_rows_are_no_drift_however_slow_the_device(behind):
    """The others were judged without it between its alarm and its fault."""
    rng = np.random.default_rng(0)
    server = Server(average_run_length=1e6)
    server.all(1, rng)
    server.all(2, rng, verdicts={"d0": MOVED})
    for number in range(3, 3 + behind):
        server.all(number, rng, devices=NAMES[1:])
        server.expire(3 * HOUR)
        assert server.windows[-1].moved == ("d0",)
    server.send(window("d0", 3, verdict=FAULT, fault="stuck"))
    server.all(3 + behind, rng, devices=NAMES[1:])
    server.expire(3 * HOUR)
    assert (server.windows[-1].faulty, server.windows[-1].moved) == (("d0",), ())
    assert [alert.kind for alert in server.state.standing] == ["sensor.fault"]


def test_a_device_that_moved_and_breaks_later_has_moved():
    rng = np.random.default_rng(0)
    server = Server(average_run_length=1e6)
    server.all(1, rng)
    server.all(2, rng, verdicts={"d0": MOVED})
    server.all(3, rng)
    server.send(window("d0", 4, verdict=FAULT, fault="stuck"))
    server.all(4, rng, devices=NAMES[1:])
    assert (server.windows[-1].faulty, server.windows[-1].moved) == (("d0",), ("d0",))


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


def test_one_device_that_claims_a_huge_design_effect_does_not_blind_the_fleet():
    """Rows that are all the same have a design effect of their number, none has more: the others are heard, later."""
    rng = np.random.default_rng(0)
    server = Server(restart=False)
    for number in range(1, 41):
        server.all(number, rng, shifts=dict.fromkeys(NAMES, 0.5), devices=NAMES[:5])
        cells = counts(rng, 0.5)
        ranks = InputRanks("image", FEATURES, 32, cells.ravel().tolist(), [3e38] * FEATURES * 24, 2000)
        server.send(DeviceWindow("d5", number, QUIET, ROWS, ranks=(ranks,)))
    assert server.windows[-1].scope is Scope.WORLD


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


def test_an_absent_device_that_moved_is_no_evidence_against_the_rest():
    """When another device moves, the rest is looked at anew by the last windows: without both."""
    rng = np.random.default_rng(0)
    server = Server(deadline_seconds=HOUR)
    for number in range(1, 8):
        server.all(number, rng, shifts={"d0": 1.0}, verdicts={"d0": MOVED})
    server.all(8, rng, devices=NAMES[1:], verdicts={"d1": MOVED})
    server.expire(after=HOUR)
    assert server.windows[-1].scope is Scope.COHORT
    assert server.windows[-1].moved == ("d0", "d1")


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


@pytest.mark.parametrize("fault", ["", "  ", "\t\n"])
def test_a_fault_without_a_word_is_one_all_the_same(fault):
    server = Server([])
    server.send(window("d0", 1, verdict=FAULT, fault=fault))
    assert [alert.summary for alert in server.last.raised] == ["d0: sensor fault: a sensor fault without a name"]


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
    good = InputRanks("image", 1, 32, [1] * 32, [1.0] * 24, 100)
    return DeviceWindow("d0", 1, QUIET, ROWS, ranks=(replace(good, **changes),))


@pytest.mark.parametrize(
    "item",
    [
        broken(cells=16),
        broken(features=2),
        broken(features=0, counts=[]),
        broken(counts=[-1] + [1] * 31),
        broken(counts=[1000] + [0] * 31),
        broken(design_effects=[1.0] * 23 + [0.5]),
        broken(design_effects=[float("nan")] * 24),
        broken(design_effects=[1.0]),
        broken(reference_rows=0),
        broken(reference_rows=2**63),
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
