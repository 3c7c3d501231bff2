"""The node cases that the onnx package generates, and what it means to pass one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]
Run = Callable[[onnx.ModelProto, Sequence[Array]], Sequence[Any]]

ASIDE = re.compile(
    r"test_(adagrad|adam|momentum|nesterov|bernoulli|training|string|strnorm|regex|label_encoder|tfidf|sequence|optional"
    r"|image_decoder|split_to_sequence|identity_(opt|sequence)|loop16|loop13_seq|if_(opt|seq)|ai_onnx_ml|ai_onnx_preview"
    r"|nllloss|sce|flexattention|linear_attention|causal|dropout.*training|random)"
)
"""What no device is asked to run: training, losses and optimizers, random numbers, strings, sequences and optionals,
image files, and attention operators of the preview domain. The rest are the inference cases."""

RTOL, ATOL = 1e-3, 1e-5
"""A case may be judged more loosely by its own tolerances."""


@cache
def inference_cases() -> dict[str, Any]:
    """The cases by name, in the order in which onnx makes them. Takes some seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some references divide by zero on purpose
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    return {case.name: case for case in cases if case.model is not None and not ASIDE.match(case.name)}


def array_of(value: Any) -> Array:
    """Element types that NumPy lacks come as TensorProto; then the array has a dtype of ml_dtypes."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value)


def check(case: Any, run: Run) -> None:
    """Runs every data set of a case.

    Raises:
        AssertionError: An output has another dtype, shape or value than the case expects.
    """
    for inputs, outputs in case.data_sets:
        got = run(case.model, [array_of(value) for value in inputs])
        assert len(got) == len(outputs), f"{len(got)} outputs, expected {len(outputs)}"
        for found, value in zip(got, outputs, strict=True):
            _compare(np.asarray(found), array_of(value), case)


def _compare(found: Array, wanted: Array, case: Any) -> None:
    assert found.shape == wanted.shape, f"shape {found.shape}, expected {wanted.shape}"
    assert found.dtype == wanted.dtype, f"dtype {found.dtype}, expected {wanted.dtype}"
    if wanted.dtype.kind in "biu":
        np.testing.assert_array_equal(found, wanted)
        return
    np.testing.assert_allclose(
        found.astype(np.float64), wanted.astype(np.float64), rtol=max(case.rtol, RTOL), atol=max(case.atol, ATOL)
    )
