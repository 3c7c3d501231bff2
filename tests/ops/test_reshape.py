from typing import Any

import numpy as np
import pytest

from move_cases import in_every_dtype, in_other_dtypes, move_case, on_codes
from onnx import helper, numpy_helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def wanted(*shape: int) -> dict[str, Array]:
    return {"shape": np.array(shape, np.int64)}


def cases() -> list[Case]:
    x = values(np.random.default_rng(0), (2, 3, 4, 5))
    made = [
        move_case("-".join(map(str, shape)), "Reshape", x, x.reshape(result), constants=wanted(*shape), opset=opset)
        for shape, result, opset in [
            ((120,), (120,), 7),
            ((6, 20), (6, 20), 13),
            ((-1, 8), (15, 8), 13),
            ((0, -1), (2, 60), 13),
            ((0, 0, 20), (2, 3, 20), 14),
            ((5, 4, -1, 1), (5, 4, 6, 1), 14),
        ]
    ]
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 3, 5))
        made.append(
            move_case(
                f"batch{batch}", "Reshape", x, x.reshape(batch, 15), constants=wanted(-1, 15), symbolic_batch=True
            )
        )
    scalar = values(np.random.default_rng(1), (1, 1))
    made.append(move_case("to-scalar", "Reshape", scalar, scalar.reshape(()), constants=wanted()))
    made += in_every_dtype("Reshape", (3, 5, 7), lambda a: a.reshape(15, 7), constants=wanted(-1, 7))
    made += in_other_dtypes("Reshape", (3, 5, 7), lambda a: a.reshape(15, 7), constants=wanted(-1, 7), opset=25)
    return made + on_codes("Reshape", (3, 5, 7), lambda a: a.reshape(15, 7), plain=wanted(-1, 7))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_reshape(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("from_shape", "to_shape", "result"),
    [((0, 3), (3, 0), (3, 0)), ((2, 0, 3), (0, 0, 7), (0, 0, 7)), ((0, 3), (-1, 3), (0, 3))],
    ids=str,
)
def test_empty_tensors(from_shape: tuple[int, ...], to_shape: tuple[int, ...], result: tuple[int, ...]) -> None:
    constants = {"e": np.zeros(from_shape, np.float32), **wanted(*to_shape)}
    nodes = [
        helper.make_node("Reshape", ["e", "shape"], ["y"], allowzero=1),
        helper.make_node("Identity", ["x"], ["z"]),
    ]
    x = np.ones(2, np.float32)
    model = model_of(nodes, {"x": (np.float32, (2,))}, {"y": np.float32, "z": np.float32}, constants)
    check(Case(f"empty-{from_shape}", model, {"x": x}, {"y": np.zeros(result), "z": x}, onnxruntime=False))


def refused(shape: tuple[int, ...], message: str, error: Any = ModelError, **attributes: Any) -> None:
    x = {"x": np.zeros((2, 3, 4), np.float32)}
    check_refused(one_node("Reshape", x, constants=wanted(*shape), **attributes), x, error, message, "Reshape")


def test_shapes_that_do_not_fit() -> None:
    refused((5, 5), r"float32\[2, 3, 4\] of 24 elements into shape \[5, 5\] of 25")
    refused((-1, 5), r"-1 of shape \[-1, 5\] has no value")
    refused((-1, -1, 2), "more than one -1")
    refused((2, -3, 4), "the extent -3")
    refused((2, 3, 4, 0), "copies extent 3")
    refused((0, -1), "no value", allowzero=1)
    refused((1 << 20, 1 << 20, 1 << 20), "limit")
    refused((1,) * 9, "rank 9")


def test_shape_of_another_kind() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    floats = one_node("Reshape", x, constants={"shape": np.array([6], np.float32)})
    check_refused(floats, x, ModelError, "float32, expected int64", "Reshape")
    matrix = one_node("Reshape", x, constants={"shape": np.array([[6]], np.int64)})
    check_refused(matrix, x, ModelError, r"shape \[1, 1\], expected a list", "Reshape")


def test_shape_that_is_an_input() -> None:
    x = {"x": values(np.random.default_rng(0), (2, 3)), "shape": np.array([3, -1], np.int64)}
    check(Case("input", one_node("Reshape", x), x, {"y": x["x"].reshape(3, 2)}, exact=True))
    wrong = {**x, "shape": np.array([4, 2], np.int64)}
    check_refused(one_node("Reshape", wrong), wrong, ModelError, "cannot bring", "Reshape")


def test_attribute_of_another_type() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    model = one_node("Flatten", x, axis=1.5)
    check_refused(model, x, ModelError, "axis", "Flatten")


def test_shape_from_a_constant_node() -> None:
    x = values(np.random.default_rng(0), (4, 6))
    value = numpy_helper.from_array(np.array([3, 8], np.int64))
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=value),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    model = model_of(nodes, {"x": (np.float32, x.shape)}, {"y": np.float32})
    check(Case("constant-node", model, {"x": x}, {"y": x.reshape(3, 8)}, exact=True))
