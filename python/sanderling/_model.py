"""A loaded ONNX model: what `load` returns and `Session`, `quantize` take."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanderling import _core
from sanderling._torch import is_module, onnx_bytes
from sanderling.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: The tensor's name in the ONNX file.
        dtype: NumPy's name of the element type, such as "float32"; None for an output whose type the file leaves open.
        shape: Extents; a string is a symbolic dimension and None an unnamed one, both chosen at run time. None for an
            output whose shape the file leaves open.
    """

    name: str
    dtype: str | None = None
    shape: tuple[int | str | None, ...] | None = None


@dataclass(frozen=True)
class Layer:
    """One node of a model, inferred for concrete input shapes.

    Attributes:
        op: ONNX operator type.
        name: Node name.
        outputs: (tensor name, dtype, shape) of each output; dtype and shape are None where they depend on data.
        macs: Multiply-accumulates of one run.
        weight_bytes: Bytes of the constants that the node reads.
    """

    op: str
    name: str
    outputs: tuple[tuple[str, str | None, tuple[int, ...] | None], ...]
    macs: int
    weight_bytes: int


class Model:
    """An ONNX model, parsed and checked.

    Raises:
        ModelError: The bytes are not a sound ONNX model.
        UnsupportedError: The model needs an operator, dtype or opset that the native engine does not have.
    """

    def __init__(self, data: bytes, *, path: Path | None = None) -> None:
        """Parses `data`, the bytes of an ONNX file; `path` says where they are from."""
        if file_format(data) == "tflite":
            raise UnsupportedError(
                "[load] this is a TFLite model, expected ONNX. Run it with sanderling.Session(..., backend='litert'), "
                "or export the model to ONNX"
            )
        self._bytes = bytes(data)
        self._path = path
        folder = "" if path is None else os.fspath(path.absolute().parent)
        self._core = _core.Model(self._bytes, folder)

    @property
    def bytes(self) -> bytes:
        """The ONNX file."""
        return self._bytes

    @property
    def core(self) -> _core.Model:
        """The C++ model, shared by its sessions."""
        return self._core

    @property
    def path(self) -> Path | None:
        """Where the model was loaded from, if from a file."""
        return self._path

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs in order."""
        return tuple(TensorSpec(name, dtype, shape) for name, dtype, shape in self._core.inputs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The model's outputs in order."""
        return tuple(TensorSpec(name, dtype, shape) for name, dtype, shape in self._core.outputs)

    @property
    def info(self) -> dict[str, Any]:
        """What the file says of its origin: producer, ir_version, opset, metadata."""
        return dict(self._core.info)

    @property
    def operators(self) -> dict[str, int]:
        """How often each ONNX operator occurs."""
        return dict(self._core.operators)

    def layers(self, shapes: Mapping[str, Sequence[int]] | None = None) -> list[Layer]:
        """Lists the model's nodes with shapes and costs.

        Args:
            shapes: Extents per input name; inputs that are left out get 1 for each dimension chosen at run time.

        Raises:
            InputError: A name is not an input of the model.
            ModelError: The shapes do not fit the model.
        """
        given = dict(shapes or {})
        concrete = []
        for spec in self.inputs:
            assert spec.shape is not None
            dims = given.pop(spec.name, None)
            concrete.append([d if isinstance(d, int) else 1 for d in spec.shape] if dims is None else [*dims])
        if given:
            names = ", ".join(repr(spec.name) for spec in self.inputs)
            raise InputError(f"[layers] the model has no input {sorted(given)[0]!r}, it has {names}")
        return [
            Layer(d["op"], d["name"], tuple(d["outputs"]), d["macs"], d["weight_bytes"])
            for d in self._core.plan(concrete)
        ]

    def __repr__(self) -> str:
        inputs = ", ".join(f"{s.name}: {s.dtype}{list(s.shape or ())}" for s in self.inputs)
        return f"Model({inputs} -> {', '.join(s.name for s in self.outputs)}; {len(self._bytes):,} bytes)"


def load(
    source: str | os.PathLike[str] | bytes | Model | torch.nn.Module,
    *,
    example_inputs: Any = None,
    dynamic_shapes: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Model:
    """Loads an ONNX model, or a torch module, which becomes one.

        model = sanderling.load(module, example_inputs=torch.zeros(1, 3, 224, 224))

    A module takes the extra `train` (`pip install "sanderling[train]"`). It is exported by torch.export as it behaves
    in eval mode, and its modes are as before afterwards; no file is written. Inputs are named as forward's parameters;
    outputs as the keys that forward returns, else "output", or "output_0", "output_1", and so on. More than 2 GB of
    weights do not fit into one ONNX message: write such a module by `torch.onnx.export(..., dynamo=True,
    external_data=True)` and load that file. The other arguments are for modules only.

    Args:
        source: A path, the bytes of an ONNX file, a torch module, or a `Model`, which is returned as it is.
        example_inputs: What forward takes: a tensor, a tuple of its arguments, or a mapping from its parameters'
            names. Only dtypes, shapes and what is no tensor matter.
        dynamic_shapes: What varies, as torch.onnx.export's argument of this name says it. None: where the first
            dimensions of all example tensors agree they are the batch, of any size, unless the module holds it to the
            example's; all else is as in the example. `inputs` of the result says what came of it.
        input_names: Names of the inputs in the order of the example's tensors.
        output_names: Names of the outputs.

    Raises:
        InputError: The path cannot be read; the example inputs are missing, or the module fails on them.
        ModelError: The bytes are not a sound ONNX model.
        UnsupportedError: The model needs an operator, dtype or opset that the native engine does not have; the module
            cannot be exported, or the extra `train` is not installed.
    """
    settings = {
        "example_inputs": example_inputs,
        "dynamic_shapes": dynamic_shapes,
        "input_names": input_names,
        "output_names": output_names,
    }
    if isinstance(source, Model):
        _refuse_settings(source, settings)
        return source
    data, path = read_model(source, **settings)
    return Model(data, path=path)


def file_format(data: bytes) -> str:
    """Returns "tflite" for the bytes of a .tflite file (its flatbuffer identifier is TFL3), else "onnx"."""
    return "tflite" if data[4:8] == b"TFL3" else "onnx"


def read_model(source: Any, **settings: Any) -> tuple[bytes, Path | None]:
    """Returns the file behind a path, bytes, a torch module or a `Model`, without parsing it.

    Args:
        source: What `load` takes.
        settings: `load`'s arguments for a torch module; None are those that were not given.

    Raises:
        InputError: The path cannot be read, `source` is none of these, or settings do not fit it.
        UnsupportedError: The module cannot be exported.
    """
    if is_module(source):
        return onnx_bytes(source, **settings), None
    _refuse_settings(source, settings)
    if isinstance(source, Model):
        return source.bytes, source.path
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), None
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        try:
            return path.read_bytes(), path
        except OSError as error:
            raise InputError(f"[load] cannot read {str(path)!r}: {error.strerror}. Check the path") from error
    raise InputError(f"[load] expected a path, bytes, a torch module or a Model, got {type(source).__name__}")


def _refuse_settings(source: Any, settings: Mapping[str, Any]) -> None:
    given = [name for name, value in settings.items() if value is not None]
    if given:
        raise InputError(f"[load] {given[0]} is for torch modules, this model is {type(source).__name__}. Leave it out")
