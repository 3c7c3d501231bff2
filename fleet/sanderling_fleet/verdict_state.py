"""What the fleet's verdict rests on: what devices send, and what is remembered between two messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sanderling.drift import RankCounts, Scope
from sanderling.errors import InputError
from sanderling_fleet.alerts import Alert
from sanderling_fleet.plain import Array, dumps, loads

CELLS = 32
_SCHEMA = 1
_TILTS = 24


class WindowVerdict(StrEnum):
    """What a device says of a window."""

    WARMING = "warming"
    QUIET = "quiet"
    FAULT = "fault"
    MOVED = "moved"


@dataclass(frozen=True)
class InputRanks:
    """Rank-cell counts of one input in one window.

    Attributes:
        input: Its name.
        features: Streams of it: features or projections.
        cells: 32.
        counts: features * cells, a feature's cells together.
        design_effects: features * 24, a feature's tilts together (sanderling.drift.RankCounts); each at least 1.
        reference_rows: Rows of the device's own reference.
    """

    input: str
    features: int
    cells: int
    counts: Sequence[int]
    design_effects: Sequence[float]
    reference_rows: int


@dataclass(frozen=True)
class DeviceWindow:
    """One window as a device sent it.

    Attributes:
        device: Its id, from who sent it, never from the message.
        window: Its number on the device; only its order matters.
        verdict: See `WindowVerdict`.
        rows: Rows of the window.
        fault: "stuck", "saturated" or "missing", with the features; empty without a fault.
        ranks: Per input; empty where drift was not judged.
        log_evidence: Natural logarithm of the device's e-value.
        alarm_level: The device's.
        causes: What the evidence points to.
    """

    device: str
    window: int
    verdict: WindowVerdict
    rows: int = 0
    fault: str = ""
    ranks: Sequence[InputRanks] = ()
    log_evidence: float = float("-inf")
    alarm_level: float = float("inf")
    causes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """What one device adds to one fleet window; late windows are added to it.

    Attributes:
        device: Its id.
        rows: Rows of all windows in it.
        moved: Whether the device alarmed by itself.
        fault: A sensor fault; empty for none.
        cells: int64 [streams, 32]; None without evidence.
        design_effects: float64 [streams, 24]; None without evidence.
        reference_rows: Rows of the device's own reference.
    """

    device: str
    rows: int = 0
    moved: bool = False
    fault: str = ""
    cells: Array | None = None
    design_effects: Array | None = None
    reference_rows: int = 0

    def plus(self, late: Entry) -> Entry:
        """Adds another window of the same device."""
        total = replace(
            self, rows=self.rows + late.rows, moved=self.moved or late.moved, fault=late.fault or self.fault
        )
        if late.cells is None or late.design_effects is None:
            return total
        if self.cells is None or self.design_effects is None:
            return replace(
                total, cells=late.cells, design_effects=late.design_effects, reference_rows=late.reference_rows
            )
        return replace(
            total,
            cells=Array.pack(self.cells.unpack() + late.cells.unpack()),
            design_effects=Array.pack(np.maximum(self.design_effects.unpack(), late.design_effects.unpack())),
            reference_rows=min(self.reference_rows, late.reference_rows),
        )

    def ranks(self, names: tuple[str, ...]) -> RankCounts | None:
        """The counts, as the detectors take them."""
        if self.cells is None or self.design_effects is None:
            return None
        return RankCounts(self.cells.unpack(), self.reference_rows, self.design_effects.unpack(), names)


@dataclass(frozen=True)
class Pending:
    """A fleet window that is not judged yet.

    Attributes:
        window: Its number.
        opened_at: When the first window of it arrived.
        entries: By device, in the order of arrival.
    """

    window: int
    opened_at: float
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Member:
    """A device that is, or was, heard of.

    Attributes:
        device: Its id.
        waited_for: Whether a fleet window waits for it: it is past its warm-up and not silent for long.
        offset: Fleet window minus its own window; None before its first.
        last: Its last window number.
        gaps: Numbers below `last` that have not come, at most 64.
        missed: Fleet windows in a row that were judged without it.
    """

    device: str
    waited_for: bool = False
    offset: int | None = None
    last: int = 0
    gaps: tuple[int, ...] = ()
    missed: int = 0

    def has_sent(self, fleet_window: int) -> bool:
        """Whether it is at or past that fleet window."""
        return self.offset is not None and self.last + self.offset >= fleet_window


@dataclass(frozen=True)
class Policy:
    """How fleet windows are judged.

    Attributes:
        deadline_seconds: After the first window of a fleet window arrived, it is judged without those missing.
        forget_after: Fleet windows in a row after which a silent device is not waited for, until it comes back.
        most_apart: Windows that a device may be ahead of or behind the fleet; beyond, its numbering is set anew so that
            what it sends belongs to the next fleet window.
        most_rows: Of one window; more is refused, so that no device outweighs the others.
        average_run_length: The fleet's, in windows.
        tolerance: The devices'.
    """

    deadline_seconds: float = 2 * 3600.0
    forget_after: int = 3
    most_apart: int = 3
    most_rows: int = 2000
    average_run_length: float = 1000.0
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            InputError: One is out of range.
        """
        if not 0 < self.deadline_seconds < float("inf") or min(self.forget_after, self.most_apart, self.most_rows) < 1:
            raise InputError(
                f"[verdict] deadline {self.deadline_seconds} s, forget_after {self.forget_after}, most_apart "
                f"{self.most_apart}, most_rows {self.most_rows}; above 0 is wanted"
            )
        if not self.average_run_length > 1 or not 0 <= self.tolerance < 1:
            raise InputError(
                f"[verdict] average_run_length {self.average_run_length}, tolerance {self.tolerance}; more than 1 "
                "window and a tolerance in [0, 1) are wanted"
            )


@dataclass(frozen=True)
class FleetState:
    """All that is known of a version's devices in a slot. Change it by the functions of `verdict` only.

    Attributes:
        slot: Model slot.
        version: "NAME-VERSION".
        policy: See `Policy`.
        window: Number of the next fleet window to be judged, from 1.
        members: Sorted by device.
        pending: In the order of windows.
        names: Of the streams, once a device has sent some.
        moved: Devices that alarmed by themselves, with the fleet window; until acknowledged.
        scope: How much has moved; until acknowledged.
        everyone: State of the detector over all devices, float64 [streams, 24]; None for no evidence.
        rest: The same without the devices that moved.
        recent: Entries with evidence of the last windows, oldest first.
        standing: Alerts that have been raised and hold still.
    """

    slot: str
    version: str
    policy: Policy = field(default_factory=Policy)
    window: int = 1
    members: tuple[Member, ...] = ()
    pending: tuple[Pending, ...] = ()
    names: tuple[str, ...] = ()
    moved: tuple[tuple[str, int], ...] = ()
    scope: Scope = Scope.QUIET
    everyone: Array | None = None
    rest: Array | None = None
    recent: tuple[tuple[Entry, ...], ...] = ()
    standing: tuple[Alert, ...] = ()

    @property
    def deadline_at(self) -> float | None:
        """When the next fleet window is judged without those missing; None while nothing waits."""
        if not self.pending:
            return None
        return min(item.opened_at for item in self.pending) + self.policy.deadline_seconds

    @property
    def missing(self) -> tuple[str, ...]:
        """Devices that the next fleet window waits for."""
        if not self.pending:
            return ()
        return tuple(item.device for item in self.members if item.waited_for and not item.has_sent(self.window))

    def to_json(self) -> str:
        """Everything, so that a server can stop at any time."""
        return dumps(self, schema=_SCHEMA)

    @classmethod
    def from_json(cls, text: str) -> FleetState:
        """Reads what `to_json` wrote, equal.

        Raises:
            InputError: It is damaged or of another schema.
        """
        return loads(cls, text, schema=_SCHEMA)


def entry_of(item: DeviceWindow, policy: Policy) -> tuple[Entry, tuple[str, ...]]:
    """Checks one window.

    Returns:
        What it adds, and the names of its streams; no names without evidence.

    Raises:
        InputError: A count, a size or a number is impossible.
    """
    if item.window < 0 or not 0 <= item.rows <= policy.most_rows:
        raise _refuse(
            item, f"window {item.window} of {item.rows} rows", f"at least 0 and at most {policy.most_rows} rows"
        )
    moved = item.verdict is WindowVerdict.MOVED
    fault = (item.fault or "a sensor fault without a name") if item.verdict is WindowVerdict.FAULT else ""
    entry = Entry(item.device, item.rows, moved, fault)
    if not item.ranks or item.verdict in (WindowVerdict.FAULT, WindowVerdict.WARMING):
        return entry, ()
    cells = np.concatenate([_cells(item, ranks) for ranks in item.ranks])
    effects = Array.pack(np.concatenate([_effects(item, ranks) for ranks in item.ranks]))
    names = tuple(f"{ranks.input}[{i}]" for ranks in item.ranks for i in range(ranks.features))
    rows = min(ranks.reference_rows for ranks in item.ranks)
    return Entry(item.device, item.rows, moved, fault, Array.pack(cells), effects, rows), names


def _cells(item: DeviceWindow, ranks: InputRanks) -> npt.NDArray[np.int64]:
    if ranks.cells != CELLS or ranks.features < 1 or len(ranks.counts) != ranks.features * ranks.cells:
        found = f"{len(ranks.counts)} counts of {ranks.features} features and {ranks.cells} cells"
        raise _refuse(item, f"{found} of input {ranks.input!r}", f"features * {CELLS}")
    counts = np.array(ranks.counts, np.int64).reshape(ranks.features, CELLS)
    if counts.min() < 0 or counts.sum(axis=1).max() > item.rows:
        found = f"input {ranks.input!r} counts {counts.sum(axis=1).max()} rows, the least count is {counts.min()}"
        raise _refuse(item, found, f"0 to {item.rows}")
    if ranks.reference_rows < 1:
        raise _refuse(item, f"{ranks.reference_rows} reference rows of input {ranks.input!r}", "at least 1")
    return counts


def _effects(item: DeviceWindow, ranks: InputRanks) -> npt.NDArray[np.float64]:
    if len(ranks.design_effects) != ranks.features * _TILTS:
        found = f"{len(ranks.design_effects)} design effects of {ranks.features} features of input {ranks.input!r}"
        raise _refuse(item, found, f"features * {_TILTS}")
    effects = np.array(ranks.design_effects, np.float64).reshape(ranks.features, _TILTS)
    if not np.isfinite(effects).all() or effects.min() < 1:
        raise _refuse(
            item, f"design effects from {effects.min()} of input {ranks.input!r}", "finite ones of at least 1"
        )
    return effects


def _refuse(item: DeviceWindow, found: str, wanted: str) -> InputError:
    return InputError(f"[verdict] device {item.device!r} sends {found}, {wanted} is wanted. Look at the device")
