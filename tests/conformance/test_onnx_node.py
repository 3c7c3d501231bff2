"""Every inference case of the onnx package, on every instruction set of this host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cases import Array, check, inference_cases

import onnx
from sanderling import _core
from sanderling.errors import UnsupportedError

NOT_PASSED = dict(
    line.split(": ", 1) for line in (Path(__file__).parent / "not_passed.txt").read_text().splitlines() if line
)
"""Why, by case. It only shrinks."""


def run_on(isa: str) -> Any:
    def run(model: onnx.ModelProto, inputs: Sequence[Array]) -> list[Any]:
        session = _core.Session(_core.Model(model.SerializeToString()), isa=isa)
        names = [value.name for value in model.graph.input][: len(inputs)]
        outputs = session.run(dict(zip(names, inputs, strict=True)))
        return [outputs[value.name] for value in model.graph.output]

    return run


@pytest.mark.parametrize("name", sorted(inference_cases()))
def test_case(name: str) -> None:
    case = inference_cases()[name]
    if name in NOT_PASSED:
        with pytest.raises((AssertionError, UnsupportedError)):
            check(case, run_on("reference"))
        return
    for isa in ("reference", *_core.runnable_isas()):
        check(case, run_on(isa))


def test_the_list_names_cases() -> None:
    assert set(NOT_PASSED) <= set(inference_cases())
