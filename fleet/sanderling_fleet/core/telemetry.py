"""Takes telemetry into the database: each row is counted once, in one transaction with all that follows from it.

A row is named by (device, boot id, sequence). Rows may come twice, out of order, and both over MQTT and in a check-in.
What a device is told as committed is the last number before the first gap: it keeps the rest. A gap that stays open is
given up in time, since its device has dropped those rows from a full outbox, or this server was restored from a backup.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import InputError
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.core.alerts import prune_alerts, raise_alert
from sanderling_fleet.core.fleet_watch import FleetWatch, prune_windows
from sanderling_fleet.core.telemetry_progress import Progress
from sanderling_fleet.core.telemetry_rows import (
    DAY_SECONDS,
    Identity,
    Received,
    StoredRow,
    open_envelope,
    row_of,
    with_row,
)
from sanderling_fleet.store import (
    Device,
    DriftRow,
    EventRow,
    MetricsRow,
    Presence,
    Standing,
    TelemetryAhead,
    TelemetryProgress,
    Transaction,
    Version,
    VersionMetrics,
)

_PRUNED_AT_ONCE = 5000
"""Rows of a kind, every ten seconds: faster than any SQLite takes them in."""
_MOST_BOOTS, _MOST_VERSIONS = 64, 64
"""Of a device: the last boots of which it is known what was counted, and the last versions of which there are totals.
Both names are the device's own words, which must not fill the database: once a day it is looked through."""
_MOST_WORD = 256
_ALERTED = frozenset({"attach.load_failed", "desired.refused", "runner.crash", "runner.failing", "runner.hang"})
"""Kinds of a device's errors that have an alert each: those of its agent and `sanderling.attach`."""


@dataclass(frozen=True)
class TelemetryPolicy:
    """How telemetry is kept.

    Attributes:
        retention_days: Whole days for which rows, fleet windows and resolved alerts are kept; totals of a device's
            versions stay.
        gap_seconds: How long missing rows are waited for. A device that checks in every 15 minutes has sent again what
            it still holds by then.
        trust_asserted: Judge by what devices say of themselves, as a demo may.
    """

    retention_days: int = 30
    gap_seconds: float = 3600.0
    trust_asserted: bool = False


@dataclass
class Taken:
    """What became of a batch.

    Attributes:
        counted: Rows that were new; refused ones among them, so that their device does not send them again.
        repeated: Rows that were counted before.
        refused: Device and reason of each row that could not be read or used.
    """

    counted: int = 0
    repeated: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


class Intake:
    """Takes batches of envelopes.

    Args:
        policy: How they are kept.
        watch: Judges drift windows.
    """

    def __init__(self, policy: TelemetryPolicy | None = None, watch: FleetWatch | None = None) -> None:
        self.policy = policy or TelemetryPolicy()
        self.watch = watch or FleetWatch()
        self._pruned_to = -1

    async def take(self, tx: Transaction, received: Sequence[Received], now: float) -> Taken:
        """Counts, stores and judges; what it raises undoes the batch, and nothing a device sends makes it raise."""
        taken = Taken()
        named = await _admitted(tx, received, taken)
        rows = [
            row
            for item, envelope in await _count(tx, named, now, taken)
            if (row := _row(item, envelope, now, taken)) is not None
        ]
        await tx.put_all(rows)
        await _add_totals(tx, rows)
        await _raise_alerts(tx, [row for row in rows if isinstance(row, EventRow)], now)
        taken.refused += await self.watch.take(tx, [row for row in rows if isinstance(row, DriftRow)], now)
        return taken

    async def tend(self, tx: Transaction, now: float) -> int:
        """What time brings: overdue windows judged, revoked devices waited for no longer, old gaps and rows let go.

        Returns:
            How many rows were given up.
        """
        revoked = {device.device_id for device in await tx.find(Device, {"standing": Standing.REVOKED.value})}
        await self.watch.expire(tx, now, revoked)
        lost, closed = 0, {}
        overdue = [
            ahead.key() for ahead in await tx.find(TelemetryAhead) if ahead.since <= now - self.policy.gap_seconds
        ]
        for boot, (before, _) in (await _load_progress(tx, overdue)).items():
            lost += before.ahead[0][0] - 1 - before.through
            closed[boot] = (before.without_gap(), now)
        await _save_progress(tx, closed, now)
        oldest = int(now // DAY_SECONDS) - self.policy.retention_days
        if oldest > self._pruned_to:
            done = [await _prune(tx, kind, oldest) for kind in (MetricsRow, DriftRow, EventRow)]
            for prune in (prune_windows, prune_alerts):
                done.append(await prune(tx, oldest * DAY_SECONDS, _PRUNED_AT_ONCE))
            if all(done):
                await _forget_names(tx)
                self._pruned_to = oldest
        return lost

    async def totals(self, tx: Transaction, slot: str, version: str) -> list[VersionMetrics]:
        """A version's totals on every device that reported; asserted ones only where the policy trusts them."""
        found = await tx.find(VersionMetrics, {"slot": slot, "version": version})
        return [item for item in found if self.trusts(item.identity)]

    def trusts(self, identity: str) -> bool:
        """Whether rows and fleet windows of this identity alone may promote, roll back or retrain."""
        return identity == Identity.VERIFIED or self.policy.trust_asserted


async def set_presences(
    tx: Transaction, said: Mapping[str, telemetry_pb2.Presence], identity: Identity, now: float
) -> list[tuple[str, str]]:
    """Notes whether devices are connected, by the last word of each.

    Returns:
        Id and reason of each that is not a device of this fleet.
    """
    keys = [(device_id,) for device_id in said]
    devices, known = await tx.get_all(Device, keys), await tx.get_all(Presence, keys)
    fresh, refused = [], []
    for device_id, word in said.items():
        if (device_id,) not in devices:
            refused.append((device_id, "[telemetry] is not from a device of this fleet"))
            continue
        boot_id, version = word.boot_id[:_MOST_WORD], word.agent_version[:_MOST_WORD]
        before = known.get((device_id,))
        # A retained word comes again with each connection of ours.
        if before is None or (before.online, before.boot_id, before.agent_version) != (word.online, boot_id, version):
            fresh.append(Presence(device_id, word.online, boot_id, version, identity.value, now))
    await tx.put_all(fresh)
    return refused


Boot = tuple[str, str]
"""Device and boot id."""
Named = dict[Boot, list[tuple[Received, telemetry_pb2.Envelope]]]


async def _admitted(tx: Transaction, received: Sequence[Received], taken: Taken) -> Named:
    """Readable envelopes of active devices, by device and boot."""
    named: Named = {}
    devices = await tx.get_all(Device, [(item.device_id,) for item in received])
    for item in received:
        device = devices.get((item.device_id,))
        try:
            if device is None or device.standing != Standing.ACTIVE:
                raise InputError("[telemetry] is not from an active device of this fleet")
            envelope = open_envelope(item.content)
        except InputError as error:
            taken.refused.append((item.device_id, str(error)))
        else:
            named.setdefault((item.device_id, envelope.boot_id), []).append((item, envelope))
    return named


async def _count(
    tx: Transaction, named: Named, now: float, taken: Taken
) -> list[tuple[Received, telemetry_pb2.Envelope]]:
    """The new ones, of each boot in the order in which they were made."""
    new, changed = [], {}
    stored = await _load_progress(tx, named)
    for boot, items in named.items():
        progress, gap_since = before, _ = stored[boot]
        for item, envelope in sorted(items, key=lambda pair: pair[1].sequence):
            if progress.has(envelope.sequence):
                taken.repeated += 1
            else:
                progress = progress.counted(envelope.sequence)
                new.append((item, envelope))
        if progress != before:
            changed[boot] = (progress, gap_since if before.ahead and progress.through == before.through else now)
    taken.counted += len(new)
    await _save_progress(tx, changed, now)
    return new


async def _load_progress(tx: Transaction, boots: Iterable[Boot]) -> dict[Boot, tuple[Progress, float]]:
    """What was counted of boots, and since when there is a gap."""
    boots = list(boots)
    through = await tx.get_all(TelemetryProgress, boots)
    ahead = await tx.get_all(TelemetryAhead, boots)
    found = {}
    for boot in boots:
        gaps = ahead.get(boot)
        runs = tuple((first, last) for first, last in gaps.ranges) if gaps else ()
        sequence = through[boot].sequence if boot in through else 0
        found[boot] = Progress(sequence, runs), gaps.since if gaps else 0.0
    return found


async def _save_progress(tx: Transaction, changed: Mapping[Boot, tuple[Progress, float]], now: float) -> None:
    await tx.put_all(TelemetryProgress(*boot, progress.through, now) for boot, (progress, _) in changed.items())
    await tx.put_all(
        TelemetryAhead(*boot, [list(run) for run in progress.ahead], since)
        for boot, (progress, since) in changed.items()
        if progress.ahead
    )
    await tx.delete_all(TelemetryAhead, [boot for boot, (progress, _) in changed.items() if not progress.ahead])


async def _forget_names(tx: Transaction) -> None:
    """Keeps the last boots and versions of each device."""
    boots: dict[str, list[TelemetryProgress]] = defaultdict(list)
    for boot in await tx.find(TelemetryProgress):
        boots[boot.device_id].append(boot)
    for known in boots.values():
        old = [boot.key() for boot in sorted(known, key=lambda boot: boot.updated_at)[:-_MOST_BOOTS]]
        await tx.delete_all(TelemetryProgress, old)
        await tx.delete_all(TelemetryAhead, old)
    versions: dict[str, list[VersionMetrics]] = defaultdict(list)
    for total in await tx.find(VersionMetrics):
        versions[total.device_id].append(total)
    for totals in versions.values():
        totals.sort(key=lambda total: total.received_at)
        await tx.delete_all(VersionMetrics, [total.key() for total in totals[:-_MOST_VERSIONS]])


def _row(item: Received, envelope: telemetry_pb2.Envelope, now: float, taken: Taken) -> StoredRow | None:
    try:
        return row_of(item, envelope, now)
    except InputError as error:
        taken.refused.append((item.device_id, str(error)))
        return None


async def _add_totals(tx: Transaction, rows: Sequence[StoredRow]) -> None:
    counted = [row for row in rows if not isinstance(row, EventRow)]
    keys = [(row.slot, row.version, row.identity, row.device_id) for row in counted]
    totals = await tx.get_all(VersionMetrics, keys)
    for key, row in zip(keys, counted, strict=True):
        totals[key] = with_row(totals.get(key), row)
    await tx.put_all(totals.values())


async def _raise_alerts(tx: Transaction, events: Iterable[EventRow], now: float) -> None:
    """One alert for each kind of error of a version, however often a batch names it.

    Kind, slot and version are the device's own words, which must not fill the database: only kinds and versions that
    are known here have alerts of their own.
    """
    errors = [event for event in events if event.severity == Severity.ERROR]
    versions = await tx.get_all(Version, {(event.version,) for event in errors})
    alike: dict[tuple[str, str], list[EventRow]] = {}
    for event in errors:
        kind = event.kind if event.kind in _ALERTED else "other"
        version = event.version if kind != "other" and (event.version,) in versions else ""
        alike.setdefault((kind, version), []).append(event)
    for (kind, version), found in alike.items():
        last = found[-1]
        # The prefix keeps a device from speaking in the fleet's name.
        summary = f"{last.device_id}: {last.kind}: {last.message}"
        devices = tuple(sorted({event.device_id for event in found}))
        alert = Alert(f"device.{kind}", Severity.ERROR, summary, devices)
        await raise_alert(tx, now, alert, version, times=len(found))


async def _prune(tx: Transaction, kind: type[StoredRow], oldest: int) -> bool:
    """Deletes some rows of days before `oldest`; whether none is left."""
    old = [row for row in await tx.find(kind, limit=_PRUNED_AT_ONCE) if row.day < oldest]
    await tx.delete_all(kind, [row.key() for row in old])
    return len(old) < _PRUNED_AT_ONCE
