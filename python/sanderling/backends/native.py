"""The native engine as a backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from sanderling import _core
from sanderling._model import Model, TensorSpec
from sanderling.errors import UnsupportedError

Array = npt.NDArray[Any]


class NativeBackend:
    """Runs a model on the C++ core."""

    name = "native"

    def __init__(
        self, source: bytes | Model, *, device: str = "auto", threads: int = 1, watch: _core.Watch | None = None
    ) -> None:
        """Compiles the model.

        Raises:
            ModelError: The model is damaged.
            UnsupportedError: An operator, dtype, opset or the device is not native, or SANDERLING_ISA names an ISA
                that is not there.
        """
        if device not in ("auto", "cpu"):
            raise UnsupportedError(f"[native] device is {device!r}, this build has 'auto' and 'cpu'")
        model = source if isinstance(source, Model) else Model(source)
        self._session = _core.Session(model.core, threads=threads, watch=watch)
        self.inputs: tuple[TensorSpec, ...] = model.inputs
        self.outputs: tuple[TensorSpec, ...] = model.outputs

    @property
    def core(self) -> _core.Session:
        """The C++ session, for the batcher."""
        return self._session

    def run(self, inputs: list[Array]) -> list[Array]:
        """Runs once and returns new arrays."""
        return self._session.run(inputs)

    def run_into(self, inputs: list[Array], outputs: list[Array]) -> None:
        """Runs once and writes into `outputs`."""
        self._session.run_into(inputs, outputs)

    def bind(self, inputs: list[Array], outputs: list[Array]) -> Callable[[], None]:
        """Returns a callable that runs on these arrays."""
        return self._session.bind(inputs, outputs)

    def info(self) -> dict[str, Any]:
        """Says what runs where."""
        return dict(self._session.info())
