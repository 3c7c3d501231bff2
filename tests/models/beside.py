"""Runs models here, on every instruction set of this host and with one and two threads, beside ONNX Runtime."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from sanderling import _core

Array = npt.NDArray[Any]

THREADS = (1, 2)


def package_folder(package: str, distribution: str) -> Path:
    """Where an installed package lies; it is not imported, since some import what is not installed with them.

    Skips the test where it is missing.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {distribution} is not installed: `make models` does it")
    return Path(next(iter(spec.submodule_search_locations)))


class Theirs:
    """ONNX Runtime with one thread.

    Args:
        model: The file.
        literal: Without graph optimizations: QDQ models are then computed in float as the file says. Fused, its u8s8
            products saturate at 16 bits where the CPU has no VNNI.
    """

    def __init__(self, model: bytes, literal: bool = False):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        if literal:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(self._names, self._session.run(None, dict(inputs)), strict=True))


def ours(model: bytes, isas: Iterable[str] | None = None) -> Iterator[tuple[str, _core.Session]]:
    """A session per instruction set and number of threads, with what to call it in a message."""
    compiled = _core.Model(model)
    for isa in isas or _core.runnable_isas():
        for threads in THREADS:
            yield f"{isa}, {threads} threads", _core.Session(compiled, isa=isa, threads=threads)


def bound(reference: Array) -> float:
    """The largest error that a float tensor may have."""
    return 1e-4 * float(np.abs(reference.astype(np.float64)).max(initial=0.0)) + 1e-5


def assert_near(found: Mapping[str, Array], wanted: Mapping[str, Array], where: str) -> None:
    """Floats within `bound`, the rest equal."""
    assert set(found) == set(wanted), f"{where}: outputs {sorted(found)}"
    for name, reference in wanted.items():
        got, what = found[name], f"{where}, output {name}"
        assert got.dtype == reference.dtype, f"{what}: {got.dtype}, expected {reference.dtype}"
        assert got.shape == reference.shape, f"{what}: {got.shape}, expected {reference.shape}"
        if not np.issubdtype(reference.dtype, np.floating):
            np.testing.assert_array_equal(got, reference, err_msg=what)
            continue
        assert np.isfinite(reference).all(), f"{what}: ONNX Runtime gives values that are not finite"
        error = float(np.abs(got.astype(np.float64) - reference).max(initial=0.0))
        assert error <= bound(reference), f"{what}: largest error {error:.3g}, allowed {bound(reference):.3g}"


def check(
    model: bytes, inputs: Iterable[Mapping[str, Array]], isas: Iterable[str] | None = None
) -> list[dict[str, Array]]:
    """Runs the model on each set of inputs everywhere.

    Returns:
        What ONNX Runtime gave, which is within `bound` of what we gave.
    """
    feeds = [dict(one) for one in inputs]
    reference = Theirs(model)
    wanted = [reference.run(one) for one in feeds]
    for where, session in ours(model, isas):
        for number, (one, expected) in enumerate(zip(feeds, wanted, strict=True)):
            assert_near(session.run(one), expected, f"{where}, inputs {number}")
    return wanted
