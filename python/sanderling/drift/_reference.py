"""What is normal: the frozen picture of inputs and outputs that later rows are compared with."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling.drift._fit import PROJECTION_SEED, fit_input, fit_scores, learn_output, learn_projected
from sanderling.drift._normal import PROJECTIONS, Float32s, InputReference, OutputReference
from sanderling.drift._ranks import CELLS, as_rows
from sanderling.drift._sketches import Sketches
from sanderling.drift._tilts import MOST_CLASSES, TILTS
from sanderling.errors import InputError

_FORMAT = "sanderling.reference/1"


@dataclass(frozen=True, eq=False)
class Reference:
    """What is normal for a model's inputs and outputs. Frozen; its id is a hash of its content.

    A *version's* reference is fitted to training or acceptance data and travels with the model. A *device's own* is
    learned on the device in a warm-up (`DeviceMonitor`): it takes the version's ranges and the device's distribution.

    Attributes:
        rows: Rows it was fitted to.
        inputs: Per input of the model in order.
        outputs: Per output in order; None where the output is not [rows, at least 2 classes].
    """

    rows: int
    inputs: tuple[InputReference, ...]
    outputs: tuple[OutputReference | None, ...] = ()

    @classmethod
    def fit(
        cls,
        inputs: Any,
        outputs: Any = None,
        *,
        version: Reference | None = None,
        window_rows: int = 200,
    ) -> Reference:
        """Fits a reference.

        Args:
            inputs: Rows in time order, converted to float32: an array [rows, ...], or a sequence of arrays or a mapping
                from names to arrays in the order of the model's inputs.
            outputs: The model's scores for these rows in the same forms, or None. Only outputs of shape [rows, classes]
                with at least two classes are watched.
            version: Makes this a device's own reference: value ranges and missing values are judged by the version's.
            window_rows: Rows of a window; consecutive windows show how much more than independent rows they vary.

        Raises:
            InputError: An array has no rows, another number of rows than the first, or does not fit the version's.
        """
        named_inputs = named(inputs, "input")
        arrays = {name: as_rows(array, f"input {name!r}") for name, array in named_inputs.items()}
        counts = {name: len(rows) for name, rows in arrays.items()}
        scores = {name: np.asarray(array) for name, array in named(outputs, "output").items()}
        counts.update({name: len(array) if array.ndim else 0 for name, array in scores.items()})
        if len(set(counts.values())) != 1:
            raise InputError(f"[reference] rows differ: {counts}. Give arrays of the same rows")
        if window_rows < 1:
            raise InputError(f"[reference] window_rows is {window_rows}, at least 1 is wanted")
        versions = _versions(version, arrays)
        learned = tuple(
            fit_input(name, np.shape(named_inputs[name])[1:], rows, versions[i], window_rows)
            for i, (name, rows) in enumerate(arrays.items())
        )
        answers = tuple(fit_scores(name, array, window_rows) for name, array in scores.items())
        return cls(next(iter(counts.values())), learned, answers)

    def learn(self, windows: Sequence[Sketches], *, window_rows: int = 200) -> Reference:
        """Fits a device's own reference by this version's, from windows whose watch kept all their rows.

        Args:
            windows: In time order.
            window_rows: Rows of a window.

        Raises:
            InputError: A window was counted by another reference, or did not keep its rows.
        """
        for window in windows:
            if window.reference_id != self.id:
                raise InputError("[reference] a window was counted by another reference than this version's")
        if not windows:
            raise InputError("[reference] no windows to learn from")
        pieces = [[item for w in windows if (item := w.inputs[i]) is not None] for i in range(len(self.inputs))]
        kept = [np.concatenate([item.kept for item in items]) for items in pieces]
        if any(len(rows) != sum(window.rows for window in windows) for rows in kept):
            raise InputError("[reference] the windows kept fewer rows than they saw. Watch with a larger keep_rows")
        inputs = tuple(
            learn_projected(item, pieces[i])
            if item.projected
            else fit_input(item.name, item.shape, kept[i], item, window_rows)
            for i, item in enumerate(self.inputs)
        )
        outputs = tuple(
            None
            if item is None
            else learn_output(item.name, [out for w in windows if (out := w.outputs[i]) is not None], window_rows)
            for i, item in enumerate(self.outputs)
        )
        return Reference(sum(window.rows for window in windows), inputs, outputs)

    @cached_property
    def id(self) -> bytes:
        """16 bytes: the start of a SHA-256 of the content."""
        digest = hashlib.sha256(_FORMAT.encode())
        head, arrays = self._parts()
        digest.update(json.dumps(head, sort_keys=True).encode())
        for name in sorted(arrays):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        return digest.digest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def watch_spec(self, *, keep_rows: int = 0) -> _core.WatchSpec:
        """What a C++ watch needs to count by this reference.

        Args:
            keep_rows: So many rows of each window are kept as they are; for learning a device's own reference.
        """
        return _core.WatchSpec(
            [self._input_watch(item) for item in self.inputs],
            [None if item is None else item.classes.size for item in self.outputs],
            keep_rows,
        )

    def _input_watch(self, item: InputReference) -> _core.InputWatch:
        limits = _core.RowLimits(item.low, item.high, item.pinned_low, item.pinned_high)
        edges = _core.FrozenEdges(self.id, [row[~np.isnan(row)].tolist() for row in item.edges])
        if not item.projected:
            return _core.InputWatch(item.features, limits, edges)
        low, high = item.value_range
        projections = _core.Projections(item.features, PROJECTION_SEED)
        return _core.InputWatch(item.features, limits, edges, projections, float(low), float(high))

    def to_bytes(self) -> bytes:
        """Writes the reference: NumPy's npz with a JSON head, no pickle. The same reference gives the same bytes."""
        head, arrays = self._parts()
        text = np.frombuffer(json.dumps({**head, "id": self.id.hex()}, sort_keys=True).encode(), np.uint8)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in {"head": text, **arrays}.items():
                part = io.BytesIO()
                np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """Reads what `to_bytes` wrote.

        Raises:
            InputError: The bytes are damaged, or not a reference that this release reads.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            head = json.loads(arrays.pop("head").tobytes())
            if head["format"] != _FORMAT:
                raise InputError(f"[reference] format {head['format']!r}, this release reads {_FORMAT!r}")
            result = cls(
                int(head["rows"]),
                tuple(_read(InputReference, item, arrays, f"input{i}") for i, item in enumerate(head["inputs"])),
                tuple(
                    None if item is None else _read(OutputReference, item, arrays, f"output{i}")
                    for i, item in enumerate(head["outputs"])
                ),
            )
            if result.id.hex() != head["id"]:
                raise InputError(f"[reference] the content's id is {result.id.hex()}, the file says {head['id']}")
            return result
        except InputError:
            raise
        except Exception as error:  # zipfile, zlib, json and NumPy raise a dozen kinds on damaged bytes
            raise InputError(f"[reference] damaged bytes: {error!r}. Fetch or fit the reference again") from error

    def _parts(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """What is not an array, and the arrays, in a fixed order."""
        head: dict[str, Any] = {"format": _FORMAT, "rows": self.rows, "inputs": [], "outputs": []}
        arrays: dict[str, npt.NDArray[Any]] = {}
        for key, items in (("input", self.inputs), ("output", self.outputs)):
            for i, item in enumerate(items):
                if item is None:
                    head[f"{key}s"].append(None)
                    continue
                values = {field.name: getattr(item, field.name) for field in fields(item)}
                arrays |= {f"{key}{i}.{name}": v for name, v in values.items() if isinstance(v, np.ndarray)}
                head[f"{key}s"].append({name: v for name, v in values.items() if not isinstance(v, np.ndarray)})
        return head, arrays


def named(arrays: Any, what: str) -> dict[str, Any]:
    """One array, a sequence of arrays or a mapping, as a mapping from names; None is empty."""
    if arrays is None:
        return {}
    if isinstance(arrays, Mapping):
        return {str(name): array for name, array in arrays.items()}
    if (
        isinstance(arrays, Sequence)
        and not isinstance(arrays, (str, bytes))
        and all(hasattr(a, "shape") for a in arrays)
    ):
        return {what if len(arrays) == 1 else f"{what} {i}": array for i, array in enumerate(arrays)}
    return {what: arrays}


def _versions(version: Reference | None, arrays: Mapping[str, Float32s]) -> list[InputReference | None]:
    if version is None:
        return [None] * len(arrays)
    ours, theirs = [rows.shape[1] for rows in arrays.values()], [item.features for item in version.inputs]
    if ours != theirs:
        raise InputError(f"[reference] rows of {ours} elements, the version's reference has {theirs}")
    return list(version.inputs)


_Part = TypeVar("_Part", InputReference, OutputReference)


def _read(kind: type[_Part], plain: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> _Part:
    values: dict[str, Any] = {
        field.name: plain[field.name] if field.name in plain else arrays[f"{prefix}.{field.name}"]
        for field in fields(kind)
    }
    if "shape" in values:
        values["shape"] = tuple(int(extent) for extent in values["shape"])
    part = kind(**values)
    wanted = _input_arrays(part) if isinstance(part, InputReference) else _output_arrays(part)
    for name, (dtype, shape) in wanted.items():
        array = values[name]
        if array.dtype != np.dtype(dtype) or array.shape != shape:
            raise InputError(f"[reference] {prefix}.{name} is {array.dtype}{array.shape}, expected {dtype}{shape}")
    return part


def _input_arrays(item: InputReference) -> dict[str, tuple[str, tuple[int, ...]]]:
    streams = PROJECTIONS if item.projected else item.features
    per_feature = {"low": "float32", "high": "float32", "may_miss": "bool", "varies": "bool", "still": "float64"}
    return {
        **{name: (dtype, (item.features,)) for name, dtype in per_feature.items()},
        "edges": ("float32", (streams, CELLS - 1)),
        "counts": ("int64", (streams, CELLS)),
        "missing": ("int64", (streams,)),
        "effects": ("float64", (streams, TILTS)),
        "value_range": ("float64", (2,)),
        "value_counts": ("int64", (256 if item.projected else 0,)),
        "value_effects": ("float64", (1, TILTS)),
    }


def _output_arrays(item: OutputReference) -> dict[str, tuple[str, tuple[int, ...]]]:
    classes = item.classes.size
    return {
        "classes": ("int64", (classes,)),
        "confidence": ("int64", (32,)),
        "class_effects": ("float64", (1, 8 * min(classes, MOST_CLASSES))),
        "confidence_effects": ("float64", (1, TILTS)),
    }
