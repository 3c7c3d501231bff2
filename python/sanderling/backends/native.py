"""The native engine as a backend."""

from __future__ import annotations

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
        # The core's own methods: a Python function around each would cost as much as a small model.
        self.run = self._session.run
        self.run_into = self._session.run_into
        self.bind = self._session.bind
        self.inputs: tuple[TensorSpec, ...] = model.inputs
        self.outputs: tuple[TensorSpec, ...] = model.outputs

    @property
    def core(self) -> _core.Session:
        """The C++ session, for the batcher."""
        return self._session

    def info(self) -> dict[str, Any]:
        """Says what runs where."""
        return dict(self._session.info())
