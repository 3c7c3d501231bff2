"""Cases that Sigmoid and Tanh share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from onnx_models import Array, one_node
from runner import Case
from samples import SHAPES, name_of, values


def function_cases(op: str, reference: Callable[[npt.NDArray[np.float64]], Array]) -> Iterator[Case]:
    """float32 and float64 on all shapes, and a sweep from where the function is flat to where it is flat again."""
    for dtype in (np.float32, np.float64):
        for shape in SHAPES:
            x = values(np.random.default_rng(len(shape)), shape, dtype)
            model = one_node(op, {"x": x}, output_dtype=dtype, opset=7)
            # ONNX Runtime's polynomials keep the outer bound only; test_<op>_is_accurate holds ours to more.
            yield Case(name_of(dtype, shape), model, {"x": x}, {"y": reference(x.astype(np.float64))}, length=None)
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 13))
        model = one_node(op, {"x": x}, symbolic_batch=True)
        yield Case(f"batch{batch}", model, {"x": x}, {"y": reference(x.astype(np.float64))}, length=None)


def sweep(op: str, reference: Callable[[npt.NDArray[np.float64]], Array]) -> Case:
    """A million points of [-120, 120], the ends of float32 and infinities; the error may be 2^-22, absolute."""
    ends = np.array([np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45, -1e-45, 0.0, -0.0], np.float32)
    x = np.concatenate([np.linspace(-120, 120, 1_000_000, dtype=np.float32), ends])
    with np.errstate(over="ignore"):
        expected = {"y": reference(x.astype(np.float64))}
    return Case("sweep", one_node(op, {"x": x}), {"x": x}, expected, length=1, magnitude=1.0, onnxruntime=False)
