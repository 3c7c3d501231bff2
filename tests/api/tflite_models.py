"""TFLite models of a few operators, written with the schema that LiteRT carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

Array = npt.NDArray[Any]
Kind = schema.TensorType
Tensor = tuple[int, Sequence[int]]  # element type, extents; -1 is chosen at run time
Operator = tuple[int, Sequence[str], Sequence[str], Any]  # built-in operator, inputs, outputs, options

_ELEMENTS = {np.dtype(np.float32): Kind.FLOAT32, np.dtype(np.int8): Kind.INT8, np.dtype(np.int32): Kind.INT32}


def tflite_bytes(
    operators: Sequence[Operator],
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    constants: Mapping[str, Array] | None = None,
    scales: Mapping[str, tuple[float, int]] | None = None,
    signature: str = "",
) -> bytes:
    """A model of these operators; `scales` has (scale, zero point) of quantized tensors."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    index = {}
    graph.tensors = []
    for name, (kind, shape) in {**inputs, **outputs}.items():
        index[name] = len(graph.tensors)
        graph.tensors.append(_tensor(name, kind, shape, 0, scales))
    for name, array in (constants or {}).items():
        index[name] = len(graph.tensors)
        graph.tensors.append(_tensor(name, _ELEMENTS[array.dtype], array.shape, len(model.buffers), scales))
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        model.buffers.append(buffer)
    graph.inputs, graph.outputs = [index[name] for name in inputs], [index[name] for name in outputs]
    codes = sorted({code for code, *_ in operators})
    model.operatorCodes = [_code(code) for code in codes]
    graph.operators = [
        _operator(codes.index(code), [index[n] for n in ins], [index[n] for n in outs], options)
        for code, ins, outs, options in operators
    ]
    if signature:
        model.signatureDefs = [_signature(signature, inputs, outputs, index)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def fully_connected(weight: Array, bias: Array, batch: int = -1, signature: str = "") -> bytes:
    """float32 x [batch, n] -> y [batch, m] = x @ weight.T + bias."""
    return tflite_bytes(
        [(schema.BuiltinOperator.FULLY_CONNECTED, ["x", "w", "b"], ["y"], schema.FullyConnectedOptionsT())],
        {"x": (Kind.FLOAT32, (batch, weight.shape[1]))},
        {"y": (Kind.FLOAT32, (batch, weight.shape[0]))},
        {"w": weight, "b": bias},
        signature=signature,
    )


def _tensor(name: str, kind: int, shape: Sequence[int], buffer: int, scales: Any) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.buffer = name, kind, buffer
    tensor.shape, tensor.shapeSignature = [max(1, extent) for extent in shape], list(shape)
    if scales and name in scales:
        scale, zero_point = scales[name]
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
    return tensor


def _code(builtin: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    if builtin == schema.BuiltinOperator.CUSTOM:
        code.customCode = "Frobnicate"
    code.version = 4 if builtin == schema.BuiltinOperator.FULLY_CONNECTED else 1  # int8 from 4 on
    return code


def _operator(code: int, inputs: list[int], outputs: list[int], options: Any) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
    if options is not None:
        operator.builtinOptions = options
        name = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
    return operator


def _signature(key: str, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], index: dict[str, int]) -> Any:
    def maps(names: Mapping[str, Tensor]) -> list[Any]:
        made = []
        for name in names:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = f"{key}_{name}", index[name]
            made.append(entry)
        return made

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = key, 0
    signature.inputs, signature.outputs = maps(inputs), maps(outputs)
    return signature
