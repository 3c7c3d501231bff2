import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanderling.errors import InputError
from sanderling_fleet.comparison import Arm, Reading
from sanderling_fleet.gates import COUNTED, Comparison, GateDecision, HardLimit, Metric, Observations, judge

PASS, BREACH, UNDECIDED = GateDecision.PASS, GateDecision.BREACH, GateDecision.UNDECIDED


def seen(attempted, hit, outstanding, metric=Metric.FAILURES, reported=None):
    """All devices that attempted have reported, if not told otherwise."""
    names = [f"d{i}" for i in range(attempted)]
    heard = tuple(Reading(name, Arm.CANDIDATE, 0.0) for name in names[:reported])
    return Observations(frozenset(names), {metric: frozenset(names[:hit])}, outstanding, {metric: heard})


@pytest.mark.parametrize(
    ("attempted", "hit", "outstanding", "decision"),
    [
        (0, 0, 0, UNDECIDED),
        (0, 0, 5, UNDECIDED),
        (1, 0, 1, UNDECIDED),
        (1, 1, 1, UNDECIDED),  # half of one: wait for the second
        (1, 1, 0, BREACH),  # there is no second
        (1, 0, 0, PASS),
        (2, 1, 0, BREACH),
        (2, 1, 8, BREACH),
        (3, 1, 0, PASS),
        (3, 1, 2, UNDECIDED),
        (3, 2, 2, BREACH),
        (100, 2, 900, BREACH),
        (100, 1, 900, UNDECIDED),
        (100, 1, 0, PASS),
    ],
)
@pytest.mark.parametrize("metric", sorted(COUNTED))
def test_two_failures_or_half_of_those_that_attempted(metric, attempted, hit, outstanding, decision):
    found = judge(HardLimit(metric), seen(attempted, hit, outstanding, metric))
    assert found.decision is decision
    assert str(metric) in found.reason


@pytest.mark.parametrize("metric", [Metric.CRASHES, Metric.DRIFT])
@pytest.mark.parametrize(
    ("attempted", "hit", "reported", "decision"),
    [
        (4, 0, 0, UNDECIDED),  # telemetry says nothing: no data never passes
        (4, 0, 1, UNDECIDED),
        (4, 0, 2, PASS),
        (5, 0, 2, UNDECIDED),
        (5, 1, 3, PASS),
        (1, 0, 0, UNDECIDED),
        (1, 0, 1, PASS),
        (4, 2, 0, BREACH),  # told by results, or by windows before
    ],
)
def test_what_telemetry_tells_passes_once_half_of_the_devices_have_sent_some(
    metric, attempted, hit, reported, decision
):
    found = judge(HardLimit(metric), seen(attempted, hit, 0, metric, reported))
    assert found.decision is decision
    if decision is UNDECIDED:
        assert f"{reported} of {attempted} devices that have the version have reported" in found.reason


def test_a_control_group_does_not_report_for_the_candidates():
    controls = tuple(Reading(f"c{i}", Arm.CONTROL, 0.0) for i in range(20))
    found = judge(HardLimit(Metric.DRIFT), Observations(frozenset("ab"), {}, 0, {Metric.DRIFT: controls}))
    assert found.decision is UNDECIDED


def test_devices_on_which_the_version_failed_are_not_waited_for():
    """Three of four reverted it: the one that has it has reported."""
    counted = {Metric.FAILURES: frozenset("abc")}
    rows = {Metric.DRIFT: (Reading("d", Arm.CANDIDATE, 0.0),)}
    assert judge(HardLimit(Metric.DRIFT), Observations(frozenset("abcd"), counted, 0, rows)).decision is PASS
    rows = {Metric.DRIFT: (Reading("a", Arm.CANDIDATE, 0.0),)}
    assert judge(HardLimit(Metric.DRIFT), Observations(frozenset("abcd"), counted, 0, rows)).decision is UNDECIDED


def test_share_is_of_those_that_attempted_not_of_the_group():
    """HawkBit divides by the group: 3 of 6 that attempted would be 3 % of 100."""
    found = judge(HardLimit(count=50, share=0.5), seen(6, 3, 94))
    assert found.decision is BREACH
    assert found.estimate == 0.5
    assert (found.lower, found.upper) == (0.03, 0.97)
    assert found.reason == "failures: 3 of 6 devices that attempted, 94 outstanding; the limit is 50% of them"


def test_devices_that_did_not_attempt_do_not_count():
    found = judge(HardLimit(), Observations(frozenset("ab"), {Metric.FAILURES: frozenset("xyz")}, 0))
    assert found.decision is PASS


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(1, 5), st.floats(0.01, 1))
def test_more_failures_never_help(attempted, hit, outstanding, count, share):
    gate, hit = HardLimit(count=count, share=share), min(hit, attempted)
    order = [PASS, UNDECIDED, BREACH]
    found = judge(gate, seen(attempted, hit, outstanding))
    assert found.lower <= found.upper
    if hit < attempted:
        assert order.index(judge(gate, seen(attempted, hit + 1, outstanding)).decision) >= order.index(found.decision)


def rows(candidate, control, devices=12, windows=4):
    pairs = [(Arm.CANDIDATE, candidate), (Arm.CONTROL, control)]
    return tuple(
        Reading(f"{arm}{i}", arm, value * (1 + i / 1000))
        for _ in range(windows)
        for i in range(devices)
        for arm, value in pairs
    )


@pytest.mark.parametrize(
    ("metric", "margin", "candidate", "control", "decision"),
    [
        (Metric.LATENCY_P95, 1.05, 1150, 1000, BREACH),
        (Metric.LATENCY_P95, 1.2, 1150, 1000, PASS),
        (Metric.LATENCY_P95, 1.05, 900, 1000, PASS),
        (Metric.CONFIDENCE, 0.05, 0.7, 0.8, BREACH),
        (Metric.CONFIDENCE, 0.05, 0.9, 0.8, PASS),
        (Metric.GOLDEN_SCORE, 0.01, 0.9, 1.0, BREACH),
        (Metric.OUTCOMES, 0.02, 0.6, 0.9, BREACH),
        (Metric.OUTCOMES, 0.02, 0.9, 0.9, PASS),
        (Metric.CRASHES, 0.0, 1.0, 0.0, BREACH),
        (Metric.DRIFT, 0.1, 1.0, 0.0, BREACH),
        (Metric.DRIFT, 0.1, 0.0, 0.0, PASS),
    ],
)
def test_comparison_knows_which_way_is_worse(metric, margin, candidate, control, decision):
    found = judge(Comparison(metric, margin), Observations(readings={metric: rows(candidate, control)}))
    assert found.decision is decision
    assert min(found.candidates, found.controls) >= 10


def test_comparison_without_data_or_devices():
    gate = Comparison(Metric.CONFIDENCE, 0.05)
    assert judge(gate, Observations()).reason == "confidence: no data"
    few = judge(gate, Observations(readings={Metric.CONFIDENCE: rows(0.1, 0.9, devices=4, windows=30)}))
    assert few.decision is UNDECIDED
    assert few.reason == "confidence: too few devices for a comparison: 4 of 10 (4 candidates, 4 controls)"
    assert (few.estimate, few.lower, few.upper) == (0, 0, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: HardLimit(Metric.CONFIDENCE),
        lambda: HardLimit(count=0),
        lambda: HardLimit(share=0.0),
        lambda: HardLimit(share=1.1),
        lambda: Comparison(Metric.FAILURES, 0.1),
        lambda: Comparison(Metric.LATENCY_P95, 0.9),
        lambda: Comparison(Metric.CONFIDENCE, -0.1),
        lambda: Comparison(Metric.CONFIDENCE, float("nan")),
        lambda: Comparison(Metric.CONFIDENCE, 0.1, 0.0),
    ],
)
def test_settings_are_checked(make):
    with pytest.raises(InputError, match=r"\[gate\]"):
        make()
