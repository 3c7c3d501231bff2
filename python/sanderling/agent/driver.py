"""Runs the rules: takes what is due from a heap, stores the new state, and only then acts.

The same for real and virtual time.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
from collections.abc import Callable
from math import inf

from sanderling.agent import hooks
from sanderling.agent.actions import Action, Emit, Wake
from sanderling.agent.blobs import NoSpaceError
from sanderling.agent.events import Attached, Event, Observed, ObserveDue, Started
from sanderling.agent.ports import Clock, Performer, Store
from sanderling.agent.rules import step
from sanderling.agent.state import AgentState, Settings

Key = tuple[str, str]
_log = logging.getLogger("sanderling.agent")
STORE_RETRY_S = 5.0


class Driver:
    """One device.

    Args:
        device_id: As enrolled.
        boot_id: Of the running kernel.
        clock: Real or virtual.
        store: Where the state survives.
        perform: Does what the rules ask.
        settings: Numbers of the rules.

    Raises:
        IntegrityError: The stored state cannot be read.
    """

    def __init__(
        self,
        device_id: str,
        boot_id: str,
        clock: Clock,
        store: Store,
        perform: Performer,
        settings: Settings | None = None,
    ) -> None:
        self.state = store.load() or AgentState(device_id)
        self.settings = settings or Settings()
        self._clock, self._store, self._perform = clock, store, perform
        self._heap: list[tuple[float, int, Key | None, Event]] = []
        self._wakes: dict[Key, int] = {}
        self._posted: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._push(clock.now(), Started(boot_id))

    def post(self, event: Event) -> None:
        """Delivers an event at once; from any thread."""
        self._posted.put(event)
        self._clock.interrupt()

    @property
    def backlog(self) -> int:
        """Events that were posted and wait."""
        return self._posted.qsize()

    def next_due(self) -> float:
        """When the next event is due, seconds since the epoch; infinity for never."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def run_due(self) -> None:
        """Handles everything that was posted or is due now."""
        for _ in range(self._posted.qsize()):  # what is posted meanwhile must not keep what is due waiting
            self.handle(self._posted.get_nowait())
        while self.next_due() <= self._clock.now():
            self.handle(heapq.heappop(self._heap)[3])

    def run(self, until: float = inf, stop: Callable[[], bool] = lambda: False) -> None:
        """Runs until a time or until `stop`, which is asked after each wait."""
        while not stop() and self._clock.now() <= until:
            self.run_due()
            if self.next_due() > until and until < inf:
                self._clock.wait_until(until)
                self.run_due()
                return
            if self._posted.empty() and not stop():
                self._clock.wait_until(self.next_due())

    def handle(self, event: Event) -> None:
        """One step: rules, store, act."""
        before = self.state
        state, actions = step(before, event, self._clock.now(), self.settings)
        rows = [action for action in actions if isinstance(action, Emit)]
        if state != before or rows:
            name = _name(before, state, event)
            hooks.reached(name, "before")
            try:
                self._store.save(state, rows, self._clock.now())
            except NoSpaceError as error:
                _log.error("%s", error)
                self._put_off(event)
                return
            hooks.reached(name, "after")
        self.state = state
        for action in actions:
            self._act(action)

    def _put_off(self, event: Event) -> None:
        """The disk is full: what cannot be stored has not happened yet. What runs goes on running."""
        # A runner tells it again; what applications saw would fill the memory in the disk's stead.
        if not isinstance(event, Observed | Attached):
            self._push(self._clock.now() + STORE_RETRY_S, event)

    def _act(self, action: Action) -> None:
        if isinstance(action, Wake):
            key = (type(action.event).__name__, getattr(action.event, "slot", ""))
            self._wakes[key] = self._push(action.at, action.event, key)
        elif not isinstance(action, Emit):
            for due, event in self._perform(action):
                self._push(due, event)

    def _push(self, due: float, event: Event, key: Key | None = None) -> int:
        number = next(self._numbers)
        heapq.heappush(self._heap, (due, number, key, event))
        return number

    def _is_stale(self, entry: tuple[float, int, Key | None, Event]) -> bool:
        return entry[2] is not None and self._wakes.get(entry[2]) != entry[1]


def _name(before: AgentState, after: AgentState, event: Event) -> str:
    """Of a point for `hooks`: the phase that is entered, else the event."""
    for name, slot in after.slots.items():
        if name not in before.slots or before.slots[name].phase is not slot.phase:
            return slot.phase.value
    return "observed" if isinstance(event, Observed | ObserveDue) else type(event).__name__.lower()
