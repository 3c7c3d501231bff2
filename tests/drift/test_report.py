"""The report: distances against NumPy and SciPy, and what is printed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from sanderling import _core
from sanderling.drift import Reference, Report, Sketches, report
from sanderling.drift._report import distances
from sanderling.errors import InputError

COUNTS = st.lists(st.integers(0, 40), min_size=8, max_size=8).filter(any)


def make(reference: Reference, rows: np.ndarray, scores: np.ndarray | None = None) -> Report:
    watch = _core.Watch(reference.watch_spec())
    watch.observe_input(0, np.ascontiguousarray(rows, np.float32))
    if scores is not None:
        watch.observe_output(0, scores)
    return report(reference, Sketches(watch.take()))


def draw(seed: int, rows: int, features: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, features)).astype(np.float32)


@given(COUNTS, COUNTS)
def test_distances(expected: list[int], seen: list[int]) -> None:
    psi, js, ks = distances(np.array(expected), np.array(seen))
    p, q = np.array(expected) / sum(expected), np.array(seen) / sum(seen)
    assert js == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    assert ks == pytest.approx(np.abs(np.cumsum(p) - np.cumsum(q)).max())
    used = (p > 0) | (q > 0)
    a, b = (np.array(x)[used] + 0.5 for x in (expected, seen))
    a, b = a / a.sum(), b / b.sum()
    assert psi == pytest.approx(np.sum((b - a) * np.log(b / a)))


def test_nothing_seen_is_no_distance() -> None:
    assert distances(np.array([3, 4]), np.array([0, 0])) == (0, 0, 0)


def test_what_moved_comes_first() -> None:
    reference = Reference.fit(draw(0, 2000, 6), draw(1, 2000, 3))
    rows, scores = draw(2, 500, 6), draw(3, 500, 3)
    rows[:, 4] += 1
    rows[:100, 2] = np.nan
    result = make(reference, rows, scores)
    first = result.lines[0]
    assert (first.name, first.kind, first.change) == ("input[4]", "feature", "higher")
    assert first.log_e > 50
    assert first.psi > 0.5
    assert first.ks == pytest.approx(0.383, abs=0.06)  # 2 Phi(1/2) - 1
    lines = {line.name: line for line in result.lines}
    assert len(lines) == 8
    assert lines["input[2]"].missing == 0.2
    assert lines["output classes"].ks is None
    assert lines["output confidence"].kind == "confidence"
    assert all(line.log_e < 0 for name, line in lines.items() if name not in ("input[4]",))
    assert [fault.kind for fault in result.faults] == ["missing"]


def test_it_prints_and_it_is_json() -> None:
    normal = draw(0, 1000, 3)
    normal[:, 1] = 5
    rows = draw(1, 200, 3) + np.float32(2)
    result = make(Reference.fit(normal), rows)
    text = result.table()
    assert text.splitlines()[0].split()[:4] == ["feature", "psi", "js", "ks"]
    assert "left constant" in text
    assert "and 2 more" in result.table(most=1)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["rows"] == 200
    assert {line["kind"] for line in plain["lines"]} == {"feature", "constant"}
    assert plain["lines"][-1]["log_e"] is None


def test_sketches_that_travelled_give_the_same_lines() -> None:
    reference = Reference.fit(draw(0, 1000, 3), draw(1, 1000, 4))
    watch = _core.Watch(reference.watch_spec())
    watch.observe_input(0, draw(2, 300, 3))
    watch.observe_output(0, draw(3, 300, 4))
    sketches = Sketches(watch.take())
    assert report(reference, Sketches.from_bytes(sketches.to_bytes())) == report(reference, sketches)


def test_projected_inputs_have_a_line_for_all_their_values() -> None:
    result = make(Reference.fit(draw(0, 300, 5000)), draw(1, 100, 5000) * 1.5)
    assert [line.kind for line in result.lines].count("values") == 1
    assert len(result.lines) == 17


def test_a_reference_of_something_else_is_refused() -> None:
    watch = _core.Watch(Reference.fit(draw(0, 100, 3)).watch_spec())
    with pytest.raises(InputError, match="reference"):
        report(Reference.fit(draw(1, 100, 3)), Sketches(watch.take()))
