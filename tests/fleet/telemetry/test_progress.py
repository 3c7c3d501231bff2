"""Which rows were counted: the rule against a plain set, for every order and repetition."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sanderling_fleet.core.telemetry_progress import Progress

FIXED = settings(deadline=None, derandomize=True, database=None)


@FIXED
@given(st.lists(st.integers(1, 30), max_size=60))
def test_it_knows_exactly_what_was_counted(sequences):
    progress, seen = Progress(), set()
    for sequence in sequences:
        assert progress.has(sequence) == (sequence in seen)
        if sequence not in seen:
            progress = progress.counted(sequence)
            seen.add(sequence)
        through = next(n for n in range(32) if n + 1 not in seen)
        assert progress.through == through
        assert [n for first, last in progress.ahead for n in range(first, last + 1)] == sorted(
            n for n in seen if n > through
        )
        assert all(first > before + 1 for (_, before), (first, _) in pairwise(progress.ahead))


def test_a_gap_that_is_given_up_counts_as_taken():
    progress = Progress(2, ((5, 6), (9, 9))).without_gap()
    assert progress == Progress(6, ((9, 9),))
    assert progress.has(3)
    assert not progress.has(7)
    assert Progress(7).without_gap() == Progress(7)


def test_a_device_that_leaves_endless_gaps_takes_no_endless_room():
    progress = Progress()
    for sequence in range(2, 6000, 2):
        progress = progress.counted(sequence)
    assert len(progress.ahead) <= 1000
    assert progress.has(2)
    assert progress.has(5998)
