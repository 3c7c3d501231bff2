"""Ports for virtual time: the simulator runs whole fleets with them, on the agent's own rules and driver."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sanderling.agent.actions import Action, Emit
from sanderling.agent.codec import from_plain, to_plain
from sanderling.agent.outbox import Row
from sanderling.agent.ports import Later
from sanderling.agent.state import AgentState
from sanderling.agent.telemetry import envelope, topic_end
from sanderling.api.telemetry.v1 import telemetry_pb2

A = TypeVar("A")


class VirtualClock:
    """Time that passes only when it is waited for."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def wait_until(self, due: float) -> None:
        """It is `due` at once.

        Raises:
            RuntimeError: `due` is infinite: nothing would ever happen again.
        """
        if due == float("inf"):
            raise RuntimeError("[virtual clock] nothing is due: the device would wait for ever")
        self._now = max(self._now, due)

    def interrupt(self) -> None:
        """Nobody waits."""


class MemoryStore:
    """State and outbox in memory. What is not saved is lost with the driver, as with the real one.

    Attributes:
        state: As saved last.
        outbox: Rows that wait, the oldest first.
        last: By boot, the sequence of its last row.
        written: Rows ever; the number of the last one.
    """

    def __init__(self) -> None:
        self.state: AgentState | None = None
        self.outbox: list[telemetry_pb2.Envelope] = []
        self.last: dict[str, int] = {}
        self.written = 0

    def load(self) -> AgentState | None:
        """What was saved last, read back from text as by the real one."""
        if self.state is None:
            return None
        return from_plain(AgentState, json.loads(json.dumps(to_plain(self.state))))

    def save(self, state: AgentState, rows: Sequence[Emit], now: float) -> None:
        """Keeps both."""
        self.state = state
        for row in rows:
            self.last[state.boot_id] = sequence = self.last.get(state.boot_id, 0) + 1
            self.written += 1
            self.outbox.append(envelope(row, state.boot_id, sequence, now))

    def forget(self, boot_id: str, sequence: int) -> None:
        """Deletes rows that the fleet has stored."""
        if self.outbox:
            self.outbox = [m for m in self.outbox if m.boot_id != boot_id or m.sequence > sequence]

    def pending(self, after: int, most_rows: int, most_bytes: int = 1 << 62) -> list[Row]:
        """The oldest rows after a number, in order; at least one if there is one."""
        rows: list[Row] = []
        size = 0
        # Rows go from the front. Where a former boot leaves one behind, its number grows: sent twice, not lost.
        for number, message in enumerate(self.outbox, self.written - len(self.outbox) + 1):
            if number <= after:
                continue
            payload = message.SerializeToString()
            size += len(payload)
            if len(rows) == most_rows or (rows and size > most_bytes):
                break
            rows.append(Row(number, message.boot_id, message.sequence, topic_end(message), payload))
        return rows

    def dropped(self) -> int:
        """None: it has no caps."""
        return 0

    def confirm_dropped(self, count: int) -> None:
        """Nothing was dropped."""


class ScriptedPerformer:
    """A `Performer` made of one function per action class; what has none is done without an answer.

    Attributes:
        performed: Every action, in order.
    """

    def __init__(self) -> None:
        self.performed: list[Action] = []
        self._functions: dict[type, Callable[[Action], Iterable[Later]]] = {}

    def on(self, kind: type[A], function: Callable[[A], Iterable[Later]]) -> None:
        """From now on `function` answers actions of this class."""
        self._functions[kind] = function  # type: ignore[assignment]

    def __call__(self, action: Action) -> Iterable[Later]:
        """Notes the action and answers by its function."""
        self.performed.append(action)
        function = self._functions.get(type(action))
        return function(action) if function else ()
