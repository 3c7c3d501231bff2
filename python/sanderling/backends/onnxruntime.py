"""ONNX Runtime's CPU provider as a backend, for models that the native engine does not run and for comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling._model import TensorSpec
from sanderling.errors import InputError, ModelError, UnsupportedError

Array = npt.NDArray[Any]

_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
}
# How ONNX Runtime says that it does not know an operator or a version; the model as such may be sound.
_UNKNOWN = (
    "is not a registered function/op",
    "No Op registered for",
    "Unknown model file format version",
    "Unsupported",
)


class OnnxRuntimeBackend:
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
                input or output of a type other than tensors of float32, float64, uint8, int8, int32, int64 and bool.
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
        self.inputs: tuple[TensorSpec, ...] = tuple(_spec(arg, "input") for arg in self._session.get_inputs())
        self.outputs: tuple[TensorSpec, ...] = tuple(_spec(arg, "output") for arg in self._session.get_outputs())
        self._input_names = [spec.name for spec in self.inputs]
        self._output_names = [spec.name for spec in self.outputs]
        self._check = _core.InputCheck([(s.name, s.dtype or "", list(s.shape or ())) for s in self.inputs])

    def run(self, inputs: list[Array]) -> list[Array]:
        """Runs once and returns new arrays.

        Raises:
            InputError: As the native engine does, in its words.
            ModelError: ONNX Runtime failed on inputs that fit the model.
        """
        plain = [np.require(array, requirements=["C", "A"]) for array in inputs]
        self._check.check(plain)
        try:
            results = self._session.run(self._output_names, dict(zip(self._input_names, plain, strict=True)))
        except Exception as error:  # as above
            raise ModelError(f"[onnxruntime] the run failed: {error}") from error
        return [np.asarray(result) for result in results]

    def run_into(self, inputs: list[Array], outputs: list[Array]) -> None:
        """Runs once and copies the results into `outputs`.

        Raises:
            InputError: As for `run`, or an output's dtype or shape is not what the model writes, or it shares memory.
            ModelError: As for `run`.
        """
        self._check_outputs(inputs, outputs)
        self._copy(self.run(inputs), outputs)

    def bind(self, inputs: list[Array], outputs: list[Array]) -> Callable[[], None]:
        """Returns a callable that runs on these arrays.

        Raises:
            InputError: An array is not C-contiguous or does not fit.
        """
        for spec, array in zip(self.inputs, inputs, strict=True):
            _check_contiguous("input", spec.name, array)
        self._check_outputs(inputs, outputs)
        # What the model writes is known after a run only; zeros will do, since the inputs may be filled in later.
        self._copy(self.run([np.zeros_like(array) for array in inputs]), [output.copy() for output in outputs])
        return lambda: self._copy(self.run(inputs), outputs)

    def _check_outputs(self, inputs: list[Array], outputs: list[Array]) -> None:
        named = [(f"input {spec.name!r}", array) for spec, array in zip(self.inputs, inputs, strict=True)]
        for spec, array in zip(self.outputs, outputs, strict=True):
            _check_contiguous("output", spec.name, array)
            if not array.flags.writeable:
                raise InputError(f"[array] output {spec.name!r} is read-only")
            for other, memory in named:
                if np.may_share_memory(array, memory):
                    raise InputError(
                        f"[run] output {spec.name!r} shares memory with {other}. Give it an array of its own"
                    )
            named.append((f"output {spec.name!r}", array))

    def _copy(self, results: list[Array], outputs: list[Array]) -> None:
        for spec, result, array in zip(self.outputs, results, outputs, strict=True):
            if (array.dtype, array.shape) != (result.dtype, result.shape):
                raise InputError(
                    f"[run] output {spec.name!r} is {array.dtype}{list(array.shape)}, "
                    f"the model writes {result.dtype}{list(result.shape)}"
                )
            array[...] = result

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


def _check_contiguous(role: str, name: str, array: Array) -> None:
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise InputError(f"[array] {role} {name!r} is not C-contiguous and aligned. Pass array.copy()")
