"""The check-in: the truth between a device and the fleet. It repeats safely: everything in it is taken once."""

from __future__ import annotations

import dataclasses
import logging

from sanderling.errors import AuthError
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.core.alerts import raise_alert
from sanderling_fleet.core.clones import Seen, next_seen
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.desired import current
from sanderling_fleet.core.enrolment import check_protocol
from sanderling_fleet.core.messages import Answer, CheckIn
from sanderling_fleet.core.said import MOST_RESULTS, MOST_ROWS, check_said
from sanderling_fleet.core.telemetry_rows import Identity, Received
from sanderling_fleet.store import Device, Metadata, Result, Standing, TelemetryProgress, Transaction, Version

CONFLICT_ALERT, STALE_ALERT, AHEAD_ALERT, DROPPED_ALERT = (
    "device.conflict",
    "registry.stale",
    "fleet.restored",
    "telemetry.dropped",
)
_log = logging.getLogger(__name__)
_MOST_BOOTS = 8
"""Boots of which a device is told what was committed; it has forgotten older ones."""
_MOST_RESULTS_KEPT = 256
"""Of a device, the last. What it names them is its own words, which must not fill the database."""


async def check_in(core: Core, device_id: str, said: CheckIn) -> Answer:
    """Takes what a device says and answers what the fleet wants of it.

    Args:
        core: The fleet.
        device_id: As its certificate says (`enrolment.identify`).
        said: What it says.

    Raises:
        AuthError: The device is unknown or revoked.
        InputError: The boot id is empty, or something is larger than any agent makes it.
        UnsupportedError: The agent's protocol is too old or too new.
    """
    check_protocol(said.protocol_version)
    check_said(said)
    now = core.clock.now()
    async with core.store.transaction() as tx:
        device = await tx.get(Device, device_id)
        if device is None or device.standing == Standing.REVOKED:
            raise AuthError(f"[check-in] {device_id!r} is {'revoked' if device else 'not a device of this fleet'}")
        device = await _met(tx, device, said, now)
        if device.standing != Standing.ACTIVE:
            return Answer(_wait_seconds(core), approved=False)
        await _compare_registry(tx, device, said, now)
        await core.on_slots(tx, device)
        results = await _take_results(core, tx, device, said, now)
        through = await _take_telemetry(core, tx, device, said, now)
        state = await current(tx, device_id)
        timestamp = await tx.find(Metadata, {"role": "timestamp"}, newest_first=True, limit=1)
    return Answer(
        _wait_seconds(core),
        approved=True,
        desired_state=state if state and state.counter > said.desired_counter else None,
        timestamp_version=timestamp[0].version if timestamp else 0,
        committed_results=results,
        committed_through=through,
        addresses=core.settings.addresses,
    )


async def _met(tx: Transaction, device: Device, said: CheckIn, now: float) -> Device:
    seen = next_seen(Seen(device.boot_id, device.former_boot_ids, device.sequence), said.boot_id, said.sequence)
    if device.standing == Standing.CONFLICT:
        # Which of the two machines speaks is not known: what it says of itself is not believed.
        met = dataclasses.replace(device, last_seen_at=now)
    elif isinstance(seen, str):
        met = dataclasses.replace(device, standing=Standing.CONFLICT, reason=seen, last_seen_at=now)
        summary = f"{device.device_id}: {seen}. It is given nothing until it is approved again"
        await raise_alert(
            tx, now, Alert(CONFLICT_ALERT, Severity.ERROR, summary, (device.device_id,)), device.device_id
        )
    else:
        met = dataclasses.replace(
            device,
            last_seen_at=now,
            boot_id=seen.boot_id,
            former_boot_ids=list(seen.former_boot_ids),
            sequence=seen.sequence,
            facts=dict(said.facts),
            slots=[dict(slot) for slot in said.slots],
            reported_counter=said.desired_counter,
        )
    await tx.put(met)
    return met


async def _compare_registry(tx: Transaction, device: Device, said: CheckIn, now: float) -> None:
    """Tells operators what a device has and this server lacks: it was restored from a backup."""
    for slot in said.slots:
        version = slot["active_version"]
        if version and await tx.get(Version, version) is None:
            summary = (
                f"{version} runs on devices, and this server lacks the release metadata that names it. Push that file "
                "again: sanderling model push"
            )
            await raise_alert(tx, now, Alert(STALE_ALERT, Severity.ERROR, summary, (device.device_id,)), version)
    state = await current(tx, device.device_id)
    if said.desired_counter > (state.counter if state else 0):
        summary = (
            "devices hold newer desired states than this server has handed out: it was restored from a backup. They "
            "keep what they run until something new is wanted of them"
        )
        await raise_alert(tx, now, Alert(AHEAD_ALERT, Severity.WARNING, summary, (device.device_id,)))


async def _take_results(
    core: Core, tx: Transaction, device: Device, said: CheckIn, now: float
) -> tuple[tuple[str, int], ...]:
    results, fresh = said.results[:MOST_RESULTS], False
    for result in results:
        row = Result(device.device_id, result.assignment_id, result.attempt, now, result.content)
        if await tx.add(row):
            fresh = True
            await core.on_result(tx, device, result)
    if fresh:
        # One that was forgotten and comes again changes nothing: its rollout has had it.
        kept = sorted(await tx.find(Result, {"device_id": device.device_id}), key=lambda item: item.received_at)
        await tx.delete_all(Result, [item.key() for item in kept[:-_MOST_RESULTS_KEPT]])
    return tuple((result.assignment_id, result.attempt) for result in results)


async def _take_telemetry(core: Core, tx: Transaction, device: Device, said: CheckIn, now: float) -> dict[str, int]:
    if said.telemetry:
        received = [Received(device.device_id, row.content, Identity.VERIFIED) for row in said.telemetry[:MOST_ROWS]]
        taken = await core.telemetry.take(tx, received, now)
        for _, reason in taken.refused[:1]:
            _log.warning("refused %d rows of telemetry of %s: %s", len(taken.refused), device.device_id, reason)
    if said.telemetry_dropped:
        summary = f"{device.device_id} dropped {said.telemetry_dropped:,} rows of telemetry: its outbox was full"
        await raise_alert(
            tx, now, Alert(DROPPED_ALERT, Severity.WARNING, summary, (device.device_id,)), device.device_id
        )
    progress = await tx.find(TelemetryProgress, {"device_id": device.device_id})
    newest = sorted(progress, key=lambda item: item.updated_at)[-_MOST_BOOTS:]
    return {item.boot_id: item.sequence for item in newest}


def _wait_seconds(core: Core) -> float:
    spread = int.from_bytes(core.entropy(4)) / (1 << 32) * 2 - 1
    return core.settings.check_in_seconds * (1 + core.settings.check_in_jitter * spread)
