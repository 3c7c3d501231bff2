"""Two machines with one identity, found by what a check-in says of itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MOST_FORMER = 64
"""Boots remembered; a clone that stayed silent through more restarts of the other goes unseen until its next one."""


@dataclass(frozen=True)
class Seen:
    """The last check-in.

    Attributes:
        boot_id: Of the running kernel; empty before the first check-in.
        former_boot_ids: Those before, newest last.
        sequence: Counts check-ins of the device.
    """

    boot_id: str
    former_boot_ids: Sequence[str]
    sequence: int


def next_seen(last: Seen, boot_id: str, sequence: int) -> Seen | str:
    """Judges a check-in after the last one.

    A machine never returns to a boot that it left, and never counts back; the same sequence again is a repeat of a
    request whose answer was lost.

    Returns:
        What was seen now, or the reason why this cannot be the machine that checked in before.
    """
    if boot_id in last.former_boot_ids:
        return f"boot {boot_id} is back after boot {last.boot_id}: two machines take turns with one identity"
    if sequence < last.sequence:
        return f"check-in {sequence} came after check-in {last.sequence}: the machine was cloned or restored"
    former = list(last.former_boot_ids)
    if last.boot_id and last.boot_id != boot_id:
        former = [*former, last.boot_id][-_MOST_FORMER:]
    return Seen(boot_id, former, sequence)
