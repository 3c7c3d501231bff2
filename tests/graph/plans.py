"""What the tests of passes share: a model is run on every ISA, compared with ONNX Runtime, and its plan looked at."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

sys.path.insert(0, str(Path(__file__).parents[1] / "ops"))

import onnx
from onnx import helper
from sanderling import _core

Arrays = Mapping[str, npt.NDArray[Any]]
node = helper.make_node


def lowered(model: onnx.ModelProto) -> dict[str, int]:
    """How often each operator stands in the lowered graph."""
    return dict(_core.Session(_core.Model(model.SerializeToString())).info()["operators"])


def arena_bytes(model: onnx.ModelProto, inputs: Arrays) -> int:
    """Bytes for activations after a run."""
    session = _core.Session(_core.Model(model.SerializeToString()))
    session.run(dict(inputs))
    return int(session.info()["arena_bytes"])


def steps(model: onnx.ModelProto, inputs: Arrays) -> list[str]:
    """The operators of the steps that run, in order; what only copies is "copy"."""
    session = _core.Session(_core.Model(model.SerializeToString()))
    return ["copy" if kernel == "copy" else op for op, _, kernel, *_ in session.profile(list(inputs.values()))]


def check_as_onnxruntime(model: onnx.ModelProto, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Compares all outputs on every ISA, with one thread and with three; returns those of the last one."""
    data = model.SerializeToString()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    literal = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    expected = dict(zip([o.name for o in literal.get_outputs()], literal.run(None, dict(inputs)), strict=True))
    ours: dict[str, npt.NDArray[Any]] = {}
    for isa in ["reference", *_core.runnable_isas()]:
        for threads in (1, 3):
            session = _core.Session(_core.Model(data), isa=isa, threads=threads)
            for _ in range(2):  # the second run finds the arena as the first one left it
                ours = session.run(dict(inputs))
                _compare(f"{isa}, {threads} threads", ours, expected)
    return ours


def _compare(where: str, ours: Arrays, expected: Arrays) -> None:
    assert ours.keys() == expected.keys(), where
    for name, wanted in expected.items():
        got = ours[name]
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape), f"{where}: {name}"
        if wanted.dtype.kind != "f":
            np.testing.assert_array_equal(got, wanted, err_msg=f"{where}: {name}")
        elif wanted.size:
            bound = 1e-4 * float(np.max(np.abs(wanted), initial=0, where=np.isfinite(wanted))) + 1e-5
            np.testing.assert_allclose(got, wanted, rtol=0, atol=bound, err_msg=f"{where}: {name}")
