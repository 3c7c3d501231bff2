"""Code, class, confidence and value histograms, compared with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sanderling import _core
from sanderling.errors import InputError

ID = b"reference number"
FLOATS = hnp.arrays(np.float32, st.integers(0, 300), elements=st.floats(-4, 4, width=32) | st.just(np.float32("nan")))


def filled(kind: str, values: np.ndarray):
    sketch = {
        "code": lambda: _core.CodeHistogram(),
        "class": lambda: _core.ClassHistogram(7),
        "confidence": lambda: _core.ConfidenceHistogram(),
        "value": lambda: _core.ValueHistogram(ID, -2.5, 3.0),
    }[kind]()
    sketch.update(values)
    return sketch


def draw(kind: str, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return {
        "code": lambda: rng.integers(0, 256, n, dtype=np.uint8),
        "class": lambda: rng.integers(-1, 7, n),
        "confidence": lambda: rng.random(n, dtype=np.float32),
        "value": lambda: rng.standard_normal(n).astype(np.float32),
    }[kind]()


KINDS = ("code", "class", "confidence", "value")


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 2047, 2048, 2049, 100_003])
def test_codes_equal_bincount(n: int) -> None:
    codes = draw("code", n)
    histogram = filled("code", codes)
    assert (histogram.counts == np.bincount(codes, minlength=256)).all()
    assert histogram.total == n


def test_codes_of_one_value_and_their_saturation() -> None:
    histogram = filled("code", np.array([0] * 3 + [255] * 2 + [128] + [127] * 4, np.uint8))
    assert histogram.saturation_share() == 0.5
    assert histogram.saturation_share(is_signed=True) == 0.5
    assert _core.CodeHistogram().saturation_share() == 0.0


@given(hnp.arrays(np.int64, st.integers(0, 200), elements=st.integers(-1, 6)))
def test_classes_equal_bincount(classes: np.ndarray) -> None:
    histogram = filled("class", classes)
    assert (histogram.counts == np.bincount(classes[classes >= 0], minlength=7)).all()
    assert histogram.missing == (classes == -1).sum()
    assert histogram.total == classes.size


def test_a_class_that_does_not_exist() -> None:
    for bad in (7, -2):
        with pytest.raises(InputError, match=f"class {bad} of 7"):
            filled("class", np.array([bad]))
    with pytest.raises(InputError, match="0 classes"):
        _core.ClassHistogram(0)


@given(hnp.arrays(np.float32, st.integers(0, 200), elements=st.floats(0, 1, width=32) | st.just(np.float32("nan"))))
def test_confidences_equal_histogram(values: np.ndarray) -> None:
    histogram = filled("confidence", values)
    assert (histogram.counts == np.histogram(values[~np.isnan(values)], 32, (0, 1))[0]).all()
    assert histogram.missing == np.isnan(values).sum()


def test_confidences_outside_go_to_the_ends() -> None:
    histogram = filled("confidence", np.array([-1, -np.inf, 1, 1.5, np.inf, np.nan], np.float32))
    assert (histogram.counts[0], histogram.counts[31], histogram.missing) == (2, 3, 1)


@given(FLOATS)
def test_values_equal_histogram(values: np.ndarray) -> None:
    histogram = filled("value", values)
    # By the formula in float64, since np.histogram corrects its bins by comparing with rounded edges.
    place = (values[~np.isnan(values)].astype(np.float64) + 2.5) * (256 / 5.5)
    expected = np.bincount(np.clip(place, 0, 255).astype(int), minlength=256)
    assert (histogram.counts == expected).all()
    assert histogram.missing == np.isnan(values).sum()


def test_values_at_infinity_and_bad_ranges() -> None:
    histogram = filled("value", np.array([np.inf, -np.inf, 3e38], np.float32))
    assert (histogram.counts[0], histogram.counts[255]) == (1, 2)
    for low, high in ((1, 1), (2, 1), (np.nan, 1), (0, np.inf)):
        with pytest.raises(InputError, match="range"):
            _core.ValueHistogram(ID, low, high)


@pytest.mark.parametrize("kind", KINDS)
@given(cuts=st.lists(st.integers(0, 500), max_size=4), seed=st.integers(0, 5))
def test_merged_pieces_equal_the_whole(kind: str, cuts: list[int], seed: int) -> None:
    values = draw(kind, 500, seed)
    merged = filled(kind, values[:0])
    for piece in np.split(values, sorted(cuts)):
        merged.merge(filled(kind, piece))
    assert merged == filled(kind, values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_its_own(kind: str) -> None:
    original = filled(kind, draw(kind, 50))
    copy = original.copy()
    assert copy == original
    copy.merge(original)
    assert copy != original
    assert original != "something else"


def test_what_does_not_add() -> None:
    with pytest.raises(InputError, match="7 classes and 8"):
        _core.ClassHistogram(7).merge(_core.ClassHistogram(8))
    for other in (_core.ValueHistogram(b"another one, too", -2.5, 3.0), _core.ValueHistogram(ID, -2.5, 3.5)):
        with pytest.raises(InputError, match="do not add"):
            _core.ValueHistogram(ID, -2.5, 3.0).merge(other)


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(2, 9)), elements=st.floats(-30, 30, width=32)))
def test_decisions_of_logits(scores: np.ndarray) -> None:
    classes, confidences = _core.decide_rows(scores)
    taken_as_probabilities = ((scores >= 0) & (scores <= 1)).all(1) & (np.abs(scores.sum(1, dtype=float) - 1) <= 1e-3)
    expected = np.where(taken_as_probabilities, scores.max(1), softmax(scores.astype(np.float64)).max(1))
    assert (classes == scores.argmax(axis=1)).all()
    np.testing.assert_allclose(confidences, expected, rtol=2e-6)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(2, 9)), elements=st.floats(-30, 30)))
def test_decisions_of_probabilities(scores: np.ndarray) -> None:
    probabilities = softmax(scores).astype(np.float32)
    classes, confidences = _core.decide_rows(probabilities)
    assert (classes == probabilities.argmax(axis=1)).all()
    assert (confidences == probabilities.max(axis=1)).all()


def test_decisions_without_a_number() -> None:
    nan, inf = np.nan, np.inf
    scores = np.array([[0, nan, 1], [inf, 0, 0], [inf, inf, 0], [-inf, -inf, -inf], [-inf, 2, -inf]], np.float32)
    classes, confidences = _core.decide_rows(scores)
    assert classes.tolist() == [-1, 0, 0, 0, 1]
    np.testing.assert_allclose(confidences, [nan, 1, 0.5, 1 / 3, 1], rtol=1e-6)


def test_wrong_arrays_are_named() -> None:
    with pytest.raises(InputError, match="int64"):
        _core.CodeHistogram().update(np.arange(3))
    with pytest.raises(InputError, match="float64"):
        _core.ConfidenceHistogram().update(np.zeros(3))
    with pytest.raises(InputError, match="contiguous"):
        _core.CodeHistogram().update(np.zeros(8, np.uint8)[::2])
