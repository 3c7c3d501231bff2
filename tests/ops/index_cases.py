"""What tests of operators that follow indices share: indices known when planning, and only when the model runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_models import Array, one_node
from runner import Case, check_refused
from sanderling.errors import ModelError


def index_cases(
    name: str,
    op: str,
    inputs: dict[str, Array],
    expected: Array,
    *,
    onnxruntime: bool = True,
    exact: bool = True,
    **settings: Any,
) -> list[Case]:
    """The node with its "indices" as an input of the model, and as an initializer."""
    stored = {"indices": inputs["indices"]}
    others = {key: array for key, array in inputs.items() if key != "indices"}
    order = list(inputs)
    common = {"output_dtype": expected.dtype, "order": order, **settings}
    return [
        Case(f"{name}-run", one_node(op, inputs, **common), inputs, {"y": expected}, exact, onnxruntime=onnxruntime),
        Case(
            f"{name}-stored",
            one_node(op, others, constants=stored, **common),
            others,
            {"y": expected},
            exact,
            onnxruntime=onnxruntime,
        ),
    ]


def drawn_indices(
    seed: int, extent: int, shape: Sequence[int], dtype: npt.DTypeLike = np.int64, *, negative: bool = True
) -> Array:
    """Indices into an axis of this extent, some of them counted from the end."""
    low = -extent if negative else 0
    return np.asarray(np.random.default_rng(seed).integers(low, extent, shape), dtype)


def check_bad_indices(op: str, inputs: dict[str, Array], message: str, **settings: Any) -> None:
    """Refused both where they are known when planning and where they are not."""
    for case in index_cases("bad", op, inputs, np.zeros(1, np.float32), **settings):
        check_refused(case.model, case.inputs, ModelError, message, op)
