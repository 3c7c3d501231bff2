"""Points at which a test can end the server: what a power cut would do, before or after a commit.

SANDERLING_FLEET_KILL_AT=NUMBER:before or NUMBER:after ends the process by SIGKILL at the commit of that number, counted
from 1 at its start.
"""

from __future__ import annotations

import itertools
import os
import signal

VARIABLE = "SANDERLING_FLEET_KILL_AT"
_numbers = itertools.count(1)


def next_commit() -> int:
    """The number of a commit that is about to happen."""
    return next(_numbers)


def reached(number: int, place: str) -> None:
    """Ends the process if the environment says so."""
    if os.environ.get(VARIABLE) == f"{number}:{place}":
        os.kill(os.getpid(), signal.SIGKILL)
