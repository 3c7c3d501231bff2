"""Fitting, naming, saving and loading references."""

from __future__ import annotations

import numpy as np
import pytest

from sanderling import _core
from sanderling.drift import Reference, Sketches
from sanderling.errors import InputError


def draw(seed: int, rows: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, *shape)).astype(np.float32)


def test_ranges_constants_and_missing_values() -> None:
    rows = draw(0, 300, 4)
    rows[:, 1] = 7
    rows[5, 2] = np.nan
    rows[:, 3] = np.nan
    item = Reference.fit(rows).inputs[0]
    assert item.varies.tolist() == [True, False, True, False]
    assert item.may_miss.tolist() == [False, False, True, True]
    assert item.missing.tolist() == [0, 0, 1, 300]
    assert item.low[0] == rows[:, 0].min()
    assert item.high[0] == rows[:, 0].max()
    assert np.isnan(item.low[[1, 3]]).all()
    assert item.counts.sum(axis=1).tolist() == [300, 300, 299, 0]
    assert item.judged.tolist() == [0, 2]
    assert item.tilts.names == ("input[0]", "input[2]")


def test_features_are_named_by_their_place() -> None:
    reference = Reference.fit({"image": draw(0, 10, 1, 8, 8), "age": draw(0, 10)})
    image, age = reference.inputs
    assert image.feature_name(63) == "image[0, 7, 7]"
    assert age.stream_names == ("age",)


@pytest.mark.parametrize("form", ["mapping", "list", "tuple"])
def test_several_inputs(form: str) -> None:
    a, b = draw(0, 20, 3), draw(1, 20, 2)
    reference = Reference.fit({"mapping": {"a": a, "b": b}, "list": [a, b], "tuple": (a, b)}[form])
    assert [item.features for item in reference.inputs] == [3, 2]
    assert [item.name for item in reference.inputs] == (["a", "b"] if form == "mapping" else ["input 0", "input 1"])


def test_outputs() -> None:
    scores = draw(1, 500, 6)
    reference = Reference.fit(draw(0, 500, 2), {"scores": scores, "value": draw(1, 500, 1), "map": draw(1, 500, 2, 3)})
    answers, value, picture = reference.outputs
    assert value is None
    assert picture is None
    assert answers is not None
    assert (answers.classes == np.bincount(scores.argmax(axis=1), minlength=6)).all()
    assert answers.confidence.sum() == 500


def test_the_id_is_of_the_content() -> None:
    rows = draw(0, 300, 5)
    first, second = Reference.fit(rows), Reference.fit(rows.copy())
    assert first == second
    assert hash(first) == hash(second)
    assert len(first.id) == 16
    moved = rows.copy()
    moved[0, 0] += 1
    assert Reference.fit(moved) != first
    assert Reference.fit(rows, draw(1, 300, 3)) != first


@pytest.mark.parametrize("features", [1, 64, 5000])
def test_saved_and_loaded(features: int) -> None:
    reference = Reference.fit(draw(0, 450, features), draw(1, 450, 3))
    data = reference.to_bytes()
    again = Reference.from_bytes(data)
    assert again == reference
    assert again.to_bytes() == data
    assert again.rows == 450
    for name in ("low", "edges", "counts", "effects", "still"):
        np.testing.assert_array_equal(getattr(again.inputs[0], name), getattr(reference.inputs[0], name))
    counts = [_core.Watch(r.watch_spec()) for r in (reference, again)]
    for watch in counts:
        watch.observe_input(0, draw(2, 20, features))
    assert Sketches(counts[0].take()).to_bytes() == Sketches(counts[1].take()).to_bytes()


def test_damaged_bytes_are_refused() -> None:
    data = Reference.fit(draw(0, 50, 3), draw(1, 50, 3)).to_bytes()
    for length in range(0, len(data), 97):
        with pytest.raises(InputError):
            Reference.from_bytes(data[:length])
    for at in range(0, len(data), 31):
        broken = bytearray(data)
        broken[at] ^= 0x55
        try:
            again = Reference.from_bytes(bytes(broken))
        except InputError:
            continue
        assert again.to_bytes() == data  # the flip hit a byte of the zip that says nothing about the content


def test_arrays_of_other_shapes_are_refused() -> None:
    reference = Reference.fit(draw(0, 50, 3))
    object.__setattr__(reference.inputs[0], "counts", np.zeros((4, 32), np.int64))
    with pytest.raises(InputError, match=r"counts is int64\(4, 32\), expected int64\(3, 32\)"):
        Reference.from_bytes(reference.to_bytes())


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (np.zeros((0, 3)), None, "shape"),
        (np.zeros((3, 0)), None, "shape"),
        (np.float32(1), None, "shape"),
        (np.array(["a"]), None, "dtype"),
        (np.zeros((3, 2)), np.zeros((4, 2)), "rows differ"),
        ({"a": np.zeros((3, 2)), "b": np.zeros((2, 2))}, None, "rows differ"),
        ({}, None, "rows differ"),
    ],
)
def test_rows_that_are_none(inputs: object, outputs: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reference.fit(inputs, outputs)


def test_one_row_is_enough_to_be_a_reference() -> None:
    reference = Reference.fit(np.ones((1, 3)), np.ones((1, 3)))
    assert reference.inputs[0].judged.size == 0
    assert Reference.from_bytes(reference.to_bytes()) == reference


def test_an_own_reference_keeps_the_versions_ranges() -> None:
    version = Reference.fit(draw(0, 1000, 3))
    own = Reference.fit(draw(1, 400, 3) * 0.1, version=version)
    np.testing.assert_array_equal(own.inputs[0].low, version.inputs[0].low)
    assert (np.nanmax(np.abs(own.inputs[0].edges), axis=1) < 0.5).all()
    with pytest.raises(InputError, match=r"rows of \[2\] elements, the version's reference has \[3\]"):
        Reference.fit(draw(1, 400, 2), version=version)


@pytest.mark.parametrize("features", [6, 5000])
def test_learning_from_kept_windows_equals_fitting_their_rows(features: int) -> None:
    version = Reference.fit(draw(0, 600, features), draw(5, 600, 4))
    rows, scores = draw(1, 800, features), draw(2, 800, 4)
    watch = _core.Watch(version.watch_spec(keep_rows=200))
    windows = []
    for begin in range(0, 800, 200):
        watch.observe_input(0, rows[begin : begin + 200])
        watch.observe_output(0, scores[begin : begin + 200])
        windows.append(Sketches(watch.take()))
    learned, fitted = version.learn(windows), Reference.fit(rows, scores, version=version)
    a, b = learned.inputs[0], fitted.inputs[0]
    for name in ("edges", "counts", "effects", "varies", "value_counts", "value_effects", "low", "missing"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert learned.outputs[0] is not None
    assert fitted.outputs[0] is not None
    np.testing.assert_array_equal(learned.outputs[0].classes, fitted.outputs[0].classes)
    np.testing.assert_array_equal(learned.outputs[0].class_effects, fitted.outputs[0].class_effects)
    assert learned.rows == 800


def test_learning_needs_windows_of_this_version_with_their_rows() -> None:
    version = Reference.fit(draw(0, 100, 3))
    with pytest.raises(InputError, match="no windows"):
        version.learn([])
    watch = _core.Watch(version.watch_spec(keep_rows=5))
    watch.observe_input(0, draw(0, 10, 3))
    with pytest.raises(InputError, match="kept fewer rows"):
        version.learn([Sketches(watch.take())])
    other = Reference.fit(draw(1, 100, 3))
    with pytest.raises(InputError, match="another reference"):
        other.learn([Sketches(watch.take())])
