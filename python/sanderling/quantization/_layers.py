"""Finds the layers of a prepared network: what the quantizer decides about, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

import onnx
from sanderling import _core
from sanderling.quantization._network import Network, attribute

# Operators whose output has no values that the first input has not (Pad adds 0): input and output share their codes.
_MOVEMENTS = {"Flatten", "GlobalMaxPool", "Identity", "MaxPool", "Pad", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


class Kind(Enum):
    """How a layer takes part in int8."""

    WEIGHTED = auto()  # a product with constant weights; its output may stay float32
    MAPPED = auto()  # elementwise, or an average: codes in, codes out
    CONCAT = auto()  # as MAPPED; inputs and output share their codes
    FLOAT = auto()


@dataclass(frozen=True)
class Layer:
    """An operator with what is fused into it.

    Attributes:
        name: Name of the main node.
        operator: Operator types, joined by "+".
        kind: How it takes part in int8; FLOAT if it cannot.
        why_not: The reason, for FLOAT.
        nodes: Indices of its nodes, in order; the first is the main one.
        inputs: The float tensors that it reads, without constants.
        output: The tensor that it makes.
        weight: Name of the constant weights.
        bias: Name of the constant bias.
        axis: Axis of output channels in the weights.
        depth: Products per sum.
    """

    name: str
    operator: str
    kind: Kind
    why_not: str
    nodes: tuple[int, ...]
    inputs: tuple[str, ...]
    output: str
    weight: str | None = None
    bias: str | None = None
    axis: int = 0
    depth: int = 0


def is_movement(network: Network, node: onnx.NodeProto) -> bool:
    """Whether the node only moves elements or chooses among them, so that codes pass through it."""
    if node.op_type not in _MOVEMENTS or len(node.output) != 1:
        return False
    if (
        node.op_type == "Pad"
        and attribute(node, "mode", "constant") == "constant"
        and len(node.input) > 2
        and node.input[2]
    ):
        value = network.constants.get(node.input[2])
        return value is not None and bool(np.all(value == 0))
    return True


def find_layers(network: Network) -> list[Layer]:
    """Groups the nodes that compute into layers, in order of evaluation; movements are in none."""
    layers: list[Layer] = []
    fused: set[int] = set()
    for index, node in enumerate(network.nodes):
        if index in fused or is_movement(network, node):
            continue
        layer = _layer_at(network, index)
        fused.update(layer.nodes)
        layers.append(layer)
    return layers


def _layer_at(network: Network, index: int) -> Layer:
    node = network.nodes[index]
    if node.op_type in ("Conv", "Gemm", "MatMul"):
        return _weighted(network, index)
    if node.op_type in ("Add", "Sub", "Mul"):
        return _with_activations(network, index, Kind.MAPPED)
    if node.op_type == "Sigmoid" and (gate := _gate_of(network, node)) is not None:
        return _layer(network, (index, gate), Kind.MAPPED, "Sigmoid+Mul")
    if node.op_type in ("AveragePool", "GlobalAveragePool", "Sigmoid", "Tanh", "Relu") or _is_clamp(network, node):
        return _layer(network, (index,), Kind.MAPPED, node.op_type)
    if node.op_type == "Concat":
        return _layer(network, (index,), Kind.CONCAT, node.op_type)
    return _layer(network, (index,), Kind.FLOAT, node.op_type, f"{node.op_type} has no int8 form")


def _gate_of(network: Network, sigmoid: onnx.NodeProto) -> int | None:
    """Finds x * sigmoid(x), as SiLU is exported: one function of x, so the sigmoid itself needs no codes."""
    reader = network.only_reader(sigmoid.output[0])
    if reader is None or network.nodes[reader].op_type != "Mul":
        return None
    return reader if set(network.nodes[reader].input) == {sigmoid.input[0], sigmoid.output[0]} else None


def _is_clamp(network: Network, node: onnx.NodeProto) -> bool:
    if node.op_type == "Relu":
        return True
    return node.op_type == "Clip" and all(not name or name in network.constants for name in node.input[1:])


def _with_activations(
    network: Network, index: int, kind: Kind, why_not: str = "", first: tuple[int, ...] = ()
) -> Layer:
    """A layer of `first` or the node at `index`, and the Relu or Clip that alone read it."""
    nodes = [*(first or (index,))]
    while (reader := network.only_reader(network.nodes[nodes[-1]].output[0])) is not None:
        if not _is_clamp(network, network.nodes[reader]):
            break
        nodes.append(reader)
    operator = "+".join(network.nodes[i].op_type for i in nodes)
    return _layer(network, tuple(nodes), kind, operator, why_not)


def _layer(network: Network, nodes: tuple[int, ...], kind: Kind, operator: str, why_not: str = "") -> Layer:
    main = network.nodes[nodes[0]]
    inputs = tuple(dict.fromkeys(name for name in main.input if name and name not in network.constants))
    return Layer(main.name, operator, kind, why_not, nodes, inputs, network.nodes[nodes[-1]].output[0])


def _weighted(network: Network, index: int) -> Layer:
    node = network.nodes[index]
    weights = network.constants.get(node.input[1])
    axis = 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    nodes = [index]
    if node.op_type == "MatMul" and weights is not None and weights.ndim == 2:
        bias = _added_bias(network, node, weights.shape[1], nodes)
    why_not = _why_not_weighted(network, node, bias)
    if why_not or weights is None:
        return _with_activations(network, index, Kind.FLOAT, why_not)
    bare = _with_activations(network, index, Kind.WEIGHTED, first=tuple(nodes))
    depth = weights.size // weights.shape[axis]
    return Layer(
        bare.name,
        bare.operator,
        bare.kind,
        "",
        bare.nodes,
        (node.input[0],),
        bare.output,
        node.input[1],
        bias,
        axis,
        depth,
    )


def _added_bias(network: Network, node: onnx.NodeProto, columns: int, nodes: list[int]) -> str | None:
    """The constant of one number per column that is added to a product of tensors; its Add joins `nodes`."""
    reader = network.only_reader(node.output[0])
    if reader is None or network.nodes[reader].op_type != "Add":
        return None
    for name in map(str, network.nodes[reader].input):
        constant = network.constants.get(name)
        if constant is not None and constant.shape == (columns,) and constant.dtype == np.float32:
            nodes.append(reader)
            return name
    return None


def _why_not_weighted(network: Network, node: onnx.NodeProto, bias: str | None) -> str:
    weights = network.constants.get(node.input[1])
    if weights is None:
        return "its weights are computed, not constant"
    if node.input[0] in network.constants:
        return "its input is constant"
    if weights.dtype != np.float32:
        return f"its weights are {weights.dtype}"
    if not np.isfinite(weights).all():
        return "its weights are not all finite"
    if node.op_type != "Conv" and weights.ndim != 2:
        return f"its weights have {weights.ndim} dimensions, int8 products take 2"
    if node.op_type == "Gemm" and (
        attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0
    ):
        return "it has transA, alpha or beta"
    axis = 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1
    if bias is not None:
        constant = network.constants.get(bias)
        if constant is None or constant.shape != (weights.shape[axis],) or not np.isfinite(constant).all():
            return "its bias is not one finite constant per channel"
    depth = weights.size // max(1, weights.shape[axis])
    if not 0 < depth <= _core.MAX_DEPTH:
        return f"it sums {depth} products, int32 is safe up to {_core.MAX_DEPTH}"
    return ""
