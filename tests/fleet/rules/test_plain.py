from dataclasses import dataclass, field, replace
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


def test_arrays_keep_their_bits():
    for values in (
        np.array([[-np.inf, 0.1], [1e-300, 3.0]]),
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.zeros((0, 4)),
    ):
        again = Array.pack(values).unpack()
        assert again.dtype == values.dtype
        assert again.tobytes() == values.tobytes()
        assert again.shape == values.shape


@pytest.mark.parametrize("change", [{"data": "!"}, {"data": "AAAA"}, {"shape": (3,)}, {"dtype": "object"}])
def test_damaged_arrays_are_refused(change):
    with pytest.raises(InputError):
        replace(Array.pack(np.zeros(2)), **change).unpack()
