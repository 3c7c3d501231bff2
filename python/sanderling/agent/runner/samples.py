"""Which rows a runner keeps for retraining: a share chosen evenly, the rest by how far they are from normal.

A row's weight is exp(score / 3) where its score sums log(p_now / p_reference) over the bins of its features: what the
last windows hold more of than the reference. Weighted sampling without replacement is that of Efraimidis and Spirakis
(2006): key log(u) / w, the largest keys stay. A row is kept exactly if its key is above the largest one that was not
kept, T, so the chance was 1 - exp(w T), which gives the row's weight in an unbiased estimate.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling.drift import Reference, Sketches

Array = npt.NDArray[Any]
UNIFORM_SHARE = 0.2
"""Of the rows and of the bytes."""
_TEMPERATURE = 3.0
_LARGEST_EXPONENT = 8.0  # one row must not crowd out all others
_OLDER_WINDOWS = 0.75  # weight of what was seen before, at each new window
_ROW_OVERHEAD = 256


@dataclass(frozen=True, eq=False)
class KeptRow:
    """A row: inputs and outputs by name, without the batch axis."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    window: int

    @property
    def size(self) -> int:
        """Bytes, with what it costs to keep it."""
        return _ROW_OVERHEAD + sum(array.nbytes for array in (*self.inputs.values(), *self.outputs.values()))


@dataclass(frozen=True, eq=False)
class TakenRow:
    """A row that was handed out.

    Attributes:
        sample_id: From 1, rising.
        row: The row.
        uniform: Whether it is of the even share.
        weight: 1 / (chance of having been kept).
    """

    sample_id: int
    row: KeptRow
    uniform: bool
    weight: float


class Reservoir:
    """Keeps rows by their weight within a number of bytes.

    Args:
        most_bytes: Of the rows kept.
        generator: Draws the keys.
    """

    def __init__(self, most_bytes: int, generator: np.random.Generator) -> None:
        self._most_bytes, self._generator = most_bytes, generator
        self._heap: list[tuple[float, int, float, KeptRow]] = []
        self._order = 0
        self._bytes = 0
        self._threshold = -math.inf

    def resize(self, most_bytes: int) -> None:
        """Keeps so many bytes from now on; rows beyond them go, those of the least keys first."""
        self._most_bytes = most_bytes
        self._shrink()

    def __len__(self) -> int:
        """Rows kept."""
        return len(self._heap)

    def offer(self, row: KeptRow, weight: float) -> None:
        """Keeps the row, or not."""
        key = math.log(1.0 - self._generator.random()) / weight
        self._order += 1
        heapq.heappush(self._heap, (key, self._order, weight, row))
        self._bytes += row.size
        self._shrink()

    def take(self, most_bytes: int) -> list[tuple[KeptRow, float]]:
        """Removes the rows with the largest keys, as many as fit; with each its weight, 1 / (chance of being taken)."""
        best = sorted(self._heap, reverse=True)
        taken: list[tuple[float, int, float, KeptRow]] = []
        while best and best[0][3].size <= most_bytes:
            most_bytes -= best[0][3].size
            taken.append(best.pop(0))
        threshold = max(self._threshold, best[0][0] if best else -math.inf)
        self._heap = best
        heapq.heapify(self._heap)
        self._bytes = sum(item[3].size for item in best)
        return [(row, 1.0 / -math.expm1(weight * threshold)) for _, _, weight, row in taken]

    def _shrink(self) -> None:
        while self._bytes > self._most_bytes:
            self._threshold = max(self._threshold, self._pop_least()[0])

    def _pop_least(self) -> tuple[float, int, float, KeptRow]:
        least = heapq.heappop(self._heap)
        self._bytes -= least[3].size
        return least


class Drifted:
    """Scores rows by the last windows against a reference."""

    def __init__(self) -> None:
        self._reference_id: bytes | None = None
        self._tables: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]] | None] = []
        self._counts: list[npt.NDArray[np.float64]] = []

    def learn(self, reference: Reference, window: Sketches) -> None:
        """Takes a window into account; windows of another reference are forgotten."""
        if window.reference_id != reference.id:
            return
        if self._reference_id != reference.id:
            self._reference_id = reference.id
            self._counts = [np.zeros(item.counts.shape) for item in reference.inputs]
        self._tables = []
        for i, (item, seen) in enumerate(zip(reference.inputs, window.inputs, strict=True)):
            if item.projected or seen is None:
                self._tables.append(None)  # rows would have to be projected once more
                continue
            self._counts[i] = _OLDER_WINDOWS * self._counts[i] + seen.bins.counts
            now, normal = self._counts[i] + 0.5, item.counts + 0.5
            ratio = np.log(now / now.sum(axis=1, keepdims=True)) - np.log(normal / normal.sum(axis=1, keepdims=True))
            ratio[np.setdiff1d(np.arange(len(ratio)), item.judged)] = 0.0
            self._tables.append((item.edges, ratio))

    def weights(self, inputs: Sequence[Array]) -> npt.NDArray[np.float64]:
        """One weight per row, 1 for all until a window was learned."""
        rows = len(inputs[0])
        scores = np.zeros(rows)
        for array, table in zip(inputs, self._tables, strict=False):
            if table is None:
                continue
            edges, ratio = table
            values = array.reshape(rows, -1).astype(np.float32)
            bins = (values[:, :, None] > edges[None]).sum(axis=2)  # no value is above a NaN, which pads the edges
            per_feature = ratio[np.arange(ratio.shape[0])[None], bins]
            scores += np.where(np.isnan(values), 0.0, per_feature).sum(axis=1)
        return np.exp(np.clip(scores / _TEMPERATURE, -_LARGEST_EXPONENT, _LARGEST_EXPONENT))


class Samples:
    """Rows kept for retraining, within a number of bytes. Thread-safe.

    Args:
        most_bytes: Of rows kept; those handed out and not acknowledged come on top. 0 keeps none.
        seed: Of the choice.
    """

    def __init__(self, most_bytes: int, *, seed: int) -> None:
        self._lock = threading.Lock()
        self._generator = np.random.default_rng(seed)
        self._uniform, self._weighted = Reservoir(0, self._generator), Reservoir(0, self._generator)
        self._most_bytes = 0
        self._drifted = Drifted()
        self._taken: list[TakenRow] = []
        self._next_id = 1
        self.resize(most_bytes)

    def resize(self, most_bytes: int) -> None:
        """Keeps so many bytes from now on; with 0 also what was handed out is forgotten."""
        with self._lock:
            if most_bytes == self._most_bytes:
                return
            uniform_bytes = int(UNIFORM_SHARE * most_bytes)
            if self._most_bytes == 0:
                # Rows that were not looked at have no part in the chances of those to come.
                self._uniform, self._weighted = (Reservoir(0, self._generator) for _ in range(2))
            self._uniform.resize(uniform_bytes)
            self._weighted.resize(most_bytes - uniform_bytes)
            self._most_bytes = most_bytes
            if most_bytes == 0:
                self._taken = []

    def learn(self, reference: Reference, window: Sketches) -> None:
        """Takes a closed window into account for the weights of later rows."""
        with self._lock:
            self._drifted.learn(reference, window)

    def offer(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], *, window: int) -> None:
        """Keeps some of these rows, [rows, ...] each."""
        if self._most_bytes == 0:
            return
        with self._lock:
            weights = self._drifted.weights(list(inputs.values()))
            even = self._generator.random(len(weights)) < UNIFORM_SHARE
            for i, weight in enumerate(weights.tolist()):
                row = KeptRow(
                    {name: array[i].copy() for name, array in inputs.items()},
                    {name: array[i].copy() for name, array in outputs.items()},
                    window,
                )
                if even[i]:
                    self._uniform.offer(row, 1.0)
                else:
                    self._weighted.offer(row, weight)

    def take(self, *, acknowledged_id: int, most_bytes: int) -> list[TakenRow]:
        """Forgets what is acknowledged; returns what was handed out before and is not, or else the best rows.

        Args:
            acknowledged_id: Samples up to this one are safe elsewhere.
            most_bytes: Of the rows returned.
        """
        with self._lock:
            self._taken = [taken for taken in self._taken if taken.sample_id > acknowledged_id]
            if not self._taken:
                even = self._uniform.take(int(UNIFORM_SHARE * most_bytes))
                left = most_bytes - sum(row.size for row, _ in even)
                for rows, uniform, share in (
                    (even, True, UNIFORM_SHARE),
                    (self._weighted.take(left), False, 1.0 - UNIFORM_SHARE),
                ):
                    for row, weight in rows:
                        self._taken.append(TakenRow(self._next_id, row, uniform, weight / share))
                        self._next_id += 1
            return _fitting(self._taken, most_bytes)


def _fitting(taken: list[TakenRow], most_bytes: int) -> list[TakenRow]:
    fitting = []
    for item in taken:
        most_bytes -= item.row.size
        if most_bytes < 0:
            break
        fitting.append(item)
    return fitting
