"""An ONNX graph in a form that is easy to rewrite: a list of nodes in order, and constants as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from onnx import helper, numpy_helper, shape_inference
from sanderling.errors import ModelError

Array = npt.NDArray[Any]


class Network:
    """The one graph of a model. `nodes` stay in topological order; call `index()` after changing them.

    Attributes:
        model: The model that it was read from; nodes and initializers there are stale.
        nodes: What computes.
        constants: Initializers and Constant nodes by name.
        inputs: Names of the model's inputs, without initializers.
        outputs: Names of the model's outputs.
        producer: Index of the node that makes a tensor.
        readers: Indices of the nodes that read a tensor, one entry per use.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.model = model
        self.constants: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = _constant(node)
            else:
                self.nodes.append(node)
        self.inputs = [value.name for value in graph.input if value.name not in self.constants]
        self.outputs = [value.name for value in graph.output]
        self.producer: dict[str, int] = {}
        self.readers: dict[str, list[int]] = {}
        self._names = {name for node in self.nodes for name in [*node.input, *node.output]} | {
            *self.constants,
            *self.inputs,
        }
        self.index()

    def index(self) -> None:
        """Finds who makes and who reads each tensor."""
        self.producer = {name: i for i, node in enumerate(self.nodes) for name in node.output if name}
        self.readers = {}
        for i, node in enumerate(self.nodes):
            for name in node.input:
                if name:
                    self.readers.setdefault(name, []).append(i)

    def prune(self) -> None:
        """Drops nodes and constants that no output needs."""
        needed = set(self.outputs)
        kept: list[onnx.NodeProto] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        self.nodes = kept[::-1]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}
        self.index()

    def made_by(self, name: str) -> onnx.NodeProto | None:
        """The node that makes a tensor; None for inputs and constants."""
        index = self.producer.get(name)
        return None if index is None else self.nodes[index]

    def only_reader(self, name: str) -> int | None:
        """The index of the one node that reads a tensor, once; None if there are more, or if it is an output."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def fresh(self, name: str) -> str:
        """Returns `name`, or one like it, that no tensor has; it is then taken."""
        candidate, i = name, 1
        while candidate in self._names:
            candidate, i = f"{name}_{i}", i + 1
        self._names.add(candidate)
        return candidate

    def add_constant(self, name: str, array: Array) -> str:
        """Adds a constant and returns the name that it got."""
        fresh = self.fresh(name)
        self.constants[fresh] = np.asarray(array, order="C")
        return fresh

    def value_types(self) -> dict[str, tuple[int, int]]:
        """Infers (ONNX element type, rank) of every tensor where that is possible.

        Raises:
            ModelError: Types or shapes contradict each other.
        """
        try:
            model = shape_inference.infer_shapes(self.to_model(self.nodes, self.constants))
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"[quantize] the model's types and shapes do not fit together: {error}") from error
        found = {}
        for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
            tensor = value.type.tensor_type
            if tensor.HasField("shape"):
                found[value.name] = (tensor.elem_type, len(tensor.shape.dim))
        return found

    def to_model(
        self, nodes: Iterable[onnx.NodeProto], constants: Mapping[str, Array], extra_outputs: Iterable[str] = ()
    ) -> onnx.ModelProto:
        """Makes a model of the same inputs, outputs and metadata.

        Args:
            nodes: Its nodes, in order.
            constants: Its initializers.
            extra_outputs: float32 tensors that are to be outputs too.
        """
        model = onnx.ModelProto()
        model.CopyFrom(_shell(self.model))
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
        present = set(self.outputs)
        for name in extra_outputs:
            if name not in present:
                present.add(name)
                model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        return model


def _shell(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without nodes and initializers, and without what was inferred of its tensors."""
    shell = onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        domain=model.domain,
        model_version=model.model_version,
        doc_string=model.doc_string,
        opset_import=model.opset_import,
        metadata_props=model.metadata_props,
    )
    initializers = {tensor.name for tensor in model.graph.initializer}
    shell.graph.name = model.graph.name or "graph"
    shell.graph.doc_string = model.graph.doc_string
    shell.graph.input.extend(value for value in model.graph.input if value.name not in initializers)
    shell.graph.output.extend(model.graph.output)
    return shell


def attribute(node: onnx.NodeProto, name: str, otherwise: Any) -> Any:
    """The value of a node's attribute, or `otherwise`; strings come as str."""
    for item in node.attribute:
        if item.name == name:
            value = helper.get_attribute_value(item)
            return value.decode() if isinstance(value, bytes) else value
    return otherwise


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    """Sets a node's attribute; None removes it."""
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))


def _constant(node: onnx.NodeProto) -> Array:
    tensor = attribute(node, "value", None)
    if tensor is not None:
        return numpy_helper.to_array(tensor)
    for name, dtype in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        value = attribute(node, name, None)
        if value is not None:
            return np.asarray(value, dtype)
    raise ValueError(f"Constant {node.output[0]!r} holds neither numbers nor a dense tensor")
