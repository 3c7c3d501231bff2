"""Runs cases of operators on every instruction set of this host and compares them with independent references.

    check(Case("relu", model, {"x": x}, {"y": np.maximum(x, 0)}))
    check_pooled(qdq_case(f"add_{seed}", qdq_node("Add", ...)) for seed in range(20))

`check` runs a model by the C++ reference functions and by the kernels of each runnable ISA, with one and with three
threads; compares each with the expected values within `tolerances`; demands equal integer bits of all of them; and
compares ONNX Runtime where it is comparable. With SANDERLING_WRITE_CASES=DIR it also writes the case for
tests/cpp/run_cases, which replays it without Python, such as on emulated Arm.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest

import onnx
from onnx_models import Array, QdqModel, Steps
from sanderling import _core
from tolerances import EQUAL_SHARE, POOLED_ELEMENTS, TIE_MARGIN, float_bound

REFERENCE = "reference"
THREADS = 3  # the second thread count of each case; odd, so that shares are uneven
MOST_WRITTEN_ELEMENTS = 1 << 16  # larger cases are not written for run_cases: an emulator replays them


@dataclass(frozen=True)
class Case:
    """One model with inputs and what it must give.

    Attributes:
        name: What pytest shows.
        model: The model.
        inputs: Arrays by input name.
        expected: Arrays by output name, or a function of the inputs that gives them. Integer (and bool) outputs must be
            equal. Float ones are float64 and compared within a tolerance; NaN and infinities must stand where they
            stand here.
        exact: Float outputs must be equal too.
        length: Terms summed per element (tolerances.float_bound); None: the outer bound only.
        magnitude: Largest sum of absolute terms per element; None: max|expected|.
        steps: By output name, for outputs of a last DequantizeLinear: they are judged by their codes.
        same_bits: Integer outputs must have the same bits on every ISA. False only where a float operator that an ISA
            may sum in its own order stands before a QuantizeLinear.
        operators: Names of operators that the lowered graph must have, so that a case cannot miss what it is for.
        onnxruntime: Compare with ONNX Runtime as well, with its optimizations off: so it computes QDQ models in float.
        optimized: When to compare with it once more with all of its optimizations. "always" is for models without
            products of uint8 and int8, whose pairwise sums saturate at int16 on a host without VNNI; "never" for those
            that its optimizer gives another meaning or cannot load.
    """

    name: str
    model: onnx.ModelProto
    inputs: Mapping[str, Array]
    expected: Mapping[str, Array] | Callable[[Mapping[str, Array]], Mapping[str, Array]]
    exact: bool = False
    length: int | None = 1
    magnitude: float | None = None
    steps: Mapping[str, Steps] | None = None
    same_bits: bool = True
    operators: Collection[str] = ()
    onnxruntime: bool = True
    optimized: Literal["with VNNI", "always", "never"] = "with VNNI"

    def __str__(self) -> str:
        """The name: pytest shows it as the test's id."""
        return self.name


@dataclass
class Agreement:
    """How codes agree with the float64 meaning of a QDQ model, added up over cases.

    Attributes:
        elements: Codes compared.
        judged: Those whose exact value is not within TIE_MARGIN of a tie.
        equal: Those of `judged` that are equal.
    """

    elements: int = 0
    judged: int = 0
    equal: int = 0

    def add(self, other: Agreement) -> None:
        """Adds the counts of `other`."""
        self.elements += other.elements
        self.judged += other.judged
        self.equal += other.equal


def qdq_case(name: str, qdq: QdqModel, **settings: Any) -> Case:
    """A case of a QDQ-wrapped node, for `check` and `check_pooled`; `settings` are other attributes of Case."""
    wanted = qdq.steps.real(qdq.steps.codes())
    return Case(name, qdq.model, qdq.inputs, {"y": wanted}, steps={"y": qdq.steps}, **settings)


def isas() -> list[str]:
    """What every case runs on: the reference functions, then each instruction set that this host runs."""
    return [REFERENCE, *_core.runnable_isas()]


def check(case: Case) -> Agreement:
    """Runs a case everywhere and compares; raises AssertionError on the first difference.

    Returns:
        How the codes of `case.steps` agree where they agree least, for pooling. None is more than one step away.
    """
    expected = case.expected(case.inputs) if callable(case.expected) else case.expected
    model = _core.Model(case.model.SerializeToString())
    results: dict[str, dict[str, Array]] = {}
    for isa in isas():
        for threads in (1, THREADS) if isa != REFERENCE else (1,):
            session = _core.Session(model, isa=isa, threads=threads)
            there = session.info()["operators"]
            missing = set(case.operators) - set(there)
            assert not missing, f"{case}: the lowered graph lacks {missing}, it has {there}"
            results[f"{isa}, {threads} threads"] = session.run(dict(case.inputs))
    agreements = [_compare(case, where, outputs, expected) for where, outputs in results.items()]
    _compare_bits(case, results)
    if case.onnxruntime:
        _compare_onnxruntime(case, expected, "ORT_DISABLE_ALL")
        if case.optimized == "always" or (case.optimized == "with VNNI" and _has_vnni()):
            _compare_onnxruntime(case, expected, "ORT_ENABLE_ALL")
    _write(case, results, expected)
    return min(agreements, key=lambda agreement: agreement.equal)


def check_pooled(cases: Iterable[Case], elements: int = POOLED_ELEMENTS) -> None:
    """Checks cases and the share of equal codes over all of them, which must have at least `elements` elements."""
    total = Agreement()
    for case in cases:
        total.add(check(case))
    assert total.elements >= elements, f"pooled {total.elements:,} elements, need {elements:,}"
    assert total.equal >= EQUAL_SHARE * total.judged, (
        f"{total.judged - total.equal:,} of {total.judged:,} codes off ties differ; "
        f"allowed are {(1 - EQUAL_SHARE) * total.judged:,.0f}"
    )


def _compare(case: Case, where: str, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> Agreement:
    agreement = Agreement()
    assert set(outputs) == set(expected), f"{case} on {where}: outputs {sorted(outputs)}"
    for name, wanted in expected.items():
        got = outputs[name]
        here = f"{case} on {where}, output {name}"
        assert got.shape == wanted.shape, f"{here}: shape {got.shape}, expected {wanted.shape}"
        if case.steps is not None and name in case.steps:
            agreement.add(_compare_codes(here, got, case.steps[name]))
        elif np.issubdtype(wanted.dtype, np.floating):
            assert np.issubdtype(got.dtype, np.floating), f"{here}: {got.dtype}, expected a float dtype"
            if case.exact:
                np.testing.assert_array_equal(got, wanted.astype(got.dtype), err_msg=here)
            else:
                _compare_floats(case, here, got, wanted)
        else:
            assert got.dtype == wanted.dtype, f"{here}: {got.dtype}, expected {wanted.dtype}"
            np.testing.assert_array_equal(got, wanted, err_msg=here)
    return agreement


def _compare_floats(case: Case, here: str, got: Array, wanted: Array) -> None:
    reference = np.asarray(wanted, np.float64)
    finite = np.isfinite(reference)
    np.testing.assert_array_equal(got[~finite], reference[~finite], err_msg=f"{here}: NaN or infinity")
    bound = float_bound(reference, case.length, case.magnitude)
    error = np.abs(np.asarray(got, np.float64)[finite] - reference[finite])
    worst = float(error.max(initial=0.0))
    assert worst <= bound, f"{here}: largest error {worst:.3g}, allowed {bound:.3g}"


def _compare_codes(here: str, got: Array, steps: Steps) -> Agreement:
    distance = np.abs(steps.codes_of(got) - steps.codes())
    worst = int(distance.max(initial=0))
    assert worst <= 1, f"{here}: a code is {worst} steps from the exact one"
    judged = np.abs(steps.exact - np.floor(steps.exact) - 0.5) > TIE_MARGIN
    return Agreement(got.size, int(judged.sum()), int((judged & (distance == 0)).sum()))


def _compare_bits(case: Case, results: Mapping[str, Mapping[str, Array]]) -> None:
    first_where, first = next(iter(results.items()))
    for where, outputs in results.items():
        for name, got in outputs.items():
            codes = case.steps is not None and name in case.steps
            if case.same_bits and (codes or not np.issubdtype(got.dtype, np.floating)):
                np.testing.assert_array_equal(got, first[name], err_msg=f"{case}, {name}: {where} and {first_where}")
    for isa in _core.runnable_isas():  # threads share the work, they do not change it
        for name, got in results[f"{isa}, 1 threads"].items():
            np.testing.assert_array_equal(
                got, results[f"{isa}, {THREADS} threads"][name], err_msg=f"{case}, {name}: threads on {isa}"
            )


@cache
def _has_vnni() -> bool:
    info = Path("/proc/cpuinfo")
    return info.exists() and "avx512_vnni" in info.read_text()


def _compare_onnxruntime(case: Case, expected: Mapping[str, Array], level: str) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(case.model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, dict(case.inputs)), strict=True))
    _compare(case, f"ONNX Runtime {level}", outputs, expected)


def _write(case: Case, results: Mapping[str, Mapping[str, Array]], expected: Mapping[str, Array]) -> None:
    folder = os.environ.get("SANDERLING_WRITE_CASES")
    outputs = results["scalar, 1 threads"]
    arrays = [*case.inputs.values(), *outputs.values()]
    if not folder or not case.same_bits or sum(a.size for a in arrays) > MOST_WRITTEN_ELEMENTS:
        return
    dtypes = [np.asarray(a).dtype for a in arrays]
    if any(d.kind not in "biuf" or d.isbuiltin != 1 for d in dtypes):
        return  # of ml_dtypes: .npy has no name for them (float8_e5m2 has the kind of a float)
    test = os.environ.get("PYTEST_CURRENT_TEST", "case").split("::")[0].rpartition("/")[2].removesuffix(".py")
    label = re.sub(r"[^\w.-]+", "_", f"{test.removeprefix('test_')}-{case.name}")
    names = itertools.chain([label], (f"{label}-{i}" for i in itertools.count(2)))
    name = next(name for name in names if not (Path(folder) / name).exists())
    target = Path(folder) / name
    target.mkdir(parents=True)
    (target / "model.onnx").write_bytes(case.model.SerializeToString())
    bound = 0.0
    for i, array in enumerate(case.inputs[v.name] for v in case.model.graph.input):
        np.save(target / f"input_{i}.npy", np.asarray(array, order="C"))
    for i, output in enumerate(case.model.graph.output):
        np.save(target / f"output_{i}.npy", np.asarray(outputs[output.name], order="C"))
        if np.issubdtype(outputs[output.name].dtype, np.floating):
            bound = max(bound, float_bound(np.asarray(expected[output.name], np.float64), case.length, case.magnitude))
    exact = case.exact or bound == 0.0
    with (Path(folder) / "cases.txt").open("a") as lines:
        # Twice the bound: what is written is itself a float32 result within one.
        lines.write(f"{name} exact\n" if exact else f"{name} float {2 * bound:.9g} 0\n")


def check_refused(
    model: onnx.ModelProto,
    inputs: Mapping[str, Array],
    error: type[Exception],
    message: str,
    op: str,
    node: str = "node",
) -> None:
    """Asserts that a model cannot be run anywhere, and that the error says where and why.

    Args:
        model: The bad model.
        inputs: Arrays by input name.
        error: The class that must be raised.
        message: A regular expression for what is wrong.
        op: The operator that the message must name.
        node: The node that the message must name.
    """
    for isa in isas():
        with pytest.raises(error, match=message) as raised:
            _core.Session(_core.Model(model.SerializeToString()), isa=isa).run(dict(inputs))
        assert f"[{op}] node '{node}'" in str(raised.value), str(raised.value)
