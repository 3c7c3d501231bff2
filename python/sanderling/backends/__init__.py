"""What runs a model: the native engine, or a backend found by the entry-point group `sanderling.backends`.

A backend is a class that a package registers under a name::

    [project.entry-points."sanderling.backends"]
    mynpu = "mynpu.sanderling:MyNpuBackend"

Its constructor takes (data, device=..., threads=...) with the bytes of the file and raises UnsupportedError if it
cannot run them or has no such device; the object has the members of `BackendSession`. The files are ONNX, or what the
class names as its `file_format`: "tflite".
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling._model import Model, TensorSpec, file_format
from sanderling.backends.native import NativeBackend
from sanderling.errors import UnsupportedError

Array = npt.NDArray[Any]
GROUP = "sanderling.backends"


class BackendSession(Protocol):
    """One model, ready to run.

    Arrays are in the order of `inputs` and `outputs`. Input arrays are lent: they are not to be kept after a run.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: list[Array]) -> list[Array]:
        """Runs once and returns new arrays. Raises InputError for arrays that do not fit."""

    def run_into(self, inputs: list[Array], outputs: list[Array]) -> None:
        """Runs once and writes into `outputs`."""

    def bind(self, inputs: list[Array], outputs: list[Array]) -> Callable[[], None]:
        """Returns a callable that runs on these arrays."""

    def info(self) -> dict[str, Any]:
        """Says what runs where."""


def installed() -> list[str]:
    """Names of the backends that installed packages offer, "native" first; their libraries may still be missing."""
    return ["native", *sorted({point.name for point in entry_points(group=GROUP)} - {"native"})]


def choose(
    source: bytes | Model,
    *,
    path: Path | None,
    backend: str,
    device: str,
    threads: int,
    float_products: str,
    memory_limit_bytes: int | None,
    watch: _core.Watch | None,
) -> tuple[BackendSession, str]:
    """Makes the session's backend and says why it is this one; `path` is where bytes were read from.

    Raises:
        ModelError: The model is damaged.
        UnsupportedError: No such backend or device, its library is missing, or it cannot run the model; with "auto",
            none can.
    """

    def native() -> NativeBackend:
        return NativeBackend(
            source,
            path=path,
            device=device,
            threads=threads,
            float_products=float_products,
            watch=watch,
            memory_limit_bytes=memory_limit_bytes,
        )

    if backend == "native":
        return native(), "asked for by name"
    data = source.bytes if isinstance(source, Model) else source
    native_only = [
        name
        for name, given in (
            ("float_products", float_products != "float32"),
            ("memory_limit_bytes", memory_limit_bytes is not None),
        )
        if given
    ]
    if backend != "auto":
        if native_only:
            raise UnsupportedError(f"[session] backend {backend!r} keeps no {native_only[0]}, 'native' does")
        return _watched(_make(backend, data, device, threads), watch), "asked for by name"
    try:
        return native(), "native runs every operator of the model"
    except UnsupportedError as error:
        reasons = [f"native: {error}"]
    for name in () if native_only else installed()[1:]:
        try:
            made_by = _load(name)
            if _file_format(made_by) == file_format(data):
                return _watched(made_by(data, device=device, threads=threads), watch), "; ".join(reasons)
        except UnsupportedError as error:
            reasons.append(f"{name}: {error}")
    raise UnsupportedError("[session] no backend can run this model: " + "; ".join(reasons))


def _make(name: str, data: bytes, device: str, threads: int) -> BackendSession:
    made_by = _load(name)
    takes, given = _file_format(made_by), file_format(data)
    if takes != given:
        raise UnsupportedError(f"[session] backend {name!r} runs {takes} files, this is {given}")
    return made_by(data, device=device, threads=threads)


def _file_format(made_by: Callable[..., BackendSession]) -> str:
    return getattr(made_by, "file_format", "onnx")


def _load(name: str) -> Callable[..., BackendSession]:
    for point in entry_points(group=GROUP):
        if point.name == name:
            try:
                return point.load()  # type: ignore[no-any-return]
            except ImportError as error:
                raise UnsupportedError(
                    f"[session] backend {name!r} ({point.value}) cannot be imported: {error}"
                ) from error
    raise UnsupportedError(f"[session] no backend {name!r}, installed are {', '.join(map(repr, installed()))}")


def _watched(session: BackendSession, watch: _core.Watch | None) -> BackendSession:
    return session if watch is None else _Watched(session, watch)


class _Watched:
    """Counts what goes in and out of a backend other than native, which counts in C++."""

    def __init__(self, session: BackendSession, watch: _core.Watch) -> None:
        self._session = session
        self._watch = watch
        self.name = session.name
        self.inputs = session.inputs
        self.outputs = session.outputs

    def run(self, inputs: list[Array]) -> list[Array]:
        self._observe_inputs(inputs)
        outputs = self._session.run(inputs)
        self._observe_outputs(outputs)
        return outputs

    def run_into(self, inputs: list[Array], outputs: list[Array]) -> None:
        self._observe_inputs(inputs)
        self._session.run_into(inputs, outputs)
        self._observe_outputs(outputs)

    def bind(self, inputs: list[Array], outputs: list[Array]) -> Callable[[], None]:
        call = self._session.bind(inputs, outputs)

        def run() -> None:
            self._observe_inputs(inputs)
            call()
            self._observe_outputs(outputs)

        return run

    def info(self) -> dict[str, Any]:
        return self._session.info()

    def _observe_inputs(self, arrays: list[Array]) -> None:
        for i, array in enumerate(arrays):
            if array.dtype == np.float32:
                self._watch.observe_input(i, np.ascontiguousarray(array))

    def _observe_outputs(self, arrays: list[Array]) -> None:
        for i, array in enumerate(arrays):
            if array.dtype == np.float32:
                self._watch.observe_output(i, np.ascontiguousarray(array))
