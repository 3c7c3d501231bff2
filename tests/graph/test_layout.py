"""Between convolutions tensors keep the channels-last layout: what stands there runs on it, without transposes."""

import numpy as np
import onnxruntime as ort
import pytest

import sanderling
from onnx import helper, numpy_helper
from sanderling import _core

RNG = np.random.default_rng(0)
UP = np.array([1, 1, 2, 1.5], np.float32)
NONE = np.array([], np.float32)


def between(op, constants=(), opset=17, computed=None, **attributes):
    """A convolution, `op`, a convolution of what comes out; `computed` names an input that comes from a shape."""
    weights = {"w": RNG.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32)}
    values = {f"c{i}": np.asarray(v) for i, v in enumerate(constants)}
    names = [computed if computed and value is None else f"c{i}" for i, value in enumerate(constants)]
    values = {name: value for name, value in values.items() if value.dtype != object}
    out = {"DepthToSpace": 2, "SpaceToDepth": 32}.get(op, 8)
    weights["v"] = RNG.normal(0, 0.3, (4, out, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node(op, ["a", *names], ["b"], **attributes),
        helper.make_node("Conv", ["b", "v"], ["y"]),
    ]
    if computed:  # from the shape of x
        weights["more"] = np.array([0, 5, 3, 5])
        nodes[:0] = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Add", ["s", "more"], [computed])]
    graph = helper.make_graph(
        nodes,
        "layout",
        [helper.make_tensor_value_info("x", 1, ["n", 3, 6, 8])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(value, name) for name, value in (weights | values).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return made.SerializeToString()


def check(data, feeds, transposes=2):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    wanted = ort.InferenceSession(data, options, ["CPUExecutionProvider"]).run(None, feeds)[0]
    model = _core.Model(data)
    for isa in ["reference", *_core.runnable_isas()]:
        ours = _core.Session(model, isa=isa).run(list(feeds.values()))[0]
        assert ours.shape == wanted.shape
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max() + 1e-5, err_msg=isa)
    assert sanderling.Session(data).info()["operators"]["Transpose"] == transposes


def image():
    return RNG.normal(0, 1, (2, 3, 6, 8)).astype(np.float32)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("form", ["scales", "sizes", "opset10", "axes"])
def test_resize(form, mode):
    if form == "opset10":
        if mode == "cubic":
            pytest.skip("opset 10 has no cubic")
        data = between("Resize", [UP], opset=10, mode=mode)
    elif form == "axes":
        data = between("Resize", [NONE, UP[2:]], opset=18, mode=mode, axes=[2, 3])
    elif form == "sizes":
        data = between("Resize", [NONE, NONE, np.array([2, 8, 9, 13])], mode=mode)
    else:
        data = between("Resize", [NONE, UP], mode=mode, coordinate_transformation_mode="align_corners")
    check(data, {"x": image()})


def test_resize_to_sizes_that_are_computed():
    data = between("Resize", [NONE, NONE, None], computed="size", mode="linear")
    check(data, {"x": image()})


def test_resize_that_crops_stays_in_the_models_layout():
    roi = np.array([0, 0, 0.1, 0.2, 1, 1, 0.8, 0.9], np.float32)
    data = between("Resize", [roi, UP], mode="linear", coordinate_transformation_mode="tf_crop_and_resize")
    check(data, {"x": image()}, transposes=4)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode):
    check(between("DepthToSpace", blocksize=2, mode=mode), {"x": image()})


def test_instance_normalization():
    scale, bias = (RNG.uniform(-1, 1, 8).astype(np.float32) for _ in range(2))
    check(between("InstanceNormalization", [scale, bias]), {"x": image()})


def test_instance_normalization_of_many_channels():
    """More of them than a task takes side by side."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("InstanceNormalization", ["a", "s", "b"], ["i"], epsilon=1e-3),
        helper.make_node("Concat", ["i", "i"], ["y"], axis=1),
    ]
    values = {"w": RNG.normal(0, 0.3, (131, 3, 2, 2)), "s": RNG.uniform(-1, 1, 131), "b": RNG.uniform(-1, 1, 131)}
    graph = helper.make_graph(
        nodes,
        "layout",
        [helper.make_tensor_value_info("x", 1, ["n", 3, 6, 8])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    check(made.SerializeToString(), {"x": image()})


def test_weights_that_another_convolution_makes():
    """They come back into the model's layout, in which kernels take them."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["a", "r"], ["y"], pads=[2, 2, 2, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "layout",
        [helper.make_tensor_value_info("x", 1, ["n", 3, 6, 8])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(RNG.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32), "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    check(made.SerializeToString(), {"x": image()}, transposes=3)


def test_space_to_depth():
    check(between("SpaceToDepth", blocksize=2), {"x": image()})


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1, 1), (8,), (6, 8), (8, 6, 8), (1,), ()], ids=str)
@pytest.mark.parametrize("op", ["Mul", "PRelu", "Max", "Pow"])
def test_constants_of_fewer_axes(op, shape):
    by = RNG.integers(1, 3, shape) if op == "Pow" else RNG.uniform(0.5, 2, shape)
    check(between(op, [by.astype(np.float32)]), {"x": image()})
