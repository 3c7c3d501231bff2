"""The ONNX project's own node tests, for every operator that the engine has."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx.backend.test.case import node

import onnx
from onnx import numpy_helper
from runner import Case, check, isas
from samples import DTYPES
from sanderling import _core
from sanderling.errors import UnsupportedError

# Inputs that the engine must know when it plans, since shapes depend on them: they become initializers here.
KNOWN_AT_LOAD = {"Reshape": (1,), "Squeeze": (1,), "Unsqueeze": (1,), "Pad": (1, 3), "ReduceMean": (1,)}

# Cases whose attributes the engine refuses: it only infers.
TRAINING = {"test_batchnorm_epsilon_training_mode", "test_batchnorm_example_training_mode"}
# Cases whose expected values are stated to four decimals, not all of them rounded the right way.
FOUR_DECIMALS = {"test_averagepool_2d_ceil_last_window_starts_on_pad"}


@cache
def node_tests() -> dict[str, Any]:
    """The ONNX test cases by name whose nodes are all operators of the engine.

    Each module of onnx.backend.test.case.node registers its cases when it is imported. collect_testcases() would import
    all of them, which takes ten seconds.
    """
    ours = set(_core.operator_names())
    modules = {info.name.replace("_", ""): info.name for info in pkgutil.iter_modules(node.__path__)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some references divide by zero on purpose
        for name in ours:
            if name.lower() in modules:
                importlib.import_module(f"{node.__name__}.{modules[name.lower()]}")
    return {
        case.name: case
        for case in node._NodeTestCases
        if case.model is not None and all(n.op_type in ours and n.domain == "" for n in case.model.graph.node)
    }


def fits(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and value.dtype.type in DTYPES


def with_constants(model: onnx.ModelProto, arrays: dict[str, Any]) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Turns inputs that must be known at load time, and empty ones, which a session refuses, into initializers."""
    fixed = {name for name, array in arrays.items() if array.size == 0}
    for n in model.graph.node:
        fixed |= {n.input[i] for i in KNOWN_AT_LOAD.get(n.op_type, ()) if i < len(n.input)} & set(arrays)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name in sorted(fixed):
        copy.graph.initializer.append(numpy_helper.from_array(arrays[name], name))
    kept = [value for value in copy.graph.input if value.name not in fixed]
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    return copy, {name: array for name, array in arrays.items() if name not in fixed}


@pytest.mark.parametrize("name", sorted(node_tests()))
def test_onnx_node(name: str) -> None:
    case = node_tests()[name]
    for i, (inputs, outputs) in enumerate(case.data_sets):
        if name in TRAINING or not all(map(fits, [*inputs, *outputs])):
            with pytest.raises(UnsupportedError):
                _core.Session(_core.Model(case.model.SerializeToString())).run(
                    {v.name: a for v, a in zip(case.model.graph.input, inputs, strict=True)}
                )
            continue
        names = [value.name for value in case.model.graph.input]
        arrays = dict(zip(names, map(np.asarray, inputs), strict=True))
        model, given = with_constants(case.model, arrays)
        expected = dict(zip([v.name for v in model.graph.output], map(np.asarray, outputs), strict=True))
        if name in FOUR_DECIMALS:
            for isa in isas():
                for output, found in _core.Session(_core.Model(model.SerializeToString()), isa=isa).run(given).items():
                    np.testing.assert_allclose(found, expected[output], rtol=0, atol=1e-4)
            continue
        # These opsets may be newer than what ONNX Runtime reads; the expected values are ONNX's own anyway.
        check(Case(f"{name}-{i}", model, given, expected, length=None, onnxruntime=False))
