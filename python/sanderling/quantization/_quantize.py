"""`quantize`: the public function."""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sanderling._model import Model, load
from sanderling.errors import InputError, UnsupportedError
from sanderling.quantization._calibration import Calibration
from sanderling.quantization._model import QuantizedModel
from sanderling.quantization._report import LayerReport, Report

if TYPE_CHECKING:
    from sanderling.quantization._accuracy import Metric
    from sanderling.quantization._candidate import Candidate, Quantizer

# What each target asks for. The int8 of all of them is the same today: uint8 activations, int8 weights.
TARGETS = {"cpu": "u8s8 QDQ for CPUs"}
_NOISE_ROWS = 64  # enough for a ratio of sums over whole tensors


def quantize(
    model: str | os.PathLike[str] | bytes | Model,
    calibration: Any,
    *,
    metric: Metric | None = None,
    max_drop: float | None = None,
    target: str = "auto",
) -> QuantizedModel:
    """Quantizes a float32 ONNX model to int8 after training.

    Activations become uint8 with one scale and zero point per tensor, chosen by the least squared error on a histogram;
    weights become int8 per output channel with zero point 0; biases int32. Inputs and outputs stay float32 with their
    names and shapes. Layers without an int8 form, and what follows the last product, stay float32.

    Args:
        model: A path, the bytes of an ONNX file, or a `Model`.
        calibration: Rows that look like what devices see; a few hundred do. An array [rows, ...] for a model of one
            input, a mapping from input name to such arrays, or an iterable of batches (arrays or mappings), which is
            read once.
        metric: Called with `predict` and returns a number, higher is better. `predict(inputs)` runs a candidate as
            `Session.run` does. Called for the float model, the result, and what is tried between.
        max_drop: How much lower than the float model's the result's metric may be. If int8 throughout drops by more,
            the most sensitive layers are kept in float32, as few as bring it within.
        target: "auto", or "cpu", which is the same today.

    Returns:
        The int8 model, standard ONNX with QDQ nodes, and its report.

    Raises:
        InputError: Calibration does not fit the model, is empty, or has NaN; a tensor becomes NaN on it; the model is
            quantized already; an argument is wrong.
        ModelError: The model is damaged.
        UnsupportedError: The extra "quantize" is not installed; no layer has an int8 form; `max_drop` cannot be kept
            with any layer in int8.
    """
    if find_spec("onnx") is None:
        raise UnsupportedError('[quantize] the package onnx is missing. Install it: pip install "sanderling[quantize]"')
    _check_arguments(metric, max_drop, target)
    source = load(model)
    from sanderling.quantization._accuracy import keep_accuracy, measure
    from sanderling.quantization._candidate import Quantizer
    from sanderling.quantization._prepare import prepare

    network = prepare(source.bytes)
    rows = Calibration(calibration, source.inputs)
    quantizer = Quantizer(network, rows)
    before = after = None
    sensitivity: dict[str, float] = {}
    kept: frozenset[str] = frozenset()
    if metric is not None:
        before = measure(metric, source.bytes)
    if metric is not None and before is not None and max_drop is not None:
        accepted = keep_accuracy(quantizer, rows, metric, before - max_drop)
        candidate, after = accepted.candidate, accepted.metric
        sensitivity, kept = accepted.sensitivity_db, accepted.kept
    else:
        candidate = quantizer.candidate()
        after = None if metric is None else measure(metric, candidate.data)
    data = candidate.data
    layers = _layer_reports(quantizer, candidate, rows, sensitivity, kept)
    report = Report(layers, TARGETS["cpu"], rows.rows, len(source.bytes), len(data), before, after)
    return QuantizedModel(data, report)


def _check_arguments(metric: Any, max_drop: Any, target: Any) -> None:
    if target not in ("auto", *TARGETS):
        raise InputError(f"[quantize] target is {target!r}, this build has 'auto' and {', '.join(map(repr, TARGETS))}")
    if metric is not None and not callable(metric):
        raise InputError(f"[quantize] metric is {type(metric).__name__}, expected a function of predict")
    if max_drop is None:
        return
    if metric is None:
        raise InputError("[quantize] max_drop needs a metric. Give metric=lambda predict: ...")
    if isinstance(max_drop, bool) or not isinstance(max_drop, int | float) or not 0 <= max_drop < math.inf:
        raise InputError(f"[quantize] max_drop is {max_drop!r}, expected a number of at least 0")


def _layer_reports(
    quantizer: Quantizer, candidate: Candidate, rows: Calibration, sensitivity: dict[str, float], kept: frozenset[str]
) -> tuple[LayerReport, ...]:
    from sanderling.quantization._candidate import layer_noise

    noise = layer_noise(quantizer, candidate, rows.sample(_NOISE_ROWS, quantizer.rows_per_run))
    losses = {name: sensitivity[name] for name in kept}

    def span(tensor: str) -> tuple[float, float] | None:
        codes = candidate.codes_of(tensor)
        return quantizer.ranges.range_of(tensor) if codes is None else (codes.low, codes.high)

    reports = []
    for layer in quantizer.layers:
        codes = candidate.codes_of(layer.output)
        reports.append(
            LayerReport(
                name=layer.name,
                operator=layer.operator,
                dtype="int8" if layer.name in candidate.placement.int8 else "float32",
                why=quantizer.why(layer, candidate, losses),
                input_range=span(layer.inputs[0]) if layer.inputs else None,
                output_range=span(layer.output),
                clip_percent=None if codes is None else 100 * quantizer.ranges.clipped(layer.output, codes),
                output_sqnr_db=noise.get(layer.name),
                weight_sqnr_db=candidate.emitted.weight_sqnr_db.get(layer.name),
                sensitivity_db=sensitivity.get(layer.name),
            )
        )
    return tuple(reports)
