"""Which rows are kept: the budget, the chances that the weights state, and that drifted rows are preferred."""

from __future__ import annotations

import numpy as np

from sanderling import _core
from sanderling.agent.runner.counters import MOST_CONFIDENCES, Confidences, Counters, Progress
from sanderling.agent.runner.samples import UNIFORM_SHARE, KeptRow, Reservoir, Samples
from sanderling.drift import Reference, Sketches


def row(value: float) -> KeptRow:
    return KeptRow({"x": np.array([value], np.float32)}, {}, 1)


SIZE = row(0).size


def test_a_reservoir_keeps_its_budget():
    reservoir = Reservoir(10 * SIZE + 1, np.random.default_rng(0))
    for i in range(100):
        reservoir.offer(row(i), 1.0)
        assert len(reservoir) == min(i + 1, 10)
    assert len(reservoir.take(3 * SIZE)) == 3
    assert len(reservoir) == 7
    none = Reservoir(SIZE - 1, np.random.default_rng(0))
    none.offer(row(0), 1.0)
    assert len(none) == 0


def test_weights_estimate_what_was_offered():
    """The sum of weights is an unbiased estimate of the rows offered, whatever they weigh."""
    estimates, heavy = [], []
    for seed in range(300):
        reservoir = Reservoir(20 * SIZE, np.random.default_rng(seed))
        for i in range(200):
            reservoir.offer(row(i), 9.0 if i < 20 else 1.0)
        taken = reservoir.take(100 * SIZE)
        estimates.append(sum(weight for _, weight in taken))
        heavy.append(sum(float(kept.inputs["x"][0]) < 20 for kept, _ in taken))
    assert abs(np.mean(estimates) / 200 - 1) < 4 * np.std(estimates) / 200 / np.sqrt(300)
    # Drawn one by one without replacement: 20 heavy rows of weight 9 beside 180 of weight 1.
    assert 8 < np.mean(heavy) < 10.5


def test_a_reservoir_that_let_nothing_go_gives_weight_one():
    reservoir = Reservoir(10 * SIZE, np.random.default_rng(0))
    for i in range(5):
        reservoir.offer(row(i), 0.1 + i)
    assert [weight for _, weight in reservoir.take(10 * SIZE)] == [1.0] * 5


def test_a_budget_that_changes_is_kept_from_then_on():
    samples = Samples(0, seed=0)
    rows = {"x": np.arange(500, dtype=np.float32).reshape(-1, 1)}
    samples.offer(rows, {}, window=1)
    assert samples.take(acknowledged_id=0, most_bytes=1 << 20) == []
    samples.resize(100 * SIZE)
    samples.offer(rows, {}, window=2)
    samples.resize(40 * SIZE)
    first = samples.take(acknowledged_id=0, most_bytes=1 << 20)
    assert 20 <= len(first) <= 40
    samples.resize(40 * SIZE)
    assert samples.take(acknowledged_id=0, most_bytes=1 << 20) == first
    samples.resize(0)
    assert samples.take(acknowledged_id=0, most_bytes=1 << 20) == []
    samples.resize(100 * SIZE)
    samples.offer({"x": rows["x"][:5]}, {}, window=3)
    later = samples.take(acknowledged_id=0, most_bytes=1 << 20)
    assert len(later) == 5
    # Nothing was let go since it began anew: the five stand for themselves, whatever went before.
    assert {round(taken.weight * (UNIFORM_SHARE if taken.uniform else 1 - UNIFORM_SHARE), 9) for taken in later} == {
        1.0
    }
    assert min(taken.sample_id for taken in later) > max(taken.sample_id for taken in first)


def draw(seed: int, rows: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((rows, 6)) + shift).astype(np.float32)


def test_rows_unlike_the_reference_are_preferred_and_the_even_share_is_even():
    reference = Reference.fit(draw(0, 4000))
    watch = _core.Watch(reference.watch_spec())
    mixed = np.concatenate([draw(1, 160), draw(2, 40, 3.0)])
    watch.observe_input(0, mixed)
    samples = Samples(2 * 60 * (SIZE + 20), seed=4)
    samples.learn(reference, Sketches(watch.take()))
    stream = np.concatenate([draw(3, 800), draw(4, 200, 3.0)])
    stream = stream[np.random.default_rng(5).permutation(len(stream))]
    samples.offer({"x": stream}, {}, window=2)
    taken = samples.take(acknowledged_id=0, most_bytes=1 << 20)
    drifted = {True: [], False: []}
    for item in taken:
        drifted[item.uniform].append(float(item.row.inputs["x"].mean()) > 1.5)
    assert np.mean(drifted[False]) > 0.8  # of the weighted share; the stream has a fifth
    assert np.mean(drifted[True]) < 0.5
    assert len(drifted[True]) >= 10
    assert all(item.row.window == 2 for item in taken)


def test_confidences_are_bounded_and_numbered():
    confidences = Confidences()
    assert confidences.look(0) == (1, [])
    confidences.add(np.array([0.5, 0.0], np.float32))
    assert confidences.look(0) == (1, [0.5, 0.0])
    assert confidences.look(1) == (2, [0.0])
    assert confidences.look(99) == (3, [])
    confidences.add(np.ones(MOST_CONFIDENCES + 5, np.float32))
    first, values = confidences.look(0)
    assert (first, len(values)) == (8, MOST_CONFIDENCES)


def test_counters():
    counters = Counters()
    assert (counters.look().rows, counters.look().latency_p95_us) == (0, 0.0)
    for latency in range(100):
        counters.answered(2, float(latency))
    counters.failed()
    counts = counters.look()
    assert (counts.rows, counts.requests, counts.errors) == (200, 101, 1)
    assert (counts.latency_p50_us, counts.latency_p95_us) == (49.5, 94.05)
    assert counts.resident_bytes > 1 << 20
    assert counts.cpu_seconds > 0


def test_progress_counts_from_the_last_end():
    progress = Progress(hang_s=1.0)
    assert progress.stuck_s() == 0.0
    with progress:
        assert progress.stuck_s() >= 0.0
        assert progress.running == 1
    assert (progress.stuck_s(), progress.running) == (0.0, 0)
