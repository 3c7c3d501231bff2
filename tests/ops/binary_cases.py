"""Cases that Add, Sub, Mul and Div share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from onnx_models import Array, one_node
from runner import Case
from samples import name_of, values
from sanderling import _core

# Equal shapes; a scalar; trailing, leading and middle dimensions repeated, on either side and on both; many short
# runs; one run that threads share.
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()),
    ((3, 5, 7, 11), (3, 5, 7, 11)),
    ((3, 5, 7, 11), ()),
    ((), (8, 13)),
    ((1, 1), (8, 13)),
    ((8, 13, 17), (17,)),
    ((17,), (8, 13, 17)),
    ((3, 5, 7, 11), (5, 1, 1)),
    ((5, 1, 1), (3, 5, 7, 11)),
    ((3, 5, 1, 11), (1, 5, 7, 1)),
    ((8, 1, 6, 1, 5), (7, 1, 2, 5)),
    ((2, 3, 1, 1), (1, 1, 4, 5)),
    ((2, 1, 2, 1, 2, 1, 2, 3), (2, 2, 1, 2, 1, 2, 1)),
    ((3, 32771), (3, 32771)),
    ((3, 32771), (3, 1)),
    ((700, 91), (91,)),
)

INTEGER_PAIRS = (
    ((3, 5, 7), (3, 5, 7)),
    ((3, 5, 7), (5, 1)),
    ((7,), (8, 7)),
    ((), (3, 33)),
    ((3, 32771), (3, 1)),
    ((1, 1, 32771), (3, 1, 32771)),
)


def float_cases(op: str, reference: Callable[[Array, Array], Array], opset: int) -> Iterator[Case]:
    """float32 and float64 on every pair of shapes; float32 divisors stay away from 0."""
    for dtype in (np.float32, np.float64):
        for a_shape, b_shape in PAIRS:
            rng = np.random.default_rng(len(a_shape) * 100 + len(b_shape))
            a, b = values(rng, a_shape, dtype), values(rng, b_shape, dtype)
            if op == "Div":
                b = np.asarray(np.copysign(np.abs(b) + 0.25, b), dtype)
            inputs = {"a": a, "b": b}
            yield Case(
                f"{name_of(dtype, a_shape)}-by-{name_of(dtype, b_shape)}",
                one_node(op, inputs, output_dtype=dtype, opset=opset),
                inputs,
                {"y": reference(a.astype(np.float64), b.astype(np.float64))},
                magnitude=float(np.abs(a).max() + np.abs(b).max()) if op in ("Add", "Sub") else None,
            )


def integer_cases(op: str, reference: Callable[[Array, Array], Array]) -> Iterator[Case]:
    """Integers of the whole range, which wrap around."""
    for dtype in (np.uint8, np.int8, np.int32, np.int64):
        for a_shape, b_shape in INTEGER_PAIRS:
            rng = np.random.default_rng(np.dtype(dtype).itemsize)
            inputs = {"a": values(rng, a_shape, dtype), "b": values(rng, b_shape, dtype)}
            with np.errstate(over="ignore"):
                expected = np.asarray(reference(inputs["a"], inputs["b"]), dtype)
            yield Case(
                f"{name_of(dtype, a_shape)}-by-{name_of(dtype, b_shape)}",
                one_node(op, inputs, output_dtype=dtype, opset=14),
                inputs,
                {"y": expected},
            )


def batched(op: str, reference: Callable[[Array, Array], Array]) -> Iterator[Case]:
    """One model with a batch chosen at run time, at the batches 1, 3 and 8."""
    for batch in (1, 3, 8):
        rng = np.random.default_rng(batch)
        inputs = {"a": values(rng, (batch, 13, 5)), "b": np.abs(values(rng, (batch, 1, 5))) + np.float32(0.25)}
        yield Case(
            f"batch{batch}",
            one_node(op, inputs, symbolic_batch=True),
            inputs,
            {"y": reference(inputs["a"].astype(np.float64), inputs["b"].astype(np.float64))},
            magnitude=float(np.abs(inputs["a"]).max() + inputs["b"].max()) if op in ("Add", "Sub") else None,
        )


def check_integers_are_planned(op: str) -> None:
    """Integers that models compute with have a step of their own on every instruction set."""
    for dtype in (np.uint8, np.int32, np.int64):
        inputs = {"a": np.ones((2, 3), dtype), "b": np.ones(3, dtype)}
        model = _core.Model(one_node(op, inputs, output_dtype=dtype, opset=14).SerializeToString())
        for isa in _core.runnable_isas():
            [(name, _, kernel, *_)] = _core.Session(model, isa=isa).profile(list(inputs.values()))
            assert (name, kernel) == (op, "loops"), f"{np.dtype(dtype)} on {isa}"
