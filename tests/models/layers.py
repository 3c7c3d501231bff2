"""Judges quantized models layer by layer: each layer of the reference is fed the codes that we computed before it.

End to end, one code that is rounded the other way at a tie changes all that follow; a chain of float and integer layers
may then drift far apart though each layer is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from tests.models.beside import Array, Theirs, assert_near, ours

import onnx
from onnx import TensorProto, helper, numpy_helper

# As tests/ops/tolerances.py has them for one operator.
TIE_MARGIN = 2.0**-12
EQUAL_SHARE = 0.9999

QUANTIZERS = ("QuantizeLinear", "DynamicQuantizeLinear")


@dataclass(frozen=True)
class Quantizer:
    """A node that makes codes: the tensors that it reads and writes."""

    real: str
    codes: str
    scale: str
    zero_point: str
    dynamic: bool


@dataclass
class Agreement:
    """Codes compared, those that are not at a tie, and of these the equal ones."""

    elements: int = 0
    judged: int = 0
    equal: int = 0


def quantizers(model: onnx.ModelProto) -> list[Quantizer]:
    """Those whose input is computed: no weights."""
    computed = {name for node in model.graph.node for name in node.output} | {v.name for v in model.graph.input}
    stored = {tensor.name for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type not in QUANTIZERS or node.domain or node.input[0] not in computed - stored:
            continue
        if node.op_type == "DynamicQuantizeLinear":
            found.append(Quantizer(node.input[0], *node.output, dynamic=True))
        else:
            found.append(Quantizer(node.input[0], node.output[0], node.input[1], node.input[2], dynamic=False))
    return found


def probed(model: onnx.ModelProto) -> bytes:
    """The model with all codes among its outputs."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    there = {output.name for output in model.graph.output}
    for q in quantizers(model):
        names = (q.codes, q.scale, q.zero_point) if q.dynamic else (q.codes,)
        result.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in there)
    return result.SerializeToString()


def fed(name: str) -> str:
    return f"fed {name}"


def chained(model: onnx.ModelProto) -> bytes:
    """The model cut after each quantizer: what reads codes gets them as inputs, what is rounded is an output."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    types = {t.name: t.data_type for t in graph.initializer}
    renamed: dict[str, int] = {}
    for q in quantizers(model):
        renamed[q.codes] = TensorProto.UINT8 if q.dynamic else types[q.zero_point]
        if q.dynamic:
            renamed |= {q.scale: TensorProto.FLOAT, q.zero_point: TensorProto.UINT8}
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name in renamed:
                node.input[i] = fed(name)
    graph.input.extend(helper.make_tensor_value_info(fed(name), kind, None) for name, kind in renamed.items())
    there = {output.name for output in graph.output} | {value.name for value in graph.input}
    wanted = [*renamed, *(q.real for q in quantizers(model))]
    graph.output.extend(helper.make_empty_tensor_value_info(n) for n in dict.fromkeys(wanted) if n not in there)
    return result.SerializeToString()


def check_layers(data: bytes, inputs: Iterable[Mapping[str, Array]], isas: Iterable[str] | None = None) -> Agreement:
    """Runs a quantized model everywhere and judges every layer; raises AssertionError on the first that is wrong.

    No code may be more than one step from that of ONNX Runtime, which computes in float as the file says; of those
    that are not at a tie `EQUAL_SHARE` must be equal. Outputs are judged in the same way, each fed our codes. Integer
    codes of models without a float layer, and all results of different numbers of threads, are the caller's to compare.

    Returns:
        Codes compared over all inputs, on the last instruction set.
    """
    model = onnx.load_from_string(data)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found = quantizers(model)
    assert found, "the model has no quantized activations"
    reference, names = Theirs(chained(model), literal=True), [output.name for output in model.graph.output]
    feeds = [dict(one) for one in inputs]
    total = Agreement()
    for (where, session), (_, plain) in zip(ours(probed(model), isas), ours(data, isas), strict=True):
        total = Agreement()
        for one in feeds:
            seen = session.run(one)
            assert_near(plain.run(one), {name: seen[name] for name in names}, f"{where}, with and without probes")
            codes = {fed(n): a for n, a in seen.items() if n not in names or n in {q.codes for q in found}}
            wanted = reference.run(one | codes)
            for q in found:
                real = one[q.real] if q.real in one else wanted[q.real]
                _compare_codes(q, seen, wanted, real, stored, f"{where}, {q.codes}", total)
            assert_near({n: seen[n] for n in names}, {n: wanted[n] for n in names}, where)
        assert total.equal >= EQUAL_SHARE * total.judged, (
            f"{where}: {total.judged - total.equal:,} of {total.judged:,} codes off ties differ; "
            f"allowed are {(1 - EQUAL_SHARE) * total.judged:,.0f}"
        )
    return total


def _compare_codes(
    q: Quantizer,
    seen: Mapping[str, Array],
    wanted: Mapping[str, Array],
    real: Array,
    stored: Mapping[str, Array],
    what: str,
    total: Agreement,
) -> None:
    parts = wanted if q.dynamic else stored
    scale, zero = parts[q.scale], parts[q.zero_point].astype(np.int64)
    assert scale.size == 1, f"{what}: activations quantized per channel are not judged here"
    assert seen[q.codes].shape == wanted[q.codes].shape, f"{what}: shape {seen[q.codes].shape}"
    got, expected = seen[q.codes].astype(np.int64), wanted[q.codes].astype(np.int64)
    if q.dynamic:
        np.testing.assert_allclose(seen[q.scale], scale, rtol=1e-4, err_msg=what)
        mine = seen[q.zero_point].astype(np.int64)
        assert abs(mine - zero) <= 1, f"{what}: zero point {mine}, expected {zero}"
        got, expected = got - mine, expected - zero
    distance = np.abs(got - expected)
    assert distance.max(initial=0) <= 1, f"{what}: a code is {distance.max()} steps from the exact one"
    with np.errstate(invalid="ignore"):  # infinite masks with an infinite scale: NaN is not judged
        exact = real.astype(np.float64) / scale.astype(np.float64)
        fraction = exact - np.floor(exact)
    judged = np.abs(fraction - 0.5) > TIE_MARGIN
    total.elements += got.size
    total.judged += int(judged.sum())
    total.equal += int((judged & (distance == 0)).sum())
