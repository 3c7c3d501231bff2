"""Brings a float model into the form that the quantizer reads, without changing what it computes.

Opset 13 or later; constants folded; Gemm with alpha = beta = 1 and a bias of one number per column; MatMul of matrices
as Gemm; BatchNormalization merged into the Conv or Gemm before or after it; every node named.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from onnx import helper, version_converter
from sanderling.errors import InputError, UnsupportedError
from sanderling.quantization._network import Network, attribute, set_attribute

Array = npt.NDArray[Any]

LEAST_OPSET = 13  # the first with per-channel DequantizeLinear
_LEAST_IR = 7  # what opset 13 asks for
_QUANTIZED_OPS = {
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
}


def prepare(data: bytes) -> Network:
    """Reads an ONNX file and prepares its graph.

    Raises:
        InputError: The model is quantized already.
        UnsupportedError: Its opset cannot be raised to 13.
    """
    model = onnx.load_from_string(data)
    _refuse_quantized(model)
    network = Network(_raise_opset(model))
    _fold_constants(network)
    network.prune()
    _normalize_products(network)
    while _fold_one_normalization(network):
        network.prune()
    _name_nodes(network)
    return network


def _refuse_quantized(model: onnx.ModelProto) -> None:
    found = sorted({node.op_type for node in model.graph.node} & _QUANTIZED_OPS)
    if found:
        raise InputError(f"[quantize] the model is quantized already: it has {', '.join(found)}. Give the float model")


def _raise_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    opset = max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0)
    if opset < LEAST_OPSET:
        try:
            model = version_converter.convert_version(model, LEAST_OPSET)
        except (RuntimeError, ValueError) as error:
            raise UnsupportedError(
                f"[quantize] the model has opset {opset}, QDQ per channel needs {LEAST_OPSET}, and it cannot be "
                f"converted: {error}. Export it again with opset {LEAST_OPSET} or later"
            ) from error
    model.ir_version = max(model.ir_version, _LEAST_IR)
    return model


def _fold_constants(network: Network) -> None:
    """Evaluates nodes whose inputs are all constant, such as a Transpose of weights."""
    from onnx.reference import ReferenceEvaluator

    kept: list[onnx.NodeProto] = []
    for node in network.nodes:
        constant = any(node.input) and all(not name or name in network.constants for name in node.input)
        if not constant or set(node.output) & set(network.outputs):
            kept.append(node)
            continue
        inputs = {name: network.constants[name] for name in node.input if name}
        infos = [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in inputs.items()
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = helper.make_graph([node], "folded", infos, outputs)
        single = helper.make_model(graph, opset_imports=network.model.opset_import)
        # The engine's reader has accepted the operator; what the reference cannot evaluate stays a node.
        try:
            results = ReferenceEvaluator(single).run(None, inputs)
        except (NotImplementedError, RuntimeError, TypeError, ValueError, IndexError):
            kept.append(node)
            continue
        for name, result in zip([name for name in node.output if name], results, strict=True):
            network.constants[name] = np.asarray(result)
    network.nodes = kept
    network.index()


def _normalize_products(network: Network) -> None:
    types = network.value_types()
    for node in network.nodes:
        if node.op_type == "MatMul" and _is_matrix(network, node.input[1]) and types.get(node.input[0], (0, 0))[1] == 2:
            node.op_type = "Gemm"
        if node.op_type == "Gemm":
            _fold_factors(network, node)
    network.index()
    for node in list(network.nodes):
        if node.op_type == "Gemm" and len(node.input) == 2:
            _merge_bias(network, node)
    network.prune()


def _is_matrix(network: Network, name: str) -> bool:
    array = network.constants.get(name)
    return array is not None and array.ndim == 2 and array.dtype == np.float32


def _columns(network: Network, gemm: onnx.NodeProto) -> int:
    columns: int = network.constants[gemm.input[1]].shape[0 if attribute(gemm, "transB", 0) else 1]
    return columns


def _fold_factors(network: Network, node: onnx.NodeProto) -> None:
    if not _is_matrix(network, node.input[1]):
        return
    if len(node.input) == 3 and not node.input[2]:
        del node.input[2:]
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    if len(node.input) == 3:
        bias = network.constants.get(node.input[2])
        if bias is None or not _per_column(bias, _columns(network, node)):
            return
        merged = np.broadcast_to(bias.reshape(-1), [_columns(network, node)]) * np.float32(beta)
        node.input[2] = network.add_constant(f"{node.input[2]}/row", merged.astype(np.float32))
    if alpha != 1.0:
        weights = network.constants[node.input[1]] * np.float32(alpha)
        node.input[1] = network.add_constant(f"{node.input[1]}/scaled", weights)
    set_attribute(node, "alpha", None)
    set_attribute(node, "beta", None)


def _per_column(array: Array, columns: int) -> bool:
    """Whether a constant, broadcast to [rows, columns], is the same in each row."""
    if array.dtype != np.float32 or array.ndim > 2:
        return False
    return array.size == 1 or (array.size == columns and array.shape[-1] == columns)


def _merge_bias(network: Network, gemm: onnx.NodeProto) -> None:
    """Takes a constant that is added to a Gemm without bias as its bias: how exporters write a linear layer."""
    reader = network.only_reader(gemm.output[0])
    if reader is None or network.nodes[reader].op_type != "Add" or not _is_matrix(network, gemm.input[1]):
        return
    add = network.nodes[reader]
    bias = next((network.constants[name] for name in add.input if name in network.constants), None)
    columns = _columns(network, gemm)
    if bias is None or not _per_column(bias, columns):
        return
    row = np.broadcast_to(bias.reshape(-1), [columns])
    gemm.input.append(network.add_constant(f"{gemm.output[0]}/bias", row))
    gemm.output[0] = add.output[0]
    del network.nodes[reader]
    # The Gemm stands no later than the Add did, so the order holds.
    network.index()


def _fold_one_normalization(network: Network) -> bool:
    for node in network.nodes:
        if (
            node.op_type != "BatchNormalization"
            or attribute(node, "training_mode", 0)
            or len([o for o in node.output if o]) != 1
        ):
            continue
        parts = [network.constants.get(name) for name in node.input[1:5]]
        if any(part is None or part.dtype != np.float32 for part in parts):
            continue
        gamma, beta, mean, variance = (np.asarray(part, np.float64) for part in parts)
        scale = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        shift = beta - mean * scale
        if _fold_backwards(network, node, scale, shift) or _fold_forwards(network, node, scale, shift):
            return True
    return False


def _fold_backwards(network: Network, node: onnx.NodeProto, scale: Array, shift: Array) -> bool:
    """Merges y = x * scale + shift into the Conv or Gemm that makes x, if nothing else reads x."""
    before = network.made_by(node.input[0])
    if before is None or network.only_reader(node.input[0]) is None:
        return False
    constants = _weights_of(network, before)
    if constants is None:
        return False
    weights, bias, axis = constants
    if weights.shape[axis] != scale.size:
        return False
    along = [1] * weights.ndim
    along[axis] = scale.size
    _set_weights(network, before, weights * scale.reshape(along), bias * scale + shift, node.input[0])
    before.output[0] = node.output[0]
    network.nodes.remove(node)
    network.index()
    return True


def _fold_forwards(network: Network, node: onnx.NodeProto, scale: Array, shift: Array) -> bool:
    """Merges x * scale + shift into the Conv or Gemm that alone reads it.

    Not where a Conv pads: the zeros stand behind the shift.
    """
    reader = network.only_reader(node.output[0])
    if reader is None or network.nodes[reader].input[0] != node.output[0]:
        return False
    after = network.nodes[reader]
    constants = _weights_of(network, after)
    if constants is None or (after.op_type == "Gemm" and attribute(after, "transA", 0)):
        return False
    weights, bias, axis = constants
    if after.op_type == "Conv":
        padded = any(attribute(after, "pads", [])) or attribute(after, "auto_pad", "NOTSET") not in ("NOTSET", "VALID")
        group = attribute(after, "group", 1)
        if (padded and shift.any()) or weights.shape[1] * group != scale.size:
            return False
        # Filter o reads the channels of its group.
        per_group = weights.shape[0] // group
        reads = np.arange(weights.shape[0])[:, None] // per_group * weights.shape[1] + np.arange(weights.shape[1])
        tail = (*reads.shape, *[1] * (weights.ndim - 2))
        added = (weights * shift[reads].reshape(tail)).sum(axis=tuple(range(1, weights.ndim)))
        merged = weights * scale[reads].reshape(tail)
    else:
        if weights.shape[1 - axis] != scale.size:
            return False
        along = [scale.size, 1] if axis == 1 else [1, scale.size]
        added = (weights * shift.reshape(along)).sum(axis=1 - axis)
        merged = weights * scale.reshape(along)
    _set_weights(network, after, merged, bias + added, node.output[0])
    after.input[0] = node.input[0]
    network.nodes.remove(node)
    network.index()
    return True


def _weights_of(network: Network, node: onnx.NodeProto) -> tuple[Array, Array, int] | None:
    """(weights, bias, axis of output channels) in float64, of a Conv or a Gemm that is only a product and a bias."""
    if node.op_type not in ("Conv", "Gemm"):
        return None
    weights = network.constants.get(node.input[1])
    if weights is None or weights.dtype != np.float32:
        return None
    axis = 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1
    if node.op_type == "Gemm" and (attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0):
        return None
    bias: Array = np.zeros(weights.shape[axis])
    if len(node.input) > 2 and node.input[2]:
        constant = network.constants.get(node.input[2])
        if constant is None or constant.dtype != np.float32 or constant.shape != (weights.shape[axis],):
            return None
        bias = constant.astype(np.float64)
    return weights.astype(np.float64), bias, axis


def _set_weights(network: Network, node: onnx.NodeProto, weights: Array, bias: Array, like: str) -> None:
    # New constants, since other nodes may read the old ones.
    inputs = [
        node.input[0],
        network.add_constant(f"{like}/weight", weights.astype(np.float32)),
        network.add_constant(f"{like}/bias", bias.astype(np.float32)),
    ]
    del node.input[:]
    node.input.extend(inputs)


def _name_nodes(network: Network) -> None:
    taken: set[str] = set()
    for node in network.nodes:
        name = node.name or node.output[0]
        i = 1
        while name in taken:
            i += 1
            name = f"{node.name or node.output[0]}_{i}"
        node.name = name
        taken.add(name)
