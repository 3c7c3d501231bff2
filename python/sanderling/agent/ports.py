"""What the driver runs the rules over: a clock, a store, and something that performs actions.

Each has a real form and one for virtual time (`fakes`). A `Performer` answers with events and when they happen; a
real one answers later, by `Driver.post`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from sanderling.agent.actions import Action, Emit
from sanderling.agent.events import Event
from sanderling.agent.outbox import Row
from sanderling.agent.state import AgentState
from sanderling.api.device.v1 import device_pb2

Later = tuple[float, Event]
"""Seconds since the epoch, and what happens then."""


class Clock(Protocol):
    """Time as the driver sees it."""

    def now(self) -> float:
        """Seconds since the epoch; never goes back."""
        ...

    def wait_until(self, due: float) -> None:
        """Returns at `due`, or earlier when something was posted."""
        ...

    def interrupt(self) -> None:
        """Ends `wait_until`; from any thread."""
        ...


class Store(Protocol):
    """Where the state survives."""

    def load(self) -> AgentState | None:
        """What was saved last, None at the first start."""
        ...

    def save(self, state: AgentState, rows: Sequence[Emit], now: float) -> None:
        """Stores state and outbox rows in one transaction: after it returns, a power cut loses neither.

        Raises:
            NoSpaceError: The disk is full; nothing was stored.
        """
        ...


class Outgoing(Protocol):
    """Telemetry that waits in a store."""

    def pending(self, after: int, most_rows: int, most_bytes: int = ...) -> list[Row]:
        """The oldest rows after a number."""
        ...

    def dropped(self) -> int:
        """Rows dropped that the fleet does not know of."""
        ...

    def confirm_dropped(self, count: int) -> None:
        """The fleet knows of `count` of them."""
        ...


class Fleet(Protocol):
    """The fleet's device listener; each call raises a SanderlingError when it fails."""

    def check_in(self, request: device_pb2.CheckInRequest) -> device_pb2.CheckInResponse:
        """Asks the fleet."""
        ...

    def renew(self, csr: bytes) -> bytes:
        """A new certificate chain, PEM."""
        ...


Performer = Callable[[Action], Iterable[Later]]
"""Performs an action other than Wake and Emit. Must not raise: what goes wrong is an event."""


class WallClock:
    """Real time: the wall clock at the start, then monotonic, so that a clock that is set does not fire every deadline.

    Args:
        floor: Seconds since the epoch that have certainly passed: a machine without a battery may start in 1970.
    """

    def __init__(self, floor: float = 0.0) -> None:
        self._start = max(time.time(), floor)
        self._origin = time.monotonic()
        self._changed = threading.Event()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._start + time.monotonic() - self._origin

    def wait_until(self, due: float) -> None:
        """Sleeps until `due` or `interrupt`."""
        wait = due - self.now()
        if wait > 0:
            self._changed.wait(min(wait, threading.TIMEOUT_MAX))
        self._changed.clear()

    def interrupt(self) -> None:
        """Ends `wait_until`."""
        self._changed.set()
