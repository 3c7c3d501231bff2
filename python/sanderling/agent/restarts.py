"""When a process that has ended is started again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import inf

from sanderling.errors import SanderlingError

_SOON_S, _FIRST_PAUSE_S, _MOST_PAUSE_S = 1.0, 0.1, 5.0
_log = logging.getLogger("sanderling.agent")


class Restarts:
    """At once; but one that ends soon after its start, because it cannot listen or lacks memory, later each time.

    Args:
        name: As the log calls it.
        ensure: Starts it if it does not run; whether it did.
    """

    def __init__(self, name: str, ensure: Callable[[], bool]) -> None:
        self._name, self._ensure = name, ensure
        self._started, self._seen, self._pause = -inf, 0.0, 0.0

    def pause_s(self) -> float:
        """Until it is due, seconds; 0 if it is."""
        return max(self._started + self._pause - time.monotonic(), 0.0)

    def look(self) -> None:
        """Starts it if it is due; to be called once a second and at each end."""
        if self.pause_s():
            return
        now = time.monotonic()
        try:
            if not self._ensure():
                self._seen = now
                return
        except (OSError, SanderlingError) as error:  # one is not recorded on a full disk
            _log.error("the %s cannot be started: %s", self._name, error)
        else:
            _log.warning("the %s was gone and was started again", self._name)
        soon = self._seen - self._started < _SOON_S
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE_S), _MOST_PAUSE_S) if soon else 0.0
        self._started = now
