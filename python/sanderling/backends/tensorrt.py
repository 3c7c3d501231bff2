"""NVIDIA TensorRT as a backend, for ONNX models on a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any
from weakref import finalize

import numpy as np
import numpy.typing as npt

from sanderling._model import TensorSpec
from sanderling.backends.checked import CheckedBackend
from sanderling.errors import InternalError, ModelError, UnsupportedError

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Range = tuple[Shape, Shape, Shape]  # the smallest, the most likely and the largest shape that an engine takes

_INSTALL = (
    "Install NVIDIA's TensorRT 10 or later with its Python package (on a Jetson: apt install python3-libnvinfer), "
    'and python3 -m pip install "sanderling[tensorrt]"'
)


class TensorRtBackend(CheckedBackend):
    """Runs an ONNX model as a TensorRT engine on the first CUDA device.

    Networks are strongly typed: float layers run in the type that the file gives them, QDQ layers in int8. An engine is
    built when the session is made if all extents are fixed, else at the first run, and again for a run with an extent
    beyond those before; that takes seconds to minutes, and nothing is kept of it. Runs of one session take turns.
    """

    name = "tensorrt"

    def __init__(self, data: bytes, *, device: str = "auto", threads: int = 1) -> None:
        """Parses the model.

        Args:
            data: The bytes of an ONNX file. Weights in files beside it are not found.
            device: "auto" or "cuda".
            threads: Not used: the work is on the GPU.

        Raises:
            ModelError: TensorRT says that the model is damaged or inconsistent.
            UnsupportedError: tensorrt or cuda-bindings is not installed, there is no CUDA device, TensorRT lacks an
                operator of the model, or an input or output has a type that NumPy or TensorRT lacks.
        """
        if device not in ("auto", "cuda"):
            raise UnsupportedError(f"[tensorrt] device is {device!r}, this backend has 'auto' and 'cuda'")
        self._trt, runtime = _libraries()
        self._gpu = _Gpu(runtime)
        self._log = _log(self._trt)
        self._builder = self._trt.Builder(self._log)
        typed = 1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self._network = self._builder.create_network(typed)
        self._parser = self._trt.OnnxParser(self._network, self._log)  # owns the weights of the network
        if not self._parser.parse(bytes(data)):
            raise _parse_error([self._parser.get_error(i) for i in range(self._parser.num_errors)])
        network = self._network
        super().__init__(
            tuple(self._spec(network.get_input(i), "input") for i in range(network.num_inputs)),
            tuple(self._spec(network.get_output(i), "output") for i in range(network.num_outputs)),
        )
        self._lock = Lock()
        self._ranges: dict[str, Range] = {}
        self._context: Any = None
        if all(None not in (spec.shape or ()) for spec in self.inputs):
            self._build({})

    def compute(self, inputs: list[Array]) -> list[Array]:
        """Runs once.

        Raises:
            ModelError: TensorRT cannot build an engine for these shapes, or the run failed.
            UnsupportedError: An output's shape depends on the data.
            InternalError: A call of CUDA failed.
        """
        with self._lock:
            ranges = widened(self._ranges, self.inputs, [array.shape for array in inputs])
            if self._context is None or ranges != self._ranges:
                self._build(ranges)
            for spec, array in zip(self.inputs, inputs, strict=True):
                if not self._context.set_input_shape(spec.name, array.shape):
                    raise ModelError(
                        f"[tensorrt] input {spec.name!r} cannot be {list(array.shape)}: {self._log.taken()}"
                    )
                self._context.set_tensor_address(spec.name, self._gpu.upload(spec.name, array))
            outputs = [self._new_output(spec) for spec in self.outputs]
            if not self._context.execute_async_v3(self._gpu.stream):
                raise ModelError(f"[tensorrt] the run failed: {self._log.taken()}")
            for spec, array in zip(self.outputs, outputs, strict=True):
                self._gpu.download(spec.name, array)
            self._gpu.synchronize()
            return outputs

    def info(self) -> dict[str, Any]:
        """Says what runs where, and per input the smallest, likeliest and largest shape that the engine takes."""
        return {"tensorrt": str(self._trt.__version__), "device": "cuda:0", "shapes": dict(self._ranges)}

    def _new_output(self, spec: TensorSpec) -> Array:
        shape = tuple(self._context.get_tensor_shape(spec.name))
        if any(extent < 0 for extent in shape):
            raise UnsupportedError(
                f"[tensorrt] the shape of output {spec.name!r} depends on the data, this backend needs to know it "
                "before a run. Use backend='native'"
            )
        array = np.empty(shape, spec.dtype)
        self._context.set_tensor_address(spec.name, self._gpu.buffer(spec.name, array.nbytes))
        return array

    def _build(self, ranges: dict[str, Range]) -> None:
        self._context = None
        config = self._builder.create_builder_config()
        if ranges:
            profile = self._builder.create_optimization_profile()
            for name, (low, likely, high) in ranges.items():
                profile.set_shape(name, low, likely, high)
            config.add_optimization_profile(profile)
        built = self._builder.build_serialized_network(self._network, config)
        if built is None:
            raise ModelError(f"[tensorrt] TensorRT cannot build the model: {self._log.taken()}")
        runtime = self._trt.Runtime(self._log)
        engine = runtime.deserialize_cuda_engine(built)
        context = None if engine is None else engine.create_execution_context()
        if context is None:
            raise ModelError(f"[tensorrt] TensorRT cannot load what it built: {self._log.taken()}")
        self._engine = (runtime, engine)  # they outlive the context
        self._context, self._ranges = context, ranges

    def _spec(self, tensor: Any, role: str) -> TensorSpec:
        if tensor.is_shape_tensor:
            raise UnsupportedError(f"[tensorrt] {role} {tensor.name!r} sets a shape. Use backend='native'")
        try:
            dtype = np.dtype(self._trt.nptype(tensor.dtype)).name
        except TypeError as error:
            raise UnsupportedError(f"[tensorrt] {role} {tensor.name!r} is {tensor.dtype}: {error}") from error
        return TensorSpec(tensor.name, dtype, tuple(None if extent < 0 else extent for extent in tensor.shape))


def widened(ranges: Mapping[str, Range], inputs: Sequence[TensorSpec], shapes: Sequence[Shape]) -> dict[str, Range]:
    """Returns the ranges per input with free extents, grown so that `shapes` lie inside; the same ones if they do.

    An extent's largest value is the next power of two, so that growing batches do not build an engine each.
    """
    result = dict(ranges)
    for spec, shape in zip(inputs, shapes, strict=True):
        if None not in (spec.shape or ()):
            continue
        low, _, high = result.get(spec.name, (shape, shape, shape))
        inside = all(a <= extent <= b for a, extent, b in zip(low, shape, high, strict=True))
        if spec.name in result and inside:
            continue
        free = [extent is None for extent in spec.shape or ()]
        result[spec.name] = (
            tuple(1 if is_free else extent for is_free, extent in zip(free, shape, strict=True)),
            shape,
            tuple(
                max(old, 1 << (extent - 1).bit_length()) if is_free else extent
                for is_free, old, extent in zip(free, high, shape, strict=True)
            ),
        )
    return result


class _Gpu:
    """One stream, and a buffer per tensor that only grows."""

    def __init__(self, runtime: Any) -> None:
        self._cuda = runtime
        self._check("cudaGetDeviceCount", missing_device=True)
        self.stream = int(self._check("cudaStreamCreate"))
        self._buffers: dict[str, tuple[int, int]] = {}  # address, bytes
        finalize(self, _release, runtime, self.stream, self._buffers)

    def buffer(self, name: str, size: int) -> int:
        """The address of at least `size` bytes."""
        address, there = self._buffers.get(name, (0, 0))
        if there < size or not address:
            self._check("cudaFree", address)
            self._buffers.pop(name, None)
            address = int(self._check("cudaMalloc", max(size, 1)))
            self._buffers[name] = (address, max(size, 1))
        return address

    def upload(self, name: str, array: Array) -> int:
        address = self.buffer(name, array.nbytes)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._check("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, self.stream)
        return address

    def download(self, name: str, array: Array) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        address, _ = self._buffers[name]
        self._check("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, self.stream)

    def synchronize(self) -> None:
        self._check("cudaStreamSynchronize", self.stream)

    def _check(self, call: str, *arguments: Any, missing_device: bool = False) -> Any:
        status, *results = getattr(self._cuda, call)(*arguments)
        if int(status) != 0 or (missing_device and not results[0]):
            said = self._cuda.cudaGetErrorString(status)[1]
            said = said.decode() if isinstance(said, bytes) else said
            if missing_device:
                raise UnsupportedError(f"[tensorrt] there is no CUDA device: {said}")
            raise InternalError(f"[tensorrt] {call} failed: {said}")
        return results[0] if results else None


def _release(runtime: Any, stream: int, buffers: dict[str, tuple[int, int]]) -> None:
    for address, _ in buffers.values():
        runtime.cudaFree(address)
    runtime.cudaStreamDestroy(stream)


def _libraries() -> tuple[Any, Any]:
    try:
        import tensorrt
    except ImportError as error:
        raise UnsupportedError(f"[tensorrt] tensorrt cannot be imported: {error}. {_INSTALL}") from error
    if int(tensorrt.__version__.split(".")[0]) < 10:
        raise UnsupportedError(f"[tensorrt] TensorRT is {tensorrt.__version__}, this backend needs 10. {_INSTALL}")
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise UnsupportedError(f"[tensorrt] cuda.bindings cannot be imported: {error}. {_INSTALL}") from error
    return tensorrt, runtime


def _log(trt: Any) -> Any:
    """A logger that keeps errors for our own messages and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self._errors.append(message)

        def taken(self) -> str:
            errors, self._errors = self._errors, []
            return "; ".join(errors) or "TensorRT gave no reason"

    return Log()


def _parse_error(errors: list[Any]) -> ModelError | UnsupportedError:
    text = "; ".join(f"node {error.node()} ({error.node_name()}): {error.desc()}" for error in errors)
    if any(error.code().name.startswith("UNSUPPORTED") for error in errors):
        return UnsupportedError(f"[tensorrt] TensorRT cannot run the model: {text}")
    return ModelError(f"[tensorrt] TensorRT cannot parse the model: {text}")
