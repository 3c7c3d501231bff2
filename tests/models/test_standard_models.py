"""The twelve standard networks: float beside ONNX Runtime; int8 from both quantizers, judged layer by layer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from tests.models.beside import Array, check
from tests.models.exporting import quantized_dynamically, quantized_statically
from tests.models.layers import check_layers, quantizers

import onnx
import sanderling

standard_models = pytest.importorskip(
    "tests.models.standard_models",
    reason="torch is not installed: `make models` does it",
)

NAMES = ["mlp", "ae", "cnn1d", "lstm", "gru", "dscnn", "resnet8", "vww", "mbv2", "efflite0", "resnet50", "minilm"]
INTEGER = ["mlp", "ae", "cnn1d", "dscnn", "vww", "resnet8", "mbv2", "efflite0", "resnet50"]
"""All between the first quantizer and the last dequantizer is integer: the same bits everywhere."""
LARGE = {"mbv2", "efflite0", "resnet50", "minilm"}

pytestmark = pytest.mark.slow

float_model = lru_cache(maxsize=2)(standard_models.float_model)


def feeds(name: str) -> list[dict[str, Array]]:
    counts = (1, 2) if name in LARGE else (1, 3, 8)
    return [standard_models.rows(name, count, seed) for seed, count in enumerate(counts)]


def test_names() -> None:
    assert list(standard_models.STANDARD) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_float(name: str) -> None:
    wanted = check(float_model(name), feeds(name))
    outputs = wanted[-1]["output"]
    assert np.isfinite(outputs).all()
    assert outputs.std() > 1e-3


@pytest.mark.parametrize("name", INTEGER)
@pytest.mark.parametrize("quantizer", ["sanderling", "onnxruntime"])
def test_int8(quantizer: str, name: str, tmp_path: Path) -> None:
    calibration = standard_models.rows(name, 16, seed=100)
    if quantizer == "sanderling":
        data = sanderling.quantize(float_model(name), calibration).bytes
    else:
        singles = [{n: array[i : i + 1] for n, array in calibration.items()} for i in range(8)]
        data = quantized_statically(float_model(name), singles, tmp_path)
    check_layers(data, feeds(name)[-1:] if name in LARGE else feeds(name), exact=integer_tensors(data))


def integer_tensors(data: bytes) -> list[str]:
    """All codes but those of a Softmax, which is computed in float; and the output where there is none."""
    model = onnx.load_from_string(data)
    made_by = {output: node.op_type for node in model.graph.node for output in node.output}
    names = [q.codes for q in quantizers(model) if made_by.get(q.real) != "Softmax"]
    return names if "Softmax" in made_by.values() else [*names, "output"]


@pytest.mark.parametrize("name", ["mlp", "ae", "gru", "minilm"])
def test_dynamic_int8(name: str, tmp_path: Path) -> None:
    check_layers(quantized_dynamically(float_model(name), tmp_path), feeds(name))
