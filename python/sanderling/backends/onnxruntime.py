"""ONNX Runtime's CPU provider as a backend, for models that the native engine does not run and for comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling._model import TensorSpec
from sanderling.backends.checked import CheckedBackend
from sanderling.errors import ModelError, UnsupportedError

Array = npt.NDArray[Any]

_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(uint8)": "uint8",
}
# How ONNX Runtime says that it does not know an operator or a version; the model as such may be sound.
_UNKNOWN = (
    "is not a registered function/op",
    "No Op registered for",
    "Unknown model file format version",
    "Unsupported",
)


class OnnxRuntimeBackend(CheckedBackend):
    """Runs a model on ONNX Runtime's CPU provider.

    Its threads do not spin between runs (`session.intra_op.allow_spinning` is 0): an idle session uses no CPU. A
    program that wants the last microseconds of ONNX Runtime and owns its cores calls it directly.
    """

    name = "onnxruntime"

    def __init__(self, data: bytes, *, device: str = "auto", threads: int = 1) -> None:
        """Makes ONNX Runtime's session.

        Args:
            data: The bytes of an ONNX file. Weights in files beside it are not found.
            device: "auto" or "cpu".
            threads: Threads of one operator (`intra_op_num_threads`); operators run one after the other.

        Raises:
            ModelError: ONNX Runtime says that the model is damaged or inconsistent.
            UnsupportedError: onnxruntime is not installed, does not know an operator of the model, or the model has an
                input or output that is no tensor of bool, of integers of 8 to 64 bits or of floats of 16 to 64.
        """
        if device not in ("auto", "cpu"):
            raise UnsupportedError(f"[onnxruntime] device is {device!r}, this backend has 'auto' and 'cpu'")
        try:
            import onnxruntime
        except ImportError as error:
            raise UnsupportedError(
                f"[onnxruntime] onnxruntime cannot be imported: {error}. "
                'Install it: python3 -m pip install "sanderling[onnxruntime]"'
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: what matters is raised
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(bytes(data), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise _load_error(error) from error
        self._version = str(onnxruntime.__version__)
        self._threads = threads
        super().__init__(
            tuple(_spec(arg, "input") for arg in self._session.get_inputs()),
            tuple(_spec(arg, "output") for arg in self._session.get_outputs()),
        )
        self._input_names = [spec.name for spec in self.inputs]
        self._output_names = [spec.name for spec in self.outputs]

    def compute(self, inputs: list[Array]) -> list[Array]:
        """Runs once.

        Raises:
            ModelError: ONNX Runtime failed on inputs that fit the model.
        """
        try:
            results = self._session.run(self._output_names, dict(zip(self._input_names, inputs, strict=True)))
        except Exception as error:  # as above
            raise ModelError(f"[onnxruntime] the run failed: {error}") from error
        return [np.asarray(result) for result in results]

    def info(self) -> dict[str, Any]:
        """Says what runs where."""
        return {
            "onnxruntime": self._version,
            "providers": list(self._session.get_providers()),
            "threads": self._threads,
            "spinning": False,
        }


def _load_error(error: Exception) -> ModelError | UnsupportedError:
    kind, text = type(error).__name__, str(error)
    if kind == "NotImplemented" or any(phrase in text for phrase in _UNKNOWN):
        return UnsupportedError(f"[onnxruntime] ONNX Runtime cannot run the model: {text}")
    return ModelError(f"[onnxruntime] ONNX Runtime cannot load the model: {text}")


def _spec(arg: Any, role: str) -> TensorSpec:
    if arg.type not in _DTYPES:
        raise UnsupportedError(f"[onnxruntime] {role} {arg.name!r} is {arg.type}, supported are {', '.join(_DTYPES)}")
    return TensorSpec(arg.name, _DTYPES[arg.type], tuple(arg.shape))
