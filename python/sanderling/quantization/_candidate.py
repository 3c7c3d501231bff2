"""Quantizes a prepared and observed network for one choice of layers, and measures the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

import onnx
from sanderling import _core
from sanderling.errors import InputError, UnsupportedError
from sanderling.quantization._calibration import Calibration, Feed
from sanderling.quantization._emit import Emitted, emit
from sanderling.quantization._layers import Kind, Layer, find_layers
from sanderling.quantization._network import Array, Network
from sanderling.quantization._placement import Choice, Placement, place
from sanderling.quantization._ranges import Ranges, observe, run_session, run_with_outputs, sources


@dataclass(frozen=True)
class Candidate:
    """A QDQ model and the decisions behind it."""

    placement: Placement
    choices: Mapping[str, _core.RangeChoice]
    emitted: Emitted

    @property
    def data(self) -> bytes:
        """The ONNX file."""
        data: bytes = self.emitted.model.SerializeToString()
        return data

    def codes_of(self, tensor: str) -> _core.Quantization | None:
        """The codes of a tensor, if it has them."""
        group = self.placement.codes.get(tensor)
        return None if group is None else self.choices[group].quantization


class Quantizer:
    """A network whose tensors have been observed: candidates for any choice of layers come from it.

    Attributes:
        network: The prepared float network.
        layers: What there is to decide about.
        ranges: What was observed.
        infinite: Tensors that became infinite on the calibration rows, so that they cannot have codes.
        rows_per_run: Rows that one run may have when the outputs of all layers are wanted.
    """

    def __init__(self, network: Network, calibration: Calibration) -> None:
        """Observes the network on all calibration rows.

        Raises:
            InputError: A tensor becomes NaN.
            UnsupportedError: No layer has an int8 form.
        """
        self.network = network
        self.layers = find_layers(network)
        placement = place(network, self.layers, Choice())
        if not placement.int8:
            reasons = (
                "; ".join(f"{layer.name}: {layer.why_not}" for layer in self.layers if layer.why_not) or "no layers"
            )
            raise UnsupportedError(
                "[quantize] the model has no Conv, Gemm or MatMul with constant float32 weights that int8 can run "
                f"({reasons}). Keep it in float32"
            )
        types = network.value_types()
        shown = [name for layer in self.layers for name in [*layer.inputs, layer.output]]
        floats = [name for name in shown if types.get(name, (0, 0))[0] == onnx.TensorProto.FLOAT]
        needed = [name for name in sorted(sources(network, placement.codes)) if name not in network.constants]
        observers, self.rows_per_run = observe(network, [*needed, *floats], calibration)
        for name in needed:
            if observers[name].nan:
                raise InputError(
                    f"[quantize] tensor {name!r} becomes NaN {observers[name].nan:,} times on the calibration rows. "
                    "Check that they are scaled as the model was trained"
                )
        self.infinite = {name for name, observer in observers.items() if observer.infinite}
        self.ranges = Ranges(network, self.layers, observers)
        choice = Choice(without_codes=self.infinite)
        self._base = replace(choice, apart=self.ranges.unlike(place(network, self.layers, choice)))

    def candidate(self, floats: Set[str] = frozenset(), only: Set[str] | None = None) -> Candidate:
        """Quantizes with the named layers in float32, or with only the named ones in int8."""
        placement = place(self.network, self.layers, replace(self._base, floats=floats, only=only))
        choices = self.ranges.choose(placement)
        return Candidate(placement, choices, emit(self.network, self.layers, placement, self.ranges, choices))

    def int8_layers(self, floats: Set[str]) -> Set[str]:
        """Names of the layers that would be int8 with the named ones in float32."""
        return place(self.network, self.layers, replace(self._base, floats=floats)).int8

    def why(self, layer: Layer, candidate: Candidate, kept: Mapping[str, float]) -> str:
        """Says why a layer has its dtype.

        Args:
            layer: The layer.
            candidate: The result.
            kept: Sensitivity in dB of the layers that the metric keeps in float32.
        """
        if layer.name in candidate.placement.int8:
            if layer.kind is Kind.WEIGHTED:
                return "constant weights"
            return "an int8 layer reads it" + (
                "; inputs keep their own codes" if layer.name in self._base.apart else ""
            )
        if layer.name in kept:
            return f"kept for the metric: alone in int8 it leaves {kept[layer.name]:.1f} dB at the outputs"
        if layer.kind is Kind.FLOAT:
            return layer.why_not
        if self.infinite.intersection([*layer.inputs, layer.output]):
            return "a tensor of it becomes infinite on the calibration rows"
        return "no int8 layer reads it"


def layer_noise(quantizer: Quantizer, candidate: Candidate, feeds: Sequence[Feed]) -> dict[str, float]:
    """Runs the float and the quantized model; returns the signal to noise in dB at the output of each int8 layer."""
    names = {
        layer.output: candidate.emitted.outputs[layer.name]
        for layer in quantizer.layers
        if layer.name in candidate.placement.int8 or layer.output in quantizer.network.outputs
    }
    expected = run_session(quantizer.network.to_model(quantizer.network.nodes, quantizer.network.constants, names))
    model = onnx.ModelProto()
    model.CopyFrom(candidate.emitted.model)
    present = {value.name for value in model.graph.output}
    for name in names.values():
        if name not in present:
            present.add(name)
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    actual = run_session(model)
    noise = {name: _core.Noise() for name in names}
    for feed in feeds:
        wanted, got = run_with_outputs(expected, feed), run_with_outputs(actual, feed)
        for name, there in names.items():
            if wanted[name].dtype == np.float32:
                noise[name].add(np.ascontiguousarray(wanted[name]), np.ascontiguousarray(got[there]))
    return {layer.name: noise[layer.output].decibels for layer in quantizer.layers if layer.output in noise}


def output_noise(expected: Sequence[Mapping[str, Array]], data: bytes, feeds: Sequence[Feed]) -> float:
    """The worst signal to noise in dB among the model's float outputs."""
    session = run_session(data)
    noise: dict[str, _core.Noise] = {}
    for feed, wanted in zip(feeds, expected, strict=True):
        for name, got in session.run(dict(feed)).items():
            if got.dtype == np.float32:
                noise.setdefault(name, _core.Noise()).add(wanted[name], got)
    return min((n.decibels for n in noise.values()), default=float("inf"))
