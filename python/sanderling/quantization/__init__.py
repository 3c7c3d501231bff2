"""Post-training quantization: a float ONNX model and rows of its input become an int8 ONNX model with QDQ nodes.

What is done, in order: constants and BatchNormalization are folded; the float model runs on the calibration rows and
the tensors between int8 layers are observed; each gets uint8 codes whose range has the least squared error; weights
get int8 codes per output channel, biases int32; QuantizeLinear and DequantizeLinear nodes are placed around the int8
layers. With a metric, layers are kept in float32 until the accuracy is within the bound.

The result is standard ONNX (opset 13 or later), which ONNX Runtime, OpenVINO and TensorRT read too.
"""

from __future__ import annotations

from sanderling.quantization._model import QuantizedModel
from sanderling.quantization._quantize import quantize
from sanderling.quantization._report import LayerReport, Report

__all__ = ["LayerReport", "QuantizedModel", "Report", "quantize"]
