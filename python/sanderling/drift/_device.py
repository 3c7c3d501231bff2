"""One device: learns what is normal for it, then judges window after window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling import _core
from sanderling.drift._detector import Cause, EDetector
from sanderling.drift._faults import SensorCheck, SensorFault, check_sensors
from sanderling.drift._ranks import Counts, Floats, as_rows, split_into_cells
from sanderling.drift._reference import Reference, named
from sanderling.drift._settings import Settings
from sanderling.drift._sketches import Sketches
from sanderling.drift._tilts import Tilts, fold_classes
from sanderling.errors import InputError


class DeviceState(StrEnum):
    """What a device says of a window."""

    WARMING_UP = "warming up"  # learning its own reference
    QUIET = "quiet"
    SETTLING = "settling"  # the window after a fault, which may still hold part of it: not judged for drift
    MOVED = (
        "moved"  # inputs or outputs left their reference: data has moved, which does not say that the model is wrong
    )
    FAULTY = "sensor fault"


@dataclass(frozen=True, eq=False)
class RankCounts:
    """A window's counts in rank cells, which add over the devices of a fleet.

    Attributes:
        cells: int64 [streams, 32]. A stream is a feature (or projection) of an input, in order; one that is constant in
            the device's own reference has no counts.
        reference_rows: Rows of the device's own reference.
        design_effects: float64 [streams, 24].
        names: Of the streams.
    """

    cells: Counts
    reference_rows: int
    design_effects: Floats
    names: tuple[str, ...]


@dataclass(frozen=True)
class DeviceVerdict:
    """What a device says of one window.

    Attributes:
        device: Its name.
        window: 1, 2, ... from the end of the warm-up; 0 during it.
        rows: Rows of the window.
        state: See `DeviceState`.
        faults: Sensor faults, the most telling first; then the window fed no detector.
        constants: Features that vary in the reference and did not in this window; no alarm.
        left_constant: Features that were constant in the reference and moved; no alarm.
        log_e: Natural logarithm of the e-value; None where drift was not judged.
        causes: What the evidence points to; lists, does not decide.
        ranks: For the fleet; None where drift was not judged.
    """

    device: str
    window: int
    rows: int
    state: DeviceState
    faults: tuple[SensorFault, ...] = ()
    constants: tuple[str, ...] = ()
    left_constant: tuple[str, ...] = ()
    log_e: float | None = None
    causes: tuple[Cause, ...] = ()
    ranks: RankCounts | None = None

    @property
    def alarm(self) -> bool:
        """Whether someone should look."""
        return self.state in (DeviceState.MOVED, DeviceState.FAULTY)

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.state is DeviceState.FAULTY:
            return f"{self.device}: {self.faults[0].kind} sensor: {self.faults[0].detail}"
        if self.state is DeviceState.MOVED:
            causes = ", ".join(f"{cause.name} {cause.change}" for cause in self.causes[:3])
            return f"{self.device}: data moved: {causes}"
        return f"{self.device}: {self.state}"


class DeviceMonitor:
    """Judges one device's windows. No IO; the same rows give the same verdicts.

    Two ways to feed it. `observe(rows)` counts rows itself. `add(sketches)` takes what a `Session` counted:

        monitor = DeviceMonitor(version_reference, device="camera 7")
        monitor.observe(warmup_rows, session.run(warmup_rows))
        session = Session(model, watch=monitor.reference)
        ...
        verdict = monitor.add(session.sketches(reset=True))

    Windows of the warm-up that show a sensor fault are thrown away with the windows beside them, so that a broken
    sensor cannot become normal.

    Args:
        version: The version's reference.
        device: The device's name; it also seeds the split into rank cells.
        settings: See `Settings`.
        own: The device's own reference, if it was learned before; then there is no warm-up.
        first_window: Number of the next window, where an earlier monitor of this device stopped.

    Attributes:
        own: The device's own reference, None in the warm-up.
    """

    def __init__(
        self,
        version: Reference,
        *,
        device: str,
        settings: Settings | None = None,
        own: Reference | None = None,
        first_window: int = 1,
    ) -> None:
        self._version = version
        self._device = device
        self._settings = settings or Settings()
        self._window = first_window - 1  # of the last one
        self._warmup: list[Sketches] = []
        self._settling = False
        self._pending: Sketches | None = None
        self._watch: _core.Watch | None = None
        self._watch_rows = 0
        self.own: Reference | None = None
        if own is not None:
            self._freeze(own)

    @property
    def device(self) -> str:
        """The device's name."""
        return self._device

    @property
    def reference(self) -> Reference:
        """What windows are compared with now: the version's in the warm-up, then the device's own."""
        return self.own or self._version

    def watch_spec(self) -> _core.WatchSpec:
        """What a watch needs to count the next windows for this monitor."""
        return self.reference.watch_spec(keep_rows=0 if self.own else self._settings.window_rows)

    def observe(self, inputs: Any, outputs: Any = None) -> list[DeviceVerdict]:
        """Counts rows and judges each window that they complete.

        Args:
            inputs: As in `Reference.fit`.
            outputs: The model's scores for these rows, or None. Either always or never.

        Returns:
            One verdict per completed window, in order.

        Raises:
            InputError: The rows do not fit the reference.
        """
        seen = [as_rows(array, f"input {name!r}") for name, array in named(inputs, "input").items()]
        scores = [np.asarray(array) for array in named(outputs, "output").values()]
        rows = {len(array) for array in (*seen, *scores)}
        if len(seen) != len(self._version.inputs) or len(rows) != 1:
            raise InputError(
                f"[observe] {len(seen)} inputs with {sorted(rows)} rows, the reference has {len(self._version.inputs)} "
                "inputs. Give all inputs and outputs of the same rows"
            )
        verdicts = []
        total, begin = rows.pop(), 0
        while begin < total:
            part = slice(begin, begin + self._settings.window_rows - self._watch_rows)
            self._count([array[part] for array in seen], [array[part] for array in scores])
            begin = part.stop
            if self._watch_rows == self._settings.window_rows and self._watch is not None:
                sketches = Sketches(self._watch.take())
                self._watch_rows = 0
                verdicts.append(self._judge(sketches))
        return verdicts

    def add(self, sketches: Sketches) -> DeviceVerdict | None:
        """Takes what a session counted since the last call.

        Args:
            sketches: Counted by `reference`. Pieces are put together until they have the rows of a window.

        Returns:
            The verdict, or None while the window is not full.

        Raises:
            InputError: The sketches were counted by another reference, or, in the warm-up, kept no rows.
        """
        if sketches.reference_id != self.reference.id:
            raise InputError(
                f"[add] sketches of reference {(sketches.reference_id or b'').hex() or 'none'}, this device is at "
                f"{self.reference.id.hex()}. Watch with monitor.reference"
            )
        window = sketches if self._pending is None else self._pending.merge(sketches)
        if window.rows < self._settings.window_rows:
            self._pending = window
            return None
        self._pending = None
        return self._judge(window)

    def _count(self, inputs: list[npt.NDArray[np.float32]], outputs: list[npt.NDArray[Any]]) -> None:
        if self._watch is None:
            self._watch = _core.Watch(self.watch_spec())
        for i, rows in enumerate(inputs):
            self._watch.observe_input(i, rows)
        for i, scores in enumerate(outputs):
            if scores.dtype.kind == "f":
                self._watch.observe_output(i, np.ascontiguousarray(scores, np.float32))
        self._watch_rows += len(inputs[0])

    def _judge(self, window: Sketches) -> DeviceVerdict:
        check = check_sensors(self.reference, window)
        settling, self._settling = self._settling, bool(check.faults)
        verdict = DeviceVerdict(
            self._device,
            self._window,
            window.rows,
            DeviceState.QUIET,
            check.faults,
            check.constants,
            check.left_constant,
        )
        if self.own is None:
            return self._warm_up(window, check, verdict, settling)
        self._window += 1
        verdict = replace(verdict, window=self._window)
        if check.faults:
            self._detector.reset()  # the window before may hold the first rows of the fault
            return replace(verdict, state=DeviceState.FAULTY)
        if settling:
            return replace(verdict, state=DeviceState.SETTLING)
        evidence = self._detector.update(window_counts(self.own, window))
        return replace(
            verdict,
            state=DeviceState.MOVED if evidence.alarm else DeviceState.QUIET,
            log_e=evidence.log_e,
            causes=evidence.causes,
            ranks=self._rank_counts(self.own, window),
        )

    def _warm_up(self, window: Sketches, check: SensorCheck, verdict: DeviceVerdict, settling: bool) -> DeviceVerdict:
        if check.faults:
            if not settling:
                del self._warmup[-1:]  # it may hold the first rows of the fault
            return replace(verdict, state=DeviceState.FAULTY)
        if not settling:
            self._warmup.append(window)
        if sum(part.rows for part in self._warmup) >= self._settings.warmup_rows:
            self._freeze(self._version.learn(self._warmup, window_rows=self._settings.window_rows))
            self._warmup = []
        return replace(verdict, state=DeviceState.WARMING_UP)

    def _freeze(self, own: Reference) -> None:
        self.own = own
        self._watch = None  # the next rows are counted by the new bins
        self._settling = False
        self._detector = EDetector(
            detector_groups(own, self._settings.tolerance),
            average_run_length=self._settings.average_run_length * self._settings.devices,
        )

    def _rank_counts(self, own: Reference, window: Sketches) -> RankCounts:
        cells: list[Counts] = []
        effects: list[Floats] = []
        names: list[str] = []
        for item, sketch in zip(own.inputs, window.inputs, strict=True):
            counts = np.zeros(item.counts.shape, np.int64)
            if sketch is not None:
                counts[item.judged] = sketch.bins.counts[item.judged]
            cells.append(
                split_into_cells(counts, item.counts, device=f"{self._device}/{item.name}", window=self._window)
            )
            effects.append(item.effects)
            names += item.stream_names
        return RankCounts(np.concatenate(cells), own.rows, np.concatenate(effects), tuple(names))


def detector_groups(reference: Reference, tolerance: float) -> list[Tilts]:
    """What a detector bets on: one group per input, and the classes and the confidence of each output."""
    groups = [item.tilts for item in reference.inputs]
    groups += [tilts for item in reference.outputs if item is not None for tilts in item.groups]
    return [replace(tilts, tolerance=tolerance) for tilts in groups]


def window_counts(reference: Reference, window: Sketches) -> list[Counts]:
    """A window's counts in the order of `detector_groups`; zeros for what was not seen."""
    counts = []
    for item, seen in zip(reference.inputs, window.inputs, strict=True):
        bins = np.zeros(item.counts.shape, np.int64) if seen is None else seen.bins.counts.astype(np.int64)
        values = None if seen is None or seen.values is None else seen.values.counts.astype(np.int64)
        counts.append(item.stream_counts(bins, values))
    for i, output in enumerate(reference.outputs):
        if output is None:
            continue
        answers = window.outputs[i] if i < len(window.outputs) else None
        classes = np.zeros_like(output.classes) if answers is None else answers.classes.counts.astype(np.int64)
        confidence = np.zeros_like(output.confidence) if answers is None else answers.confidence.counts.astype(np.int64)
        counts += [fold_classes(classes, output.classes)[None], confidence[None]]
    return counts
