"""What the fleet's verdict rests on: what devices send, and what is remembered between two messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sanderling.drift import RankCounts, Scope
from sanderling.errors import InputError
from sanderling_fleet.alerts import Alert
from sanderling_fleet.plain import Array, dumps, loads

CELLS = 32
_SCHEMA = 2
_TILTS = 24
_MOST_REFERENCE_ROWS = 1 << 31  # sums over a fleet stay within 64 bits


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
        window: Its number; only its order among those with the same reference matters.
        verdict: See `WindowVerdict`.
        rows: Rows of the window.
        fault: "stuck", "saturated" or "missing", with the features; empty without a fault.
        ranks: Per input; empty where drift was not judged.
        log_evidence: Natural logarithm of the device's e-value.
        alarm_level: The device's.
        causes: What the evidence points to.
        reference: Id of the own reference that it was judged by; who learned it counts windows by itself. Empty in the
            warm-up.
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
    reference: str = ""


@dataclass(frozen=True)
class Entry:
    """What one device adds to one fleet window; late windows are added to it.

    Attributes:
        device: Its id.
        rows: Rows of all windows in it.
        moved: Whether the device alarmed by itself.
        fault: A sensor fault; empty for none.
        cells: int32 [streams, 32]; None without evidence.
        design_effects: float32 [streams, 24], as they are sent; None without evidence.
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
            cells=Array.of(self.cells.values + late.cells.values, "int32"),
            design_effects=Array.of(np.maximum(self.design_effects.values, late.design_effects.values), "float32"),
            reference_rows=min(self.reference_rows, late.reference_rows),
        )

    def ranks(self, names: tuple[str, ...]) -> RankCounts | None:
        """The counts, as the detectors take them."""
        if self.cells is None or self.design_effects is None:
            return None
        return RankCounts(
            self.cells.values.astype(np.int64),
            self.reference_rows,
            self.design_effects.values.astype(np.float64),
            names,
        )

    def to_json(self) -> str:
        """All of it."""
        return dumps(self, schema=_SCHEMA)

    @classmethod
    def from_json(cls, text: str) -> Entry:
        """Reads what `to_json` wrote, equal.

        Raises:
            InputError: It is damaged or of another schema.
        """
        return loads(cls, text, schema=_SCHEMA)


@dataclass(frozen=True)
class Gathered:
    """What devices have sent for one fleet window.

    Attributes:
        window: Its number.
        opened_at: When the first window of it arrived.
        entries: By device.
    """

    window: int
    opened_at: float
    entries: Mapping[str, Entry]


@dataclass(frozen=True)
class Numbering:
    """The numbers of one watcher on a device: its runner, or an application that holds the model itself.

    Attributes:
        reference: Id of the own reference that it judges by; empty in its warm-up.
        offset: Fleet window minus its own window.
        last: Its last window number.
        gaps: Numbers below `last` that have not come, at most 64.
    """

    reference: str
    offset: int
    last: int
    gaps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Member:
    """A device that is, or was, heard of.

    Attributes:
        waited_for: Whether a fleet window waits for it: it is past its warm-up and not silent for long.
        missed: Fleet windows in a row that were judged without it.
        numberings: Of its watchers, at most 4, the last heard of last; empty before its first window.
    """

    waited_for: bool = False
    missed: int = 0
    numberings: tuple[Numbering, ...] = ()

    def has_sent(self, fleet_window: int) -> bool:
        """Whether it is at or past that fleet window."""
        return any(item.last + item.offset >= fleet_window for item in self.numberings)


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
        members: By device.
        pending: Windows that are not judged yet, in their order.
        names: Of the streams, once a device has sent some.
        moved: Devices that alarmed by themselves, with the fleet window; until acknowledged.
        scope: How much has moved; until acknowledged.
        everyone: State of the detector over all devices, float64 [streams, 24]; None for no evidence.
        rest: The same without the devices that moved.
        recent: The last windows that were judged, oldest first, with the entries that have evidence.
        standing: Alerts that have been raised and hold still.
    """

    slot: str
    version: str
    policy: Policy = field(default_factory=Policy)
    window: int = 1
    members: Mapping[str, Member] = field(default_factory=dict)
    pending: tuple[Gathered, ...] = ()
    names: tuple[str, ...] = ()
    moved: tuple[tuple[str, int], ...] = ()
    scope: Scope = Scope.QUIET
    everyone: Array | None = None
    rest: Array | None = None
    recent: tuple[Gathered, ...] = ()
    standing: tuple[Alert, ...] = ()

    @property
    def deadline_at(self) -> float | None:
        """When the next fleet window is judged without those missing; None while nothing waits."""
        if not self.pending:
            return None
        return min(item.opened_at for item in self.pending) + self.policy.deadline_seconds

    @property
    def missing(self) -> tuple[str, ...]:
        """Devices that the next fleet window waits for, sorted."""
        if not self.pending:
            return ()
        return tuple(sorted(d for d, m in self.members.items() if m.waited_for and not m.has_sent(self.window)))

    @property
    def complete(self) -> bool:
        """Whether the next fleet window waits for nobody."""
        return not any(m.waited_for and not m.has_sent(self.window) for m in self.members.values())

    def to_json(self) -> str:
        """Everything but the entries, which are stored one by one: a message changes one of them."""
        return dumps(_with_entries(self, {}), schema=_SCHEMA)

    def entries(self, former: FleetState | None = None) -> dict[tuple[int, str], Entry]:
        """By fleet window and device; windows that are the same as in `former` are left out."""
        same = {id(item) for item in (*former.recent, *former.pending)} if former else set()
        windows = [item for item in (*self.recent, *self.pending) if id(item) not in same]
        return {(item.window, device): entry for item in windows for device, entry in item.entries.items()}

    @classmethod
    def from_json(cls, text: str, entries: Mapping[tuple[int, str], Entry]) -> FleetState:
        """Reads what `to_json` wrote, equal with its `entries`.

        Raises:
            InputError: It is damaged or of another schema.
        """
        by_window: dict[int, dict[str, Entry]] = {}
        for (window, device), entry in entries.items():
            by_window.setdefault(window, {})[device] = entry
        return _with_entries(loads(cls, text, schema=_SCHEMA), by_window)


def _with_entries(state: FleetState, by_window: Mapping[int, Mapping[str, Entry]]) -> FleetState:
    def filled(windows: tuple[Gathered, ...]) -> tuple[Gathered, ...]:
        return tuple(replace(item, entries=by_window.get(item.window, {})) for item in windows)

    return replace(state, pending=filled(state.pending), recent=filled(state.recent))


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
    fault = (item.fault.strip() or "a sensor fault without a name") if item.verdict is WindowVerdict.FAULT else ""
    entry = Entry(item.device, item.rows, moved, fault)
    if not item.ranks or item.verdict in (WindowVerdict.FAULT, WindowVerdict.WARMING):
        return entry, ()
    cells = np.concatenate([_cells(item, ranks) for ranks in item.ranks])
    effects = Array.of(np.concatenate([_effects(item, ranks) for ranks in item.ranks]), "float32")
    names = tuple(f"{ranks.input}[{i}]" for ranks in item.ranks for i in range(ranks.features))
    rows = min(ranks.reference_rows for ranks in item.ranks)
    return Entry(item.device, item.rows, moved, fault, Array.of(cells, "int32"), effects, rows), names


def _cells(item: DeviceWindow, ranks: InputRanks) -> npt.NDArray[np.int64]:
    if ranks.cells != CELLS or ranks.features < 1 or len(ranks.counts) != ranks.features * ranks.cells:
        found = f"{len(ranks.counts)} counts of {ranks.features} features and {ranks.cells} cells"
        raise _refuse(item, f"{found} of input {ranks.input!r}", f"features * {CELLS}")
    counts = np.array(ranks.counts, np.int64).reshape(ranks.features, CELLS)
    if counts.min() < 0 or counts.sum(axis=1).max() > item.rows:
        found = f"input {ranks.input!r} counts {counts.sum(axis=1).max()} rows, the least count is {counts.min()}"
        raise _refuse(item, found, f"0 to {item.rows}")
    if not 1 <= ranks.reference_rows <= _MOST_REFERENCE_ROWS:
        found = f"{ranks.reference_rows} reference rows of input {ranks.input!r}"
        raise _refuse(item, found, f"1 to {_MOST_REFERENCE_ROWS}")
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
    # Rows that are all alike have their number: a device that claims more must not blind the fleet, which takes means.
    return np.minimum(effects, max(item.rows, 1))


def _refuse(item: DeviceWindow, found: str, wanted: str) -> InputError:
    return InputError(f"[verdict] device {item.device!r} sends {found}, {wanted} is wanted. Look at the device")
