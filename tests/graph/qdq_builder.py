"""Small QDQ models, and what they must give: no float operator is left, and the codes are those of literal QDQ."""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
import pytest

import sanderling
from onnx import helper, numpy_helper
from sanderling import _core

BORDERS = {"Quantize", "Dequantize", "Transpose"}
SCALES = {"x": (0.041373, 120), "m": (0.052191, 100), "y": (0.061737, 90)}  # exact ties are rare with these


class Builder:
    """A QDQ model from "x" (or codes "xq") to "y" (or codes "yq")."""

    def __init__(self, shape, dtype=np.uint8, *, code_input=False, code_output=False):
        self.rng = np.random.default_rng(0)
        self.dtype, self.code_input, self.code_output = np.dtype(dtype), code_input, code_output
        self.nodes, self.constants, self.shape = [], {}, shape

    def constant(self, name, value):
        self.constants[name] = np.asarray(value)
        return name

    def parameters(self, name, scale, zero):
        if self.dtype == np.int8:
            zero -= 128
        return [self.constant(f"{name}_s", np.float32(scale)), self.constant(f"{name}_z", np.array(zero, self.dtype))]

    def add(self, op, inputs, outputs, **attributes):
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(op, inputs, outputs, name=f"n{len(self.nodes)}", **attributes))
        return outputs[0]

    def quantize(self, real, name, scale, zero):
        return self.add("QuantizeLinear", [real, *self.parameters(name, scale, zero)], f"{name}q")

    def dequantize(self, name):
        return self.add("DequantizeLinear", [f"{name}q", f"{name}_s", f"{name}_z"], f"{name}_r")

    def start(self):
        if self.code_input:
            self.parameters("x", *SCALES["x"])
        else:
            self.quantize("x", "x", *SCALES["x"])
        return self.dequantize("x")

    def between(self, real, name="m"):
        self.quantize(real, name, *SCALES[name])
        return self.dequantize(name)

    def finish(self, real):
        self.quantize(real, "y", *SCALES["y"])
        return "yq" if self.code_output else self.add("DequantizeLinear", ["yq", "y_s", "y_z"], "y")

    def weight(self, shape, dtype=np.int8, *, channels=0, zero=0, axis=0):
        info = np.iinfo(dtype)
        count = (shape[axis],) if channels else ()
        names = [self.constant("w_q", self.rng.integers(info.min, info.max, shape, dtype, endpoint=True))]
        names.append(self.constant("w_s", self.rng.uniform(0.001, 0.004, count).astype(np.float32)))
        names.append(self.constant("w_z", np.full(count, zero, dtype)))
        return self.add("DequantizeLinear", names, "w", axis=axis)

    def bias(self, count, dtype=np.int32):
        values = self.rng.integers(-3000, 3000, count)
        if dtype is np.float32:
            return self.constant("b", (values * 1e-4).astype(np.float32))
        scale = np.asarray(np.float32(SCALES["x"][0]) * self.constants["w_s"], np.float32)
        names = [self.constant("b_q", values.astype(np.int32)), self.constant("b_s", scale)]
        return self.add("DequantizeLinear", names, "b", axis=0)

    def model(self, opset=17):
        x = ("xq", self.dtype) if self.code_input else ("x", np.dtype(np.float32))
        y = ("yq", self.dtype) if self.code_output else ("y", np.dtype(np.float32))
        number = helper.np_dtype_to_tensor_dtype
        graph = helper.make_graph(
            self.nodes,
            "pattern",
            [helper.make_tensor_value_info(x[0], number(x[1]), self.shape)],
            [helper.make_tensor_value_info(y[0], number(y[1]), None)],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        if opset > 17 or any(node.domain for node in self.nodes):
            made.ir_version = 10
            made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        return made.SerializeToString()

    def check(self, integer: Sequence[str], *, opset=17, steps=1):
        """Compares it; every operator but `integer` moves or borders."""
        operators = self.compare(opset=opset, steps=steps)
        assert set(integer) <= operators, operators
        moves = {"Identity", "Flatten", "MaxPool", "Concat", "Reshape", "Slice", "Split", "Gather", "Resize", "Pad"}
        moves |= {"Squeeze", "Unsqueeze", "DepthToSpace", "SpaceToDepth", "Tile", "Expand", "ReduceMax"}
        allowed = set(integer) | moves | ({"QLookup"} if self.dtype == np.int8 else set()) | BORDERS
        assert operators <= allowed, operators
        if self.code_input and self.code_output:
            assert not {"Quantize", "Dequantize"} & operators

    def compare(self, *, opset=17, steps=1):
        """Its operators; on each of them codes are at most `steps` from literal QDQ."""
        data = self.model(opset)
        shape = [3 if isinstance(d, str) else d for d in self.shape]
        x = self.rng.normal(0, 2, shape).astype(np.float32)
        if self.code_input:
            info = np.iinfo(self.dtype)
            x = self.rng.integers(info.min, info.max, shape, self.dtype, endpoint=True)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        name = "xq" if self.code_input else "x"
        expected = ort.InferenceSession(data, options, ["CPUExecutionProvider"]).run(None, {name: x})[0]
        model = _core.Model(data)
        for isa in ["reference", *_core.runnable_isas()]:
            ours = _core.Session(model, isa=isa).run([x])[0]
            assert ours.dtype == expected.dtype
            assert ours.shape == expected.shape
            distance = np.abs(ours.astype(np.float64) - expected) / (1 if self.code_output else SCALES["y"][0])
            assert distance.max(initial=0) <= steps + 1e-3, isa
            assert (distance > 0.5).mean() < 0.02, isa
        return set(sanderling.Session(data).info()["operators"])


BOTH = pytest.mark.parametrize("dtype", [np.uint8, np.int8])
CODES = pytest.mark.parametrize("codes", [False, True], ids=["float", "codes"])
