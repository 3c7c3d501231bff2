"""Writes the sketches' corpus: one of each kind, a byte that chooses the kind before it. Run it in this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sanderling import _core

ID = b"reference number"


def main() -> None:
    """Writes corpus/sketches."""
    rng = np.random.default_rng(0)
    codes, confidence = _core.CodeHistogram(), _core.ConfidenceHistogram()
    codes.update(rng.integers(0, 256, 1000, dtype=np.uint8))
    confidence.update(rng.random(500, dtype=np.float32))
    bins = _core.FrozenBins(_core.FrozenEdges(ID, [[0.0], [], [-1.0, 0.0, 1.0]]))
    bins.update(rng.standard_normal((300, 3)).astype(np.float32))
    classes = _core.ClassHistogram(5)
    classes.update(rng.integers(-1, 5, 400))
    values = _core.ValueHistogram(ID, -2.0, 2.0)
    values.update(rng.standard_normal(300).astype(np.float32))
    folder = Path("sketches")
    folder.mkdir(exist_ok=True)
    for kind, sketch in enumerate((codes, bins, classes, confidence, values)):
        (folder / type(sketch).__name__).write_bytes(bytes([kind]) + sketch.serialize())


if __name__ == "__main__":
    main()
