"""What quantization did, layer by layer."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerReport:
    """One layer: an operator with the bias and the activation that are fused into it.

    Attributes:
        name: The ONNX node's name, or the name of its output where the file gives none.
        operator: ONNX operator types, joined by "+" where fused.
        dtype: "int8" or "float32".
        why: Why it has this dtype.
        input_range: (low, high) of the first input: what its codes cover, or what was seen where it has none. None if
            it was not observed.
        output_range: The same of the output.
        clip_percent: Share of the output's values beyond its codes; None where the output has no codes.
        output_sqnr_db: 10 log10 of signal over noise at the output of the quantized model, with the noise of the layers
            before; inf means no difference, None that it was not measured.
        weight_sqnr_db: The same of the weights; None without int8 weights.
        sensitivity_db: 10 log10 of signal over noise at the model's outputs with this layer alone in int8; None unless
            `max_drop` called for it.
    """

    name: str
    operator: str
    dtype: str
    why: str
    input_range: tuple[float, float] | None = None
    output_range: tuple[float, float] | None = None
    clip_percent: float | None = None
    output_sqnr_db: float | None = None
    weight_sqnr_db: float | None = None
    sensitivity_db: float | None = None


@dataclass(frozen=True)
class Report:
    """The whole model.

    Attributes:
        layers: In order of evaluation.
        target: What the result is meant for.
        calibration_rows: Rows that were observed.
        bytes_before: Size of the float ONNX file.
        bytes_after: Size of the int8 ONNX file.
        metric_before: The metric of the float model, if one was given.
        metric_after: The metric of the result.
    """

    layers: tuple[LayerReport, ...]
    target: str
    calibration_rows: int
    bytes_before: int
    bytes_after: int
    metric_before: float | None = None
    metric_after: float | None = None

    @property
    def int8_layers(self) -> int:
        """How many layers compute in int8."""
        return sum(layer.dtype == "int8" for layer in self.layers)

    @property
    def float_layers(self) -> int:
        """How many layers compute in float32."""
        return len(self.layers) - self.int8_layers

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON takes it: an infinite ratio becomes the string "inf" or "-inf"."""
        fields = {key: value for key, value in asdict(self).items() if key != "layers"}
        return {
            **fields,
            "int8_layers": self.int8_layers,
            "float_layers": self.float_layers,
            "layers": [{key: _plain(value) for key, value in asdict(layer).items()} for layer in self.layers],
        }

    def __str__(self) -> str:
        head = ("layer", "operator", "dtype", "input", "output", "clip %", "SQNR dB", "weights dB", "why")
        rows = [head, *(_cells(layer) for layer in self.layers)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
        lines = []
        for row in rows:
            # Text to the left, numbers to the right; the last column runs free.
            cells = [c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=False))]
            lines.append("  ".join([*cells, row[-1]]).rstrip())
        share = 100 * self.bytes_after / self.bytes_before
        lines.append("")
        lines.append(
            f"{self.int8_layers} layers int8, {self.float_layers} float32; {self.bytes_before:,} -> "
            f"{self.bytes_after:,} bytes ({share:.1f} %); {self.calibration_rows:,} calibration rows; {self.target}"
        )
        if self.metric_before is not None and self.metric_after is not None:
            drop = self.metric_before - self.metric_after
            lines.append(f"metric {self.metric_before:.6g} -> {self.metric_after:.6g} (drop {drop:.3g})")
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _cells(layer: LayerReport) -> tuple[str, ...]:
    def span(ends: tuple[float, float] | None) -> str:
        return "-" if ends is None else f"{ends[0]:.4g}..{ends[1]:.4g}"

    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    name = layer.name if len(layer.name) <= 40 else "…" + layer.name[-39:]
    return (
        name,
        layer.operator,
        layer.dtype,
        span(layer.input_range),
        span(layer.output_range),
        number(layer.clip_percent, 2),
        number(layer.output_sqnr_db, 1),
        number(layer.weight_sqnr_db, 1),
        layer.why,
    )
