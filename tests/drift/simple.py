"""The e-detector once more, straight from its formulas, one loop per index: what the real one is compared with."""

from __future__ import annotations

from math import exp, inf, log, log1p, sqrt

import numpy as np

THETAS = (0.05, 0.15, 0.4, 0.9)


def shapes() -> list[list[float]]:
    """Legendre polynomials 1 to 3 on 32 mid-ranks, centred, at most 1 in size."""
    u = [(i + 0.5) / 32 for i in range(32)]
    raw = (
        [2 * x - 1 for x in u],
        [6 * x * x - 6 * x + 1 for x in u],
        [20 * x**3 - 30 * x * x + 12 * x - 1 for x in u],
    )
    out = []
    for values in raw:
        mean = sum(values) / 32
        most = max(abs(v - mean) for v in values)
        out.append([(v - mean) / most for v in values])
    return out


def mean_of_shape(shape: list[float], begin: float, end: float) -> float:
    """The mean of a shape, constant on each of 32 cells, over the ranks from begin to end."""
    total = 0.0
    for cell in range(32):
        total += shape[cell] * max(0.0, min(end, (cell + 1) / 32) - max(begin, cell / 32))
    return total / (end - begin)


class SimpleDetector:
    """Shiryaev-Roberts over 24 tilts of each stream, phi 1, every reference bin with something in it."""

    def __init__(self, reference: np.ndarray, tolerance: float, level: float) -> None:
        """`reference` int [streams, bins] with equal sums."""
        self.rows = int(reference[0].sum())
        self.level = level
        self.tilts = []
        for counts in reference.tolist():
            own = []
            for shape in shapes():
                means, place = [], 0
                for count in counts:
                    means.append(mean_of_shape(shape, place / self.rows, (place + count) / self.rows))
                    place += count
                variance = sum(c / self.rows * m * m for c, m in zip(counts, means, strict=True))
                delta = max(tolerance, 3 / sqrt(self.rows), 3 * sqrt(variance / self.rows))
                own += [([log(1 + s * t * m) for m in means], log1p(t * delta)) for t in THETAS for s in (1, -1)]
            self.tilts.append(own)
        self.s = [[0.0] * 24 for _ in reference]

    def update(self, counts: np.ndarray) -> tuple[float, bool]:
        """Takes a window, int [streams, bins]; returns log of the e-value and whether it alarms."""
        for stream, own in enumerate(counts.tolist()):
            for k, (weights, allowed) in enumerate(self.tilts[stream]):
                evidence = sum(c * w for c, w in zip(own, weights, strict=True)) - sum(own) * allowed
                self.s[stream][k] = (self.s[stream][k] + 1) * exp(evidence)
        e = sum(sum(own) / 24 for own in self.s) / len(self.s)
        if e >= self.level:
            self.s = [[0.0] * 24 for _ in self.s]
            return log(e), True
        return (log(e) if e > 0 else -inf), False
