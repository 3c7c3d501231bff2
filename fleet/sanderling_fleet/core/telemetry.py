"""Takes telemetry into the database: each row is counted once, in one transaction with all that follows from it.

A row is named by (device, boot id, sequence). Rows may come twice, out of order, and both over MQTT and in a check-in.
What a device is told as committed is the last number before the first gap: it keeps the rest. A gap that stays open is
given up in time, since its device has dropped those rows from a full outbox, or this server was restored from a backup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import InputError
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.core.alerts import raise_alert
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
    VersionMetrics,
)

_PRUNED_AT_ONCE = 500
_MOST_WORD = 256


@dataclass(frozen=True)
class TelemetryPolicy:
    """How telemetry is kept.

    Attributes:
        retention_days: Whole days for which rows and fleet windows are kept; totals by version stay.
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
            for items in named.values()
            for item, envelope in await _count(tx, items, now, taken)
            if (row := _row(item, envelope, now, taken)) is not None
        ]
        for row in rows:
            await tx.put(row)
        await _add_totals(tx, rows)
        for event in rows:
            if isinstance(event, EventRow) and event.severity == Severity.ERROR:
                await raise_alert(tx, now, _event_alert(event), f"{event.slot}/{event.version}")
        taken.refused += await self.watch.take(tx, [row for row in rows if isinstance(row, DriftRow)], now)
        return taken

    async def tend(self, tx: Transaction, now: float) -> int:
        """What time brings: overdue windows judged, revoked devices waited for no longer, old gaps and rows let go.

        Returns:
            How many rows were given up.
        """
        revoked = {device.device_id for device in await tx.find(Device, {"standing": Standing.REVOKED.value})}
        await self.watch.expire(tx, now, revoked)
        lost = 0
        for ahead in await tx.find(TelemetryAhead):
            if ahead.since <= now - self.policy.gap_seconds:
                before, _ = await _load_progress(tx, ahead.device_id, ahead.boot_id)
                lost += before.ahead[0][0] - 1 - before.through
                await _save_progress(tx, ahead.device_id, ahead.boot_id, before, before.without_gap(), now, now)
        oldest = int(now // DAY_SECONDS) - self.policy.retention_days
        if oldest > self._pruned_to:
            done = [await _prune(tx, kind, oldest) for kind in (MetricsRow, DriftRow, EventRow)]
            done.append(await prune_windows(tx, oldest * DAY_SECONDS, _PRUNED_AT_ONCE))
            self._pruned_to = oldest if all(done) else self._pruned_to
        return lost

    async def totals(self, tx: Transaction, slot: str, version: str) -> list[VersionMetrics]:
        """A version's totals on every device that reported; asserted ones only where the policy trusts them."""
        found = await tx.find(VersionMetrics, {"slot": slot, "version": version})
        return [item for item in found if self.trusts(item.identity)]

    async def readings(self, tx: Transaction, slot: str, version: str, since: float = 0.0) -> list[MetricsRow]:
        """A version's rows of metrics, oldest first; asserted ones only where the policy trusts them.

        Args:
            tx: The caller's.
            slot: Of the model.
            version: "NAME-VERSION".
            since: Only those received later, seconds since the epoch.
        """
        found = await tx.find(MetricsRow, {"slot": slot, "version": version})
        kept = [row for row in found if row.received_at > since and self.trusts(row.identity)]
        return sorted(kept, key=lambda row: (row.received_at, row.device_id, row.at, row.sequence))

    def trusts(self, identity: str) -> bool:
        """Whether rows and fleet windows of this identity alone may promote, roll back or retrain."""
        return identity == Identity.VERIFIED or self.policy.trust_asserted


async def set_presence(
    tx: Transaction, device_id: str, said: telemetry_pb2.Presence, identity: Identity, now: float
) -> None:
    """Notes whether a device is connected.

    Raises:
        InputError: It is not a device of this fleet.
    """
    if await tx.get(Device, device_id) is None:
        raise InputError("[telemetry] is not from a device of this fleet")
    known = await tx.get(Presence, device_id)
    boot_id, version = said.boot_id[:_MOST_WORD], said.agent_version[:_MOST_WORD]
    # A retained word comes again with each connection of ours.
    if known is None or (known.online, known.boot_id, known.agent_version) != (said.online, boot_id, version):
        await tx.put(Presence(device_id, said.online, boot_id, version, identity.value, now))


Named = dict[tuple[str, str], list[tuple[Received, telemetry_pb2.Envelope]]]


async def _admitted(tx: Transaction, received: Sequence[Received], taken: Taken) -> Named:
    """Readable envelopes of active devices, by device and boot."""
    named: Named = {}
    active: dict[str, bool] = {}
    for item in received:
        if item.device_id not in active:
            device = await tx.get(Device, item.device_id)
            active[item.device_id] = device is not None and device.standing == Standing.ACTIVE
        try:
            if not active[item.device_id]:
                raise InputError("[telemetry] is not from an active device of this fleet")
            envelope = open_envelope(item.content)
        except InputError as error:
            taken.refused.append((item.device_id, str(error)))
        else:
            named.setdefault((item.device_id, envelope.boot_id), []).append((item, envelope))
    return named


async def _count(
    tx: Transaction, items: list[tuple[Received, telemetry_pb2.Envelope]], now: float, taken: Taken
) -> list[tuple[Received, telemetry_pb2.Envelope]]:
    """The new ones of one boot, in the order in which they were made."""
    device_id, boot_id = items[0][0].device_id, items[0][1].boot_id
    before, gap_since = await _load_progress(tx, device_id, boot_id)
    progress = before
    new = []
    for item, envelope in sorted(items, key=lambda pair: pair[1].sequence):
        if progress.has(envelope.sequence):
            taken.repeated += 1
        else:
            progress = progress.counted(envelope.sequence)
            new.append((item, envelope))
    taken.counted += len(new)
    if new:
        since = gap_since if before.ahead and progress.through == before.through else now
        await _save_progress(tx, device_id, boot_id, before, progress, since, now)
    return new


async def _load_progress(tx: Transaction, device_id: str, boot_id: str) -> tuple[Progress, float]:
    """What was counted, and since when there is a gap."""
    through = await tx.get(TelemetryProgress, device_id, boot_id)
    ahead = await tx.get(TelemetryAhead, device_id, boot_id)
    runs = tuple((first, last) for first, last in ahead.ranges) if ahead else ()
    return Progress(through.sequence if through else 0, runs), ahead.since if ahead else 0.0


async def _save_progress(
    tx: Transaction, device_id: str, boot_id: str, before: Progress, progress: Progress, since: float, now: float
) -> None:
    await tx.put(TelemetryProgress(device_id, boot_id, progress.through, now))
    if progress.ahead:
        await tx.put(TelemetryAhead(device_id, boot_id, [list(run) for run in progress.ahead], since))
    elif before.ahead:
        await tx.delete(TelemetryAhead, device_id, boot_id)


def _row(item: Received, envelope: telemetry_pb2.Envelope, now: float, taken: Taken) -> StoredRow | None:
    try:
        return row_of(item, envelope, now)
    except InputError as error:
        taken.refused.append((item.device_id, str(error)))
        return None


async def _add_totals(tx: Transaction, rows: Sequence[StoredRow]) -> None:
    totals: dict[tuple[str, str, str, str], VersionMetrics] = {}
    for row in rows:
        if isinstance(row, EventRow):
            continue
        key = (row.slot, row.version, row.identity, row.device_id)
        known = totals[key] if key in totals else await tx.get(VersionMetrics, *key)
        totals[key] = with_row(known, row)
    for total in totals.values():
        await tx.put(total)


def _event_alert(event: EventRow) -> Alert:
    # The device chose the kind: the prefix keeps it from speaking in the fleet's name.
    summary = f"{event.device_id}: {event.kind}: {event.message}"
    return Alert(f"device.{event.kind}", Severity.ERROR, summary, (event.device_id,))


async def _prune(tx: Transaction, kind: type[StoredRow], oldest: int) -> bool:
    """Deletes some rows of days before `oldest`; whether none is left."""
    old = [row for row in await tx.find(kind, limit=_PRUNED_AT_ONCE) if row.day < oldest]
    for row in old:
        await tx.delete(kind, *row.key())
    return len(old) < _PRUNED_AT_ONCE
