"""Writes the ONNX fuzz corpus: small models that together use all of the format that we read.

`python tests/fuzz/corpus/generate_onnx.py` writes corpus/onnx/*.onnx, which are committed: the fuzz
driver and libFuzzer start from them. The same version of onnx writes the same bytes.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8


Info = tuple[str, int, list[int | str | None] | None]  # name, element type, shape


def model(
    nodes: Iterable[onnx.NodeProto],
    inputs: Iterable[Info],
    outputs: Iterable[Info],
    initializers: Iterable[onnx.TensorProto] = (),
    **metadata: str,
) -> onnx.ModelProto:
    """A model with these metadata_props."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(*info) for info in inputs],
        [helper.make_tensor_value_info(*info) for info in outputs],
        list(initializers),
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="generate")
    made.ir_version = IR_VERSION
    for key, value in metadata.items():
        entry = made.metadata_props.add()
        entry.key, entry.value = key, value
    return made


def weights(name: str, *shape: int, dtype: npt.DTypeLike = np.float32) -> onnx.TensorProto:
    """A constant with small distinct values, stored as raw_data."""
    values = (np.arange(np.prod(shape)) % 7 - 3).reshape(shape)
    return numpy_helper.from_array(values.astype(dtype), name)


def scalar(name: str, value: float, dtype: npt.DTypeLike) -> onnx.TensorProto:
    """A constant of rank 0."""
    return numpy_helper.from_array(np.array(value, dtype), name)


def perceptron() -> onnx.ModelProto:
    """Gemm, Relu and Softmax with a symbolic batch and metadata."""
    return model(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["h"], "gemm", transB=1, alpha=0.5),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Softmax", ["r"], ["y"], axis=-1),
        ],
        [("x", TensorProto.FLOAT, ["batch", 4])],
        [("y", TensorProto.FLOAT, ["batch", 3])],
        [weights("w", 3, 4), weights("b", 3)],
        labels="a,b,c",
    )


def convolution() -> onnx.ModelProto:
    """Conv, BatchNormalization, pooling and a shape in int64."""
    return model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=1),
            helper.make_node("BatchNormalization", ["c", "s", "s", "s", "v"], ["n"], epsilon=1e-3),
            helper.make_node("MaxPool", ["n"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Reshape", ["p", "shape"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, [None, 1, 4, 4])],
        [("y", TensorProto.FLOAT, None)],
        [
            weights("w", 2, 1, 3, 3),
            weights("s", 2),
            numpy_helper.from_array(np.ones(2, np.float32), "v"),
            numpy_helper.from_array(np.array([0, -1], np.int64), "shape"),
        ],
    )


def quantized() -> onnx.ModelProto:
    """QuantizeLinear and DequantizeLinear around a MatMul, weights per channel."""
    return model(
        [
            helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
            helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
            helper.make_node("DequantizeLinear", ["wq", "sw", "zw"], ["wd"], axis=1),
            helper.make_node("MatMul", ["xd", "wd"], ["m"]),
            helper.make_node("QuantizeLinear", ["m", "sx", "zx"], ["mq"]),
            helper.make_node("DequantizeLinear", ["mq", "sx", "zx"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["n", 4])],
        [("y", TensorProto.FLOAT, ["n", 2])],
        [
            scalar("sx", 0.05, np.float32),
            scalar("zx", 128, np.uint8),
            weights("wq", 4, 2, dtype=np.int8),
            numpy_helper.from_array(np.array([0.1, 0.2], np.float32), "sw"),
            numpy_helper.from_array(np.zeros(2, np.int8), "zw"),
        ],
    )


def storage_forms() -> onnx.ModelProto:
    """Every typed field of TensorProto, and every kind of attribute of Constant."""
    forms = [
        helper.make_tensor("f", TensorProto.FLOAT, [2], [1.5, -2.0]),
        helper.make_tensor("d", TensorProto.DOUBLE, [1], [0.1]),
        helper.make_tensor("i8", TensorProto.INT8, [2], [-128, 127]),
        helper.make_tensor("u8", TensorProto.UINT8, [2], [0, 255]),
        helper.make_tensor("i32", TensorProto.INT32, [2], [-5, 1 << 30]),
        helper.make_tensor("i64", TensorProto.INT64, [2], [-5, 1 << 40]),
        helper.make_tensor("b", TensorProto.BOOL, [2], [True, False]),
        helper.make_tensor("empty", TensorProto.FLOAT, [0, 3], []),
        numpy_helper.from_array(np.array([True, False]), "raw"),
    ]
    constants = [
        helper.make_node("Constant", [], ["c0"], value=weights("t", 2)),
        helper.make_node("Constant", [], ["c1"], value_float=0.5),
        helper.make_node("Constant", [], ["c2"], value_int=-3),
        helper.make_node("Constant", [], ["c3"], value_floats=[1.0, 2.0]),
        helper.make_node("Constant", [], ["c4"], value_ints=[1, -2]),
        helper.make_node("Constant", [], ["c5"], value_strings=["p", "q"]),
    ]
    names = [tensor.name for tensor in forms]
    nodes = constants + [helper.make_node("Identity", [name], [f"y_{name}"]) for name in names]
    outputs: list[Info] = [(f"y_{t.name}", t.data_type, list(t.dims)) for t in forms]
    outputs += [(f"c{i}", TensorProto.FLOAT, None) for i in range(len(constants))]
    return model(nodes, [("x", TensorProto.FLOAT, [1])], outputs, forms)


def rearrange() -> onnx.ModelProto:
    """Operators that move data, an input left out, nodes out of order, a dead node."""
    return model(
        [
            helper.make_node("Concat", ["t", "p"], ["y"], axis=1),
            helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
            helper.make_node("Pad", ["t", "pads"], ["q"], mode="constant"),
            helper.make_node("Clip", ["t", "", "one"], ["p"]),
            helper.make_node("Add", ["x", "x"], ["dead"]),
            helper.make_node("Unsqueeze", ["q", "axes"], ["u"]),
            helper.make_node("Flatten", ["u"], ["z"], axis=1),
        ],
        [("x", TensorProto.FLOAT, [2, 3])],
        [("y", TensorProto.FLOAT, [3, 4]), ("z", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.array([0, 1, 0, 1], np.int64), "pads"),
            numpy_helper.from_array(np.array([0], np.int64), "axes"),
            scalar("one", 1, np.float32),
        ],
    )


def refused() -> onnx.ModelProto:
    """What must be refused: a subgraph, a function, sparse and external tensors, a domain."""
    made = perceptron()
    branch = helper.make_graph([], "b", [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])])
    made.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))
    made.graph.node.append(helper.make_node("Gelu", ["x"], ["g"], domain="com.example"))
    made.functions.append(helper.make_function("local", "F", ["a"], ["a"], [], [helper.make_opsetid("", OPSET)]))
    made.graph.sparse_initializer.append(
        helper.make_sparse_tensor(weights("s", 1), weights("si", 1, dtype=np.int64), [4])
    )
    tensor = made.graph.initializer.add(name="far", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return made


def main() -> None:
    """Writes one file per model."""
    folder = Path(__file__).parent / "onnx"
    for make in (perceptron, convolution, quantized, storage_forms, rearrange, refused):
        (folder / f"{make.__name__}.onnx").write_bytes(make().SerializeToString(deterministic=True))
    print(f"onnx {onnx.__version__}: {', '.join(sorted(p.name for p in folder.glob('*.onnx')))}")


if __name__ == "__main__":
    main()
