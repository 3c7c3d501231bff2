"""Has mean confidence fallen more than a margin below what it was? Watched row by row, stoppable at any row.

A test by betting (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", J. R. Stat. Soc.
B 86, 2024): against H0 "each row's expected confidence, given the rows before, is at least t", the wealth
prod(1 + b (t - x_i)) of a gambler with a fixed bet 0 <= b <= 1/(1 - t) is a nonnegative supermartingale for x in
[0, 1], and so is the mean of several gamblers' wealth. By Ville's inequality it ever reaches 1,000 with probability at
most 1/1000, however often one looks. The mean over a ladder of bets needs no tuning and its growth is the best bet's,
less the logarithm of their number.

Assumes that rows come as they came to the incumbent: if the inputs themselves become harder in the trial, the
candidate is blamed. The margin absorbs the error of the incumbent's own mean (at 500 rows at most 0.022 of standard
error).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

# Shares of the largest allowed bet. The largest stays below 1, so that one row of confidence 1 does not end the game.
_BETS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class ConfidenceTest:
    """The test's state.

    Attributes:
        threshold: Mean below which confidence has fallen, in (0, 1); at or below 0 nothing can be found.
        rows: Counted so far.
        total: Sum of confidences.
        log_wealth: Of each gambler, natural logarithm.
    """

    threshold: float
    rows: int = 0
    total: float = 0.0
    log_wealth: tuple[float, ...] = (0.0,) * len(_BETS)

    def with_rows(self, confidences: Iterable[float]) -> ConfidenceTest:
        """The state after these rows; values outside [0, 1] are clipped, NaN counts as 0."""
        rows, total = self.rows, self.total
        wealth = list(self.log_wealth)
        scale = 1.0 / (1.0 - self.threshold) if self.threshold < 1.0 else 0.0
        for value in confidences:
            x = min(max(value, 0.0), 1.0) if value == value else 0.0
            rows += 1
            total += x
            if self.threshold > 0.0:
                step = scale * (self.threshold - x)
                for i, bet in enumerate(_BETS):
                    wealth[i] += math.log1p(bet * step)
        return replace(self, rows=rows, total=total, log_wealth=tuple(wealth))

    @property
    def evidence(self) -> float:
        """The e-value: how many times the stake the gamblers have on average; 1 at the start."""
        top = max(self.log_wealth)
        log_mean = top + math.log(sum(math.exp(w - top) for w in self.log_wealth) / len(self.log_wealth))
        return math.exp(min(log_mean, 700.0))  # of doubles, exp(709) is the last

    @property
    def mean(self) -> float:
        """Of the rows so far; 0 before the first."""
        return self.total / self.rows if self.rows else 0.0
