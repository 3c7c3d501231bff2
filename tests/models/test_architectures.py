"""Architectures from their papers, by both torch exporters, beside torch and ONNX Runtime on every ISA of the host."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from tests.models.beside import Theirs, assert_near, check, ours
from tests.models.exporting import export, quantized_statically
from tests.models.layers import check_layers, probed

import onnx
from onnx import TensorProto, helper
from sanderling import _core

torch = pytest.importorskip("torch", reason="torch is not installed: `make models` does it")

from tests.models.architectures.every import ARCHITECTURES, Inputs  # noqa: E402

pytestmark = pytest.mark.slow  # minutes: exports and calibration, and scalar code among the ISAs

EXPORTERS = ("torch.export", "TorchScript", "TorchScript, oldest opset")


@cache
def settled(name: str) -> Any:
    return ARCHITECTURES[name].settled()


def exported(name: str, exporter: str) -> bytes:
    architecture = ARCHITECTURES[name]
    return export(
        settled(name),
        architecture.inputs(2, torch.Generator().manual_seed(2)),  # not one row: exporters hold an extent of 1
        architecture.dynamic,
        architecture.outputs,
        dynamo=exporter == EXPORTERS[0],
        opset=architecture.oldest_opset if exporter == EXPORTERS[2] else None,
    )


def by_torch(name: str, inputs: Inputs) -> dict[str, Any]:
    with torch.no_grad():
        outputs = settled(name)(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return {key: output.numpy() for key, output in zip(ARCHITECTURES[name].outputs, outputs, strict=True)}


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture(name: str, exporter: str) -> None:
    architecture = ARCHITECTURES[name]
    generator = torch.Generator().manual_seed(3)
    inputs = [architecture.inputs(batch, generator) for batch in (1, 3)]
    if architecture.longer is not None:
        inputs.append(architecture.longer(2, generator))
    data = exported(name, exporter)
    check(data, [architecture.named(some) for some in inputs])
    session = _core.Session(_core.Model(data))
    for some in inputs:
        assert_near(session.run(architecture.named(some)), by_torch(name, some), "beside torch")


def with_suppression(data: bytes) -> bytes:
    """YOLOX's candidates, then NonMaxSuppression, the boxes that it keeps, and their scores."""
    model = onnx.load_from_string(data)
    graph = model.graph
    for name, value in (("most", 20), ("overlap", 0.5), ("least", 0.3)):
        kind = TensorProto.INT64 if isinstance(value, int) else TensorProto.FLOAT
        graph.initializer.append(helper.make_tensor(name, kind, [1], [value]))
    graph.initializer.append(helper.make_tensor("row_and_box", TensorProto.INT64, [2], [0, 2]))
    graph.node.extend(
        [
            helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["selected"]),
            helper.make_node("Gather", ["selected", "row_and_box"], ["where_box"], axis=1),
            helper.make_node("GatherND", ["boxes", "where_box"], ["kept_boxes"]),
            helper.make_node("GatherND", ["scores", "selected"], ["kept_scores"]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("selected", TensorProto.INT64, [None, 3]))
    graph.output.append(helper.make_tensor_value_info("kept_boxes", TensorProto.FLOAT, [None, 4]))
    graph.output.append(helper.make_tensor_value_info("kept_scores", TensorProto.FLOAT, [None]))
    return model.SerializeToString()


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_detector_with_suppression(exporter: str) -> None:
    name = "yolox-nano-candidates"
    batches = (1, 3)
    wanted = check(
        with_suppression(exported(name, exporter)), [ARCHITECTURES[name].feed(batch, seed=3) for batch in batches]
    )
    for batch, outputs in zip(batches, wanted, strict=True):
        assert len(outputs["selected"]) > 10 * batch, "few detections: the test would prove little"


@pytest.mark.parametrize("activations", ["QUInt8", "QInt8"])
@pytest.mark.parametrize("name", [name for name, made in ARCHITECTURES.items() if made.convolutional])
def test_int8(name: str, activations: Literal["QUInt8", "QInt8"], tmp_path: Path) -> None:
    architecture = ARCHITECTURES[name]
    real = exported(name, "TorchScript")
    rows = [architecture.feed(1, seed) for seed in range(6)]
    data = quantized_statically(real, rows, tmp_path, activations=activations)
    check_layers(data, rows[:1])

    operators = _core.Session(_core.Model(data)).info()["operators"]
    in_float = {operator for operator in ("Conv", "Gemm", "MatMul") if operator in operators}
    assert not in_float, f"{in_float} stay in float"
    some = architecture.feed(3, seed=9)
    *_, (_, session) = ours(data)
    *_, (_, unfused) = ours(probed(onnx.load_from_string(data)))
    found, stepwise = session.run(some), unfused.run(some)
    for output in architecture.outputs:
        np.testing.assert_array_equal(found[output], stepwise[output], err_msg=f"{output}, fused and not")
    assert_nearer_than_quantization(found, Theirs(data, literal=True).run(some), Theirs(real).run(some))


def assert_nearer_than_quantization(found: dict[str, Any], other: dict[str, Any], real: dict[str, Any]) -> None:
    """End to end the two runtimes differ less than quantization itself moves the outputs.

    A code that falls the other way at a tie changes all that follow, and random weights damp nothing: so layers are
    judged one by one, and the whole by this.
    """
    for name, wanted in other.items():
        apart, moved = (float(np.sqrt(np.mean((one[name] - wanted) ** 2))) for one in (found, real))
        assert apart <= moved, f"{name}: {apart:.3g} from ONNX Runtime, which is {moved:.3g} from float"
