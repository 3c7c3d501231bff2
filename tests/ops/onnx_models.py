"""Builders of small ONNX models: one node alone, and one node between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]
Shape = Sequence[int | str | None]

NEWEST_OPSET = 21  # the default of the builders; cases name others where an operator's meaning changed


def element_type(dtype: npt.DTypeLike) -> int:
    """The TensorProto element type of a NumPy dtype."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[npt.DTypeLike, Shape]],
    outputs: Mapping[str, npt.DTypeLike],
    constants: Mapping[str, Any] | None = None,
    opset: int = NEWEST_OPSET,
) -> onnx.ModelProto:
    """A model of these nodes.

    Args:
        nodes: In topological order.
        inputs: (dtype, shape) per name; a string in a shape is a symbolic dimension.
        outputs: dtype per name; their shapes are left to the engine.
        constants: Initializers.
        opset: Version of the default domain.
    """
    graph = helper.make_graph(
        list(nodes),
        "case",
        [helper.make_tensor_value_info(n, element_type(d), list(s)) for n, (d, s) in inputs.items()],
        [helper.make_tensor_value_info(n, element_type(d), None) for n, d in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def one_node(
    op: str,
    inputs: Mapping[str, Array],
    *,
    constants: Mapping[str, Any] | None = None,
    order: Sequence[str] | None = None,
    output_dtype: npt.DTypeLike = np.float32,
    opset: int = NEWEST_OPSET,
    symbolic_batch: bool = False,
    more: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node "node" whose output is "y".

    Args:
        op: The operator.
        inputs: Example arrays of the graph's inputs, which fix dtypes and shapes.
        constants: Inputs of the node that are initializers.
        order: Names of the node's inputs in order, "" for one that is left out; inputs then constants if None.
        output_dtype: dtype of "y".
        opset: Version of the default domain.
        symbolic_batch: Dimension 0 of every input is chosen at run time.
        more: Attributes of the node whose names are parameters here.
        attributes: Of the node.
    """
    names = [*inputs, *(constants or {})] if order is None else list(order)
    node = helper.make_node(op, names, ["y"], name="node", **attributes, **(more or {}))
    shapes = {name: ("N", *a.shape[1:]) if symbolic_batch else a.shape for name, a in inputs.items()}
    specs = {name: (a.dtype, shapes[name]) for name, a in inputs.items()}
    return model_of([node], specs, {"y": output_dtype}, constants, opset)


@dataclass(frozen=True)
class Codes:
    """A quantized tensor: real = scale * (codes - zero_point), in uint8 or int8.

    Attributes:
        codes: uint8 or int8.
        scale: float32, one or one per index of `axis`.
        zero_point: Of the codes' dtype, shaped as `scale`.
        axis: The axis that several scales go along.
    """

    codes: Array
    scale: Array
    zero_point: Array
    axis: int = 0

    @classmethod
    def random(
        cls,
        rng: np.random.Generator,
        shape: Sequence[int],
        dtype: npt.DTypeLike = np.uint8,
        scale: float | None = None,
        zero_point: int | None = None,
    ) -> Codes:
        """Uniform codes with one scale (log-uniform in [1e-3, 1] unless given) and zero point (any unless given)."""
        info = np.iinfo(np.dtype(dtype))
        codes = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
        if scale is None:
            scale = float(np.exp(rng.uniform(np.log(1e-3), 0.0)))
        if zero_point is None:
            zero_point = int(rng.integers(info.min, info.max, endpoint=True))
        return cls(codes, np.float32(scale), np.asarray(zero_point, dtype))  # type: ignore[arg-type]

    @classmethod
    def weights(cls, rng: np.random.Generator, shape: Sequence[int], axis: int = 0) -> Codes:
        """Uniform int8 weights with zero point 0 and one scale per index of `axis`, log-uniform in [1e-3, 1e-1]."""
        scale = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), shape[axis])).astype(np.float32)
        codes = rng.integers(-128, 127, shape, np.int8, endpoint=True)
        return cls(codes, scale, np.zeros(shape[axis], np.int8), axis)

    def real(self) -> npt.NDArray[np.float64]:
        """The exact real values."""
        scale, zero = np.asarray(self.scale, np.float64), np.asarray(self.zero_point, np.int64)
        if scale.ndim == 1:
            along = [1] * self.codes.ndim
            along[self.axis] = -1
            scale, zero = np.reshape(scale, along), np.reshape(zero, along)
        return np.asarray((self.codes.astype(np.int64) - zero) * scale, np.float64)


@dataclass(frozen=True)
class Steps:
    """A quantized result as exact arithmetic has it, before it is rounded to codes.

    Attributes:
        exact: real / scale + zero_point (float64), neither rounded nor saturated.
        scale: Of the output.
        zero_point: Of the output.
        dtype: uint8 or int8, of the codes.
    """

    exact: npt.NDArray[np.float64]
    scale: np.float32
    zero_point: int
    dtype: np.dtype[Any]

    def codes(self) -> npt.NDArray[np.int64]:
        """QuantizeLinear's last step: round half to even, saturate."""
        info = np.iinfo(self.dtype)
        return np.clip(np.rint(self.exact), info.min, info.max).astype(np.int64)

    def real(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """DequantizeLinear of codes."""
        return np.asarray((codes - self.zero_point).astype(np.float32) * self.scale, np.float32)

    def codes_of(self, real: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """The codes behind a DequantizeLinear's output; AssertionError where a number is not one of them."""
        codes = np.rint(real.astype(np.float64) / self.scale).astype(np.int64) + self.zero_point
        np.testing.assert_array_equal(self.real(codes), real, err_msg="not the real value of any code")
        return codes


@dataclass(frozen=True)
class QdqModel:
    """A QDQ-wrapped node with what is needed to judge it; `runner.qdq_case` makes a case of it.

    Attributes:
        model: Its inputs are those of `inputs`, its output is "y", float32 from a last DequantizeLinear.
        inputs: float32 or code arrays.
        steps: Of "y".
    """

    model: onnx.ModelProto
    inputs: dict[str, Array]
    steps: Steps


def qdq_node(
    op: str,
    tensors: Mapping[str, Codes],
    reference: Callable[..., npt.NDArray[np.float64]],
    y_scale: float,
    y_zero_point: int,
    *,
    constants: Sequence[str] = (),
    plain: Mapping[str, Array] | None = None,
    order: Sequence[str] | None = None,
    after: Sequence[onnx.NodeProto] = (),
    y_dtype: npt.DTypeLike = np.uint8,
    from_codes: bool = False,
    opset: int = NEWEST_OPSET,
    symbolic_batch: bool = False,
    **attributes: Any,
) -> QdqModel:
    """DequantizeLinear on each tensor - `op` - (after) - QuantizeLinear - DequantizeLinear.

    Args:
        op: The operator.
        tensors: Its quantized inputs by name.
        reference: Takes the exact real values of `tensors` in order and gives the operator's float64 result, `after`
            included.
        y_scale: Of the output.
        y_zero_point: Of the output.
        constants: Names of `tensors` that are initializers; the others are inputs.
        plain: Inputs of the node that are initializers as they are.
        order: Names of the node's inputs in order; tensors then plain if None.
        after: Nodes from "node_y" to "real_y", such as a Relu.
        y_dtype: uint8 or int8.
        from_codes: Inputs of the model are codes; otherwise float32 that QuantizeLinear turns into exactly these codes.
        opset: Version of the default domain.
        symbolic_batch: Dimension 0 of every input is chosen at run time.
        attributes: Of the node.
    """
    nodes: list[onnx.NodeProto] = []
    specs: dict[str, tuple[npt.DTypeLike, Shape]] = {}
    inputs: dict[str, Array] = {}
    stored: dict[str, Array] = dict(plain or {})
    for name, tensor in tensors.items():
        stored |= {f"{name}_scale": tensor.scale, f"{name}_zero": tensor.zero_point}
        parameters = [f"{name}_scale", f"{name}_zero"]
        axis: dict[str, Any] = {"axis": tensor.axis} if np.ndim(tensor.scale) == 1 else {}
        if name in constants:
            stored[f"{name}_codes"] = tensor.codes
        else:
            given = tensor.codes if from_codes else tensor.real().astype(np.float32)
            source = f"{name}_codes" if from_codes else name
            inputs[source] = given
            specs[source] = (given.dtype, ("N", *given.shape[1:]) if symbolic_batch else given.shape)
            if not from_codes:
                nodes.append(helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_codes"], **axis))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_codes", *parameters], [f"{name}_real"], **axis))
    names = [*tensors, *(plain or {})] if order is None else order
    node_inputs = [f"{name}_real" if name in tensors else name for name in names]
    node_output = "node_y" if after else "real_y"
    nodes.append(helper.make_node(op, node_inputs, [node_output], name="node", **attributes))
    nodes.extend(after)
    stored |= {"y_scale": np.float32(y_scale), "y_zero": np.asarray(y_zero_point, y_dtype)}  # type: ignore[dict-item]
    nodes.append(helper.make_node("QuantizeLinear", ["real_y", "y_scale", "y_zero"], ["y_codes"]))
    nodes.append(helper.make_node("DequantizeLinear", ["y_codes", "y_scale", "y_zero"], ["y"]))
    model = model_of(nodes, specs, {"y": np.float32}, stored, opset)
    real = reference(*(tensor.real() for tensor in tensors.values()))
    scale = np.float32(y_scale)
    exact = np.asarray(real / np.float64(scale) + y_zero_point, np.float64)
    return QdqModel(model, inputs, Steps(exact, scale, y_zero_point, np.dtype(y_dtype)))
