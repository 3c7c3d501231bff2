"""What operators do with alerts, and the fleet's windows that some of them rest on."""

from __future__ import annotations

import dataclasses
from typing import Any

from sanderling.errors import InputError
from sanderling_fleet.core.alerts import ACKNOWLEDGED, KIND, RESOLVED, STANDING
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.fleet_watch import WINDOW_KIND, FleetWatch
from sanderling_fleet.store import Document, Transaction

_MOST_COMMENT = 500


async def list_alerts(core: Core, *, acknowledged: bool) -> list[Document]:
    """Alerts that hold, newest first; those that someone has looked at only where asked for."""
    states = (STANDING, ACKNOWLEDGED) if acknowledged else (STANDING,)
    async with core.store.transaction() as tx:
        found = [item for state in states for item in await tx.find(Document, {"kind": KIND, "state": state})]
    return sorted(found, key=lambda item: (-item.created_at, item.document_id))


async def acknowledge(core: Core, alert_id: str, by: str, comment: str) -> Document:
    """Notes that someone has looked. Drift is watched for anew from then on, so its alert ends with this.

    Repeats safely: the first to acknowledge stays.

    Raises:
        InputError: There is no such alert.
    """
    now = core.clock.now()
    async with core.store.transaction() as tx:
        alert = await _alert(tx, alert_id)
        if alert.body["acknowledged_at"]:
            return alert
        body = {**alert.body, "acknowledged_at": now, "acknowledged_by": by, "comment": comment[:_MOST_COMMENT]}
        state = alert.state if alert.state == RESOLVED else ACKNOWLEDGED
        alert = dataclasses.replace(alert, version=alert.version + 1, state=state, updated_at=now, body=body)
        await tx.put(alert)
        if alert.body["kind"].startswith("drift."):
            slot, _, version = alert.subject.removeprefix(alert.body["kind"] + "/").partition("/")
            await FleetWatch().acknowledge(tx, slot, version, now)
        return await _alert(tx, alert_id)


async def list_windows(core: Core, slot: str, before: str, limit: int) -> tuple[list[dict[str, Any]], str]:
    """One page of the fleet's windows, newest first, of one slot, or of all where `slot` is empty.

    Returns:
        The windows (see `fleet_watch.fleet_windows`), and where the next page starts, empty at the end.
    """
    where = {"kind": WINDOW_KIND, **({"subject": slot} if slot else {})}
    after = (WINDOW_KIND, before) if before else None
    async with core.store.transaction() as tx:
        found = await tx.find(Document, where, after=after, limit=limit + 1, newest_first=True)
    page = found[:limit]
    return [document.body for document in page], page[-1].document_id if len(found) > limit else ""


async def _alert(tx: Transaction, alert_id: str) -> Document:
    found = await tx.get(Document, KIND, alert_id)
    if found is None:
        raise InputError(f"[alert] there is no {alert_id!r}. List those there are: sanderling alert ls")
    return found
