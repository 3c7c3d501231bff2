"""The working copy of a rollout within one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sanderling.errors import InternalError
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.rollout_events import Action, Device, Note, RaiseAlert
from sanderling_fleet.rollout_state import (
    ASSIGNMENT_TRANSITIONS,
    ROLLOUT_TRANSITIONS,
    STAGE_TRANSITIONS,
    Assignment,
    AssignmentState,
    Rollout,
    RolloutState,
    StageState,
)


@dataclass
class Draft:
    """A rollout that is being changed; nothing moves outside the tables of transitions."""

    rollout: Rollout
    now: float
    fleet: Mapping[str, Device]
    actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = self.rollout
        self.spec = self.rollout.spec
        self.assignments = {item.device: item for item in self.rollout.assignments}

    def finish(self) -> tuple[Rollout, tuple[Action, ...]]:
        """Returns what it has become, the same object if nothing changed, and the actions."""
        after = replace(self.rollout, assignments=tuple(self.assignments.values()))
        if after == self.before:
            return self.before, tuple(self.actions)
        return replace(after, version=after.version + 1), tuple(self.actions)

    def enter(self, state: RolloutState, reason: str) -> None:
        """Changes the rollout's state."""
        if (self.rollout.state, state) not in ROLLOUT_TRANSITIONS:
            raise InternalError(f"[rollout] {self.rollout.state} to {state} is not in the table. Report this")
        ended = self.now if replace(self.rollout, state=state).terminal else 0.0
        self.rollout = replace(self.rollout, state=state, reason=reason, state_at=self.now, ended_at=ended)
        self.note(f"{state}: {reason}")

    def set_stage(self, index: int, state: StageState, **changes: Any) -> None:
        """Changes a stage's state, and whatever else of it."""
        old = self.rollout.stages[index]
        if (old.state, state) not in STAGE_TRANSITIONS:
            raise InternalError(f"[rollout] stage {old.state} to {state} is not in the table. Report this")
        self.change_stage(index, state=state, **changes)
        self.note(f"stage {self.spec.stages[index].name}: {state}")

    def change_stage(self, index: int, **changes: Any) -> None:
        """Changes a stage, its state aside."""
        stages = list(self.rollout.stages)
        stages[index] = replace(stages[index], **changes)
        self.rollout = replace(self.rollout, stages=tuple(stages))

    def assign(self, item: Assignment, state: AssignmentState, **changes: Any) -> Assignment:
        """Changes an assignment's state, and whatever else of it."""
        if (item.state, state) not in ASSIGNMENT_TRANSITIONS:
            raise InternalError(f"[rollout] assignment {item.state} to {state} is not in the table. Report this")
        new = replace(item, state=state, **changes)
        self.assignments[item.device] = replace(new, ended_at=self.now if new.ended else 0.0)
        return self.assignments[item.device]

    def note(self, text: str) -> None:
        """Writes into the audit log."""
        self.actions.append(Note(f"rollout {self.rollout.rollout_id}: {text}"))

    def alert(self, kind: str, severity: Severity, text: str, devices: tuple[str, ...] = ()) -> None:
        """Tells an operator."""
        summary = f"{self.spec.version} on {self.spec.slot}, rollout {self.rollout.rollout_id}: {text}"
        self.actions.append(RaiseAlert(Alert(kind, severity, summary, tuple(sorted(devices)))))

    @property
    def index(self) -> int:
        """Of the current stage."""
        return self.rollout.current

    @property
    def is_last(self) -> bool:
        """Whether the current stage is the last one."""
        return self.index == len(self.spec.stages) - 1

    def members(self, index: int) -> list[Assignment]:
        """The devices that a stage is judged by; one that adds none is judged by those before it."""
        mine = [item for item in self.assignments.values() if item.stage == index and not item.superseded_by]
        return mine or [item for item in self.assignments.values() if not item.superseded_by]
