"""`Session`: one model, ready to run, on the native engine or another backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from operator import index
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, cast, overload

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling._model import Model, TensorSpec, read_model
from sanderling.backends import BackendSession, choose
from sanderling.backends.native import NativeBackend
from sanderling.drift import Reference, Sketches
from sanderling.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]


class Session:
    """Runs a model. Safe to call from several threads; native runs release the GIL and take turns.

    Args:
        model: A path, the bytes of an ONNX file, a `Model`, or a torch module with `example_inputs`; for backend
            "litert" a .tflite file.
        example_inputs: What a torch module's forward takes; `sanderling.load` exports it, and has more settings.
        backend: "native", the name of an installed backend ("onnxruntime", "litert", "tensorrt", or another package's),
            or "auto": native if it can run the model, else the first installed backend that can; `info()["why"]` then
            says why.
        device: "auto" or what the backend has: "cpu", of tensorrt "cuda".
        threads: Threads of one run, 1 to 256.
        float_products: "float32", or "bfloat16" to round both factors of float matrix products and convolutions (but
            depthwise ones) to 8 significant bits (half to even, sums in float32): faster where the CPU has
            instructions for it, and less exact, by up to 2^-7 of the sum of the products' absolute values. Native only.
        memory_limit_bytes: What runs may take for activations and scratch; a run that needs more is an InputError
            before that is allocated: when the run is planned, or when the data has decided how large a tensor will be.
            Native only. None: what the system gives.
        watch: A `drift.Reference`: inputs, outputs and (native only) interior codes are counted against it;
            `sketches()` returns the counts.

    Raises:
        InputError: An argument is out of range.
        ModelError: The model is damaged or inconsistent.
        UnsupportedError: The backend cannot run the model, is not installed, or has no such device; the CPU, or the
            instruction set that SANDERLING_ISA names, has no such float products.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | Model | torch.nn.Module,
        *,
        example_inputs: Any = None,
        backend: str = "native",
        device: str = "auto",
        threads: int = 1,
        float_products: str = "float32",
        memory_limit_bytes: int | None = None,
        watch: Reference | None = None,
    ) -> None:
        if isinstance(threads, bool) or not isinstance(threads, SupportsIndex) or not 1 <= index(threads) <= 256:
            raise InputError(f"[session] threads is {threads!r}, expected an integer from 1 to 256")
        if float_products not in ("float32", "bfloat16"):
            raise InputError(f"[session] float_products is {float_products!r}, expected 'float32' or 'bfloat16'")
        if memory_limit_bytes is not None and (
            isinstance(memory_limit_bytes, bool)
            or not isinstance(memory_limit_bytes, SupportsIndex)
            or not 0 < index(memory_limit_bytes) < 1 << 63
        ):
            raise InputError(
                f"[session] memory_limit_bytes is {memory_limit_bytes!r}, expected a positive integer or None"
            )
        self._watch = None if watch is None else _core.Watch(watch.watch_spec())
        source, path = (
            (model, None)
            if isinstance(model, Model) and example_inputs is None
            else read_model(model, example_inputs=example_inputs)
        )
        self._run: BackendSession
        self._run, self._why = choose(
            source,
            path=path,
            backend=backend,
            device=device,
            threads=index(threads),
            float_products=float_products,
            memory_limit_bytes=memory_limit_bytes,
            watch=self._watch,
        )
        self._reference = watch
        self._inputs, self._outputs = self._run.inputs, self._run.outputs
        self._input_names = tuple(spec.name for spec in self._inputs)
        self._output_names = tuple(spec.name for spec in self._outputs)
        self._single = len(self._inputs) == len(self._outputs) == 1

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs in order."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The model's outputs in order."""
        return self._outputs

    @overload
    def run(self, inputs: Mapping[str, Any], *, timeout_s: float | None = None) -> dict[str, Array]: ...
    @overload
    def run(self, inputs: Any, *, timeout_s: float | None = None) -> Array: ...
    def run(self, inputs: Any, *, timeout_s: float | None = None) -> Array | dict[str, Array]:
        """Runs the model once.

        Args:
            inputs: An array (NumPy, or anything with `__dlpack__` on the CPU) for a model of one input and one output;
                or a mapping from every input name to its array. Any batch size; dtypes must match, none is cast.
            timeout_s: Seconds that the run may take, the wait for other threads' runs included; None: any time. It is
                looked at between steps, in every iteration of a loop and between the shares of a step that threads
                divide, so that a run may end a little later. Native only.

        Returns:
            An array for an array, a dict from output name to array for a mapping. New arrays each time.

        Raises:
            InputError: A name, dtype, shape or count is wrong, an input is empty or has NaN.
            DeadlineError: The run did not end within `timeout_s`; the session can run again.
            CancelledError: Another thread called `cancel`.
        """
        if timeout_s is None and isinstance(inputs, np.ndarray) and self._single:
            return self._run.run([inputs])[0]  # the common case, without a look at abstract classes
        arrays, names = self._unpack(inputs)
        results = self._run.run(arrays, **self._limits(timeout_s))
        return results[0] if names is None else dict(zip(names, results, strict=True))

    def run_into(self, inputs: Any, outputs: Any, *, timeout_s: float | None = None) -> None:
        """Runs the model and writes the results into arrays that the caller owns.

        Args:
            inputs: As for `run`; an array also if the model has several outputs.
            outputs: A writable C-contiguous array, or a mapping from every output name to one. They share no memory
                with each other or with the inputs. A run that ends early leaves anything in them.
            timeout_s: As for `run`.

        Raises:
            InputError: As for `run`, or an output's dtype or shape is not what the model writes.
            DeadlineError: As for `run`.
            CancelledError: As for `run`.
        """
        if timeout_s is None and self._single and isinstance(inputs, np.ndarray) and isinstance(outputs, np.ndarray):
            return self._run.run_into([inputs], [outputs])
        return self._run.run_into(self._input_list(inputs), self._output_list(outputs), **self._limits(timeout_s))

    def bind(self, inputs: Any, outputs: Any, *, timeout_s: float | None = None) -> Callable[[], None]:
        """Fixes the arrays of later runs and returns a callable that does one: the fastest path.

        Each call reads `inputs` and writes `outputs` where they are; change their contents in place.

        Args:
            inputs: As for `run_into`.
            outputs: As for `run_into`.
            timeout_s: As for `run`, of each call.

        Raises:
            InputError: As for `run_into`; also if an input is not C-contiguous.
        """
        named = inputs if isinstance(inputs, Mapping) else dict.fromkeys(self._input_names, inputs)
        for name, value in named.items():
            if not isinstance(value, np.ndarray) and not hasattr(value, "__dlpack__"):
                raise InputError(
                    f"[bind] input {name!r} is {type(value).__name__}, a bound call reads an array in place"
                )
        return self._run.bind(self._input_list(inputs), self._output_list(outputs), **self._limits(timeout_s))

    def cancel(self) -> None:
        """Ends all runs of this session that other threads have called for, batches and bound calls included.

        They raise CancelledError, at the latest when the step that they are at ends; this call does not wait for them.
        Later runs are not touched.

        Raises:
            InputError: The session is closed.
            UnsupportedError: The backend is not native.
        """
        self._stoppable().cancel()

    def info(self) -> dict[str, Any]:
        """Says what runs.

        Of the native engine: backend, why it was chosen, ISA, threads, bytes of the arena and of the weights, operators
        after lowering; "plan" is "cache" or "compiled", and "plan_file" where the next session finds it, or None.
        """
        return {"backend": self._run.name, "why": self._why, **self._run.info()}

    def sketches(self, *, reset: bool = False) -> Sketches:
        """Returns what was seen since the session began, or since the last reset, as mergeable sketches.

        Args:
            reset: Start counting anew: the end of a window.

        Raises:
            InputError: The session was made without `watch`.
        """
        if self._watch is None or self._reference is None:
            raise InputError("[sketches] this session watches nothing. Make it with watch=drift.Reference.fit(rows)")
        return Sketches(self._watch.take() if reset else self._watch.look())

    def close(self) -> None:
        """Lets go of the model. A closed session cannot run; bound calls and batchers still can, until they go."""
        self._run = _Closed()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stoppable(self) -> NativeBackend:
        if isinstance(self._run, NativeBackend):
            return self._run
        raise UnsupportedError(f"[run] a run of backend {self._run.name!r} cannot be stopped, one of 'native' can")

    def _limits(self, timeout_s: float | None) -> dict[str, float]:
        """What a run of the core is given besides arrays."""
        if timeout_s is None:
            return {}
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, SupportsFloat):
            raise InputError(f"[run] timeout_s is {timeout_s!r}, expected a positive number of seconds")
        self._stoppable()
        return {"timeout_s": float(timeout_s)}

    def _unpack(self, inputs: Any) -> tuple[list[Array], tuple[str, ...] | None]:
        """Returns the arrays in order, and the names by which the caller wants the outputs: None for an array."""
        if isinstance(inputs, Mapping):
            return self._by_name(inputs), self._output_names
        if not self._single:
            raise InputError(
                f"[run] an array fits a model of one input and one output, this one has inputs "
                f"{list(self._input_names)} and outputs {list(self._output_names)}. Pass a mapping by input name"
            )
        return [to_array(inputs, self._input_names[0])], None

    def _by_name(self, inputs: Mapping[str, Any]) -> list[Array]:
        if len(inputs) == len(self._input_names) and all(name in inputs for name in self._input_names):
            return [to_array(inputs[name], name) for name in self._input_names]
        missing = [name for name in self._input_names if name not in inputs]
        unknown = [name for name in inputs if name not in self._input_names]
        raise InputError(
            f"[run] inputs {sorted(map(str, inputs))} do not match the model's {sorted(self._input_names)}"
            + (f"; missing {missing}" if missing else "")
            + (f"; unknown {unknown}" if unknown else "")
        )

    def _input_list(self, inputs: Any) -> list[Array]:
        if isinstance(inputs, Mapping):
            return self._by_name(inputs)
        if len(self._input_names) != 1:
            raise InputError(f"[run] the model has inputs {list(self._input_names)}. Pass a mapping by input name")
        return [to_array(inputs, self._input_names[0])]

    def _output_list(self, outputs: Any) -> list[Array]:
        names = self._output_names
        if not isinstance(outputs, Mapping):
            if len(names) != 1:
                raise InputError(f"[run_into] the model has outputs {list(names)}. Pass a mapping by output name")
            outputs = {names[0]: outputs}
        elif set(outputs) != set(names):
            raise InputError(f"[run_into] outputs {sorted(map(str, outputs))} do not match the model's {sorted(names)}")
        arrays = [outputs[name] for name in names]
        for name, array in zip(names, arrays, strict=True):
            if not isinstance(array, np.ndarray):
                raise InputError(f"[run_into] output {name!r} is {type(array).__name__}, expected a NumPy array")
        return arrays


class _Closed:
    """Stands where a closed session's backend was."""

    def __getattr__(self, name: str) -> Any:
        raise InputError("[session] the session is closed. Make a new one")


def to_array(value: Any, name: str) -> Array:
    """Returns `value` as a NumPy array without casting; sequences become what NumPy makes of them.

    Raises:
        InputError: NumPy or DLPack cannot take it.
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        if hasattr(value, "__dlpack__"):
            return cast(Array, np.from_dlpack(value))
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise InputError(f"[run] input {name!r} of type {type(value).__name__} is not an array: {error}") from error
