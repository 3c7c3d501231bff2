"""Which rows of a boot are in the database: everything up to one number, and runs beyond gaps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MOST_RUNS = 1000
"""A device that leaves more gaps than this has its lowest one passed over: what is kept of it stays small."""


@dataclass(frozen=True)
class Progress:
    """What was counted.

    Attributes:
        through: Everything from 1 up to this sequence was, or was given up.
        ahead: First and last of each run beyond it, ascending, at least one number apart.
    """

    through: int = 0
    ahead: tuple[tuple[int, int], ...] = ()

    def has(self, sequence: int) -> bool:
        """Whether a row was counted or given up."""
        return sequence <= self.through or any(first <= sequence <= last for first, last in self.ahead)

    def counted(self, sequence: int) -> Progress:
        """With one more row, which `has` does not know."""
        runs = _joined([*self.ahead, (sequence, sequence)])
        through = self.through
        if runs[0][0] == through + 1:
            through, runs = runs[0][1], runs[1:]
        progress = Progress(through, tuple(runs))
        return progress.without_gap() if len(runs) > _MOST_RUNS else progress

    def without_gap(self) -> Progress:
        """With the lowest gap given up: its rows are taken for lost, and refused when they come after all."""
        if not self.ahead:
            return self
        return Progress(self.ahead[0][1], self.ahead[1:])


def _joined(runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
