"""The audit log: append only, each line sealed by the one before it."""

from __future__ import annotations

import hashlib
import json

from sanderling.errors import IntegrityError
from sanderling_fleet.core.context import Core
from sanderling_fleet.store import AuditLine, Transaction

_PAGE = 1000


async def append(tx: Transaction, now: float, actor: str, action: str, subject: str, outcome: str, detail: str) -> None:
    """Adds a line.

    Args:
        tx: The caller's.
        now: Seconds since the epoch.
        actor: Name of the operator's token, or a device's id.
        action: "device.approve".
        subject: What it was done to.
        outcome: "ok" or the name of the error.
        detail: One line for a person.
    """
    last = next(iter(await tx.find(AuditLine, newest_first=True, limit=1)), None)
    sequence, former = (last.sequence + 1, last.digest) if last else (1, "")
    line = AuditLine(sequence, now, actor, action, subject, outcome, detail, former, "")
    await tx.put(AuditLine(sequence, now, actor, action, subject, outcome, detail, former, _digest(line)))


async def lines(core: Core, after_sequence: int, limit: int) -> list[AuditLine]:
    """Lines after a sequence number, oldest first."""
    async with core.store.transaction() as tx:
        return await tx.find(AuditLine, after=(after_sequence,), limit=limit)


async def verify(core: Core) -> int:
    """Checks the whole chain.

    Returns:
        How many lines there are.

    Raises:
        IntegrityError: A line was changed or is missing.
    """
    former, sequence = "", 0
    while page := await lines(core, sequence, _PAGE):
        for line in page:
            if line.sequence != sequence + 1 or line.former_digest != former or line.digest != _digest(line):
                raise IntegrityError(
                    f"[audit] line {line.sequence} does not follow from line {sequence}: it was changed, or lines "
                    "between them were taken out. Compare with a backup"
                )
            former, sequence = line.digest, line.sequence
    return sequence


def _digest(line: AuditLine) -> str:
    fields = [
        line.sequence,
        line.at,
        line.actor,
        line.action,
        line.subject,
        line.outcome,
        line.detail,
        line.former_digest,
    ]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()
