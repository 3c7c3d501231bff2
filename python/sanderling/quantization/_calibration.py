"""Reads calibration data in the forms that `quantize` takes, checks it, and hands it out in runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling._model import TensorSpec
from sanderling._session import to_array
from sanderling.errors import InputError

Array = npt.NDArray[Any]
Feed = dict[str, Array]  # one run of the model, by input name


class Calibration:
    """Checked calibration data.

    Args:
        data: An array [rows, ...] for a model of one input; a mapping from every input name to such an array; or an
            iterable of batches, each an array or a mapping, which is read once and run as it comes.
        inputs: The model's inputs. Where the array has one dimension more than the input, each row is one run.

    Raises:
        InputError: A name, dtype, shape or count is wrong, or there are no rows, or some are NaN or infinite.
    """

    def __init__(self, data: Any, inputs: Sequence[TensorSpec]) -> None:
        self._inputs = tuple(inputs)
        self._whole: Feed | None = None  # rows to be cut into runs
        self._runs: list[Feed] = []  # or runs as they came
        if isinstance(data, (Mapping, np.ndarray)) or hasattr(data, "__dlpack__"):
            self._take_rows(self._by_name(data))
        elif isinstance(data, Iterable) and not isinstance(data, str | bytes):
            self._runs = [self._checked_batch(batch, f"batch {i}") for i, batch in enumerate(data)]
            if not self._runs:
                raise InputError("[quantize] calibration has no batches. Give a few hundred real rows")
            self.rows = sum(self._rows_of(run) for run in self._runs)
        else:
            raise InputError(
                f"[quantize] calibration is {type(data).__name__}, expected an array, a mapping by input name, or an "
                "iterable of batches"
            )

    rows: int

    def runs(self, most_rows: int) -> Iterator[Feed]:
        """Yields all data in runs of at most `most_rows` rows, or of the model's own batch size where that is fixed."""
        if self._whole is None:
            yield from self._runs
            return
        size = self._fixed_batch() or most_rows
        for begin in range(0, self.rows, size):
            yield {name: array[begin : begin + size] for name, array in self._whole.items()}

    def sample(self, rows: int, most_rows: int) -> list[Feed]:
        """Returns about `rows` rows, spread evenly, in runs of at most `most_rows` or as the model takes them."""
        if self._whole is not None and self._fixed_batch() is None:
            chosen = np.linspace(0, self.rows - 1, min(rows, self.rows)).round().astype(np.int64)
            parts = np.split(chosen, range(most_rows, len(chosen), most_rows))
            return [{name: array[part] for name, array in self._whole.items()} for part in parts]
        runs = list(self.runs(1))
        wanted = max(1, min(len(runs), rows * len(runs) // self.rows))
        return [runs[i] for i in np.linspace(0, len(runs) - 1, wanted).round().astype(np.int64)]

    def _take_rows(self, feed: Feed) -> None:
        counts = {name: 0 if array.ndim == 0 else array.shape[0] for name, array in feed.items()}
        if min(counts.values()) == 0:
            raise InputError(f"[quantize] calibration has no rows: {counts}. Give a few hundred real rows")
        if len(set(counts.values())) > 1:
            raise InputError(f"[quantize] calibration inputs have different numbers of rows: {counts}")
        self.rows = next(iter(counts.values()))
        if all(feed[spec.name].ndim == _rank(spec) + 1 for spec in self._inputs):
            self._runs = [
                {spec.name: _check(feed[spec.name][row], spec, f"row {row}") for spec in self._inputs}
                for row in range(self.rows)
            ]
            return
        for spec in self._inputs:
            _check(feed[spec.name], spec, "calibration", any_rows=True)
        self._whole = feed
        fixed = self._fixed_batch()
        if fixed and self.rows % fixed:
            raise InputError(
                f"[quantize] calibration has {self.rows} rows, the model takes {fixed} at a time. Give a "
                f"multiple of {fixed}"
            )

    def _fixed_batch(self) -> int | None:
        for spec in self._inputs:
            if spec.shape and isinstance(spec.shape[0], int):
                return spec.shape[0]
        return None

    def _checked_batch(self, batch: Any, what: str) -> Feed:
        feed = self._by_name(batch)
        for spec in self._inputs:
            _check(feed[spec.name], spec, what)
        return feed

    def _rows_of(self, run: Feed) -> int:
        spec = self._inputs[0]
        return run[spec.name].shape[0] if _rank(spec) else 1

    def _by_name(self, data: Any) -> Feed:
        names = [spec.name for spec in self._inputs]
        if not isinstance(data, Mapping):
            if len(names) != 1:
                raise InputError(
                    f"[quantize] the model has inputs {names}. Give calibration as a mapping by input name"
                )
            return {names[0]: to_array(data, names[0])}
        if set(data) != set(names):
            raise InputError(
                f"[quantize] calibration has inputs {sorted(map(str, data))}, the model has {sorted(names)}"
            )
        return {name: to_array(data[name], name) for name in names}


def _rank(spec: TensorSpec) -> int:
    return len(spec.shape or ())


def _check(array: Array, spec: TensorSpec, what: str, *, any_rows: bool = False) -> Array:
    if array.dtype != np.dtype(spec.dtype or "float32"):
        raise InputError(
            f"[quantize] {what}: input {spec.name!r} is {array.dtype}, the model takes {spec.dtype}. Convert it with "
            f"astype({spec.dtype!r})"
        )
    wanted = spec.shape or ()
    fits = array.ndim == len(wanted) and all(
        not isinstance(extent, int) or extent == array.shape[i] or (any_rows and i == 0)
        for i, extent in enumerate(wanted)
    )
    if not fits:
        raise InputError(
            f"[quantize] {what}: input {spec.name!r} has shape {list(array.shape)}, the model takes {list(wanted)}"
        )
    if array.size == 0:
        raise InputError(f"[quantize] {what}: input {spec.name!r} of shape {list(array.shape)} is empty")
    if array.dtype.kind == "f":
        bad = int(array.size - np.isfinite(array).sum())
        if bad:
            raise InputError(
                f"[quantize] {what}: input {spec.name!r} has {bad} of {array.size} values NaN or infinite. Drop or "
                "fill those rows"
            )
    return array
