"""ONNX Runtime's session API on top of Sanderling.

    import sanderling.compat.ort as ort  # instead of import onnxruntime as ort

    session = ort.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {session.get_inputs()[0].name: x})

What differs, and how a program hears of it:

- Errors are Sanderling's: `InputError` and `ModelError` are ValueErrors as well, so `except ValueError` still works;
  NaN in an input is an `InputError`.
- Threads: `intra_op_num_threads` counts; 0, the default, means one per core that the process may use, as in ONNX
  Runtime.
- Ignored without a word, since it changes no result here: `inter_op_num_threads` (operators run one after the other),
  `graph_optimization_level`, `enable_cpu_mem_arena`, `enable_mem_pattern`, `enable_mem_reuse`, `log_severity_level`,
  `log_verbosity_level`, `logid`, `profile_file_prefix`, `use_deterministic_compute`, the configuration entries in
  `IGNORED_ENTRIES`, and all of `RunOptions` but `terminate`.
- Warned of (UserWarning): `ORT_PARALLEL`, other configuration entries, providers that are not there while the CPU's
  is in the list too, provider options, and unknown keyword arguments.
- Refused (UnsupportedError): providers of which none is the CPU's, profiling, `optimized_model_filepath`, custom
  operator libraries and `terminate`.
- Not there (AttributeError): OrtValue, IO binding, asynchronous runs, model metadata. `sanderling.Session.bind` is
  the fast path here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy.typing as npt

from sanderling._model import TensorSpec
from sanderling._session import Session
from sanderling.errors import InputError, UnsupportedError

Array = npt.NDArray[Any]
Provider = str | tuple[str, dict[Any, Any]]

# Configuration entries that have no counterpart here and change no result.
IGNORED_ENTRIES = frozenset(
    {
        "session.disable_prepacking",
        "session.dynamic_block_base",
        "session.force_spinning_stop",
        "session.inter_op.allow_spinning",
        "session.intra_op.allow_spinning",
        "session.intra_op_thread_affinities",
        "session.set_denormal_as_zero",
        "session.use_device_allocator_for_initializers",
        "session.use_env_allocators",
    }
)
_CPU = "CPUExecutionProvider"
_MAX_THREADS = 256
_ORT_TYPES = {
    "bool": "tensor(bool)",
    "float32": "tensor(float)",
    "float64": "tensor(double)",
    "int32": "tensor(int32)",
    "int64": "tensor(int64)",
    "int8": "tensor(int8)",
    "uint8": "tensor(uint8)",
}


class GraphOptimizationLevel(IntEnum):
    """Accepted and ignored: models are always lowered in the same way."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(IntEnum):
    """Operators run one after the other: ORT_PARALLEL is warned of."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


@dataclass(slots=True)
class SessionOptions:
    """Settings of a session; the module says which count. Setting an attribute that is not among them is an error."""

    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0
    graph_optimization_level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL
    execution_mode: ExecutionMode = ExecutionMode.ORT_SEQUENTIAL
    enable_cpu_mem_arena: bool = True
    enable_mem_pattern: bool = True
    enable_mem_reuse: bool = True
    enable_profiling: bool = False
    profile_file_prefix: str = "onnxruntime_profile_"
    optimized_model_filepath: str = ""
    log_severity_level: int = -1
    log_verbosity_level: int = 0
    logid: str = ""
    use_deterministic_compute: bool = False
    entries: dict[str, str] = field(default_factory=dict, repr=False)

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keeps a configuration entry; one that is not in `IGNORED_ENTRIES` is warned of when a session is made."""
        self.entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """Returns a configuration entry that was added before.

        Raises:
            InputError: There is none of this name.
        """
        if key not in self.entries:
            raise InputError(f"[ort] no configuration entry {key!r}, there are {sorted(self.entries)}")
        return self.entries[key]

    def register_custom_ops_library(self, path: str) -> None:
        """Refuses: a library cannot add operators here.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(f"[ort] custom operators ({path}) are not supported. Run the model with ONNX Runtime")


@dataclass(slots=True)
class RunOptions:
    """Settings of one run. They are ignored, but `terminate` is refused."""

    log_severity_level: int = -1
    log_verbosity_level: int = 0
    logid: str = ""
    only_execute_path_to_fetches: bool = False
    terminate: bool = False


@dataclass(frozen=True)
class NodeArg:
    """An input or output.

    Attributes:
        name: Its name.
        type: ONNX Runtime's name of the type, such as "tensor(float)"; "" if the file leaves an output's type open.
        shape: Extents; a string is a symbolic dimension and None an unnamed one.
    """

    name: str
    type: str
    shape: list[int | str | None]


class InferenceSession:
    """Runs a model as `onnxruntime.InferenceSession` does.

    Args:
        path_or_bytes: A path, or the bytes of an ONNX file.
        sess_options: Settings; None for the defaults.
        providers: Names, or (name, options) pairs. Only "CPUExecutionProvider" is there.
        provider_options: Warned of unless empty.
        backend: Sanderling's own: "native", "onnxruntime" or "auto", as for `sanderling.Session`.
        kwargs: Warned of.

    Raises:
        InputError: The path cannot be read or a setting is out of range.
        ModelError: The model is damaged.
        UnsupportedError: The model has an operator that the backend does not have, or a setting cannot be met.
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        sess_options: SessionOptions | None = None,
        providers: Sequence[Provider] | None = None,
        provider_options: Sequence[dict[Any, Any]] | None = None,
        *,
        backend: str = "native",
        **kwargs: Any,
    ) -> None:
        if sess_options is not None and not isinstance(sess_options, SessionOptions):
            kind = type(sess_options)
            raise InputError(
                f"[ort] sess_options is {kind.__module__}.{kind.__qualname__}, "
                "expected sanderling.compat.ort.SessionOptions"
            )
        self._options = sess_options or SessionOptions()
        ignored = [
            *_check_options(self._options),
            *_check_providers(providers, provider_options),
            *(f"keyword argument {name!r} is unknown and ignored" for name in kwargs),
        ]
        for text in ignored:
            warnings.warn(f"[ort] {text}", UserWarning, stacklevel=2)
        self._session = Session(path_or_bytes, backend=backend, threads=_threads(self._options))
        self._output_names = [spec.name for spec in self._session.outputs]

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[Array]:
        """Runs the model once.

        Args:
            output_names: Which outputs to return, in this order; None or empty for all.
            input_feed: Arrays by input name.
            run_options: See `RunOptions`.

        Raises:
            InputError: A name, dtype or shape is wrong, an input is empty or has NaN.
            UnsupportedError: `run_options.terminate` is set.
        """
        if run_options is not None and run_options.terminate:
            raise UnsupportedError("[ort] a run cannot be terminated. Leave RunOptions.terminate False")
        names = list(output_names or self._output_names)
        unknown = [name for name in names if name not in self._output_names]
        if unknown:
            raise InputError(f"[ort] the model has no output {unknown[0]!r}, it has {self._output_names}")
        if not isinstance(input_feed, Mapping):
            raise InputError(f"[ort] input_feed is {type(input_feed).__name__}, expected a mapping from input names")
        results = self._session.run(input_feed)
        return [results[name] for name in names]

    def get_inputs(self) -> list[NodeArg]:
        """The model's inputs in order."""
        return [_node_arg(spec) for spec in self._session.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """The model's outputs in order."""
        return [_node_arg(spec) for spec in self._session.outputs]

    def get_providers(self) -> list[str]:
        """What runs the model: always the CPU."""
        return [_CPU]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Options per provider: none."""
        return {_CPU: {}}

    def get_session_options(self) -> SessionOptions:
        """The settings that the session was made with."""
        return self._options


def get_available_providers() -> list[str]:
    """Providers that a session may name."""
    return [_CPU]


def get_device() -> str:
    """Where models run."""
    return "CPU"


def set_default_logger_severity(severity: int) -> None:
    """Does nothing: Sanderling does not log, it raises."""


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"sanderling.compat.ort has no {name!r}: it stands in for onnxruntime's InferenceSession, SessionOptions and "
        "RunOptions. Its documentation says what differs"
    )


def _threads(options: SessionOptions) -> int:
    wanted = options.intra_op_num_threads
    if not isinstance(wanted, int) or not 0 <= wanted <= _MAX_THREADS:
        raise InputError(f"[ort] intra_op_num_threads is {wanted!r}, expected an integer from 0 to {_MAX_THREADS}")
    return wanted or min(len(os.sched_getaffinity(0)), _MAX_THREADS)


def _check_options(options: SessionOptions) -> list[str]:
    """Returns what is to be warned of."""
    if options.enable_profiling:
        raise UnsupportedError("[ort] enable_profiling is set, but sessions do not profile. Use `sanderling bench`")
    if options.optimized_model_filepath:
        raise UnsupportedError("[ort] optimized_model_filepath is set, but no optimized model is ever written")
    ignored = []
    if options.execution_mode != ExecutionMode.ORT_SEQUENTIAL:
        ignored.append("execution_mode is ORT_PARALLEL, but operators run one after the other")
    for key in sorted(options.entries.keys() - IGNORED_ENTRIES):
        ignored.append(f"configuration entry {key!r} is unknown and ignored")
    return ignored


def _check_providers(providers: Sequence[Provider] | None, options: Sequence[dict[Any, Any]] | None) -> list[str]:
    """Returns what is to be warned of."""
    pairs = [(entry, {}) if isinstance(entry, str) else tuple(entry) for entry in providers or [_CPU]]
    names = [name for name, _ in pairs]
    if _CPU not in names:
        raise UnsupportedError(f"[ort] providers are {names}, this build has {[_CPU]}")
    ignored = []
    others = [name for name in names if name != _CPU]
    if others:
        ignored.append(f"providers {others} are not there, the model runs on {_CPU}")
    if any(settings for _, settings in pairs) or any(options or []):
        ignored.append("provider options are ignored")
    return ignored


def _node_arg(spec: TensorSpec) -> NodeArg:
    return NodeArg(spec.name, _ORT_TYPES.get(spec.dtype or "", ""), list(spec.shape or ()))
