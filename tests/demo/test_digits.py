"""The split, the streams, the faults and the changes of the demo's world."""

from __future__ import annotations

import numpy as np
import pytest

from sanderling_devices.demo import digits

pytest.importorskip("sklearn", reason="the demo's images come with scikit-learn (extra 'demo')")


@pytest.mark.parametrize("seed", range(10))
def test_parts_share_no_row_with_each_other_or_with_training(seed: int) -> None:
    parts = digits.split(seed)
    everything = np.concatenate(list(parts.indices.values()))
    assert len(np.unique(everything)) == len(everything)
    assert not digits.is_training_row(everything).any()
    assert len(everything) + len(digits.training_rows()) == len(digits.load())


def test_part_sizes_and_every_digit_is_everywhere() -> None:
    parts = digits.split(0)
    assert len(parts.reference) == 160
    assert [len(camera) for camera in parts.cameras] == [75] * 12
    assert len(parts.held_out) == 223
    for part in (parts.reference, parts.held_out, digits.training_rows()):
        assert set(part.labels.tolist()) == set(range(10))


def test_parts_are_the_rows_that_their_indices_name() -> None:
    rows, parts = digits.load(), digits.split(3)
    np.testing.assert_array_equal(parts.cameras[4].frames, rows.frames[parts.indices["camera 5"]])
    np.testing.assert_array_equal(parts.held_out.labels, rows.labels[parts.indices["held-out"]])


def test_same_seed_same_split_other_seed_another() -> None:
    first, again, other = digits.split(5), digits.split(5), digits.split(6)
    for name, rows in first.indices.items():
        np.testing.assert_array_equal(rows, again.indices[name])
        assert not np.array_equal(rows, other.indices[name])


def make_stream(seed: int = 1, camera: int = 2) -> digits.CameraStream:
    return digits.CameraStream(digits.split(seed).cameras[camera], seed=seed, camera=camera)


def test_stream_draws_only_its_own_rows_and_repeats_with_its_seed() -> None:
    own = {frame.tobytes() for frame in digits.split(1).cameras[2].frames}
    frames = make_stream().read(2000)
    assert frames.shape == (2000, 1, 8, 8)
    assert frames.dtype == np.float32
    assert {frame.tobytes() for frame in frames} == own
    np.testing.assert_array_equal(frames, make_stream().read(2000))


def test_stream_does_not_depend_on_how_it_is_read() -> None:
    pieces = make_stream()
    np.testing.assert_array_equal(np.concatenate([pieces.read(3), pieces.read(200)]), make_stream().read(203))


def test_cameras_with_the_same_rows_draw_independently() -> None:
    rows = digits.split(1).cameras[0]
    first = digits.CameraStream(rows, seed=1, camera=0).read(50)
    second = digits.CameraStream(rows, seed=1, camera=1).read(50)
    assert not np.array_equal(first, second)


def test_stuck_repeats_the_last_good_frame_and_repair_ends_it() -> None:
    stream = make_stream()
    last = stream.read(10)[-1]
    stream.fault = "stuck"
    for count in (3, 1):
        frames = stream.read(count)
        np.testing.assert_array_equal(frames, np.broadcast_to(last, (count, 1, 8, 8)))
    stream.fault = None
    assert len(np.unique(stream.read(20), axis=0)) > 5


def test_stuck_from_the_first_frame_repeats_that_one() -> None:
    stream = make_stream()
    stream.fault = "stuck"
    frames = stream.read(5)
    assert (frames == frames[0]).all()
    assert frames.any()


def test_saturated_is_bright_everywhere_but_not_constant() -> None:
    stream = make_stream()
    stream.fault = "saturated"
    frames = stream.read(200)
    assert set(np.unique(frames)) == {15.0, 16.0}
    assert 0.96 < (frames == 16.0).mean() < 0.99
    assert (frames.std(axis=0) > 0).mean() > 0.9


def test_shift_moves_every_pixel_one_to_the_right() -> None:
    frames = digits.load().frames[:50]
    moved = digits.shift(frames)
    np.testing.assert_array_equal(moved[:, :, :, 1:], frames[:, :, :, :-1])
    assert not moved[:, :, :, 0].any()


def test_turn_keeps_whole_counts_and_turns_by_30_degrees() -> None:
    frames = digits.load().frames[:50]
    turned = digits.turn30(frames)
    assert turned.dtype == np.float32
    assert turned.shape == frames.shape
    assert set(np.unique(turned)) <= set(range(17))
    # A horizontal bar comes to lie along a line of 30 degrees.
    bar = np.zeros((1, 1, 8, 8), np.float32)
    bar[..., 3:5, :] = 16
    row, column = np.nonzero(digits.turn30(bar)[0, 0] >= 8)
    slope = np.polyfit(column, row, 1)[0]
    assert abs(abs(np.degrees(np.arctan(slope))) - 30) < 8


def test_change_comes_before_the_fault() -> None:
    stream, plain = make_stream(), make_stream()
    stream.change = "shift"
    np.testing.assert_array_equal(stream.read(10), digits.shift(plain.read(10)))
    stream.fault = "saturated"
    assert stream.read(5).min() >= 15
