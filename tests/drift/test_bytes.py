"""The sketches' own bytes: what was written is read back, everything else is an InputError."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanderling import _core
from sanderling.errors import InputError

ID = b"reference number"


def make(kind: str, seed: int = 0):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 5000))
    if kind == "code":
        sketch = _core.CodeHistogram()
        sketch.update(rng.integers(0, 256, n, dtype=np.uint8))
    elif kind == "class":
        sketch = _core.ClassHistogram(int(rng.integers(1, 40)))
        sketch.update(rng.integers(-1, sketch.counts.size, n))
    elif kind == "confidence":
        sketch = _core.ConfidenceHistogram()
        sketch.update(rng.random(n, dtype=np.float32))
    elif kind == "value":
        sketch = _core.ValueHistogram(ID, -1.5, 2.5)
        sketch.update(rng.standard_normal(n).astype(np.float32))
    else:
        features = int(rng.integers(1, 20))
        edges = [np.unique(rng.integers(0, 99, rng.integers(0, 31))).tolist() for _ in range(features)]
        sketch = _core.FrozenBins(_core.FrozenEdges(ID, edges))
        sketch.update(rng.integers(0, 99, (n // 100, features)).astype(np.float32))
    return sketch


KINDS = ("code", "bins", "class", "confidence", "value")


def sealed(data: bytes) -> bytes:
    """The same bytes with the length and checksum that they should have, so that the reader looks further."""
    body = data[:8] + struct.pack("<I", len(data) - 16) + data[12:-4]
    return body + struct.pack("<I", zlib.crc32(body))


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000))
def test_round_trip(kind: str, seed: int) -> None:
    sketch = make(kind, seed)
    data = sketch.serialize()
    again = type(sketch).deserialize(data)
    assert again == sketch
    assert again.serialize() == data


def test_the_layout_is_the_documented_one() -> None:
    histogram = _core.ConfidenceHistogram()
    histogram.update(np.array([0.0] * 300 + [1.0], np.float32))
    payload = bytes([0xAC, 0x02]) + bytes(30) + b"\x01" + b"\x00"  # 300 = 0x2 * 128 + 0x2C
    body = b"SDRF" + struct.pack("<HHI", 1, 4, len(payload)) + payload
    assert histogram.serialize() == body + struct.pack("<I", zlib.crc32(body))


def test_large_counts_survive() -> None:
    histogram = _core.ClassHistogram(2)
    histogram.update(np.zeros(3, np.int64))
    for _ in range(61):
        histogram.merge(histogram.copy())
    assert histogram.counts[0] == 3 << 61
    assert _core.ClassHistogram.deserialize(histogram.serialize()) == histogram


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_and_every_flipped_byte_is_refused(kind: str) -> None:
    sketch = make(kind, 3)
    data = sketch.serialize()
    for length in range(len(data)):
        with pytest.raises(InputError, match="damaged bytes"):
            type(sketch).deserialize(data[:length])
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 1 << (at % 8)
        with pytest.raises(InputError, match="damaged bytes"):
            type(sketch).deserialize(bytes(broken))
    with pytest.raises(InputError, match="damaged bytes"):
        type(sketch).deserialize(data + b"\0")


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 50), edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6))
def test_bytes_with_a_right_checksum_are_read_or_refused(kind: str, seed: int, edits: list[tuple[int, int]]) -> None:
    sketch = make(kind, seed)
    data = bytearray(sketch.serialize())
    for at, value in edits:
        data[12 + at % (len(data) - 16)] = value
    try:
        again = type(sketch).deserialize(sealed(bytes(data)))
    except InputError:
        return
    assert type(sketch).deserialize(again.serialize()) == again


@pytest.mark.parametrize("kind", KINDS)
@given(junk=st.binary(max_size=300))
def test_junk_with_a_right_frame_is_read_or_refused(kind: str, junk: bytes) -> None:
    sketch = make(kind)
    head = sketch.serialize()[:12]
    with suppress(InputError):
        type(sketch).deserialize(sealed(head + junk + bytes(4)))


def test_a_version_from_the_future_says_so() -> None:
    data = bytearray(make("code").serialize())
    data[4] = 2
    with pytest.raises(InputError, match="version 2, this release reads version 1"):
        _core.CodeHistogram.deserialize(sealed(bytes(data)))


def test_another_kind_says_so() -> None:
    with pytest.raises(InputError, match="kind 1, kind 4 is wanted"):
        _core.ConfidenceHistogram.deserialize(make("code").serialize())


def test_counts_that_do_not_add_up_are_refused() -> None:
    bins = _core.FrozenBins(_core.FrozenEdges(ID, [[0.0]]))
    bins.update(np.zeros((3, 1), np.float32))
    data = bytearray(bins.serialize())
    assert data[-7] == 3
    data[-7] = 4
    with pytest.raises(InputError, match="do not add up to 3 rows"):
        _core.FrozenBins.deserialize(sealed(bytes(data)))


def test_a_huge_size_allocates_nothing() -> None:
    frame = make("class").serialize()[:12]
    with pytest.raises(InputError, match="ends too early"):
        _core.ClassHistogram.deserialize(sealed(frame + b"\xff\xff\x3f" + bytes(4)))
