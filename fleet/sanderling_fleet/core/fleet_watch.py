"""The fleet's verdict in the database: a state for each version in a slot, what it judged, what it raised.

What a device adds to a fleet window is a document of its own, so that a message writes what it brings and not what all
devices have brought in the last windows: with 64 streams 65 kB of 200 devices and 285 kB of 2,000, in place of 16 and
157 MB. A step takes 0.1 and 0.5 ms there, judging a fleet window 20 and 280 ms.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sanderling.drift import Scope
from sanderling.errors import InputError
from sanderling_fleet import verdict
from sanderling_fleet.core.alerts import raise_alert, resolve_alert
from sanderling_fleet.core.labels import labels_of
from sanderling_fleet.core.parsed import REVISION, Parsed, new_revision
from sanderling_fleet.core.telemetry_rows import Identity, window_of
from sanderling_fleet.store import Device, Document, DriftRow, Transaction
from sanderling_fleet.verdict import FleetState, FleetWindow, Judgement, Policy
from sanderling_fleet.verdict_state import Entry

STATE_KIND, ENTRY_KIND, WINDOW_KIND = "verdict", "verdict_entry", "fleet_window"
WAITING, IDLE = "waiting", "idle"
_log = logging.getLogger(__name__)


class FleetWatch:
    """Feeds windows to the rules of `verdict` and keeps what comes out.

    Args:
        policy: For versions that are watched from now on.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or Policy()

    async def take(self, tx: Transaction, rows: Sequence[DriftRow], now: float) -> list[tuple[str, str]]:
        """Takes windows, each given once.

        Returns:
            Device and reason of each window that was refused: its numbers are impossible.
        """
        refused = []
        for key in dict.fromkeys((row.slot, row.version, row.identity) for row in rows):
            mine = [row for row in rows if (row.slot, row.version, row.identity) == key]
            document, former = await self._load(tx, *key)
            state = former
            labels = await _labels(tx, state, mine)
            for row in mine:
                try:
                    state, judged = verdict.observe(state, window_of(row), now, labels)
                except InputError as error:
                    refused.append((row.device_id, str(error)))
                else:
                    await _keep(tx, state, judged, now, key[2])
            await _save(tx, document, former, state, now)
            await self._forget(tx, dict.fromkeys(row.device_id for row in mine), key[0], document.document_id, now)
        return refused

    async def expire(self, tx: Transaction, now: float, revoked: Collection[str] = ()) -> int:
        """Judges the windows whose deadline has passed or that waited for revoked devices only; returns how many."""
        count = 0
        for document in await tx.find(Document, {"kind": STATE_KIND, "state": WAITING}):
            former = state = await _state_of(tx, document)
            gone = sorted(set(document.body["devices"]) & set(revoked))
            if not gone and (state.deadline_at is None or now < state.deadline_at):
                continue
            labels, results = await _labels(tx, state, ()), []
            for device_id in gone:
                state, judged = verdict.forget(state, device_id, now, labels)
                results.append(judged)
            state, judged = verdict.expire(state, now, labels)
            for item in (*results, judged):
                await _keep(tx, state, item, now, document.body["identity"])
                count += len(item.windows)
            await _save(tx, document, former, state, now)
        return count

    async def acknowledge(self, tx: Transaction, slot: str, version: str, now: float) -> None:
        """Someone has looked at what moved: evidence starts anew."""
        for identity in Identity:
            document, former = await self._load(tx, slot, version, identity)
            if document.version:
                state, judged = verdict.acknowledge(former)
                await _keep(tx, state, judged, now, identity)
                await _save(tx, document, former, state, now)

    async def _forget(self, tx: Transaction, devices: Collection[str], slot: str, but: str, now: float) -> None:
        """Waits no longer for devices in other versions of a slot: they run the one of the state `but`."""
        for document in await tx.find(Document, {"kind": STATE_KIND, "state": WAITING, "subject": slot}):
            gone = [device_id for device_id in devices if device_id in document.body["devices"]]
            if document.document_id == but or not gone:
                continue
            former = state = await _state_of(tx, document)
            labels = await _labels(tx, state, ())
            for device_id in gone:
                state, judged = verdict.forget(state, device_id, now, labels)
                await _keep(tx, state, judged, now, document.body["identity"])
            await _save(tx, document, former, state, now)

    async def _load(self, tx: Transaction, slot: str, version: str, identity: str) -> tuple[Document, FleetState]:
        name = f"{slot}/{version}/{identity}"
        stored = await tx.get(Document, STATE_KIND, name)
        if stored is not None:
            return stored, await _state_of(tx, stored)
        body = {"identity": identity}
        return Document(STATE_KIND, name, 0, "", slot, 0.0, 0.0, body), FleetState(slot, version, self._policy)


async def fleet_windows(tx: Transaction, slot: str, limit: int) -> list[dict[str, Any]]:
    """The windows that the fleet was judged by, newest first, of one slot, or of all where `slot` is empty.

    Each has the fields of `verdict.FleetWindow`, and slot, version and identity: who judges by windows of asserted
    identity trusts every device to be who it says.
    """
    where = {"kind": WINDOW_KIND, **({"subject": slot} if slot else {})}
    return [document.body for document in await tx.find(Document, where, newest_first=True, limit=limit)]


async def prune_windows(tx: Transaction, before: float, limit: int) -> bool:
    """Deletes at most `limit` windows that were judged before; whether none is left."""
    found = await tx.find(Document, {"kind": WINDOW_KIND}, limit=limit)
    old = [document for document in found if document.created_at < before]
    await tx.delete_all(Document, [document.key() for document in old])
    return len(old) < limit


async def _labels(tx: Transaction, state: FleetState, rows: Sequence[DriftRow]) -> Mapping[str, Mapping[str, str]]:
    wanted = state.members.keys() | {row.device_id for row in rows}
    found = await tx.get_all(Device, [(device_id,) for device_id in sorted(wanted)])
    return {device.device_id: labels_of(device) for device in found.values()}


_parsed: Parsed[FleetState] = Parsed(16)


async def _state_of(tx: Transaction, document: Document) -> FleetState:
    known = _parsed.of(document)
    if known is not None:
        return known
    entries = {}
    for stored in await tx.find(Document, {"kind": ENTRY_KIND, "subject": document.document_id}):
        entries[stored.body["window"], stored.body["device"]] = Entry.from_json(stored.body["entry"])
    return _parsed.keep(document, FleetState.from_json(document.body["state"], entries))


async def _save(tx: Transaction, document: Document, former: FleetState, state: FleetState, now: float) -> None:
    old, new = former.entries(state), state.entries(former)
    for window, device in old.keys() - new.keys():
        await tx.delete(Document, ENTRY_KIND, _entry_name(document, window, device))
    for (window, device), entry in new.items():
        if old.get((window, device)) is not entry:
            name = _entry_name(document, window, device)
            body = {"window": window, "device": device, "entry": entry.to_json()}
            await tx.put(Document(ENTRY_KIND, name, 1, "", document.document_id, now, now, body))
    waited_for = [device for device, member in state.members.items() if member.waited_for]
    body = {
        "state": state.to_json(),
        REVISION: new_revision(),
        "identity": document.body["identity"],
        "devices": waited_for,
    }
    saved = dataclasses.replace(
        document,
        version=document.version + 1,
        state=WAITING if waited_for or state.pending else IDLE,
        created_at=document.created_at or now,
        updated_at=now,
        body=body,
    )
    _parsed.keep(saved, state)
    await tx.put(saved)


def _entry_name(document: Document, window: int, device: str) -> str:
    return f"{document.document_id}/{window:012d}/{device}"


async def _keep(tx: Transaction, state: FleetState, judged: Judgement, now: float, identity: str) -> None:
    about = f"{state.slot}/{state.version}"
    for window in judged.windows:
        name = f"{round(now * 1e6):020d}/{about}/{identity}/{window.window:012d}"
        body = {"slot": state.slot, "version": state.version, "identity": identity, **_plain(window)}
        await tx.put(Document(WINDOW_KIND, name, 1, window.scope.value, state.slot, now, now, body))
        _log.info("fleet window %d of %s: %s, %d devices", window.window, about, window.scope, window.devices)
    for alert in (*judged.raised, *judged.updated):
        await raise_alert(tx, now, alert, _subject(about, alert.kind, alert.devices))
    for alert in judged.cleared:
        await resolve_alert(tx, now, alert.kind, _subject(about, alert.kind, alert.devices))


def _subject(about: str, kind: str, devices: Sequence[str]) -> str:
    # A sensor is a device's own; drift is the fleet's, whichever devices it has reached by now.
    return f"{about}/{devices[0]}" if kind == "sensor.fault" and devices else about


def _plain(window: FleetWindow) -> dict[str, Any]:
    body = dataclasses.asdict(window)
    # JSON has no infinity: None says that there was no evidence.
    evidence = window.log_evidence if math.isfinite(window.log_evidence) else None
    return {**body, "scope": Scope(window.scope).value, "log_evidence": evidence}
