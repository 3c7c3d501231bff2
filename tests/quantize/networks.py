"""Small float networks for the quantizer's tests, and ONNX Runtime as the judge of what the results mean."""

import numpy as np
import onnxruntime as ort

import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Writes a network of one input "x" node by node; tensors are named t0, t1, ... unless told otherwise."""

    def __init__(self, shape, seed=0, opset=17):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = [], {}
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", *shape])]
        self.opset = opset

    def constant(self, name, array, dtype=np.float32):
        self.constants[name] = np.asarray(array, dtype)
        return name

    def add(self, operator, *inputs, output=None, name=None, **attributes):
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=name, **attributes))
        return output

    def weights(self, *shape, name=None):
        fan_in = int(np.prod(shape[1:]))
        name = name or f"w{len(self.constants)}"
        return self.constant(name, self.rng.standard_normal(shape) * np.sqrt(2 / fan_in))

    def conv(self, x, channels_in, channels_out, kernel=3, group=1, bias=True, output=None, name=None, **attributes):
        inputs = [x, self.weights(channels_out, channels_in // group, kernel, kernel)]
        if bias:
            inputs.append(self.constant(f"b{len(self.constants)}", self.rng.standard_normal(channels_out) * 0.2))
        attributes.setdefault("pads", [kernel // 2] * 4)
        return self.add("Conv", *inputs, output=output, name=name, group=group, **attributes)

    def gemm(self, x, columns_in, columns_out, output=None, name=None):
        w = self.weights(columns_out, columns_in)
        b = self.constant(f"b{len(self.constants)}", self.rng.standard_normal(columns_out) * 0.2)
        return self.add("Gemm", x, w, b, output=output, name=name, transB=1)

    def normalization(self, x, channels, output=None):
        r = self.rng
        parts = [r.uniform(0.5, 1.5, channels), r.standard_normal(channels), r.standard_normal(channels)]
        parts.append(r.uniform(0.2, 2, channels))
        names = [self.constant(f"n{len(self.constants)}", part) for part in parts]
        return self.add("BatchNormalization", x, *names, output=output, epsilon=1e-3)

    def model(self, *outputs):
        """The ONNX file, with these tensors as outputs."""
        tensors = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "network", self.inputs, [], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
        model.graph.output.extend(value for value in inferred if value.name in outputs)
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


def residual(seed=0):
    """A stem, a residual block with depthwise and grouped convolutions, a concat, a gate, pools, a classifier."""
    b = Builder([3, 12, 12], seed)
    stem = b.add("Relu", b.normalization(b.conv("x", 3, 12, strides=[2, 2], bias=False), 12), output="stem")
    deep = b.add("Relu", b.normalization(b.conv(stem, 12, 12, group=12), 12), output="deep")
    grouped = b.conv(deep, 12, 12, group=3, output="grouped")
    total = b.add("Relu", b.add("Add", grouped, stem), output="total")
    wide = b.conv(b.add("MaxPool", total, kernel_shape=[2, 2], strides=[2, 2], output="pooled"), 12, 10, output="wide")
    gated = b.add("Mul", wide, b.add("Sigmoid", wide), output="gated")
    average = b.add("AveragePool", gated, kernel_shape=[3, 3], pads=[1] * 4, output="average")
    both = b.add("Concat", gated, average, axis=1, output="both")
    squeezed = b.add("Tanh", b.conv(both, 20, 9, kernel=1, output="narrow"), output="squeezed")
    flat = b.add("Flatten", b.add("GlobalAveragePool", squeezed, output="mean"), output="flat")
    b.add("Softmax", b.gemm(flat, 9, 5, output="logits"), output="y", axis=-1)
    return b.model("logits", "y")


def session_of(data, level=ort.GraphOptimizationLevel.ORT_DISABLE_ALL, path=None):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    if path is not None:
        options.optimized_model_filepath = str(path)
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def literal(data, x):
    """ONNX Runtime with no graph optimization: DequantizeLinear, the float operator, QuantizeLinear, as the file says.

    It is the judge on every host: fused, its u8s8 products saturate at 16 bits where the CPU has no VNNI.
    """
    session = session_of(data)
    feeds = x if isinstance(x, dict) else {session.get_inputs()[0].name: x}
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, feeds), strict=True))


def decibels(expected, actual):
    expected, actual = np.asarray(expected, np.float64), np.asarray(actual, np.float64)
    noise = ((expected - actual) ** 2).sum()
    return np.inf if noise == 0 else 10 * np.log10((expected**2).sum() / noise)


def operators(data):
    counts = {}
    for node in onnx.load_from_string(data).graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def constants(data):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(data).graph.initializer}


def rows_of(shape, count=96, seed=1):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)
