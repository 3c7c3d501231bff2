from typing import Any

import numpy as np
import pytest

from move_cases import OTHER_DTYPES
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import DTYPES
from sanderling.errors import ModelError


def hot(indices: Array, depth: int, pair: Array, axis: int, *, negative: bool) -> Array:
    at = indices.astype(np.int64)
    if negative:
        at = np.where((at < 0) & (at >= -depth), at + depth, at)
    on = np.expand_dims(at, axis) == np.arange(depth).reshape([-1] + [1] * (indices.ndim - axis % (indices.ndim + 1)))
    return np.where(on, pair[1], pair[0])


def one_hot(
    name: str,
    indices: Array,
    depth: Any,
    axis: int = -1,
    pair: Array | None = None,
    opset: int = 11,
    known: bool = True,
    run: bool = False,
) -> Case:
    pair = np.array([0, 1], np.float32) if pair is None else pair
    inputs = {"indices": indices}
    constants = {"depth": np.asarray(depth), "values": pair}
    if run:
        inputs, constants = {**inputs, **constants}, {}
    attributes = {} if axis == -1 else {"axis": axis}
    model = one_node("OneHot", inputs, constants=constants, output_dtype=pair.dtype, opset=opset, **attributes)
    count = int(np.asarray(depth).reshape(-1)[0])
    expected = hot(indices, count, pair, axis, negative=opset >= 11)
    return Case(name, model, inputs, {"y": expected}, exact=True, onnxruntime=known)


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    indices = rng.integers(-7, 9, (3, 4), np.int64)
    made = [one_hot(f"axis{axis}", indices, np.int64(5), axis) for axis in (-3, -1, 0, 1, 2)]
    made += [
        # ONNX Runtime lets negative ones count from the end here as well.
        one_hot("opset-9", indices, np.int64(5), opset=9, known=False),
        one_hot("opset-28", indices, np.int64(5), opset=28, known=False),
        one_hot("scalar", np.array(2, np.int64), np.int64(5), known=False),
        one_hot("empty", np.zeros((0, 3), np.int64), np.int64(5)),
        one_hot("depth-list", indices, np.array([5], np.int64)),
        one_hot("depth-0", indices, np.int64(0), known=False),
        one_hot("run", indices, np.int64(5), 1, run=True),
        one_hot("pair", indices, np.int64(5), pair=np.array([-2.5, 3], np.float32)),
    ]
    for dtype in DTYPES[:-1]:  # ONNX Runtime has few triples
        here = np.abs(indices).astype(dtype)
        made.append(one_hot(f"indices-{dtype.__name__}", here, dtype(6), known=False))
    fractions = np.array([0.9, -0.9, 1.5, -1.5, 3e9, -3e9], np.float32)
    made.append(one_hot("fractions", fractions, np.float32(3.7), known=False))
    for dtype in (*DTYPES, *OTHER_DTYPES):
        made.append(
            one_hot(
                f"values-{np.dtype(dtype).name}", indices, np.int64(4), pair=np.array([1, 2]).astype(dtype), known=False
            )
        )
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_one_hot(case: Case) -> None:
    check(case)


def test_unsigned_indices_beyond_the_depth() -> None:
    indices = np.array([0, 2**64 - 1, 2**63, 2], np.uint64)
    expected = np.eye(3, dtype=np.float32)[[0, 0, 0, 2]]
    expected[1:3] = 0
    constants = {"depth": np.int64(3), "values": np.array([0, 1], np.float32)}
    model = one_node("OneHot", {"x": indices}, constants=constants)
    check(Case("uint64", model, {"x": indices}, {"y": expected}, exact=True, onnxruntime=False))


def test_refused() -> None:
    x = {"x": np.zeros(3, np.int64)}

    def refused(message: str, depth: Any = 3, pair: Any = (0.0, 1.0), **attributes: int) -> None:
        constants = {"depth": np.asarray(depth), "values": np.array(pair, np.float32)}
        check_refused(one_node("OneHot", x, constants=constants, **attributes), x, ModelError, message, "OneHot")  # type: ignore[arg-type]

    refused("depth is -1", depth=-1)
    refused("depth is", depth=np.iinfo(np.int64).max)
    refused("more than the limit", depth=1 << 30)
    refused(r"depth has shape \[2\]", depth=[1, 2])
    refused(r"values has shape \[3\]", pair=(0, 1, 2))
    refused("axis 2 is outside", axis=2)
