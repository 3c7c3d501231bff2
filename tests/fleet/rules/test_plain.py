import json
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pytest

from sanderling.errors import InputError
from sanderling_fleet.plain import Array, dumps, loads


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Circle:
    radius: float


@dataclass(frozen=True)
class Square:
    side: float
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Drawing:
    shapes: tuple[Circle | Square, ...] = ()
    pair: tuple[str, int] = ("a", 1)
    named: dict[str, Circle] = field(default_factory=dict)
    title: str | None = None
    shown: bool = True


def test_round_trip_is_equal():
    drawing = Drawing(
        (Circle(float("inf")), Square(2.0), Circle(float("-inf"))), ("b", 2), {"x": Circle(0.1)}, "t", False
    )
    assert loads(Drawing, dumps(drawing, schema=3), schema=3) == drawing
    assert loads(Drawing, dumps(Drawing(), schema=3), schema=3) == Drawing()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": 2, "record": {"radius": 1.0}}',
        '{"schema": 1}',
        '{"schema": 1, "record": {"radius": "wide"}}',
        '{"schema": 1, "record": {"radius": true}}',
        '{"schema": 1, "record": {"radius": 1.0, "more": 1}}',
        '{"schema": 1, "record": {}}',
    ],
)
def test_damage_is_refused(text):
    with pytest.raises(InputError):
        loads(Circle, text, schema=1)


def test_enum_and_union_are_checked():
    text = dumps(Drawing((Square(1.0),)), schema=1)
    with pytest.raises(InputError, match="Colour"):
        loads(Drawing, text.replace('"red"', '"blue"'), schema=1)
    with pytest.raises(InputError, match="Circle"):
        loads(Drawing, text.replace('"side"', '"height"'), schema=1)


@dataclass(frozen=True)
class Chart:
    points: Array
    more: Array | None = None


@pytest.mark.parametrize(
    "values",
    [
        np.array([[-np.inf, 0.1], [1e-300, np.nan]]),
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.arange(6, dtype=np.int32)[::2],
        np.array([[0.1]], np.float32),
        np.zeros((0, 4)),
    ],
)
def test_arrays_keep_their_bits(values):
    chart = Chart(Array.of(values, values.dtype.name))
    again = loads(Chart, dumps(chart, schema=1), schema=1)
    assert again.points.values.dtype == values.dtype
    assert again.points.values.tobytes() == values.tobytes()
    assert again.points.values.shape == values.shape
    assert again == chart
    assert hash(again) == hash(chart)
    assert again != Chart(Array.of(values, values.dtype.name), again.points)


def test_an_array_in_a_record_does_not_change():
    values = np.zeros(2)
    array = Array.of(values, "float64")
    values[0] = 1
    assert array.values[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        array.values[0] = 1


@pytest.mark.parametrize(
    "change",
    [{"data": "!"}, {"data": "AAAA"}, {"data": 3}, {"shape": [3]}, {"shape": "x"}, {"dtype": "object"}, {"x": 1}],
)
def test_damaged_arrays_are_refused(change):
    damaged = {"points": {**Array.of(np.zeros(2), "float64").to_plain(), **change}, "more": None}
    with pytest.raises(InputError):
        loads(Chart, json.dumps({"schema": 1, "record": damaged}), schema=1)
