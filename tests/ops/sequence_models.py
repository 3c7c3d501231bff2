"""Builder of cases of one node with several outputs, of any domain; and normalization in float64."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from onnx import helper
from onnx_models import Array, element_type, model_of
from runner import Case

MICROSOFT = "com.microsoft"


def node_case(
    op: str,
    name: str,
    tensors: Mapping[str, Array | None],
    expected: Mapping[str, Array | None],
    *,
    domain: str = "",
    opset: int = 24,
    constants: Collection[str] = (),
    symbolic: bool = False,
    dtype: Any = np.float32,
    settings: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> Case:
    """A case of a node "node".

    Args:
        op: The operator.
        name: The case's.
        tensors: Inputs in order; None leaves one out.
        expected: Outputs in order; None leaves one out.
        domain: The operator's.
        opset: Of the default domain.
        constants: Those of `tensors` that are initializers.
        symbolic: Dimensions of inputs are chosen at run time.
        dtype: Of float outputs.
        settings: Other attributes of Case.
        attributes: The node's.
    """
    given = {n: a for n, a in tensors.items() if a is not None}
    wanted = {n: a for n, a in expected.items() if a is not None}
    node = helper.make_node(
        op,
        [n if n in given else "" for n in tensors],
        [n if n in wanted else "" for n in expected],
        name="node",
        domain=domain,
        **attributes,
    )
    inputs = {n: a for n, a in given.items() if n not in constants}
    model = model_of(
        [node],
        {n: (a.dtype, [f"{n}{i}" for i in range(a.ndim)] if symbolic else a.shape) for n, a in inputs.items()},
        {n: dtype if np.issubdtype(a.dtype, np.floating) else a.dtype for n, a in wanted.items()},
        {n: a for n, a in given.items() if n in constants},
        opset=opset,
    )
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return Case(name, model, inputs, wanted, **{"length": None, **(settings or {})})


def with_float32_outputs(case: Case, *names: str) -> Case:
    """The case with these outputs declared float32 whatever the others are."""
    for output in case.model.graph.output:
        if output.name in names:
            output.type.tensor_type.elem_type = element_type(np.float32)
    return case


def normalized(
    x: Array, scale: Array, shift: Array | float, axis: int, epsilon: float, centred: bool
) -> tuple[Array, Array, Array]:
    """The result, the means and the inverse deviations, in float64."""
    wide = x.astype(np.float64)
    axes = tuple(range(axis % x.ndim, x.ndim))
    if x.size == 0:
        return wide, wide, wide  # nobody asks for the means of nothing
    mean = wide.mean(axes, keepdims=True) if centred else np.zeros_like(wide[..., :1])
    inverse = 1 / np.sqrt(((wide - mean) ** 2).mean(axes, keepdims=True) + np.float64(np.float32(epsilon)))
    return (wide - mean) * inverse * scale + shift, mean, inverse
