"""Cases that elementwise operators share: of one input, of two that are broadcast, of any number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from onnx import helper
from onnx_models import Array, Codes, one_node, qdq_node
from runner import REFERENCE, Case, check, check_refused, qdq_case
from samples import name_of, values
from sanderling import _core
from sanderling.errors import ModelError

FLOATS = (np.float32, np.float64)
SIGNED = (np.int8, np.int16, np.int32, np.int64)
INTEGERS = (*SIGNED, np.uint8, np.uint16, np.uint32, np.uint64)
NUMBERS = (*FLOATS, *INTEGERS)

# A scalar, an odd size, no elements, and one that threads share unevenly.
SHAPES: tuple[tuple[int, ...], ...] = ((), (3, 5, 7, 11), (0, 4), (3, 32771))
# Equal shapes; a scalar; trailing, leading and middle dimensions repeated, on either side and on both; no elements.
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()),
    ((3, 5, 7, 11), (3, 5, 7, 11)),
    ((3, 5, 7, 11), ()),
    ((1, 1), (8, 13)),
    ((17,), (8, 13, 17)),
    ((3, 5, 7, 11), (5, 1, 1)),
    ((3, 5, 1, 11), (1, 5, 7, 1)),
    ((2, 1, 2, 1, 2, 1, 2, 3), (2, 2, 1, 2, 1, 2, 1)),
    ((0, 3), (1, 3)),
)
SHARED = ((3, 32771), (3, 1))  # among threads
EDGES = (np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, 0.5, -0.5, 3.4e38, -3.4e38)

Prepare = Callable[[Array], Array]


def in_microsoft(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its node in the domain com.microsoft."""
    model.graph.node[0].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def as_float64(reference: Callable[..., Array], *inputs: Array) -> Array:
    """reference(inputs), in float64 where they are floats."""
    with np.errstate(all="ignore"):
        wide = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
        result = np.asarray(reference(*wide))
        # What float32 cannot hold is infinite there.
        narrow = any(x.dtype == np.float32 for x in inputs) and result.dtype == np.float64
        return np.where(np.isinf(result.astype(np.float32)), np.copysign(np.inf, result), result) if narrow else result


def map_cases(
    op: str,
    reference: Callable[[Array], Array],
    opset: int,
    *,
    dtypes: Sequence[Any] = FLOATS,
    lacking: Collection[Any] = (),
    output_dtype: npt.DTypeLike | None = None,
    prepare: Prepare = lambda x: x,
    edges: Sequence[float] = EDGES,
    older: Sequence[int] = (),
    microsoft: bool = False,
    length: int | None = 3,
    name: str = "",
    **attributes: Any,
) -> Iterator[Case]:
    """Every dtype, shape and older opset, a batch chosen at run time, and floats where functions have their edges.

    Args:
        op: The operator.
        reference: The same of float64 or of integers.
        opset: The newest meaning.
        dtypes: What it takes.
        lacking: Those of `dtypes` that ONNX Runtime has no kernel for.
        output_dtype: Of y, where it is not the input's.
        prepare: Brings random inputs to where the function is defined.
        edges: Further inputs, in float32.
        older: Other opsets.
        microsoft: The operator is one of com.microsoft.
        length: Of Case.
        name: What the cases' names begin with.
        attributes: Of the node.
    """

    def case(label: str, x: Array, opset: int, symbolic: bool = False) -> Case:
        out = x.dtype if output_dtype is None else np.dtype(output_dtype)
        wanted = as_float64(reference, x)
        wanted = wanted if out.kind == "f" else wanted.astype(out)
        model = one_node(op, {"x": x}, output_dtype=out, opset=opset, symbolic_batch=symbolic, **attributes)
        compared = x.dtype not in [np.dtype(d) for d in lacking]
        return Case(
            f"{name}{label}", in_microsoft(model) if microsoft else model, {"x": x}, {"y": wanted},
            onnxruntime=compared, length=length, optimized="never",
        )  # fmt: skip

    for dtype in dtypes:
        for shape in SHAPES if dtype == dtypes[0] else SHAPES[:2]:
            x = prepare(values(np.random.default_rng(len(shape)), shape, dtype))
            yield case(name_of(dtype, shape), np.asarray(x, dtype), opset)
    for version in older:
        x = prepare(values(np.random.default_rng(7), (3, 5), dtypes[0]))
        yield case(f"opset{version}", np.asarray(x, dtypes[0]), version)
    for batch in (1, 3):
        x = prepare(values(np.random.default_rng(batch), (batch, 13), dtypes[0]))
        yield case(f"batch{batch}", np.asarray(x, dtypes[0]), opset, symbolic=True)
    if edges:
        yield case("edges", np.array(edges, dtypes[0]), opset)


def pair_cases(
    op: str,
    reference: Callable[[Array, Array], Array],
    opset: int,
    *,
    dtypes: Sequence[Any] = NUMBERS,
    lacking: Collection[Any] = (),
    output_dtype: npt.DTypeLike | None = None,
    prepare: Callable[[Array, Array], tuple[Array, Array]] = lambda a, b: (a, b),
    older: Sequence[int] = (),
    pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]] = (*PAIRS, SHARED),
    name: str = "",
    **attributes: Any,
) -> Iterator[Case]:
    """As map_cases, for two inputs of one dtype that are broadcast together."""

    def case(label: str, a: Array, b: Array, opset: int, symbolic: bool = False) -> Case:
        a, b = prepare(a, b)
        out = a.dtype if output_dtype is None else np.dtype(output_dtype)
        wanted = as_float64(reference, a, b)
        wanted = wanted if out.kind == "f" else wanted.astype(out)
        inputs = {"a": a, "b": b}
        model = one_node(op, inputs, output_dtype=out, opset=opset, symbolic_batch=symbolic, **attributes)
        compared = a.dtype not in [np.dtype(d) for d in lacking]
        return Case(f"{name}{label}", model, inputs, {"y": wanted}, onnxruntime=compared, optimized="never")

    for dtype in dtypes:
        some = pairs[1:4:2] if len(pairs) > 3 else pairs
        for a_shape, b_shape in pairs if dtype == dtypes[0] else some:
            rng = np.random.default_rng(len(a_shape) * 100 + len(b_shape))
            label = f"{name_of(dtype, a_shape)}-by-{name_of(dtype, b_shape)}"
            yield case(label, close(rng, a_shape, dtype), close(rng, b_shape, dtype), opset)
    for version in older:
        rng = np.random.default_rng(version)
        yield case(f"opset{version}", close(rng, (3, 5), dtypes[0]), close(rng, (3, 5), dtypes[0]), version)
    for batch in (1, 3):
        rng = np.random.default_rng(batch)
        yield case(f"batch{batch}", close(rng, (batch, 13), dtypes[0]), close(rng, (batch, 13), dtypes[0]), opset, True)


def close(rng: np.random.Generator, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """As samples.values, but half of the elements are of few values, so that two such arrays meet at times."""
    kind = np.dtype(dtype)
    few = np.asarray(rng.integers(0 if kind.kind in "ub" else -2, 2 if kind.kind == "b" else 3, shape)).astype(kind)
    return np.asarray(np.where(rng.random(shape) < 0.5, few, values(rng, shape, kind)), kind)


def lookup_case(
    op: str,
    reference: Callable[[Array], Array],
    opset: int,
    *,
    scale: float = 0.03,
    constants: Any = None,
    **settings: Any,
) -> Case:
    """The operator between codes, where it becomes a table of 256 entries."""
    x = Codes.random(np.random.default_rng(0), (3, 5, 97), np.uint8, scale=scale, zero_point=128)
    wanted = as_float64(reference, x.real())
    y_scale = float(max(np.ptp(wanted), 1e-3) / 255)
    zero = int(np.clip(np.rint(-wanted.min() / y_scale), 0, 255))
    qdq = qdq_node(op, {"x": x}, lambda _: wanted, y_scale, zero, plain=constants, opset=opset, **settings)
    return qdq_case(f"{op}-table", qdq, operators={"QLookup"}, onnxruntime=False)


def floats_between(low: float, high: float, count: int = 100_000) -> npt.NDArray[np.float32]:
    """float32 of all magnitudes in [low, high], and the ends."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 1 << 32, 4 * count, np.uint32).view(np.float32)
    drawn = np.concatenate([drawn, rng.uniform(max(low, -20.0), min(high, 20.0), count).astype(np.float32)])
    return np.concatenate([drawn[(drawn >= low) & (drawn <= high)], np.array([low, high], np.float32)])


def check_ulps(
    op: str, reference: Callable[[Array], Array], ulps: float, opset: int, low: float, high: float, **attributes: Any
) -> None:
    """Asserts that float32 results are within `ulps` units in the last place of what float64 gives."""
    x = floats_between(low, high)
    wanted = as_float64(reference, x)
    rounded = wanted.astype(np.float32)
    unit = np.spacing(np.maximum(np.abs(rounded), np.float32(2.0**-126))).astype(np.float64)
    model = _core.Model(one_node(op, {"x": x}, opset=opset, **attributes).SerializeToString())
    for isa, most in ((REFERENCE, 0.51), (_core.runnable_isas()[0], ulps)):
        y = _core.Session(model, isa=isa).run({"x": x})["y"]
        error = np.abs(y.astype(np.float64) - wanted) / unit
        assert np.isfinite(error).all()
        worst = int(error.argmax())
        assert error[worst] <= most, f"{op}({x[worst]!r}) on {isa}: {y[worst]!r} is {error[worst]:.2f} ulp off"


def fold_cases(
    op: str,
    reference: Callable[..., Array],
    opset: int,
    *,
    dtypes: Sequence[Any],
    lacking: Collection[Any] = (),
    older: Sequence[int] = (),
) -> Iterator[Case]:
    """One to four inputs of each dtype, broadcast together."""
    groups: tuple[tuple[tuple[int, ...], ...], ...] = (
        ((3, 5, 7),),
        ((3, 5, 7), (3, 5, 7)),
        ((3, 1, 7), (5, 1)),
        ((), (3, 5), ()),
        ((5, 1), (3, 1, 7), (1, 1), (2, 1, 1, 1)),
        ((0, 3), (3,), ()),
        ((3, 32771), (3, 1), (32771,)),
    )
    for dtype in dtypes:
        for shapes in groups if dtype == dtypes[0] else groups[1:5]:
            yield _fold(op, reference, opset, shapes, dtype, dtype not in lacking)
    for version in older:
        yield _fold(op, reference, version, groups[1], np.float32, True)
    for batch in (1, 3):
        yield _fold(op, reference, opset, ((batch, 5), (batch, 1), (batch, 5)), dtypes[0], True, symbolic=True)


def _fold(
    op: str,
    reference: Callable[..., Array],
    opset: int,
    shapes: Sequence[tuple[int, ...]],
    dtype: Any,
    compared: bool,
    symbolic: bool = False,
) -> Case:
    rng = np.random.default_rng(len(shapes))
    inputs: Mapping[str, Array] = {f"x{i}": close(rng, shape, dtype) for i, shape in enumerate(shapes)}
    wanted = as_float64(reference, *inputs.values())
    label = "-".join("x".join(map(str, shape)) or "scalar" for shape in shapes)
    model = one_node(op, inputs, output_dtype=dtype, opset=opset, symbolic_batch=symbolic)
    largest = max((float(np.abs(x).max(initial=0)) for x in inputs.values()), default=0.0)
    return Case(
        f"opset{opset}-{np.dtype(dtype).name}-{label}{'-batch' if symbolic else ''}", model, inputs, {"y": wanted},
        length=len(shapes), magnitude=len(shapes) * largest, onnxruntime=compared, optimized="never",
    )  # fmt: skip


def check_nan_stays(op: str, extreme: Callable[..., Any]) -> None:
    """Of Max and Min, on either side."""
    inputs = {
        "a": np.array([np.nan, 1, np.nan, np.inf, 3], np.float32),
        "b": np.array([1, np.nan, np.nan, -np.inf, 2], np.float32),
    }
    check(Case("nan", one_node(op, inputs), inputs, {"y": extreme(inputs["a"], inputs["b"])}))


def check_refused_folds(op: str) -> None:
    """Max and Min of shapes that do not fit, of types that differ, of bools."""
    inputs = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((3, 1), np.float32), "c": np.zeros(4, np.float32)}
    check_refused(one_node(op, inputs), inputs, ModelError, "2 against 3", op)
    inputs = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32), "c": np.zeros(3, np.int32)}
    check_refused(one_node(op, inputs), inputs, ModelError, "input 2 is int32", op)
    inputs = {"a": np.zeros(3, np.bool_)}
    check_refused(one_node(op, inputs, output_dtype=np.bool_), inputs, ModelError, "bool", op)
