"""Well-formed files that make no sense, or ask for far more than they hold: a typed error, or a modest cost."""

import resource

import numpy as np
import pytest

import onnx
import sanderling
from onnx import TensorProto, helper, numpy_helper


def model(nodes, inputs, constants):
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.ModelProto.SerializeToString(made)


@pytest.mark.parametrize("short", ["scale", "shift", "mean", "variance"])
def test_statistics_of_a_normalization_that_are_too_few(short):
    """They stand behind a convolution, whose weights they would be merged into."""
    channels = {name: 1 if name == short else 4 for name in ("scale", "shift", "mean", "variance")}
    data = model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
            helper.make_node("BatchNormalization", ["c", *channels], ["y"], "norm"),
        ],
        {"x": ["n", 3, 5, 5]},
        {"w": np.ones((4, 3, 1, 1), np.float32)} | {name: np.ones(n, np.float32) for name, n in channels.items()},
    )
    with pytest.raises(
        sanderling.ModelError, match=r"\[BatchNormalization\] node 'norm': .* has shape \[1\], expected \[4\]"
    ):
        sanderling.Session(data).run(np.zeros((1, 3, 5, 5), np.float32))


def test_an_input_larger_than_any_memory():
    data = model([helper.make_node("Relu", ["x"], ["y"], "relu")], {"x": [1, "n", 1 << 40]}, {})
    session = sanderling.Session(data)
    with pytest.raises(sanderling.InputError, match="1099511627776"):
        session.run(np.zeros((1, 2, 3), np.float32))


def test_constants_do_not_grow_the_model_without_bound():
    """A Pad of one number to 400 MB stays out of the model: opening it costs about nothing."""
    pads = np.array([0, 100_000_000], np.int64)
    data = model(
        [helper.make_node("Pad", ["c", "pads"], ["p"], "pad"), helper.make_node("Add", ["x", "p"], ["y"], "add")],
        {"x": ["n"]},
        {"c": np.ones(1, np.float32), "pads": pads},
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    session = sanderling.Session(data)
    assert session.info()["operators"] == {"Pad": 1, "Add": 1}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_long_padded_axis_keeps_no_table():
    """Kernels of Pad keep 8 bytes per index: beyond a million indices the reference function runs."""
    length = 3_000_000
    data = model(
        [helper.make_node("Pad", ["x", "pads"], ["y"], "pad")], {"x": ["n"]}, {"pads": np.array([2, length], np.int64)}
    )
    y = sanderling.Session(data).run(np.arange(1, 4, dtype=np.float32))
    assert y.shape == (length + 5,)
    np.testing.assert_array_equal(y[:6], [0, 0, 1, 2, 3, 0])
    assert not y[5:].any()


def test_a_body_that_takes_other_inputs_than_its_node_gives():
    row = helper.make_tensor_value_info("v", TensorProto.FLOAT, ["n"])
    body = helper.make_graph([helper.make_node("Relu", ["v"], ["w"])], "body", [row], [row])
    data = model(
        [helper.make_node("Scan", ["x", "x"], ["y"], "scan", body=body, num_scan_inputs=1)], {"x": ["n", 4]}, {}
    )
    with pytest.raises(sanderling.ModelError, match="a subgraph takes 1 inputs, its node gives it 2"):
        sanderling.Session(data).run(np.zeros((2, 4), np.float32))
