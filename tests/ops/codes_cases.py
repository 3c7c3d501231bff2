"""Cases that QAdd and QMul share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from binary_cases import PAIRS
from onnx import helper
from onnx_models import Codes, qdq_node
from runner import Case, qdq_case

Reference = Callable[..., npt.NDArray[np.float64]]
REAL = npt.NDArray[np.float64]


def binary_case(
    op: str,
    reference: Reference,
    seed: int,
    a_shape: tuple[int, ...],
    b_shape: tuple[int, ...],
    activation: str = "",
    constants: tuple[str, ...] = (),
    **settings: Any,
) -> Case:
    """Add, Sub or Mul of codes whose result fills the codes of the output and saturates at times.

    Args:
        op: Add, Sub or Mul.
        reference: The same in float64.
        seed: Of codes, scales, zero points and dtypes.
        a_shape: Of the first input.
        b_shape: Of the second input.
        activation: "", "Relu" or "Clip" (to -1 and 2.5) behind it.
        constants: Which of "a" and "b" are initializers.
        settings: Further ones of qdq_node.
    """
    rng = np.random.default_rng(seed)
    dtypes = [(np.uint8, np.int8)[int(i)] for i in rng.integers(0, 2, 3)]
    a = Codes.random(rng, a_shape, dtypes[0], scale=float(rng.uniform(0.005, 0.08)))
    b = Codes.random(rng, b_shape, dtypes[1], scale=float(rng.uniform(0.005, 0.08)))
    after = []
    plain: dict[str, Any] = {}
    computed = reference
    if activation == "Relu":
        after = [helper.make_node("Relu", ["node_y"], ["real_y"])]
        computed = lambda x, y: np.maximum(reference(x, y), 0)  # noqa: E731
    if activation == "Clip":
        plain = {"low": np.array(-1, np.float32), "high": np.array(2.5, np.float32)}
        after = [helper.make_node("Clip", ["node_y", "low", "high"], ["real_y"])]
        computed = lambda x, y: np.clip(reference(x, y), -1, 2.5)  # noqa: E731
    spread = computed(a.real(), b.real())
    y_scale = float(max(np.ptp(spread) / rng.uniform(200, 400), 1e-3))
    info = np.iinfo(dtypes[2])
    y_zero = int(np.clip(info.min + 128 - np.median(spread) / y_scale, info.min, info.max))
    qdq = qdq_node(
        op, {"a": a, "b": b}, computed, y_scale, y_zero, plain=plain, order=["a", "b"], after=after,
        y_dtype=dtypes[2], constants=constants, **settings,
    )  # fmt: skip
    shapes = "-by-".join("x".join(map(str, s)) or "scalar" for s in (a_shape, b_shape))
    name = f"{op}{activation}-{seed}-{shapes}{''.join(constants)}"
    operators = {"QMul" if op == "Mul" else "QAdd"}
    # Sums and products of two codes cannot saturate in ONNX Runtime's own integer kernels.
    return qdq_case(name, qdq, operators=operators, optimized="always")


def edge_cases(op: str, reference: Reference) -> Iterator[Case]:
    """Every broadcasting pattern, batches, activations and constants."""
    for seed, (a_shape, b_shape) in enumerate(PAIRS):
        if a_shape or b_shape:
            yield binary_case(op, reference, seed, a_shape, b_shape)
    for activation in ("Relu", "Clip"):
        for seed in range(3):
            yield binary_case(op, reference, seed, (3, 5, 7), (3, 5, 7), activation)
    for constant in ("a", "b"):
        yield binary_case(op, reference, 4, (3, 5, 7), (5, 1), constants=(constant,))
        yield binary_case(op, reference, 5, (5, 1), (3, 5, 7), constants=(constant,))
        yield binary_case(op, reference, 6, (3, 5), (3, 5), constants=(constant,))
    for batch in (1, 3, 8):
        yield binary_case(op, reference, batch, (batch, 13, 7), (batch, 13, 7), symbolic_batch=True)
    for count in (1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 131):
        yield binary_case(op, reference, count, (count,), (count,))


def pooled_cases(op: str, reference: Reference, seeds: int) -> Iterator[Case]:
    """Shapes with odd channel counts at the batches 1, 3 and 8; 30,000 elements a case or more."""
    for seed in range(seeds):
        batch = (1, 3, 8)[seed % 3]
        shape = (batch, 17 + seed % 5, 24 // batch, 91)
        other = (shape, (shape[1], 1, 1), (1,), shape)[seed % 4]
        yield binary_case(op, reference, 1000 + seed, shape, other, ("", "Relu", "", "Clip")[seed // 3 % 4])
