"""Runs the float model on the calibration rows, observes its tensors and chooses their codes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import numpy as np

import onnx
from sanderling import _core
from sanderling._session import Session
from sanderling.quantization._calibration import Calibration
from sanderling.quantization._layers import Kind, Layer, is_movement
from sanderling.quantization._network import Array, Network
from sanderling.quantization._placement import Placement
from sanderling.quantization._progress import track

_BUDGET_BYTES = 128 << 20  # of observed tensors at a time
_MOST_ROWS = 64  # a run gains nothing from more
# A Concat whose inputs' scales differ by more would leave the narrowest under 6 of its 8 bits.
_MOST_SCALE_RATIO = 4.0


def run_session(model: onnx.ModelProto | bytes) -> Session:
    """Makes a native session with the threads that this process may use, four at most."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return Session(data, threads=min(4, len(os.sched_getaffinity(0))))


def run_with_outputs(session: Session, feed: Mapping[str, Array]) -> dict[str, Array]:
    """Runs by name; the results hold the inputs too."""
    return {**feed, **session.run(dict(feed))}


def rows_per_run(session: Session, calibration: Calibration) -> int:
    """How many rows keep the outputs of one run within the budget."""
    feed = next(iter(calibration.runs(1)))
    used = sum(array.nbytes for array in run_with_outputs(session, feed).values())
    return max(1, min(_MOST_ROWS, _BUDGET_BYTES // max(1, used)))


def observe(
    network: Network, tensors: Iterable[str], calibration: Calibration
) -> tuple[dict[str, _core.RangeObserver], int]:
    """Observes float32 tensors on all calibration rows.

    Returns:
        An observer per tensor, and how many rows one run may have with all these tensors as outputs.
    """
    names = list(dict.fromkeys(tensors))
    computed = [name for name in names if name in network.producer]
    session = run_session(network.to_model(network.nodes, network.constants, computed))
    rows = rows_per_run(session, calibration)
    observers = {name: _core.RangeObserver() for name in names}
    runs = list(calibration.runs(rows))
    for feed in track(runs, len(runs), "calibrating"):
        results = run_with_outputs(session, feed)
        for name in names:
            observers[name].update(np.ascontiguousarray(results[name]))
    return observers, rows


class Ranges:
    """The codes of tensors, from what was observed of the tensors that they are made of."""

    def __init__(self, network: Network, layers: list[Layer], observers: Mapping[str, _core.RangeObserver]) -> None:
        self._network = network
        self._layers = layers
        self._concats = {layer.output: layer for layer in layers if layer.kind is Kind.CONCAT}
        self._observers = dict(observers)
        self._choices: dict[frozenset[str], _core.RangeChoice] = {}

    def choose(self, placement: Placement) -> dict[str, _core.RangeChoice]:
        """The codes of each group of tensors that share theirs."""
        return {group: self._choice(tensors) for group, tensors in placement.groups().items()}

    def range_of(self, tensor: str) -> tuple[float, float] | None:
        """(least, largest) value seen; None if the tensor was not observed."""
        if tensor not in self._observers:
            return None
        observer = self._observers[tensor]
        return (observer.low, observer.high) if observer.count else None

    def clipped(self, tensor: str, quantization: _core.Quantization) -> float:
        """Share of a tensor's values beyond the codes."""
        return _core.clipped_share(self._merged(sources(self._network, [tensor])), quantization)

    def unlike(self, placement: Placement) -> set[str]:
        """Names of the int8 Concat layers whose inputs differ too much in range to share codes."""
        found = set()
        for layer in self._concats.values():
            if layer.name not in placement.int8:
                continue
            scales = []
            for name in self._network.nodes[layer.nodes[0]].input:
                observer = self._merged(sources(self._network, [name]))
                if observer.low < 0.0 or observer.high > 0.0:
                    scales.append(self._choice([name]).quantization.scale)
            if scales and max(scales) > _MOST_SCALE_RATIO * min(scales):
                found.add(layer.name)
        return found

    def of_constant(self, name: str) -> _core.Quantization:
        """The codes of a constant that is read as if it were an activation."""
        return self._choice([name]).quantization

    def _choice(self, tensors: list[str]) -> _core.RangeChoice:
        key = frozenset(sources(self._network, tensors))
        if key not in self._choices:
            self._choices[key] = _core.search_range(self._merged(key))
        return self._choices[key]

    def _merged(self, names: Iterable[str]) -> _core.RangeObserver:
        merged = _core.RangeObserver()
        for name in names:
            merged.merge(self._observer(name))
        return merged

    def _observer(self, name: str) -> _core.RangeObserver:
        if name not in self._observers:
            # Observed on purpose were all tensors that may have codes; the rest are constants beside them.
            observer = _core.RangeObserver()
            observer.update(self._network.constants[name])
            self._observers[name] = observer
        return self._observers[name]


def sources(network: Network, tensors: Iterable[str]) -> set[str]:
    """The tensors whose values these are made of by moving and joining."""
    found: set[str] = set()
    open_tensors = list(tensors)
    while open_tensors:
        name = open_tensors.pop()
        node = network.made_by(name)
        if node is not None and is_movement(network, node):
            open_tensors.append(node.input[0])
        elif node is not None and node.op_type == "Concat":
            open_tensors.extend(node.input)
        else:
            found.add(name)
    return found
