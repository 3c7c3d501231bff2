import numpy as np
import pytest

from onnx import TensorProto, helper
from onnx_models import model_of
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def info(name: str) -> object:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


SUM = helper.make_graph(
    [
        helper.make_node("Add", ["s", "x"], ["t"]),
        helper.make_node("Mul", ["t", "k"], ["scaled"]),
        helper.make_node("Identity", ["t"], ["out"]),
    ],
    "body",
    [info("s"), info("x")],
    [info("t"), info("out"), info("scaled")],
)


def model(x: np.ndarray, opset: int = 21, **attributes: object) -> object:
    node = helper.make_node(
        "Scan", ["s0", "xs"], ["s", "all", "scaled_all"], name="node", body=SUM, num_scan_inputs=1, **attributes
    )
    return model_of(
        [node],
        {"s0": (np.float32, ()), "xs": (np.float32, x.shape), "k": (np.float32, ())},
        {"s": np.float32, "all": np.float32, "scaled_all": np.float32},
        opset=opset,
    )


def given(x: np.ndarray, axis: int = 0) -> dict[str, np.ndarray]:
    start = values(np.random.default_rng(7), np.delete(x.shape, axis))
    return {"s0": start, "xs": x, "k": np.array(3, np.float32)}


def with_state(built: object, start: np.ndarray) -> object:
    for extent in start.shape:
        built.graph.input[0].type.tensor_type.shape.dim.add().dim_value = extent
    return built


def sums(start: np.ndarray, rows: list[np.ndarray]) -> list[np.ndarray]:
    found = [start]
    for row in rows:
        found.append(found[-1] + row)
    return found


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_scan(steps: int) -> None:
    x = values(np.random.default_rng(0), (steps, 3, 2))
    inputs = given(x)
    found = sums(inputs["s0"], list(x))
    stacked = np.array(found[1:], np.float32).reshape(steps, 3, 2)
    expected = {"s": found[-1], "all": stacked, "scaled_all": stacked * np.float32(3)}
    check(Case("scan", with_state(model(x), inputs["s0"]), inputs, expected, exact=True, onnxruntime=steps > 0))


def test_axes_and_directions() -> None:
    x = values(np.random.default_rng(0), (3, 2, 5))
    inputs = given(x, 2)
    found = sums(inputs["s0"], [x[..., i] for i in reversed(range(5))])[1:]
    built = model(
        x, scan_input_axes=[-1], scan_input_directions=[1], scan_output_axes=[1, -1], scan_output_directions=[1, 0]
    )
    expected = {
        "s": found[-1],
        "all": np.stack(found[::-1], axis=1),
        "scaled_all": np.stack([s * np.float32(3) for s in found], axis=-1),
    }
    check(Case("axes", with_state(built, inputs["s0"]), inputs, expected, exact=True))


def test_what_does_not_fit() -> None:
    x = values(np.random.default_rng(0), (5, 3))
    inputs = given(x)

    def refused(message: str, **attributes: object) -> None:
        check_refused(with_state(model(x, **attributes), inputs["s0"]), inputs, ModelError, message, "Scan")

    refused("scan_input_axes has 2 values, expected 1", scan_input_axes=[0, 1])
    refused("axis 2 is outside", scan_input_axes=[2])
    refused("axis 5 is outside", scan_output_axes=[5, 0])
