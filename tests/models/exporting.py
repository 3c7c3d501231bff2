"""Torch modules to ONNX, and float ONNX to int8 by ONNX Runtime's quantizer, for the tests of models."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.models.beside import Array

import onnx


def export(
    module: Any,
    arguments: tuple[Any, ...],
    inputs: Mapping[str, Sequence[str | None]],
    outputs: Sequence[str],
    dynamo: bool,
    opset: int | None = 17,
) -> bytes:
    """The file that one of torch's exporters writes.

    Args:
        module: In evaluation mode.
        arguments: Example inputs.
        inputs: Their names, each with the names of its leading dimensions that are chosen at run time; None is one
            that is as in the example.
        outputs: Their names.
        dynamo: The exporter of torch.export, with its default opset; else TorchScript's.
        opset: TorchScript's; None: its default.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed: `make models` does it")
    names = {"input_names": list(inputs), "output_names": list(outputs)}
    axes = {name: {i: dim for i, dim in enumerate(dims) if dim} for name, dims in inputs.items()}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters about themselves
        if dynamo:
            pytest.importorskip("onnxscript", reason="onnxscript is not installed: `make models` does it")
            program = torch.onnx.export(
                module, arguments, **names, dynamo=True, dynamic_shapes=tuple(axes.values()), verbose=False
            )
            return bytes(program.model_proto.SerializeToString())
        # Outputs too, or their first dimension is written as that of the example.
        axes |= {name: {0: next(iter(inputs.values()))[0]} for name in outputs}
        torch.onnx.export(module, arguments, file, **names, dynamo=False, opset_version=opset, dynamic_axes=axes)
    return file.getvalue()


def quantized_dynamically(model: bytes, folder: Path, per_channel: bool = True) -> bytes:
    """Weights as int8 codes, activations quantized when the model runs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = folder / "dynamic.onnx"
    with _quiet():
        quantize_dynamic(onnx.load_from_string(model), target, weight_type=QuantType.QInt8, per_channel=per_channel)
    return target.read_bytes()


def quantized_statically(
    model: bytes,
    calibration: Sequence[Mapping[str, Array]],
    folder: Path,
    operators: Sequence[str] | None = None,
    activations: Literal["QUInt8", "QInt8"] = "QUInt8",
) -> bytes:
    """QDQ nodes around `operators` (all that can be by default): weights are int8 per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows = iter(calibration)

        def get_next(self) -> Any:
            row = next(self._rows, None)
            return None if row is None else dict(row)

    prepared, target = folder / "prepared.onnx", folder / "static.onnx"
    with _quiet():
        quant_pre_process(onnx.load_from_string(model), prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=operators,
            per_channel=True,
            activation_type=QuantType[activations],
            weight_type=QuantType.QInt8,
        )
    return target.read_bytes()


class _quiet:
    """Neither ONNX Runtime's advice about preprocessing nor its warnings."""

    def __enter__(self) -> None:
        self._level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *raised: Any) -> None:
        self._warnings.__exit__(*raised)
        logging.disable(self._level)
