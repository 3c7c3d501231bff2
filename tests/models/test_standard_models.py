"""The twelve standard networks: float beside ONNX Runtime; int8 from both quantizers, judged layer by layer."""

from __future__ import annotations

import itertools
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from tests.models.beside import Array, check, ours
from tests.models.exporting import quantized_dynamically, quantized_statically
from tests.models.layers import check_layers

import sanderling

standard_models = pytest.importorskip(
    "tests.models.standard_models",
    reason="torch is not installed: `make models` does it",
    exc_type=pytest.skip.Exception,
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
    check_layers(data, feeds(name))
    results = [(where, [session.run(one)["output"] for one in feeds(name)]) for where, session in ours(data)]
    for (first, one), (second, other) in itertools.pairwise(results):
        for a, b in zip(one, other, strict=True):
            if quantizer == "sanderling" or "Softmax" not in data.decode("latin-1"):
                np.testing.assert_array_equal(a, b, err_msg=f"{first} and {second}")


@pytest.mark.parametrize("name", ["mlp", "ae", "lstm", "gru", "minilm"])
def test_dynamic_int8(name: str, tmp_path: Path) -> None:
    check_layers(quantized_dynamically(float_model(name), tmp_path), feeds(name))
