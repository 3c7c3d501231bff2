"""The native engine as a backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy.typing as npt

from sanderling import _core, _plan_cache
from sanderling._model import Model, TensorSpec
from sanderling.errors import UnsupportedError

Array = npt.NDArray[Any]


class NativeBackend:
    """Runs a model on the C++ core."""

    name = "native"

    def __init__(
        self,
        source: bytes | Model,
        *,
        path: Path | None = None,
        device: str = "auto",
        threads: int = 1,
        float_products: str = "float32",
        watch: _core.Watch | None = None,
        memory_limit_bytes: int | None = None,
    ) -> None:
        """Compiles the model, or takes what an earlier process compiled from the user's cache.

        Bytes that were read from `path` may name files beside it.

        Raises:
            ModelError: The model is damaged.
            UnsupportedError: An operator, dtype, opset or the device is not native, SANDERLING_ISA names an ISA that is
                not there, or the ISA has no such float products.
        """
        if device not in ("auto", "cpu"):
            raise UnsupportedError(f"[native] device is {device!r}, this build has 'auto' and 'cpu'")
        self._plan = _planned(source, path, _core.default_isa(), float_products)
        self._session = _core.Session(
            self._plan.plan,
            threads=threads,
            watch=watch,
            memory_limit_bytes=memory_limit_bytes,
            after_first_run=self._plan.keep,
        )
        # The core's own methods: a Python function around each would cost as much as a small model.
        self.run = self._session.run
        self.run_into = self._session.run_into
        self.bind = self._session.bind
        self.cancel = self._session.cancel
        self.inputs = tuple(TensorSpec(*spec) for spec in self._plan.plan.inputs)
        self.outputs = tuple(TensorSpec(*spec) for spec in self._plan.plan.outputs)

    @property
    def core(self) -> _core.Session:
        """The C++ session, for the batcher."""
        return self._session

    def info(self) -> dict[str, Any]:
        """Says what runs where, and whether it was compiled here: the file of its plan is there after the first run."""
        file = self._plan.file
        return {
            **self._session.info(),
            "plan": "cache" if self._plan.from_cache else "compiled",
            "plan_file": None if file is None else str(file),
        }


class _Planned:
    """A model's plan, from the cache if it is there."""

    def __init__(self, source: bytes | Model, path: Path | None, isa: str, float_products: str) -> None:
        data, path = (source.bytes, source.path) if isinstance(source, Model) else (source, path)
        self._cached = _plan_cache.find(data, path, isa, float_products)
        read = None if self._cached is None else self._cached.read()
        self.from_cache = read is not None
        self.file = self._cached.path if self._cached is not None and self.from_cache else None
        self.plan = read or _core_model(source, path).compile(isa, float_products)

    def keep(self) -> None:
        """Writes what is not in the cache: called after a session's first run, when the weights are packed."""
        cached, self._cached = self._cached, None
        if cached is None or (self.from_cache and not self.plan.has_made_tensors):
            return
        if cached.write(self.plan):
            self.file = cached.path


def _core_model(source: bytes | Model, path: Path | None) -> _core.Model:
    return (source if isinstance(source, Model) else Model(source, path=path)).core


# Sessions of one model share its weights: by model, then by ISA and float products.
_of_models: WeakKeyDictionary[Model, dict[tuple[str, str], _Planned]] = WeakKeyDictionary()


def _planned(source: bytes | Model, path: Path | None, isa: str, float_products: str) -> _Planned:
    if not isinstance(source, Model):
        return _Planned(source, path, isa, float_products)
    plans = _of_models.setdefault(source, {})
    key = (isa, float_products)
    return plans.get(key) or plans.setdefault(key, _Planned(source, path, isa, float_products))
