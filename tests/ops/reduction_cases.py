"""Cases of the ten Reduce operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import name_of, values
from sanderling.errors import ModelError, UnsupportedError

Axes = tuple[int, ...] | None
REDUCED: tuple[type, ...] = (np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint64)
"""What ONNX has sums of."""
COMPARED: tuple[type, ...] = (*REDUCED, np.int8, np.uint8, np.bool_)
"""What ONNX has a largest of."""


@dataclass(frozen=True)
class Reduction:
    """A Reduce operator.

    Attributes:
        op: Its name.
        numpy: (x, axes, keepdims) to the result; x is float64, or of the integer dtype that comes out.
        magnitude: (x, axes) to the largest sum of absolute terms; None: max|result|.
        dtypes: What it takes.
        inputs_since: The opset from which on its axes are an input.
        prepare: What is done to floats of a normal distribution before they are reduced.
        lowest: Of integers.
        unknown: dtypes that ONNX Runtime lacks or has other results for.
    """

    op: str
    numpy: Callable[[Array, Axes, bool], Array]
    magnitude: Callable[[Array, Axes], Array] | None = None
    dtypes: Sequence[type] = REDUCED
    inputs_since: int = 18
    prepare: Callable[[Array], Array] = np.asarray
    lowest: int = -9
    unknown: Sequence[type] = (np.uint32, np.uint64)

    def sample(self, seed: int, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        """Values that the operator is defined for; integers small enough that their squares add up."""
        rng = np.random.default_rng(seed)
        kind = np.dtype(dtype)
        if kind == np.bool_ or self.dtypes is COMPARED:
            return values(rng, shape, kind)
        if np.issubdtype(kind, np.floating):
            return np.asarray(self.prepare(values(rng, shape, kind)), kind)
        low = max(self.lowest, 0) if np.issubdtype(kind, np.unsignedinteger) else self.lowest
        return np.asarray(rng.integers(low, 9, shape, endpoint=True), kind)

    def expected(self, x: Array, axes: Axes, keep: bool) -> Array:
        """The result in float64 or in the dtype of x."""
        with np.errstate(all="ignore"):
            if np.issubdtype(x.dtype, np.floating):
                return np.asarray(self.numpy(x.astype(np.float64), axes, keep), np.float64)
            return np.asarray(self.numpy(x, axes, keep)).astype(x.dtype)

    def case(self, name: str, x: Array, axes: Axes, keep: bool, opset: int, **settings: Any) -> Case:
        """One node with the axes as its opset has them."""
        attributes: dict[str, Any] = {"keepdims": int(keep), **settings}
        constants = None
        if axes is not None and opset >= self.inputs_since:
            constants = {"axes": np.array(axes, np.int64)}
        elif axes is not None:
            attributes["axes"] = axes
        model = one_node(self.op, {"x": x}, constants=constants, output_dtype=x.dtype, opset=opset, **attributes)
        expected = self.expected(x, axes, keep)
        magnitude = None
        if self.magnitude is not None:
            magnitude = float(np.max(self.magnitude(x.astype(np.float64), axes), initial=0.0))
        return Case(
            name,
            model,
            {"x": x},
            {"y": expected},
            length=x.size // max(expected.size, 1) + 2,
            magnitude=magnitude,
            onnxruntime=x.dtype.type not in self.unknown,
        )


def reduction_cases(reduction: Reduction) -> list[Case]:
    """All sets of axes, all dtypes, long rows and columns, batches that are chosen at run time."""
    made = []
    for shape in ((3, 5, 7, 2), (1, 17, 1, 35)):
        x = reduction.sample(0, shape, np.float32)
        for count in range(1, 5):
            for axes in combinations(range(4), count):
                keep = sum(axes) % 2 == 0
                name = f"{name_of(np.float32, shape)}-{''.join(map(str, axes))}"
                opset = (18, 13, 11)[len(made) % 3]
                made.append(reduction.case(f"{name}-{opset}", x, axes, keep, opset))
        made.append(reduction.case(f"all-{len(made)}", x, None, True, 18))
        made.append(reduction.case(f"all-flat-{len(made)}", x, None, False, 7))
        made.append(reduction.case(f"negative-{len(made)}", x, (-1, -3), True, 11))
    for dtype in reduction.dtypes:
        opset = 20 if dtype is np.bool_ else 18
        x = reduction.sample(1, (3, 5, 7), dtype)
        for axes in ((1,), (0, 2), None):
            made.append(reduction.case(f"{np.dtype(dtype).name}-{axes}", x, axes, False, opset))
    large = reduction.sample(2, (6, 3001), np.float32)
    made.append(reduction.case("rows", large, (1,), True, 18))
    made.append(reduction.case("columns", large, (0,), True, 18))
    made.append(reduction.case("middle", reduction.sample(2, (3, 49, 67), np.float32), (1,), False, 18))
    made.append(reduction.case("scalar", reduction.sample(3, (), np.float32), None, True, 18))
    for batch in (1, 3, 8):
        x = reduction.sample(batch, (batch, 13, 5), np.float32)
        made.append(reduction.case(f"batch{batch}", x, (2,), False, 18, symbolic_batch=True))
    return made


def check_long_sums(reduction: Reduction) -> None:
    """A hundred thousand terms, as a row and as a column, within the bound of a few roundings."""
    for shape, axis in (((3, 100_003), 1), ((100_003, 2), 0)):
        x = reduction.sample(5, shape, np.float32)
        constants = {"axes": np.array([axis], np.int64)}
        model = one_node(reduction.op, {"x": x}, constants=constants, opset=18)
        expected = {"y": reduction.expected(x, (axis,), True)}
        check(Case(f"long-{axis}", model, {"x": x}, expected, length=1, onnxruntime=False))


def check_without_axes(reduction: Reduction) -> None:
    """No axes mean all, or with noop_with_empty_axes each element by itself."""
    x = reduction.sample(0, (3, 5), np.float32)
    for constants in (None, {"axes": np.array([], np.int64)}):
        for noop in (0, 1):
            model = one_node(reduction.op, {"x": x}, constants=constants, opset=18, noop_with_empty_axes=noop)
            expected = reduction.expected(x, () if noop else None, True)
            # With noop, ONNX Runtime leaves out what is done to each element, as older specifications had it.
            name = f"{noop}-{constants is None}"
            check(Case(name, model, {"x": x}, {"y": expected}, length=20, onnxruntime=not noop))


def check_nothing(reduction: Reduction, wanted: float) -> None:
    """Reducing no elements gives `wanted`; reducing to none gives none; axes that are computed."""
    x = np.ones(2, np.float32)
    constants = {"e": np.zeros((2, 0), np.float32), "axes": np.array([1], np.int64), "rows": np.array([0], np.int64)}
    nodes = [
        helper.make_node(reduction.op, ["e", "axes"], ["y"]),
        helper.make_node(reduction.op, ["e", "rows"], ["none"]),
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Squeeze", ["where"], ["two"]),
        helper.make_node("Sub", ["two", "two"], ["zeros"]),
        helper.make_node("Sub", ["two", "zeros"], ["both"]),
        helper.make_node("Unsqueeze", ["x", "rows"], ["xx"]),
        helper.make_node(reduction.op, ["xx", "both"], ["computed"]),
    ]
    outputs = {"y": np.float32, "none": np.float32, "computed": np.float32}
    model = model_of(nodes, {"x": (np.float32, (2,))}, outputs, constants, opset=18)
    expected = {
        "y": np.full((2, 1), wanted, np.float64),
        "none": np.zeros((1, 0)),
        "computed": reduction.expected(x[None], (0, 1), True),
    }
    check(Case("nothing", model, {"x": x}, expected, length=4, onnxruntime=False))  # which has no empty rows for all


def check_refused_axes(reduction: Reduction) -> None:
    """Axes out of range, twice, or in the place of another opset; types that ONNX has not."""
    x: dict[str, Array] = {"x": np.zeros((2, 3), np.float32)}
    old = reduction.inputs_since - 1

    def refused(message: str, error: type[Exception] = ModelError, **settings: Any) -> None:
        check_refused(one_node(reduction.op, x, **settings), x, error, message, reduction.op)

    refused("axis 2 is outside", constants={"axes": np.array([2], np.int64)})
    refused("axis 1 is named twice", constants={"axes": np.array([1, -1], np.int64)})
    refused("axis -3 is outside", opset=old, axes=[-3])
    refused("as input 1, not as an attribute", axes=[1])
    refused("as an attribute, not as an input", opset=old, constants={"axes": np.array([1], np.int64)})
    refused("keepdims", keepdims="yes")
    x = {"x": np.zeros((2, 3), np.int16)}
    refused("int16", UnsupportedError, opset=18, output_dtype=np.int16)
