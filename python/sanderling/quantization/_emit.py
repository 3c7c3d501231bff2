"""Writes the QDQ model for one placement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import onnx
from onnx import helper
from sanderling import _core
from sanderling.quantization._layers import Kind, Layer, is_movement
from sanderling.quantization._network import Array, Network, set_attribute
from sanderling.quantization._placement import Placement
from sanderling.quantization._ranges import Ranges


@dataclass(frozen=True)
class Emitted:
    """A QDQ model and what was learned in writing it.

    Attributes:
        model: The model.
        outputs: For each layer, the float tensor of `model` that holds its output.
        weight_sqnr_db: For each int8 layer with weights, 10 log10 of their signal over noise.
    """

    model: onnx.ModelProto
    outputs: dict[str, str]
    weight_sqnr_db: dict[str, float]


def emit(
    network: Network,
    layers: list[Layer],
    placement: Placement,
    ranges: Ranges,
    choices: Mapping[str, _core.RangeChoice],
) -> Emitted:
    """Writes the model: QuantizeLinear and DequantizeLinear around int8 layers, constants as codes."""
    return _Emitter(network, layers, placement, ranges, choices).run()


class _Emitter:
    def __init__(
        self,
        network: Network,
        layers: list[Layer],
        placement: Placement,
        ranges: Ranges,
        choices: Mapping[str, _core.RangeChoice],
    ) -> None:
        self._network = network
        self._layers = layers
        self._placement = placement
        self._ranges = ranges
        self._choices = choices
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, Array] = {}
        self._taken: set[str] = {name for node in network.nodes for name in [*node.input, *node.output]}
        self._dequantized: dict[str, str] = {}  # tensor with codes -> what its readers of codes read
        self._parameters: dict[str, tuple[str, str]] = {}  # group -> names of scale and zero point
        self._weights: dict[tuple[str, int, bytes], str] = {}  # same weights, same scales -> DequantizeLinear output
        self._weight_scales: dict[str, Array] = {}  # layer -> scales
        self._weight_sqnr: dict[str, float] = {}

    def run(self) -> Emitted:
        layer_at = {
            index: layer for layer in self._layers if layer.name in self._placement.int8 for index in layer.nodes
        }
        for name in self._network.inputs:
            if name in self._placement.codes:
                self._quantize(name, name)
        for index, original in enumerate(self._network.nodes):
            node = onnx.NodeProto()
            node.CopyFrom(original)
            layer = layer_at.get(index)
            if layer is None:
                self._read_plain(node)
            elif layer.kind is Kind.WEIGHTED:
                self._read_weighted(node, index, layer)
            else:
                self._read_codes(node, index, layer)
            made = [name for name in node.output if name in self._placement.codes]
            for name in made:
                if name in self._placement.integer and name in self._network.outputs:
                    # The output keeps its name and gets what the codes say, as all other readers do.
                    node.output[list(node.output).index(name)] = self._fresh(f"{name}/real")
            self._nodes.append(node)
            for name, real in zip(original.output, node.output, strict=True):
                if name in made:
                    self._quantize(name, real)
        return Emitted(
            self._network.to_model(self._nodes, self._constants),
            {layer.name: self._readable(layer.output) for layer in self._layers},
            self._weight_sqnr,
        )

    def _readable(self, tensor: str) -> str:
        return self._dequantized[tensor] if tensor in self._placement.integer else tensor

    def _read_plain(self, node: onnx.NodeProto) -> None:
        """A movement passes codes on if its output has them; everything else reads floats."""
        passes = is_movement(self._network, node) and node.output[0] in self._placement.codes
        for slot, name in enumerate(node.input):
            if name in self._network.constants:
                self._constants[name] = self._network.constants[name]
            elif passes and slot == 0 and name in self._placement.codes:
                node.input[slot] = self._dequantized[name]
            else:
                node.input[slot] = self._readable(name)

    def _read_codes(self, node: onnx.NodeProto, index: int, layer: Layer) -> None:
        for slot, name in enumerate(node.input):
            if name in self._placement.codes and name in layer.inputs:
                node.input[slot] = self._dequantized[name]
            elif name in self._network.constants:
                node.input[slot] = self._constant_operand(name, index, layer)

    def _constant_operand(self, name: str, index: int, layer: Layer) -> str:
        """A tensor beside an activation gets codes of its own; a single number, such as a bound, stays as it is."""
        array = self._network.constants[name]
        if index != layer.nodes[0] or array.size == 1 or array.dtype != np.float32:
            self._constants[name] = array
            return name
        if layer.kind is Kind.CONCAT and self._is_shared(layer):
            group = self._placement.codes[layer.output]
            quantization = self._choices[group].quantization
        else:
            group = f"{name}/constant"
            quantization = self._ranges.of_constant(name)
        codes = self._constant(f"{name}/q", _core.quantize_values(np.ascontiguousarray(array), quantization))
        return self._dequantize(name, codes, *self._parameters_of(group, quantization))

    def _is_shared(self, layer: Layer) -> bool:
        codes = self._placement.codes
        return all(codes[name] == codes[layer.output] for name in layer.inputs)

    def _read_weighted(self, node: onnx.NodeProto, index: int, layer: Layer) -> None:
        assert layer.weight is not None
        input_scale = self._choices[self._placement.codes[layer.inputs[0]]].quantization.scale
        main = index == layer.nodes[0]
        if main:
            node.input[1] = self._quantize_weights(layer, input_scale)
            node.input[0] = self._dequantized[layer.inputs[0]]
        for slot, name in enumerate(node.input):
            if name == layer.bias and not (main and slot < 2):
                node.input[slot] = self._quantize_bias(layer, input_scale)
            elif name in self._network.constants:
                self._constants[name] = self._network.constants[name]

    def _quantize_weights(self, layer: Layer, input_scale: float) -> str:
        assert layer.weight is not None
        weights = self._network.constants[layer.weight]
        bias = None if layer.bias is None else self._network.constants[layer.bias]
        least = _core.minimum_weight_scales(bias, weights.shape[layer.axis], layer.depth, input_scale)
        codes, scales, signal, noise = _core.quantize_weights(np.ascontiguousarray(weights), layer.axis, least)
        self._weight_sqnr[layer.name] = decibels(signal, noise)
        self._weight_scales[layer.name] = scales
        key = (layer.weight, layer.axis, scales.tobytes())
        if key not in self._weights:
            self._weights[key] = self._dequantize(
                layer.weight,
                self._constant(f"{layer.weight}/q", codes),
                self._constant(f"{layer.weight}/scale", scales),
                self._constant(f"{layer.weight}/zero", np.zeros(scales.shape, np.int8)),
                axis=layer.axis,
            )
        return self._weights[key]

    def _quantize_bias(self, layer: Layer, input_scale: float) -> str:
        assert layer.bias is not None
        scales = self._weight_scales[layer.name]
        codes = _core.quantize_bias(self._network.constants[layer.bias], input_scale, scales)
        product = (np.float64(input_scale) * scales.astype(np.float64)).astype(np.float32)
        return self._dequantize(
            layer.bias,
            self._constant(f"{layer.bias}/q", codes),
            self._constant(f"{layer.bias}/scale", product),
            None,
            axis=0,
        )

    def _quantize(self, tensor: str, real: str) -> None:
        """Adds the pair of nodes behind `real`, the float values of `tensor`."""
        group = self._placement.codes[tensor]
        parameters = self._parameters_of(group, self._choices[group].quantization)
        codes = self._fresh(f"{tensor}/q")
        self._add("QuantizeLinear", [real, *parameters], codes)
        output = tensor if real != tensor else self._fresh(f"{tensor}/dq")
        self._add("DequantizeLinear", [codes, *parameters], output)
        self._dequantized[tensor] = output

    def _parameters_of(self, group: str, quantization: _core.Quantization) -> tuple[str, str]:
        if group not in self._parameters:
            self._parameters[group] = (
                self._constant(f"{group}/scale", np.float32(quantization.scale)),
                self._constant(f"{group}/zero", np.uint8(quantization.zero_point)),
            )
        return self._parameters[group]

    def _dequantize(self, like: str, codes: str, scale: str, zero_point: str | None, axis: int | None = None) -> str:
        output = self._fresh(f"{like}/dq")
        inputs = [codes, scale] + ([] if zero_point is None else [zero_point])
        self._add("DequantizeLinear", inputs, output, axis)
        return output

    def _add(self, operator: str, inputs: list[str], output: str, axis: int | None = None) -> None:
        node = helper.make_node(operator, inputs, [output])
        if axis is not None:
            set_attribute(node, "axis", axis)
        self._nodes.append(node)

    def _constant(self, name: str, array: Array | np.generic) -> str:
        fresh = self._fresh(name)
        self._constants[fresh] = np.asarray(array)
        return fresh

    def _fresh(self, name: str) -> str:
        candidate, i = name, 1
        while candidate in self._taken:
            candidate, i = f"{name}_{i}", i + 1
        self._taken.add(candidate)
        return candidate


def decibels(signal: float, noise: float) -> float:
    """10 log10 of signal over noise: inf without noise, -inf with noise but no signal."""
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf
