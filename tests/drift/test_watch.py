"""What a session holds: `_core.Watch`, and `Sketches` around what it gives."""

from __future__ import annotations

import threading
from contextlib import suppress

import numpy as np
import pytest

from sanderling import _core
from sanderling.drift import Reference, Sketches
from sanderling.errors import InputError


def draw(seed: int, rows: int, shape: tuple[int, ...] = (3, 4)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, *shape)).astype(np.float32)


@pytest.fixture
def reference() -> Reference:
    return Reference.fit(draw(0, 1000), draw(1, 1000, (5,)))


def test_pieces_of_any_size_give_the_same_counts(reference: Reference) -> None:
    rows, scores = draw(2, 100), draw(3, 100, (5,))
    whole, pieces = _core.Watch(reference.watch_spec()), _core.Watch(reference.watch_spec())
    whole.observe_input(0, rows)
    whole.observe_output(0, scores)
    for size in (1, 7, 30, 62):
        begin = {1: 0, 7: 1, 30: 8, 62: 38}[size]
        pieces.observe_input(0, np.ascontiguousarray(rows[begin : begin + size]))
        pieces.observe_output(0, np.ascontiguousarray(scores[begin : begin + size]))
    a, b = Sketches(whole.take()), Sketches(pieces.take())
    assert a.to_bytes() == b.to_bytes()
    assert a.rows == b.rows == 100
    item = a.inputs[0]
    assert item is not None
    edges = [own[~np.isnan(own)] for own in reference.inputs[0].edges]
    for i, own in enumerate(edges):
        expected = np.bincount(np.searchsorted(own, rows.reshape(100, -1)[:, i]), minlength=32)
        assert (item.bins.counts[i] == expected).all()
    assert a.outputs[0] is not None
    assert (a.outputs[0].classes.counts == np.bincount(scores.argmax(axis=1), minlength=5)).all()


def test_take_starts_anew_and_look_does_not(reference: Reference) -> None:
    watch = _core.Watch(reference.watch_spec())
    watch.observe_input(0, draw(2, 10))
    assert [watch.look().rows, watch.look().rows, watch.take().rows, watch.take().rows] == [10, 10, 10, 0]


def test_rows_are_kept_only_when_asked_for_and_only_so_many(reference: Reference) -> None:
    rows, scores = draw(2, 30), draw(3, 30, (5,))
    watch = _core.Watch(reference.watch_spec(keep_rows=20))
    for _ in range(2):
        for part in (slice(0, 15), slice(15, 30)):
            watch.observe_input(0, np.ascontiguousarray(rows[part]))
            watch.observe_output(0, np.ascontiguousarray(scores[part]))
        sketches = Sketches(watch.take())
        item, output = sketches.inputs[0], sketches.outputs[0]
        assert item is not None
        assert output is not None
        assert (item.kept == rows[:20].reshape(20, -1)).all()
        assert (output.kept_classes == scores[:20].argmax(axis=1)).all()
        assert output.kept_confidences.shape == (20,)
    watch.restart(reference.watch_spec())
    watch.observe_input(0, rows)
    assert Sketches(watch.take()).inputs[0].kept.shape == (0, 12)  # type: ignore[union-attr]


def test_what_is_not_watched_is_ignored() -> None:
    reference = Reference.fit(draw(0, 100), draw(1, 100, (1,)))  # one score a row is no class
    watch = _core.Watch(reference.watch_spec())
    watch.observe_input(1, draw(0, 3))
    watch.observe_output(0, draw(0, 3, (1,)))
    sketches = Sketches(watch.take())
    assert (sketches.rows, sketches.outputs) == (0, (None,))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, 11), np.float32), "rows of 11 elements, the reference has 12"),
        (np.zeros((2, 12)), "float64"),
        (np.zeros((), np.float32), "batch axis"),
    ],
)
def test_rows_that_do_not_fit(reference: Reference, rows: np.ndarray, message: str) -> None:
    watch = _core.Watch(reference.watch_spec())
    with pytest.raises(InputError, match=message):
        watch.observe_input(0, rows)
    assert watch.take().rows == 0


def test_scores_that_do_not_fit(reference: Reference) -> None:
    with pytest.raises(InputError, match="4 scores a row, the reference has 5 classes"):
        _core.Watch(reference.watch_spec()).observe_output(0, np.zeros((2, 4), np.float32))


def test_specs_that_contradict_themselves(reference: Reference) -> None:
    limits = _core.RowLimits(np.zeros(3, np.float32), np.ones(3, np.float32))
    edges = _core.FrozenEdges(bytes(16), [[0.0]] * 4)
    with pytest.raises(InputError, match="rows of 3 elements, limits of 3 and bins of 4"):
        _core.Watch(_core.WatchSpec([_core.InputWatch(3, limits, edges)], []))
    for outputs, keep in (([0], 0), ([], -1)):
        with pytest.raises(InputError):
            _core.Watch(_core.WatchSpec([], outputs, keep))
    watch = _core.Watch(reference.watch_spec())
    watch.observe_input(0, draw(0, 5))
    with pytest.raises(InputError):
        watch.restart(_core.WatchSpec([], [], -1))
    assert watch.take().rows == 5  # a refused restart changes nothing


def test_no_row_is_lost_or_counted_twice_between_threads(reference: Reference) -> None:
    watch = _core.Watch(reference.watch_spec())
    rows = draw(0, 10)
    taken: list[Sketches] = []

    def observe() -> None:
        for _ in range(200):
            watch.observe_input(0, rows)

    threads = [threading.Thread(target=observe) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken.append(Sketches(watch.take()))
    taken.append(Sketches(watch.take()))
    assert sum(sketches.rows for sketches in taken) == 6000
    total = taken[0]
    for sketches in taken[1:]:
        total = total.merge(sketches)
    single = _core.Watch(reference.watch_spec())
    single.observe_input(0, rows)
    once = Sketches(single.take()).inputs[0]
    assert once is not None
    assert total.inputs[0] is not None
    assert (total.inputs[0].bins.counts == 600 * once.bins.counts).all()


def test_sketches_merge_and_travel(reference: Reference) -> None:
    watch = _core.Watch(reference.watch_spec(keep_rows=5))
    parts = []
    for seed in range(3):
        watch.observe_input(0, draw(seed, 20))
        watch.observe_output(0, draw(seed, 20, (5,)))
        parts.append(Sketches(watch.take()))
    merged = parts[0].merge(parts[1]).merge(parts[2])
    for seed in range(3):
        watch.observe_input(0, draw(seed, 20))
        watch.observe_output(0, draw(seed, 20, (5,)))
    assert merged.to_bytes() == Sketches(watch.take()).to_bytes()
    again = Sketches.from_bytes(merged.to_bytes())
    assert again.rows == 60
    assert again.reference_id == reference.id
    assert again.inputs[0] is not None
    assert merged.inputs[0] is not None
    assert again.inputs[0].bins == merged.inputs[0].bins
    assert again.inputs[0].faults is None  # stays on the device
    assert again.inputs[0].kept.shape == (0, 12)
    assert again.merge(merged).rows == 120


def test_sketches_of_other_models_do_not_add(reference: Reference) -> None:
    ours = Sketches(_core.Watch(reference.watch_spec()).take())
    other = Sketches(_core.Watch(Reference.fit(draw(5, 50)).watch_spec()).take())
    with pytest.raises(InputError, match="Merge only sketches of one model"):
        ours.merge(other)
    moved = Sketches(_core.Watch(Reference.fit(draw(5, 50), draw(1, 50, (5,))).watch_spec()).take())
    with pytest.raises(InputError, match="do not add"):
        ours.merge(moved)


def test_damaged_sketches_are_refused(reference: Reference) -> None:
    watch = _core.Watch(reference.watch_spec())
    watch.observe_input(0, draw(0, 5))
    data = Sketches(watch.take()).to_bytes()
    rng = np.random.default_rng(0)
    for at in range(0, len(data), 7):
        broken = bytearray(data)
        broken[at] ^= int(rng.integers(1, 256))
        for bad in (bytes(broken), data[:at]):
            with suppress(InputError):
                Sketches.from_bytes(bad)
    for bad in (b"", b"PK", b"not a zip"):
        with pytest.raises(InputError, match="damaged"):
            Sketches.from_bytes(bad)
