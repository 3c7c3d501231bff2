"""Decides which layers compute in int8 and which tensors get codes. Pure: no arrays, no files.

A tensor gets codes if an int8 layer reads it. Products with constant weights ask for codes; layers that map codes to
codes do so only where their output is asked for: behind the last product, int8 would lose accuracy and save nothing.
So a final Gemm gives float32 straight from its int32 sums, and a Softmax after it reads that.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from sanderling.quantization._layers import Kind, Layer, is_movement
from sanderling.quantization._network import Network


@dataclass(frozen=True)
class Choice:
    """What is decided from outside.

    Attributes:
        floats: Names of layers that stay in float32.
        only: If given, no other layers are int8, and those that map codes are even where nothing asks for their output.
        apart: Names of Concat layers whose inputs keep their own codes, since their ranges are too different.
        without_codes: Tensors that cannot have codes, since they were seen infinite.
    """

    floats: Set[str] = field(default_factory=frozenset)
    only: Set[str] | None = None
    apart: Set[str] = field(default_factory=frozenset)
    without_codes: Set[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Placement:
    """The decision.

    Attributes:
        int8: Names of the layers that compute in int8.
        codes: For each tensor that has codes, the tensor that names the codes which it shares.
        integer: Tensors with codes that come from codes: all their readers take them from there.
    """

    int8: Set[str]
    codes: dict[str, str]
    integer: Set[str]

    def groups(self) -> dict[str, list[str]]:
        """The tensors that share each set of codes."""
        groups: dict[str, list[str]] = {}
        for tensor, group in self.codes.items():
            groups.setdefault(group, []).append(tensor)
        return groups


def place(network: Network, layers: list[Layer], choice: Choice) -> Placement:
    """Decides for one choice."""
    by_last = {layer.nodes[-1]: layer for layer in layers}
    without = _spread(network, layers, choice.without_codes)
    int8: set[str] = set()
    asked: dict[str, None] = {}  # a set that keeps its order
    # From the outputs backwards: all readers of a tensor come before its producer.
    for index in range(len(network.nodes) - 1, -1, -1):
        node = network.nodes[index]
        if (layer := by_last.get(index)) is not None:
            if _is_int8(layer, choice, without, asked.keys()):
                int8.add(layer.name)
                asked.update(dict.fromkeys(layer.inputs))
                if layer.kind is not Kind.WEIGHTED and choice.only is not None:
                    asked[layer.output] = None
        elif is_movement(network, node) and node.output[0] in asked and node.input[0] not in network.constants:
            asked[node.input[0]] = None
    shared = _Groups(asked.keys())
    integer: set[str] = set()
    for layer in layers:
        if layer.name in int8 and layer.output in asked:
            integer.add(layer.output)
            if layer.kind is Kind.CONCAT and layer.name not in choice.apart:
                for name in layer.inputs:
                    shared.join(layer.output, name)
    for node in network.nodes:
        if is_movement(network, node) and node.output[0] in asked and node.input[0] in asked:
            integer.add(node.output[0])
            shared.join(node.input[0], node.output[0])
    return Placement(int8, {tensor: shared.find(tensor) for tensor in asked}, integer)


def _is_int8(layer: Layer, choice: Choice, without: Set[str], asked: Set[str]) -> bool:
    if (
        layer.kind is Kind.FLOAT
        or layer.name in choice.floats
        or not without.isdisjoint(layer.inputs)
        or not layer.inputs
    ):
        return False
    if choice.only is not None and layer.name not in choice.only:
        return False
    if layer.kind is Kind.WEIGHTED:
        return True
    return layer.output not in without and (layer.output in asked or choice.only is not None)


def _spread(network: Network, layers: list[Layer], without: Set[str]) -> Set[str]:
    """Adds the tensors that movements and Concat make of those without codes."""
    concats = {layer.nodes[0] for layer in layers if layer.kind is Kind.CONCAT}
    spread = set(without)
    if spread:
        for index, node in enumerate(network.nodes):
            moved = node.input[:1] if is_movement(network, node) else node.input if index in concats else []
            if spread.intersection(moved):
                spread.add(node.output[0])
    return spread


class _Groups:
    """Disjoint sets."""

    def __init__(self, members: Set[str]) -> None:
        self._parent = {name: name for name in members}

    def find(self, name: str) -> str:
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def join(self, a: str, b: str) -> None:
        self._parent[self.find(b)] = self.find(a)
