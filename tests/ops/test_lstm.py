from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnx_models import one_node
from recurrent_cases import recurrent, shared_cases
from runner import Case, check, check_refused
from sanderling.errors import ModelError


def cases() -> Iterator[Case]:
    yield from shared_cases("LSTM")
    everything = ("b", "h", "c", "p")
    yield recurrent("LSTM", "peepholes", given=everything)
    yield recurrent("LSTM", "peepholes-both", given=everything, direction="bidirectional", lengths=(5, 1, 3))
    yield recurrent("LSTM", "peepholes-clip", given=everything, clip=0.3)
    yield recurrent("LSTM", "coupled", given=everything, input_forget=1)
    yield recurrent("LSTM", "last-c", outputs=["last_c"], given=("b",), lengths=(5, 2, 1))


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_lstm(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("changed", "attributes", "message"),
    [
        ({}, {"direction": "backward"}, "direction is 'backward', expected forward, reverse or bidirectional"),
        ({}, {"direction": "bidirectional"}, r"w has shape \[1, 12, 2\], expected \[2, 12, 2\]"),
        ({}, {"hidden_size": 4}, "hidden_size is 4, r has shape"),
        ({}, {"layout": 2}, "layout is 2"),
        ({}, {"clip": -1.0}, "clip is -1"),
        ({}, {"activations": ["Tanh", "Sigmoid", "Swish"]}, "activation 'Swish' is not one of Sigmoid, Tanh"),
        ({}, {"activations": ["Tanh"]}, "activations has 1 names, expected 3"),
        ({"x": (5, 2)}, {}, "expected rank 3 of each"),
        ({"w": (1, 12, 3)}, {}, r"w has shape \[1, 12, 3\], expected \[1, 12, 2\]"),
        ({"b": (1, 12)}, {}, r"b has shape \[1, 12\], expected \[1, 24\]"),
        ({"h": (1, 3, 3)}, {}, r"initial_h has shape \[1, 3, 3\], expected \[1, 1, 3\]"),
        ({"c": (1, 3, 3)}, {}, r"initial_c has shape \[1, 3, 3\], expected \[1, 1, 3\]"),
        ({"p": (1, 12)}, {}, r"p has shape \[1, 12\], expected \[1, 9\]"),
    ],
)
def test_what_does_not_fit(changed: dict[str, tuple[int, ...]], attributes: dict[str, Any], message: str) -> None:
    shapes = {"x": (5, 1, 2), "w": (1, 12, 2), "r": (1, 12, 3), "b": (1, 24), "h": (1, 1, 3), "c": (1, 1, 3)}
    arrays = {name: np.zeros(shape, np.float32) for name, shape in (shapes | {"p": (1, 9)} | changed).items()}
    x = {"x": arrays.pop("x")}
    order = ["x", "w", "r", "b", "", "h", "c", "p"]
    check_refused(one_node("LSTM", x, constants=arrays, order=order, **attributes), x, ModelError, message, "LSTM")


@pytest.mark.parametrize("length", [-1, 6])
def test_lengths_outside_the_steps(length: int) -> None:
    x = {"x": np.zeros((5, 1, 2), np.float32)}
    constants = {
        "w": np.zeros((1, 12, 2), np.float32),
        "r": np.zeros((1, 12, 3), np.float32),
        "lengths": np.array([length], np.int32),
    }
    model = one_node("LSTM", x, constants=constants, order=["x", "w", "r", "", "lengths"])
    check_refused(model, x, ModelError, f"a sequence length is {length}, expected 0 to 5", "LSTM")


def test_empty() -> None:
    for steps, batch in ((0, 2), (4, 0)):
        case = recurrent("LSTM", "empty", steps=steps, batch=batch, given=("b", "h", "c"), onnxruntime=False)
        check(case)
