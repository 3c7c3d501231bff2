"""What telemetry says of a rollout's candidates and controls, as gates compare it.

A gate is judged every few seconds for days. So a row is read once: those since the stage became active are kept in
memory, and what came after the last look is added at the end. Of the history before the stage only so much is read as
the devices' baselines need, once. A server that was started again reads both anew.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from sanderling_fleet.core.context import Core
from sanderling_fleet.core.rollouts import Measure
from sanderling_fleet.gates import Arm, Metric, Reading
from sanderling_fleet.rollout_state import Rollout
from sanderling_fleet.store import DriftRow, MetricsRow, Transaction
from sanderling_fleet.verdict_state import WindowVerdict

_BASELINE_ROWS = 24
"""Rows before the stage whose mean is a device's own baseline: a day of hourly windows."""
_FIRST_SPAN_SECONDS, _HISTORY_SECONDS, _HISTORY_ROWS = 3600.0, 7 * 86400.0, 200_000
"""How far back baselines are looked for: twice as far each time, a week or so many rows at most. A device that has said
nothing for that long has none, and is compared by its level."""
_LATE_SECONDS = 60.0
"""A row may be committed so long after the time that it bears: its transaction waited for others."""
_MOST_STAGES = 64
_VALUES: Mapping[Metric, Callable[[MetricsRow], float | None]] = {
    # A row without inferences says nothing of latency or confidence.
    Metric.LATENCY_P95: lambda row: row.latency_p95_us if row.inferences else None,
    # 0 stands for a model without class scores; the largest of a model's is always above it.
    Metric.CONFIDENCE: lambda row: row.mean_confidence if row.inferences and row.mean_confidence > 0 else None,
    Metric.CRASHES: lambda row: float(row.runner_restarts),
}
Values = Mapping[Metric, float]
Readings = Mapping[Metric, tuple[Reading, ...]]


def measure(core: Core) -> Measure:
    """Readings of `core`'s telemetry; those whose sender is only asserted count where the policy trusts them.

    Keep what it returns: it remembers what it has read.
    """
    stages: OrderedDict[tuple[str, int], _Stage] = OrderedDict()

    async def read(tx: Transaction, rollout: Rollout) -> Readings:
        key, since = (rollout.rollout_id, rollout.current), rollout.stages[rollout.current].activated_at
        stage = stages.pop(key, None)
        # A clock that was set back may write times that were read over.
        if stage is None or stage.since != since or core.clock.now() < stage.looked_at:
            stage = _Stage(since)
        await stage.look(core, tx, rollout)
        stages[key] = stage
        while len(stages) > _MOST_STAGES:
            stages.popitem(last=False)
        return stage.readings(rollout)

    return read


class _Seen(NamedTuple):
    device: str
    version: str
    values: Values


@dataclass
class _Arms:
    """Who is compared: candidates with the version that each had, and controls."""

    version: str
    former: Mapping[str, str]
    controls: frozenset[str]

    @classmethod
    def of(cls, rollout: Rollout) -> _Arms:
        former = {item.device: item.former_version for item in rollout.assignments if not item.superseded_by}
        # Whom a newer rollout has taken runs what that one says, and shows nothing of this one's former version.
        others = {item.device for item in rollout.assignments}.union(rollout.taken_over)
        return cls(rollout.spec.version, former, frozenset(rollout.controls) - others)

    def arm(self, seen: _Seen) -> Arm | None:
        if seen.device in self.former and seen.version == self.version:
            return Arm.CANDIDATE
        return Arm.CONTROL if seen.device in self.controls and seen.version != self.version else None


@dataclass
class _Stage:
    """What was read of one stage of a rollout.

    Attributes:
        since: When it became active.
        looked_at: By the server's clock.
        rows: Since then, in the order in which they were found.
        recent: Keys of those that are young enough to be found again, with their times.
        history: What came before it.
    """

    since: float
    looked_at: float = -math.inf
    rows: list[_Seen] = field(default_factory=list)
    recent: dict[tuple[object, ...], float] = field(default_factory=dict)
    history: _History = field(init=False)
    _arms: _Arms | None = None
    _read: int = 0
    _found: dict[Metric, list[Reading]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.history = _History(self.since)

    async def look(self, core: Core, tx: Transaction, rollout: Rollout) -> None:
        """Reads what is new, and as much of the history as this rollout's devices need."""
        slot, now = rollout.spec.slot, core.clock.now()
        least = max(math.nextafter(self.since, math.inf), self.looked_at - _LATE_SECONDS)
        found: list[MetricsRow | DriftRow] = []
        found += await tx.find(MetricsRow, {"slot": slot}, at_least={"received_at": least})
        found += await tx.find(DriftRow, {"slot": slot}, at_least={"received_at": least})
        fresh = [
            row for row in found if core.telemetry.trusts(row.identity) and (type(row), *row.key()) not in self.recent
        ]
        fresh.sort(key=lambda row: (row.received_at, row.device_id, row.at, row.sequence))
        self.rows += [_Seen(row.device_id, row.version, _values(row)) for row in fresh]
        self.recent |= {(type(row), *row.key()): row.received_at for row in fresh}
        self.recent = {key: at for key, at in self.recent.items() if at >= now - _LATE_SECONDS}
        self.looked_at = now
        arms = _Arms.of(rollout)
        await self.history.reach(core, tx, slot, {**arms.former, **dict.fromkeys(arms.controls)})

    def readings(self, rollout: Rollout) -> Readings:
        """Of the devices that are compared now."""
        arms = _Arms.of(rollout)
        if arms != self._arms:
            self._arms, self._read, self._found = arms, 0, defaultdict(list)
        for seen in self.rows[self._read :]:
            if (arm := arms.arm(seen)) is not None:
                before = self.history.baseline(seen.device, arms.former.get(seen.device))
                for metric, value in seen.values.items():
                    self._found[metric].append(Reading(seen.device, arm, value, before.get(metric)))
        self._read = len(self.rows)
        return {metric: tuple(found) for metric, found in self._found.items()}


class _History:
    """The last rows of devices before a stage, read backwards.

    Args:
        since: When the stage became active.
    """

    def __init__(self, since: float) -> None:
        self._since = self._back_to = math.nextafter(since, math.inf)
        self._rows = 0
        self._newest: dict[str, list[_Seen]] = defaultdict(list)
        self._counts: dict[tuple[str, str | None, Metric], int] = defaultdict(int)
        self._baselines: dict[tuple[str, str | None], Values] = {}

    async def reach(self, core: Core, tx: Transaction, slot: str, wanted: Mapping[str, str | None]) -> None:
        """Reads back until each device has a baseline, of the version that is given where one is."""
        while self._lacks(wanted):
            span = max(_FIRST_SPAN_SECONDS, self._since - self._back_to)
            start = max(self._back_to - span, self._since - _HISTORY_SECONDS)
            rows = await tx.find(
                MetricsRow, {"slot": slot}, at_least={"received_at": start}, below={"received_at": self._back_to}
            )
            rows = [row for row in rows if core.telemetry.trusts(row.identity)]
            rows.sort(key=lambda row: (row.received_at, row.device_id, row.at, row.sequence), reverse=True)
            for row in rows:
                self._add(_Seen(row.device_id, row.version, _values(row)))
            self._back_to, self._rows = start, self._rows + len(rows)
            self._baselines.clear()

    def baseline(self, device: str, version: str | None) -> Values:
        """Means of a device's last rows, of one version or of any."""
        key = (device, version)
        if key not in self._baselines:
            rows = [seen.values for seen in self._newest.get(device, ()) if version in (None, seen.version)]
            values = {metric: [row[metric] for row in rows if metric in row][:_BASELINE_ROWS] for metric in _VALUES}
            self._baselines[key] = {metric: fmean(found) for metric, found in values.items() if found}
        return self._baselines[key]

    def _lacks(self, wanted: Mapping[str, str | None]) -> bool:
        if self._back_to <= self._since - _HISTORY_SECONDS or self._rows >= _HISTORY_ROWS:
            return False
        return any(
            self._counts[device, version, metric] < _BASELINE_ROWS
            for device, version in wanted.items()
            if version != ""  # it had none, so it has no baseline
            for metric in _VALUES
        )

    def _add(self, seen: _Seen) -> None:
        keys = [(seen.device, version, metric) for version in (None, seen.version) for metric in seen.values]
        if any(self._counts[key] < _BASELINE_ROWS for key in keys):
            self._newest[seen.device].append(seen)
        for key in keys:
            self._counts[key] += 1


def _values(row: MetricsRow | DriftRow) -> Values:
    if isinstance(row, DriftRow):
        # In a warm-up, and with a faulty sensor, drift is not judged: that is not "has not moved".
        judged = row.verdict in (WindowVerdict.QUIET, WindowVerdict.MOVED)
        return {Metric.DRIFT: float(row.verdict == WindowVerdict.MOVED)} if judged else {}
    found = {metric: value(row) for metric, value in _VALUES.items()}
    return {metric: value for metric, value in found.items() if value is not None}
