"""LiteRT (formerly TensorFlow Lite) as a backend, for .tflite files."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling._model import TensorSpec
from sanderling.backends.checked import CheckedBackend
from sanderling.errors import ModelError, UnsupportedError

Array = npt.NDArray[Any]

# Others are text, complex numbers and resources, which are no arrays here.
_NUMBERS = (f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
_DTYPES = ("bool", "float16", "float32", "float64", *_NUMBERS)
# How the interpreter says that the file is sound and it lacks an operator, or a version of one.
_LACKS = ("custom op", "Didn't find op", "Select TensorFlow op", "op version", "not supported")


class LiteRtBackend(CheckedBackend):
    """Runs a .tflite model on LiteRT's interpreter, with its default delegate (XNNPACK) for the CPU.

    Tensors have the names of the model's signature if it has exactly one, else those of the file. Codes of quantized
    inputs and outputs stay codes; `info()["quantization"]` has their scales. Extents that the file leaves open may
    change from run to run. An interpreter is not safe from several threads: runs take turns.
    """

    name = "litert"
    file_format = "tflite"

    def __init__(self, data: bytes, *, device: str = "auto", threads: int = 1) -> None:
        """Makes the interpreter.

        Args:
            data: The bytes of a .tflite file.
            device: "auto" or "cpu".
            threads: Threads of one run (`num_threads`).

        Raises:
            ModelError: LiteRT says that the file is damaged or inconsistent.
            UnsupportedError: Neither ai_edge_litert nor tflite_runtime is installed, LiteRT lacks an operator of the
                model, or an input or output is text or of complex numbers.
        """
        if device not in ("auto", "cpu"):
            raise UnsupportedError(f"[litert] device is {device!r}, this backend has 'auto' and 'cpu'")
        library, interpreter = _interpreter()
        # The bytes are the interpreter's memory for the weights: it keeps them.
        try:
            self._interpreter = interpreter(model_content=bytes(data), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _load_error(error) from error
        self._library, self._threads = library, threads
        self._lock = Lock()
        self._inputs, self._outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        names = _signature_names(self._interpreter)
        self._shapes = [tuple(detail["shape"].tolist()) for detail in self._inputs]
        super().__init__(
            tuple(_spec(detail, "input", names["inputs"]) for detail in self._inputs),
            tuple(_spec(detail, "output", names["outputs"]) for detail in self._outputs),
        )

    def compute(self, inputs: list[Array]) -> list[Array]:
        """Runs once.

        Raises:
            ModelError: LiteRT failed on inputs that fit the model.
        """
        with self._lock:
            try:
                self._resize([array.shape for array in inputs])
                for detail, array in zip(self._inputs, inputs, strict=True):
                    self._interpreter.set_tensor(detail["index"], array)
                self._interpreter.invoke()
                return [self._interpreter.get_tensor(detail["index"]) for detail in self._outputs]
            except (ValueError, RuntimeError) as error:
                raise ModelError(f"[litert] the run failed: {error}") from error

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        if shapes == self._shapes:
            return
        self._shapes = []  # not known, should one of these fail
        for detail, shape in zip(self._inputs, shapes, strict=True):
            self._interpreter.resize_tensor_input(detail["index"], shape)
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def info(self) -> dict[str, Any]:
        """Says what runs where, and what codes of quantized tensors mean: value = scale * (code - zero point)."""
        quantization = {}
        details = zip(self.inputs + self.outputs, [*self._inputs, *self._outputs], strict=True)
        for spec, detail in details:
            parameters = detail["quantization_parameters"]
            if len(parameters["scales"]):
                quantization[spec.name] = {
                    "scales": parameters["scales"].tolist(),
                    "zero_points": parameters["zero_points"].tolist(),
                }
        return {"library": self._library, "threads": self._threads, "quantization": quantization}


def _interpreter() -> tuple[str, Any]:
    """The package that is installed, with its version, and its class."""
    from importlib.metadata import version

    missing = []
    for package in ("ai_edge_litert", "tflite_runtime"):
        try:
            module = __import__(f"{package}.interpreter", fromlist=["Interpreter"])
        except ImportError as error:
            missing.append(f"{package}: {error}")
        else:
            return f"{package} {version(package)}", module.Interpreter
    raise UnsupportedError(
        f"[litert] LiteRT cannot be imported ({'; '.join(missing)}). "
        'Install it: python3 -m pip install "sanderling[litert]"'
    )


def _load_error(error: Exception) -> ModelError | UnsupportedError:
    text = " ".join(str(error).split())
    if any(phrase in text for phrase in _LACKS):
        return UnsupportedError(f"[litert] LiteRT cannot run the model: {text}")
    return ModelError(f"[litert] LiteRT cannot load the model: {text}")


def _signature_names(interpreter: Any) -> dict[str, dict[int, str]]:
    """What the model's only signature calls the tensors, by their index; empty without exactly one."""
    keys = list(interpreter.get_signature_list())
    if len(keys) != 1:
        return {"inputs": {}, "outputs": {}}
    runner = interpreter.get_signature_runner(keys[0])
    return {
        "inputs": {int(detail["index"]): name for name, detail in runner.get_input_details().items()},
        "outputs": {int(detail["index"]): name for name, detail in runner.get_output_details().items()},
    }


def _spec(detail: dict[str, Any], role: str, names: dict[int, str]) -> TensorSpec:
    name, dtype = names.get(int(detail["index"]), detail["name"]), np.dtype(detail["dtype"]).name
    if dtype not in _DTYPES:
        raise UnsupportedError(f"[litert] {role} {name!r} is {dtype}, supported are {', '.join(_DTYPES)}")
    # A file from before there were signatures of shapes says -1 nowhere, and its one shape is fixed.
    extents = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    return TensorSpec(name, dtype, tuple(None if extent < 0 else int(extent) for extent in extents))
