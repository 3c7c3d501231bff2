"""Windows of a running model: rows in, judged windows out, and those as telemetry.

Shared by runners and attached applications: both watch one version on one device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling.drift import DeviceMonitor, DeviceState, DeviceVerdict, Reference, Settings, Sketches
from sanderling.errors import ModelError

if TYPE_CHECKING:
    from sanderling._model import TensorSpec
    from sanderling.api.telemetry.v1 import telemetry_pb2

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ClosedWindow:
    """One window of rows, closed and judged.

    Attributes:
        number: Counts windows of this version on this device, the warm-up's too.
        verdict: What the device says of it.
        sketches: What was seen.
        reference: The device's own, by which it was judged; None in the warm-up.
        learned: The device's own reference, if this window ended the warm-up.
        alarm_level: Value of the e-detector at which this device alarms.
    """

    number: int
    verdict: DeviceVerdict
    sketches: Sketches
    reference: Reference | None
    learned: Reference | None
    alarm_level: float


class Windows:
    """Closes a window whenever it has `settings.window_rows` rows, and judges it. Not thread-safe.

    Args:
        version: The version's reference.
        device: The device's name.
        settings: See `drift.Settings`.
        own: The device's own reference, if it was learned before.
        next_number: Of the next window.
    """

    def __init__(
        self,
        version: Reference,
        *,
        device: str,
        settings: Settings,
        own: Reference | None = None,
        next_number: int = 1,
    ) -> None:
        self._version, self._settings = version, settings
        # After a restart the number seeds the split into rank cells as no window before did.
        self._monitor = DeviceMonitor(version, device=device, settings=settings, own=own, first_window=next_number)
        self._watch = _core.Watch(self._monitor.watch_spec())
        self._rows, self._next = 0, next_number

    @property
    def reference(self) -> Reference:
        """What rows are compared with now."""
        return self._monitor.reference

    def observe(self, inputs: Sequence[Array], outputs: Sequence[Array] | None) -> list[ClosedWindow]:
        """Counts rows and judges each window that they complete.

        Args:
            inputs: In the model's order, [rows, ...].
            outputs: In the model's order, or None for rows that the model refused because of NaN.

        Raises:
            InputError: The rows do not fit the reference.
        """
        rows = len(inputs[0])
        seen = [np.require(array.reshape(rows, -1), np.float32, ["C", "A"]) for array in inputs]
        scores = self._no_answers(rows) if outputs is None else dict(enumerate(outputs))
        closed, begin = [], 0
        while begin < rows:
            part = slice(begin, begin + self._settings.window_rows - self._rows)
            for i, array in enumerate(seen):
                self._watch.observe_input(i, array[part])
            for i, array in scores.items():
                if array.dtype.kind == "f":
                    self._watch.observe_output(i, np.ascontiguousarray(array[part], np.float32))
            self._rows += len(seen[0][part])
            begin = part.stop
            if self._rows == self._settings.window_rows:
                closed.append(self._close())
        return closed

    def _no_answers(self, rows: int) -> dict[int, Array]:
        return {
            i: np.full((rows, item.classes.size), np.nan, np.float32)
            for i, item in enumerate(self._version.outputs)
            if item is not None
        }

    def _close(self) -> ClosedWindow:
        self._rows = 0
        own = self._monitor.own
        sketches = Sketches(self._watch.take())
        verdict = self._monitor.add(sketches)
        assert verdict is not None, "a window has window_rows rows"
        learned = self._monitor.own if own is None else None
        if learned is not None:
            self._watch.restart(self._monitor.watch_spec())
        number, self._next = self._next, self._next + 1
        level = self._settings.average_run_length * self._settings.devices
        return ClosedWindow(number, verdict, sketches, own, learned, level)


def confidences(outputs: Sequence[Array]) -> npt.NDArray[np.float32] | None:
    """The largest probability of each row, of the first output that holds class scores; None without one.

    An answer with NaN has confidence 0.
    """
    for scores in outputs:
        if scores.dtype.kind == "f" and scores.ndim >= 2 and scores[0].size == scores.shape[1] >= 2:
            rows = np.require(scores.reshape(len(scores), -1), np.float32, ["C", "A"])
            return np.nan_to_num(_core.decide_rows(rows)[1], nan=0.0)
    return None


def check_reference(reference: Reference, inputs: Sequence[TensorSpec]) -> None:
    """Checks that a reference is one of a model with these inputs.

    Raises:
        ModelError: It has another number of inputs, or of elements in a row of one.
    """
    if len(reference.inputs) != len(inputs):
        raise ModelError(f"[reference] watches {len(reference.inputs)} inputs, the model has {len(inputs)}")
    for item, spec in zip(reference.inputs, inputs, strict=True):
        extents = [extent for extent in (spec.shape or ())[1:] if isinstance(extent, int)]
        if spec.shape is not None and len(extents) == len(spec.shape) - 1 and math.prod(extents) != item.features:
            raise ModelError(
                f"[reference] has {item.features} features of input {item.name!r}, the model's {spec.name!r} has rows "
                f"of {math.prod(extents)}. Fit the reference to this model's inputs"
            )


def drift_window(closed: ClosedWindow) -> telemetry_pb2.DriftWindow:
    """A window as it is sent: counts that add, no rows."""
    from sanderling.api.telemetry.v1 import telemetry_pb2

    states = {
        DeviceState.WARMING_UP: telemetry_pb2.DEVICE_VERDICT_WARMING_UP,
        DeviceState.QUIET: telemetry_pb2.DEVICE_VERDICT_QUIET,
        # The window after a fault is not judged for drift: it has no ranks, and nothing to say.
        DeviceState.SETTLING: telemetry_pb2.DEVICE_VERDICT_QUIET,
        DeviceState.MOVED: telemetry_pb2.DEVICE_VERDICT_MOVED,
        DeviceState.FAULTY: telemetry_pb2.DEVICE_VERDICT_SENSOR_FAULT,
    }
    kinds = {
        "missing": telemetry_pb2.SENSOR_FAULT_KIND_MISSING,
        "saturated": telemetry_pb2.SENSOR_FAULT_KIND_SATURATED,
        "stuck": telemetry_pb2.SENSOR_FAULT_KIND_STUCK,
    }
    verdict = closed.verdict
    return telemetry_pb2.DriftWindow(
        window=closed.number,
        rows=verdict.rows,
        reference_id=b"" if closed.reference is None else closed.reference.id,
        verdict=states[verdict.state],
        faults=[
            telemetry_pb2.SensorFault(kind=kinds[fault.kind], input=fault.input, detail=fault.detail)
            for fault in verdict.faults
        ],
        ranks=_rank_counts(closed),
        sketches=closed.sketches.to_bytes(),
        log_evidence=verdict.log_e,
        alarm_level=closed.alarm_level,
        causes=[f"{cause.name} {cause.change}" for cause in verdict.causes],
    )


def _rank_counts(closed: ClosedWindow) -> list[telemetry_pb2.RankCounts]:
    from sanderling.api.telemetry.v1 import telemetry_pb2

    ranks, own = closed.verdict.ranks, closed.reference
    if ranks is None or own is None:
        return []
    messages, begin = [], 0
    for item in own.inputs:
        part = slice(begin, begin + len(item.counts))
        cells, effects = ranks.cells[part], ranks.design_effects[part]
        messages.append(
            telemetry_pb2.RankCounts(
                input=item.name,
                features=cells.shape[0],
                cells=cells.shape[1],
                counts=cells.reshape(-1).tolist(),
                design_effects=effects.reshape(-1).tolist(),
                reference_rows=ranks.reference_rows,
            )
        )
        begin = part.stop
    return messages
