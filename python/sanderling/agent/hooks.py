"""Points at which a test can end the process, as a power cut would, or stop it while the test ends another one.

SANDERLING_KILL_AT=NAME:before or NAME:after ends the process by SIGKILL when it comes there; NAME is a phase of a slot
("fetch", ..., "report") or an event without one ("checkedin"), and the place is before or after the state is stored.
SANDERLING_STOP_AT sends SIGSTOP instead, once.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "SANDERLING_KILL_AT"
STOP_VARIABLE = "SANDERLING_STOP_AT"


def reached(name: str, place: str) -> None:
    """Ends or stops the process if the environment says so."""
    point = f"{name}:{place}"
    if os.environ.get(VARIABLE) == point:
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get(STOP_VARIABLE) == point:
        del os.environ[STOP_VARIABLE]
        os.kill(os.getpid(), signal.SIGSTOP)
