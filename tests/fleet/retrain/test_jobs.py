"""The job's states by table: every event in every state, every deadline, and a trip through JSON after each step."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanderling.errors import InputError
from sanderling_fleet.retrain import events as e
from sanderling_fleet.retrain.gate import Comparison
from sanderling_fleet.retrain.job import TERMINAL, JobState, Plan, from_body, to_body
from sanderling_fleet.retrain.jobs import alert_of, opened, step

PLAN = Plan(most_samples=20, least_labels=10, wanted_labels=15, collect_seconds=100, label_seconds=200)
PASS = Comparison("holdout", 300, 0.9, 0.95, 0.01, 0.08, True, "better")
FAIL = Comparison("drifted", 40, 0.9, 0.8, -0.2, 0.0, False, "-10.0 points")
JUDGED = e.Judged((PASS,), "digits-2", "ab" * 32, "cd" * 32)
WAY = [
    (JobState.COLLECTING, e.SamplesArrived(20, 2000)),
    (JobState.AWAITING_LABELS, e.LabelsArrived(15, 1.5)),
    (JobState.TRAINING, e.Trained("12" * 32, "done")),
    (JobState.GATING, JUDGED),
    (JobState.DRAFT, e.Published("auto/digits")),
]
EVENTS = [
    e.SamplesArrived(1, 10),
    e.SamplesFiled("ef" * 32),
    e.LabelsArrived(3, 0.5),
    e.WorkBegan(),
    e.WorkMoved(0.5, "half"),
    e.WorkFailed("killed", "log", True),
    e.Trained("34" * 32, "log"),
    JUDGED,
    e.Published("targets"),
    e.Rejected("ada", "not now"),
    e.Cancelled("the version is gone"),
]
MORE = [*EVENTS, e.TimePassed(), e.SamplesArrived(20, 2000), e.LabelsArrived(15, 1.0)]


def job_in(state):
    job = opened("job-1", "main", "digits-1", "world moved", PLAN, 1000.0)
    for passed, event in WAY:
        if job.state == state:
            break
        assert job.state == passed
        job = step(job, event, 1000.0)
    if state in (JobState.REFUSED, JobState.FAILED, JobState.CANCELLED):
        event = e.Rejected("ada", "no") if state == JobState.REFUSED else e.Cancelled("gone")
        job = job_in(JobState.DRAFT)
        job = dataclasses.replace(step(job, event, 1000.0), state=state)
    assert job.state == state
    return job


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_in_every_state(state, event):
    job = job_in(state)
    if state in e.ALLOWED[type(event)]:
        after = step(job, event, 1001.0)
        assert from_body(json.loads(json.dumps(to_body(after)))) == after
        assert after.open is (after.ended_at == 0.0) is (after.deadline_at > 0.0)
    else:
        with pytest.raises(InputError, match=f"is {state}"):
            step(job, event, 1001.0)


def test_the_whole_way():
    job = job_in(JobState.PUBLISHED)
    assert (job.samples, job.sample_bytes, job.labels, job.label_cost) == (20, 2000, 15, 1.5)
    assert (job.draft_version, job.reason, job.open) == ("digits-2", "signed by the role auto/digits", False)


@pytest.mark.parametrize(
    ("state", "change", "after", "reason"),
    [
        (JobState.COLLECTING, {"samples": 9}, JobState.FAILED, "9 samples came in time, 10 are needed"),
        (JobState.COLLECTING, {"samples": 10}, JobState.AWAITING_LABELS, "waits for labels: 0 of 10"),
        (JobState.AWAITING_LABELS, {"labels": 9}, JobState.FAILED, "own answers are never taken for labels"),
        (JobState.AWAITING_LABELS, {"labels": 10}, JobState.TRAINING, "trains on 10 labels"),
        (JobState.TRAINING, {}, JobState.FAILED, "training did not end in time"),
        (JobState.GATING, {}, JobState.FAILED, "gating did not end in time"),
        (JobState.DRAFT, {}, JobState.REFUSED, "digits-2 was not signed in time"),
    ],
)
def test_every_open_state_ends_at_its_deadline(state, change, after, reason):
    job = dataclasses.replace(job_in(state), **change)
    assert step(job, e.TimePassed(), job.deadline_at - 0.1) == job
    ended = step(job, e.TimePassed(), job.deadline_at)
    assert ended.state == after
    assert reason in ended.reason


def test_labels_that_are_too_few_wait_and_say_so():
    job = step(job_in(JobState.AWAITING_LABELS), e.LabelsArrived(12, 1.0), 1001.0)
    assert (job.state, job.reason) == (JobState.AWAITING_LABELS, "waits for labels: 12 of 15")
    assert alert_of(job).kind == "retrain.labels"


def test_work_is_begun_again_three_times_and_no_more():
    job = job_in(JobState.TRAINING)
    for attempt in (1, 2):
        job = step(job, e.WorkBegan(), 1001.0)
        job = step(job, e.WorkFailed("killed by signal 9", "", True), 1001.0)
        assert (job.state, job.attempt) == (JobState.TRAINING, attempt)
    job = step(job, e.WorkBegan(), 1001.0)
    assert step(job, e.WorkFailed("killed by signal 9", "", True), 1001.0).state == JobState.FAILED
    # A server that dies each time never tells how it ended: the attempts count all the same.
    assert step(job, e.WorkBegan(), 1001.0).state == JobState.FAILED
    assert step(job_in(JobState.TRAINING), e.WorkFailed("no such entry point", "", False), 1.0).state == JobState.FAILED


def test_the_gate_refuses_with_its_reason():
    job = step(job_in(JobState.GATING), e.Judged((PASS, FAIL)), 1001.0)
    assert (job.state, job.reason, job.draft_version) == (JobState.REFUSED, "drifted: -10.0 points", "")
    assert step(job_in(JobState.GATING), e.Judged(()), 1001.0).state == JobState.REFUSED
    with pytest.raises(InputError, match="has no draft"):
        step(job_in(JobState.GATING), e.Judged((PASS,)), 1001.0)


def test_progress_only_grows_and_is_a_number():
    job = step(job_in(JobState.TRAINING), e.WorkBegan(), 1001.0)
    for said, shown in ((0.4, 0.4), (0.2, 0.4), (float("nan"), 0.4), (float("inf"), 1.0)):
        job = step(job, e.WorkMoved(said, "x" * 9000), 1001.0)
        assert (job.progress, len(job.log_tail)) == (shown, 4000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"least_labels": 0},
        {"wanted_labels": 9},
        {"most_samples": 14},
        {"label_seconds": 0},
        {"device_budget_bytes": 1 << 32},
    ],
)
def test_plans_that_cannot_be(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        dataclasses.replace(PLAN, **wrong)


@given(st.lists(st.tuples(st.sampled_from(MORE), st.floats(0, 1e6)), max_size=30))
def test_any_order_of_events(sequence):
    job, now = opened("job-1", "main", "digits-1", "world moved", PLAN, 0.0), 0.0
    for event, seconds in sequence:
        now += seconds
        before = job
        try:
            job = step(job, event, now)
        except InputError:
            assert before == job
            continue
        assert from_body(to_body(job)) == job
        if before.state in TERMINAL:
            assert job == before
        if job.state in (JobState.TRAINING, JobState.GATING, JobState.DRAFT):
            assert job.labels >= PLAN.least_labels
        if job.state == JobState.DRAFT:
            assert job.gate
            assert all(item.passed for item in job.gate)


def test_another_schema_is_refused():
    with pytest.raises(InputError, match="schema 2"):
        from_body({**to_body(job_in(JobState.DRAFT)), "schema": 2})
