import numpy as np
import pytest

from onnx_models import one_node
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError

TRIPLES: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    ((), (), ()),
    ((3, 5, 7), (3, 5, 7), (3, 5, 7)),
    ((3, 5, 7), (), (3, 5, 7)),
    ((3, 5, 7), (3, 5, 7), ()),
    ((3, 5, 7), (1,), (1, 1)),
    ((), (8, 13), (13,)),
    ((3, 1), (7,), (5, 1, 1)),
    ((3, 1, 1), (5, 7), (3, 5, 7)),
    ((1, 1, 7), (2, 1, 3, 1), (4, 1, 1)),
    ((0, 3), (3,), ()),
    ((3, 1), (32771,), (3, 32771)),
)


def where_case(shapes: tuple[tuple[int, ...], ...], dtype: type, symbolic: bool = False) -> Case:
    rng = np.random.default_rng(len(shapes[0]))
    inputs = {
        "c": values(rng, shapes[0], np.bool_),
        "a": values(rng, shapes[1], np.float32).astype(dtype),
        "b": values(rng, shapes[2], np.float32).astype(dtype),
    }
    wanted = np.where(inputs["c"], inputs["a"], inputs["b"])
    model = one_node("Where", inputs, output_dtype=dtype, opset=16, symbolic_batch=symbolic)
    label = "-".join("x".join(map(str, s)) or "scalar" for s in shapes)
    known = dtype in (np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64)  # to ONNX Runtime
    return Case(f"{np.dtype(dtype).name}-{label}", model, inputs, {"y": wanted}, exact=True, onnxruntime=known)


@pytest.mark.parametrize(
    "case",
    [
        *(where_case(shapes, np.float32) for shapes in TRIPLES),
        *(where_case(shapes, d) for d in (*DTYPES[1:], np.int16, np.uint16, np.uint64) for shapes in TRIPLES[1:9:2]),
        *(where_case(((batch, 5), (1, 5), (batch, 1)), np.float32) for batch in (1, 3)),
        where_case(((3, 5), (3, 5), (3, 5)), np.float32, symbolic=True),
    ],
    ids=str,
)
def test_where(case: Case) -> None:
    check(case)


def test_nan_is_chosen_or_not() -> None:
    inputs = {"c": np.array([True, False]), "a": np.array([np.nan, np.nan], np.float32), "b": np.ones(2, np.float32)}
    wanted = np.array([np.nan, 1], np.float32)
    check(Case("nan", one_node("Where", inputs, opset=9), inputs, {"y": wanted}, exact=True))


def test_refused() -> None:
    x = np.zeros(3, np.float32)
    inputs = {"c": x, "a": x, "b": x}
    check_refused(one_node("Where", inputs), inputs, ModelError, "condition is float32, expected bool", "Where")
    inputs = {"c": np.zeros(3, np.bool_), "a": x, "b": np.zeros(3, np.int32)}
    check_refused(one_node("Where", inputs), inputs, ModelError, "int32.*float32", "Where")
    inputs = {"c": np.zeros(3, np.bool_), "a": x, "b": np.zeros(2, np.float32)}
    check_refused(one_node("Where", inputs), inputs, ModelError, "3 against 2", "Where")
