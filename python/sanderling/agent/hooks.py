"""Points at which a test can end the process: what a power cut would do, at a chosen place.

SANDERLING_KILL_AT=NAME:before or NAME:after ends the process by SIGKILL when it comes there; NAME is a phase of a slot
("fetch", ..., "report") or an event without one ("checkedin"), and the place is before or after the state is stored.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "SANDERLING_KILL_AT"


def reached(name: str, place: str) -> None:
    """Ends the process if the environment says so."""
    if os.environ.get(VARIABLE) == f"{name}:{place}":
        os.kill(os.getpid(), signal.SIGKILL)
