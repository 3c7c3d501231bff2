"""Slows those down who guess tokens. Pure: it is told the time and says how long to wait."""

from __future__ import annotations

from collections import OrderedDict

from sanderling_fleet.services.interceptor import Context

FREE_FAILURES = 3
MOST_SECONDS = 8.0
_FORGET_SECONDS = 300.0
_MOST_PEERS = 4096


def peer_of(context: Context) -> str:
    """The address of a caller without its port."""
    return context.peer().rpartition(":")[0]


class Throttle:
    """Counts failures by peer; forgets the oldest peers rather than grow."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_seconds(self, peer: str, now: float) -> float:
        """How long this peer's next attempt is to be held back: nothing at first, then doubling up to 8 s."""
        count, last = self._failures.get(peer, (0, now))
        if now - last > _FORGET_SECONDS:
            del self._failures[peer]
            return 0.0
        return 0.0 if count < FREE_FAILURES else min(MOST_SECONDS, 0.25 * 2.0 ** min(count - FREE_FAILURES, 10))

    def failed(self, peer: str, now: float) -> None:
        """Notes a failed attempt."""
        count = self._failures.pop(peer, (0, now))[0]
        self._failures[peer] = (count + 1, now)
        if len(self._failures) > _MOST_PEERS:
            self._failures.popitem(last=False)

    def succeeded(self, peer: str) -> None:
        """Forgets a peer's failures."""
        self._failures.pop(peer, None)
