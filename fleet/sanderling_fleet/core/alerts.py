"""Alerts as documents: one stands for one subject until it is resolved, however often it is raised."""

from __future__ import annotations

import dataclasses

from sanderling_fleet.alerts import Alert
from sanderling_fleet.store import Document, Transaction

KIND = "alert"
STANDING, ACKNOWLEDGED, RESOLVED = "standing", "acknowledged", "resolved"


async def raise_alert(tx: Transaction, now: float, alert: Alert, subject: str = "", *, times: int = 1) -> None:
    """Raises an alert, or counts more on the one that stands, with its devices.

    Args:
        tx: The caller's.
        now: Seconds since the epoch.
        alert: What to say.
        subject: What it is about, beside its kind; the same subject is not told twice.
        times: How often it has happened.
    """
    name = f"{alert.kind}/{subject}" if subject else alert.kind
    known = await tx.find(Document, {"kind": KIND, "subject": name})
    open_ = next((document for document in known if document.state != RESOLVED), None)
    if open_ is None:
        body = {
            "kind": alert.kind,
            "severity": alert.severity.value,
            "summary": alert.summary,
            "devices": sorted(alert.devices),
            "repeats": times - 1,
            "acknowledged_at": 0.0,
            "acknowledged_by": "",
        }
        last = max((int(document.document_id.rpartition("-")[2]) for document in known), default=0)
        await tx.put(Document(KIND, f"{name}-{last + 1}", 1, STANDING, name, now, now, body))
        return
    body = {
        **open_.body,
        "summary": alert.summary,
        "devices": sorted({*open_.body["devices"], *alert.devices}),
        "repeats": open_.body["repeats"] + times,
    }
    await tx.put(dataclasses.replace(open_, version=open_.version + 1, updated_at=now, body=body))


async def resolve_alert(tx: Transaction, now: float, kind: str, subject: str = "") -> None:
    """Ends the alert that stands for this subject, if one does."""
    name = f"{kind}/{subject}" if subject else kind
    for document in await tx.find(Document, {"kind": KIND, "subject": name}):
        if document.state != RESOLVED:
            await tx.put(dataclasses.replace(document, version=document.version + 1, updated_at=now, state=RESOLVED))


async def prune_alerts(tx: Transaction, before: float, limit: int) -> bool:
    """Deletes at most `limit` resolved alerts that were last changed before; whether none is left."""
    where = {"kind": KIND, "state": RESOLVED}
    old = await tx.find(Document, where, below={"updated_at": before}, limit=limit)
    await tx.delete_all(Document, [document.key() for document in old])
    return len(old) < limit
