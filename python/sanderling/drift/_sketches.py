"""What a window of rows looked like, as counts that add."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling.errors import InputError

_FORMAT = "sanderling.sketches/1"


@dataclass(frozen=True)
class InputSketch:
    """What was seen of one input.

    Attributes:
        bins: Counts per feature in the reference's bins (per projection for an input above 4,096 elements).
        faults: What the sensor checks need; None when it came over the wire, for it stays on the device.
        values: All values in 256 bins, for an input above 4,096 elements.
        kept: float32 [rows kept, features of bins]; no rows unless the watch keeps some.
    """

    bins: _core.FrozenBins
    faults: _core.RowFaults | None
    values: _core.ValueHistogram | None
    kept: npt.NDArray[np.float32]


@dataclass(frozen=True)
class OutputSketch:
    """What was seen of one output of class scores.

    Attributes:
        classes: How often each class was the answer.
        confidence: The largest probability of each row in 32 bins.
        kept_classes: int64 [rows kept], -1 for a row with NaN.
        kept_confidences: float32 [rows kept].
    """

    classes: _core.ClassHistogram
    confidence: _core.ConfidenceHistogram
    kept_classes: npt.NDArray[np.int64]
    kept_confidences: npt.NDArray[np.float32]


class Sketches:
    """Everything a watch counted: mergeable, and small enough to send after every window.

    Attributes:
        rows: Rows seen.
        inputs: `InputSketch` per input of the model in order; None where it is not watched.
        outputs: `OutputSketch` per output in order; None where it is not watched.
        codes: `CodeHistogram` per interior quantized tensor by name; native sessions only.
    """

    def __init__(self, window: _core.WatchWindow) -> None:
        """Wraps what a `_core.Watch` gave."""
        self.rows: int = window.rows
        self.inputs: tuple[InputSketch | None, ...] = tuple(
            None if item is None else InputSketch(*item) for item in window.inputs
        )
        self.outputs: tuple[OutputSketch | None, ...] = tuple(
            None if item is None else OutputSketch(*item) for item in window.outputs
        )
        self.codes: dict[str, _core.CodeHistogram] = dict(sorted(window.codes.items()))

    @classmethod
    def _of(
        cls,
        rows: int,
        inputs: tuple[InputSketch | None, ...],
        outputs: tuple[OutputSketch | None, ...],
        codes: dict[str, _core.CodeHistogram],
    ) -> Sketches:
        self = cls.__new__(cls)
        self.rows, self.inputs, self.outputs, self.codes = rows, inputs, outputs, codes
        return self

    @property
    def reference_id(self) -> bytes | None:
        """The 16 bytes that name the reference by which the inputs were counted; None without a watched input."""
        return next((item.bins.id for item in self.inputs if item is not None), None)

    def merge(self, other: Sketches) -> Sketches:
        """Returns the sum: what one watch would have counted over both, `other` being the later.

        Raises:
            InputError: They were counted by different references or come from different models.
        """
        if len(self.inputs) != len(other.inputs) or len(self.outputs) != len(other.outputs):
            raise InputError(
                f"[merge] {len(self.inputs)} inputs and {len(self.outputs)} outputs do not add to {len(other.inputs)} "
                f"and {len(other.outputs)}. Merge only sketches of one model"
            )
        codes = {name: histogram.copy() for name, histogram in self.codes.items()}
        for name, histogram in other.codes.items():
            if name in codes:
                codes[name].merge(histogram)
            else:
                codes[name] = histogram.copy()
        return Sketches._of(
            self.rows + other.rows,
            tuple(_add_inputs(a, b) for a, b in zip(self.inputs, other.inputs, strict=True)),
            tuple(_add_outputs(a, b) for a, b in zip(self.outputs, other.outputs, strict=True)),
            codes,
        )

    def to_bytes(self) -> bytes:
        """Writes the counts, without the rows kept and what the sensor checks need, which stay on the device.

        The form is an uncompressed zip: sketches.json lists the entries, each of which is one sketch's own bytes.
        """
        parts: dict[str, bytes] = {}
        for i, item in enumerate(self.inputs):
            if item is not None:
                parts[f"input/{i}/bins"] = item.bins.serialize()
                if item.values is not None:
                    parts[f"input/{i}/values"] = item.values.serialize()
        for i, output in enumerate(self.outputs):
            if output is not None:
                parts[f"output/{i}/classes"] = output.classes.serialize()
                parts[f"output/{i}/confidence"] = output.confidence.serialize()
        names = list(self.codes)
        for i, name in enumerate(names):
            parts[f"codes/{i}"] = self.codes[name].serialize()
        head = {
            "format": _FORMAT,
            "rows": self.rows,
            "inputs": len(self.inputs),
            "outputs": len(self.outputs),
            "codes": names,
        }
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(zipfile.ZipInfo("sketches.json"), json.dumps(head))
            for name, data in parts.items():
                archive.writestr(zipfile.ZipInfo(name), data)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketches:
        """Reads what `to_bytes` wrote.

        Raises:
            InputError: The bytes are damaged or not sketches.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                parts = {item.filename: archive.read(item) for item in _stored(archive)}
            head = json.loads(parts["sketches.json"])
            if head["format"] != _FORMAT:
                raise InputError(f"[sketches] format {head['format']!r}, this release reads {_FORMAT!r}")
            rows, inputs, outputs = (int(head[key]) for key in ("rows", "inputs", "outputs"))
            if not 0 <= inputs <= len(parts) or not 0 <= outputs <= len(parts) or rows < 0:
                raise InputError(f"[sketches] {rows} rows, {inputs} inputs and {outputs} outputs in {len(parts)} parts")
            return cls._of(
                rows,
                tuple(_read_input(parts, i) for i in range(inputs)),
                tuple(_read_output(parts, i) for i in range(outputs)),
                {str(n): _core.CodeHistogram.deserialize(parts[f"codes/{i}"]) for i, n in enumerate(head["codes"])},
            )
        except InputError:
            raise
        except Exception as error:  # zipfile and json raise a dozen kinds on damaged bytes
            raise InputError(f"[sketches] damaged bytes: {error!r}. Send the sketches again") from error


def _stored(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    items = archive.infolist()
    if any(item.compress_type != zipfile.ZIP_STORED for item in items):
        raise InputError("[sketches] a compressed entry, only stored ones are read")
    return items


def _read_input(parts: dict[str, bytes], i: int) -> InputSketch | None:
    if f"input/{i}/bins" not in parts:
        return None
    bins = _core.FrozenBins.deserialize(parts[f"input/{i}/bins"])
    values = parts.get(f"input/{i}/values")
    return InputSketch(
        bins,
        None,
        None if values is None else _core.ValueHistogram.deserialize(values),
        np.empty((0, bins.counts.shape[0]), np.float32),
    )


def _read_output(parts: dict[str, bytes], i: int) -> OutputSketch | None:
    if f"output/{i}/classes" not in parts:
        return None
    return OutputSketch(
        _core.ClassHistogram.deserialize(parts[f"output/{i}/classes"]),
        _core.ConfidenceHistogram.deserialize(parts[f"output/{i}/confidence"]),
        np.empty(0, np.int64),
        np.empty(0, np.float32),
    )


def _add_inputs(a: InputSketch | None, b: InputSketch | None) -> InputSketch | None:
    if a is None or b is None:
        return a if b is None else b
    bins = a.bins.copy()
    bins.merge(b.bins)
    faults = None
    if a.faults is not None and b.faults is not None:
        faults = a.faults.copy()
        faults.merge(b.faults)
    values = None
    if a.values is not None and b.values is not None:
        values = a.values.copy()
        values.merge(b.values)
    return InputSketch(bins, faults, values, np.concatenate([a.kept, b.kept]))


def _add_outputs(a: OutputSketch | None, b: OutputSketch | None) -> OutputSketch | None:
    if a is None or b is None:
        return a if b is None else b
    classes, confidence = a.classes.copy(), a.confidence.copy()
    classes.merge(b.classes)
    confidence.merge(b.confidence)
    return OutputSketch(
        classes,
        confidence,
        np.concatenate([a.kept_classes, b.kept_classes]),
        np.concatenate([a.kept_confidences, b.kept_confidences]),
    )
