"""What a check-in, and an enrolment, may say. Pure.

An enrolled device may be in the wrong hands. What it says is stored, and read whenever the fleet is looked through, so
it is small; and its numbers fit into the database, beside one more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanderling.errors import InputError
from sanderling_fleet.core.messages import CheckIn

MOST_RESULTS, MOST_ROWS = 100, 2000
"""Results and rows of telemetry that are taken of one check-in; the device sends the others again in its next."""
_MOST_SLOTS, _MOST_ISAS, _MOST_TEXT, _MOST_RESULT_BYTES, _DIGEST_DIGITS = 64, 64, 256, 64 << 10, 64
_MOST_SEQUENCE = 1 << 63
_MOST_COUNTER = 1 << 62
"""Counters are seconds since the epoch, or one more than the last: half of what is stored is never reached."""


def check_said(said: CheckIn) -> None:
    """Checks what a device says of itself.

    Raises:
        InputError: The boot id is empty, or something is larger than any agent makes it.
    """
    if not said.boot_id:
        raise InputError("[check-in] the boot id is empty, expected that of the running kernel")
    _at_most("characters of a boot id", len(said.boot_id), _MOST_TEXT)
    _at_most("as sequence", said.sequence, _MOST_SEQUENCE - 1)
    _at_most("as counter of the desired state", said.desired_counter, _MOST_COUNTER - 1)
    _at_most("slots", len(said.slots), _MOST_SLOTS)
    for slot in said.slots:
        _at_most("digits of a manifest's digest", len(slot["manifest_digest"]), _DIGEST_DIGITS)
        for name in ("slot", "active_version", "assignment_id"):
            _at_most(f"characters of {name}", len(slot[name]), _MOST_TEXT)
    if len({slot["slot"] for slot in said.slots}) < len(said.slots):
        raise InputError("[check-in] names a slot twice, expected each once")
    check_facts(said.facts, "check-in")
    for result in said.results:
        _at_most("characters of an assignment", len(result.assignment_id), _MOST_TEXT)
        _at_most("bytes of a result", len(result.content), _MOST_RESULT_BYTES)


def check_facts(facts: Mapping[str, Any], place: str) -> None:
    """Checks what a device says of its machine.

    Args:
        facts: As they are stored.
        place: Where it says so, for the error.

    Raises:
        InputError: Something is larger than any agent makes it.
    """
    _at_most("instruction sets", len(facts["isas"]), _MOST_ISAS, place)
    texts = [*facts["isas"], *(value for value in facts.values() if isinstance(value, str))]
    _at_most("characters of a fact", max(map(len, texts), default=0), _MOST_TEXT, place)


def _at_most(what: str, found: int, most: int, place: str = "check-in") -> None:
    if found > most:
        raise InputError(f"[{place}] {found:,} {what}, at most {most:,} are taken")
