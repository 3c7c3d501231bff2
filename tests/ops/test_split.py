from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from move_cases import OTHER_DTYPES
from onnx import helper
from onnx_models import Array, model_of
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError


def split_model(
    x: Array,
    outputs: int,
    *,
    split: Any = None,
    opset: int = 18,
    symbolic: bool = False,
    skip: int = -1,
    **attributes: Any,
) -> Any:
    """`split` as input 1; output `skip` is left out."""
    names = ["" if i == skip else f"y{i}" for i in range(outputs)]
    node = helper.make_node("Split", ["x", *(["split"] if split is not None else [])], names, name="node", **attributes)
    shape = ("N", *x.shape[1:]) if symbolic else x.shape
    constants = {} if split is None else {"split": np.array(split, np.int64)}
    return model_of([node], {"x": (x.dtype, shape)}, {n: x.dtype for n in names if n}, constants, opset)


def split_case(name: str, x: Array, parts: Sequence[int], axis: int, **settings: Any) -> Case:
    known = settings.pop("onnxruntime", True)
    skip = settings.get("skip", -1)
    pieces = np.split(x, np.cumsum(parts)[:-1], axis)
    model = split_model(x, len(parts), axis=axis, **settings)
    expected = {f"y{i}": piece for i, piece in enumerate(pieces) if i != skip}
    return Case(name, model, {"x": x}, expected, exact=True, onnxruntime=known)


def cases() -> list[Case]:
    x = values(np.random.default_rng(0), (4, 6, 8))
    made = [
        split_case("even", x, (2, 2), 0, num_outputs=2),
        split_case("even-last", x, (2, 2, 2, 2), -1, num_outputs=4),
        split_case("one", x, (6,), 1, num_outputs=1),
        split_case("uneven", x, (3, 3, 2), 2, num_outputs=3),
        split_case("parts", x, (1, 3, 2), 1, split=(1, 3, 2)),
        split_case("parts-13", x, (1, 3, 2), -2, split=(1, 3, 2), opset=13),
        split_case("even-11", x, (3, 3), 1, opset=11),
        split_case("even-13", x, (2, 2, 2), 1, opset=13),
        split_case("empty-part", x, (4, 0, 2), 1, split=(4, 0, 2)),
        split_case("left-out", x, (1, 3, 2), 1, split=(1, 3, 2), skip=1, onnxruntime=False),
        split_case("empty", np.zeros((4, 0, 3), np.float32), (3, 1), 0, split=(3, 1)),
    ]
    for parts in ((2,), (5, 3)):
        node = helper.make_node("Split", ["x"], [f"y{i}" for i in range(len(parts))], name="node", axis=2, split=parts)
        cut = x[:, :, : sum(parts)]
        model = model_of([node], {"x": (x.dtype, cut.shape)}, {f"y{i}": x.dtype for i in range(len(parts))}, opset=7)
        pieces = np.split(cut, np.cumsum(parts)[:-1], 2)
        made.append(
            Case(f"attribute{parts}", model, {"x": cut}, {f"y{i}": p for i, p in enumerate(pieces)}, exact=True)
        )
    large = values(np.random.default_rng(1), (70, 50, 33))
    for axis, parts in ((0, (69, 1)), (1, (7, 40, 3)), (2, (16, 17))):
        made.append(split_case(f"large{axis}", large, parts, axis, split=parts))
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 5))
        made.append(split_case(f"batch{batch}", x, (2, 3), 1, split=(2, 3), symbolic=True))
    for dtype in DTYPES:
        x = values(np.random.default_rng(2), (3, 6, 5), dtype)
        made.append(split_case(np.dtype(dtype).name, x, (2, 2, 2), 1, num_outputs=3))
    for dtype in OTHER_DTYPES:
        x = np.random.default_rng(3).integers(1, 3, (3, 6, 5)).astype(dtype)
        made.append(split_case(np.dtype(dtype).name, x, (4, 2), 1, split=(4, 2), onnxruntime=False))
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_split(case: Case) -> None:
    check(case)


def test_more_parts_than_there_are_elements() -> None:
    """The last ones are empty, which ONNX Runtime refuses."""
    x = values(np.random.default_rng(0), (3, 7))
    check(split_case("many", x, (2, 2, 2, 1, 0), 1, num_outputs=5, onnxruntime=False))


def test_parts_that_are_known_when_the_model_runs() -> None:
    x = values(np.random.default_rng(0), (3, 7))
    node = helper.make_node("Split", ["x", "split"], ["a", "b"], name="node", axis=1)
    model = model_of([node], {"x": (np.float32, (3, 7)), "split": (np.int64, (2,))}, {"a": np.float32, "b": np.float32})
    for first in (0, 3, 7):
        inputs = {"x": x, "split": np.array([first, 7 - first], np.int64)}
        check(Case(str(first), model, inputs, {"a": x[:, :first], "b": x[:, first:]}, exact=True))
    inputs = {"x": x, "split": np.array([3, 5], np.int64)}
    check_refused(model, inputs, ModelError, "the value 5 where 4 of the extent 7", "Split")


def test_bad_parts() -> None:
    x = {"x": np.zeros((3, 7), np.float32)}

    def refused(message: str, outputs: int, **settings: Any) -> None:
        check_refused(split_model(x["x"], outputs, axis=1, **settings), x, ModelError, message, "Split")

    refused("leaves 1 of the extent 7", 2, split=(3, 3))
    refused("value 8 where 7", 2, split=(8, -1))
    refused("value -1 where 7", 2, split=(-1, 8))
    refused("split has 3 values, the node has 2", 2, split=(3, 3, 1))
    refused("num_outputs is 3, the node has 2", 2, num_outputs=3)
    refused("both split and num_outputs", 2, split=(3, 4), num_outputs=2)
    refused("into 2 equal parts", 2, opset=13)
    refused("as an attribute, not as an input", 2, split=(3, 4), opset=11)
