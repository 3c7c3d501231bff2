"""What a backend needs around a library that takes arrays and gives new ones, in the words of the native engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling._model import TensorSpec
from sanderling.errors import InputError

Array = npt.NDArray[Any]


class CheckedBackend(ABC):
    """Checks and copies arrays around `compute`."""

    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._check = _core.InputCheck([(s.name, s.dtype or "", list(s.shape or ())) for s in inputs])

    @abstractmethod
    def compute(self, inputs: list[Array]) -> list[Array]:
        """Runs the library once on C-contiguous arrays that fit `inputs` and returns arrays of its own.

        Raises:
            ModelError: It failed all the same.
        """

    def run(self, inputs: list[Array]) -> list[Array]:
        """Runs once and returns new arrays.

        Raises:
            InputError: As the native engine does, in its words.
            ModelError: The library failed on inputs that fit the model.
        """
        plain = [np.require(array, requirements=["C", "A"]) for array in inputs]
        self._check.check(plain)
        return self.compute(plain)

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


def _check_contiguous(role: str, name: str, array: Array) -> None:
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise InputError(f"[array] {role} {name!r} is not C-contiguous and aligned. Pass array.copy()")
