from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

import onnx
from attention_cases import attended, filtered, heads_of, rows_of, window
from code_node_cases import centred, codes
from onnx_models import Array
from runner import Case, check, check_refused
from sanderling import _core
from sanderling.errors import ModelError, UnsupportedError
from sequence_models import MICROSOFT, node_case

ORDER = ("x", "weights", "bias", "x_scale", "scale", "mask", "x_zero", "zero", "past")


def qattention(
    name: str,
    *,
    batch: int = 2,
    rows: int = 5,
    depth: int = 12,
    heads: int = 3,
    size: int = 4,
    x_type: Any = np.uint8,
    weight_type: Any = np.uint8,
    each: bool = False,
    zeros: bool = True,
    past: int | None = None,
    mask: Array | None = None,
    computed: bool = False,
    outputs: tuple[str, ...] = ("y",),
    expanded: bool = True,
    **attributes: Any,
) -> Case:
    """A case of codes; `each`: a scale and a zero point per column of the weights."""
    rng = np.random.default_rng(rows * 10 + size)
    columns = 3 * heads * size
    along = (columns,) if each else ()
    tensors: dict[str, Array | None] = dict.fromkeys(ORDER) | {
        "x": codes(rng, (batch, rows, depth), x_type),
        "weights": codes(rng, (depth, columns), weight_type),
        "bias": rng.normal(size=columns).astype(np.float32),
        "x_scale": np.array(0.02, np.float32),
        "scale": rng.uniform(0.005, 0.01, along).astype(np.float32),
        "mask": mask,
        "past": None if past is None else rng.normal(size=(2, batch, heads, past, size)).astype(np.float32),
    }
    if zeros:
        tensors |= {"x_zero": codes(rng, (), x_type), "zero": codes(rng, along, weight_type)}
    sums = centred(tensors["x"], tensors["x_zero"] if zeros else 0) @ centred(
        tensors["weights"], tensors["zero"] if zeros else 0
    )
    product = sums * (np.float64(tensors["x_scale"]) * tensors["scale"]) + tensors["bias"]
    q, k, v = (heads_of(part, heads) for part in np.split(product, 3, 2))
    if tensors["past"] is not None:
        k, v = (np.concatenate(pair, 2) for pair in zip(tensors["past"], (k, v), strict=True))
    total = k.shape[2]
    added = filtered(mask, batch, rows, total, attributes.get("mask_filter_value", -10000.0))
    if attributes.get("unidirectional"):
        added = added + window(rows, total, past or 0, right=0)
    y, _ = attended(q, k, v, added, attributes.get("scale"))
    expected = {"y": rows_of(y), "present": np.stack([k, v])}
    return node_case(
        "QAttention",
        name,
        tensors,
        {n: a for n, a in expected.items() if n in outputs},
        domain=MICROSOFT,
        constants=() if computed else ("weights", "bias", "x_scale", "scale", "x_zero", "zero"),
        settings={
            # ONNX Runtime has no int8 by anything, and its uint8 by int8 saturates without VNNI.
            "onnxruntime": x_type == weight_type == np.uint8,
            "operators": ["com.microsoft.MultiHeadAttention" if expanded else "com.microsoft.QAttention"],
        },
        num_heads=heads,
        **attributes,
    )


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    for x_type in (np.uint8, np.int8):
        for weight_type in (np.uint8, np.int8):
            yield qattention(f"{x_type.__name__}-{weight_type.__name__}", x_type=x_type, weight_type=weight_type)
    yield qattention("each-column", each=True)
    yield qattention("no-zero-points", zeros=False)
    yield qattention("computed", computed=True, expanded=False)
    yield qattention("large", rows=70, depth=48, heads=4, size=32)
    yield qattention("present", outputs=("y", "present"), expanded=False)
    yield qattention("past", past=6, unidirectional=1, outputs=("y", "present"), expanded=False)
    yield qattention("causal", unidirectional=1)
    yield qattention("scale", scale=0.7)
    for mask in (np.array([3, 5]), np.array([4, 5, 1, 2]), rng.integers(0, 2, (2, 5)), np.ones((2, 1))):
        for computed in (False, True):
            yield qattention(
                f"mask{mask.shape}-{computed}", mask=mask.astype(np.int32), computed=computed, expanded=not computed
            )


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_qattention(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("each", [False, True])
def test_attention_as_the_quantizer_writes_it(tmp_path: Path, each: bool) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "x": rng.normal(size=(2, 5, 24)).astype(np.float32),
        "weights": rng.normal(size=(24, 72)).astype(np.float32),
        "bias": rng.normal(size=72).astype(np.float32),
        "mask": rng.integers(0, 2, (2, 5)).astype(np.int32),
    }
    constants = ("weights", "bias")
    real = node_case(
        "Attention", "real", tensors, {"y": np.zeros(1)}, domain=MICROSOFT, constants=constants, num_heads=3
    )
    quantize_dynamic(real.model, tmp_path / "y.onnx", weight_type=QuantType.QUInt8, per_channel=each)
    model = onnx.load(tmp_path / "y.onnx")
    assert [node.op_type for node in model.graph.node] == ["DynamicQuantizeLinear", "QAttention"]
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, dict(real.inputs))
    check(Case("quantized", model, real.inputs, {"y": expected.astype(np.float64)}, length=None))


@pytest.mark.parametrize(
    ("changed", "attributes", "error", "message"),
    [
        ({"x": (2, 5, 11)}, {}, ModelError, r"x has shape \[2, 5, 11\] and weights \[12, 36\]"),
        ({"weights": (12, 35)}, {}, ModelError, r"weights has shape \[12, 35\], num_heads is 3"),
        ({"bias": (35,)}, {}, ModelError, r"bias has shape \[35\], expected \[36\]"),
        ({"bias": None}, {}, ModelError, "input 2"),
        ({"scale": (3,)}, {}, ModelError, r"the scale \(input 4\) has shape \[3\], expected one value or \[36\]"),
        ({"past": (2, 2, 3, 6)}, {}, ModelError, r"past has shape \[2, 2, 3, 6\]"),
        ({}, {"num_heads": 0}, ModelError, "num_heads is 0"),
        ({}, {"do_rotary": 1}, UnsupportedError, "do_rotary is not 0"),
    ],
)
def test_what_does_not_fit(
    changed: dict[str, tuple[int, ...] | None], attributes: dict[str, Any], error: type[Exception], message: str
) -> None:
    shapes = {"x": (2, 5, 12), "weights": (12, 36), "bias": (36,), "x_scale": (), "scale": ()} | changed
    tensors = {
        n: None if shapes.get(n) is None else np.ones(shapes[n], np.uint8 if n in ("x", "weights") else np.float32)
        for n in ORDER
    }
    settings = {"num_heads": 3} | attributes
    case = node_case("QAttention", "bad", tensors, {"y": np.zeros(1)}, domain=MICROSOFT, **settings)
    check_refused(case.model, case.inputs, error, message, "com.microsoft.QAttention")
    constants = ("weights", "bias", "x_scale", "scale")
    expanded = node_case(
        "QAttention", "bad", tensors, {"y": np.zeros(1)}, domain=MICROSOFT, constants=constants, **settings
    )
    with pytest.raises(error, match="node 'node'"):
        _core.Session(_core.Model(expanded.model.SerializeToString())).run(dict(expanded.inputs))
