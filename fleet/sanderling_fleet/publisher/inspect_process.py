"""Runs a draft's model in a process that cannot open the publisher's key.

`python -m sanderling_fleet.publisher.inspect_process TASK.json PROGRESS_DESCRIPTOR`. It loads the model, checks it
against its manifest and golden samples, and counts how many rows of the publisher's own holdout it gets right, if there
is one: WORKDIR/found.json.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOUND = "found.json"
REFUSED = 3
_BATCH = 256


@dataclass(frozen=True)
class InspectTask:
    """What is asked of the process; paths are absolute. `holdout` says whether there is a holdout.npz."""

    given: str
    workdir: str
    holdout: bool
    limits: dict[str, int]

    def to_text(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Found:
    """What was counted: golden samples, all of them right; rows of the holdout, and how many of these are right."""

    golden: int
    rows: int
    right: int

    @classmethod
    def from_bytes(cls, data: bytes) -> Found | None:
        """Reads FOUND, which a model that broke the process may have written; None if it makes no sense."""
        try:
            found = cls(**json.loads(data))
            sound = all(type(value) is int for value in asdict(found).values()) and 0 <= found.right <= found.rows
        except (ValueError, TypeError, RecursionError):
            return None
        return found if sound else None


def main(arguments: list[str]) -> int:
    """Inspects; the exit code."""
    values: dict[str, Any] = json.loads(Path(arguments[0]).read_text())
    task = InspectTask(**values)
    from sanderling_fleet.retrain.confine import Limits, confine

    missing = confine(Limits(**task.limits), readable=[Path(task.given)], writable=[Path(task.workdir)])
    if missing:
        print(f"warning: {missing}", flush=True)
    from sanderling.errors import SanderlingError

    try:
        found = _inspect(Path(task.given), holdout=task.holdout)
    except SanderlingError as error:
        print(error, flush=True)
        return REFUSED
    (Path(task.workdir) / FOUND).write_text(json.dumps(asdict(found)))
    return 0


def _inspect(given: Path, *, holdout: bool) -> Found:
    import numpy as np

    import sanderling
    from sanderling.drift import Reference
    from sanderling.errors import IntegrityError
    from sanderling.versions import read_bundle
    from sanderling.versions._golden import read_golden
    from sanderling.versions._manifest import GOLDEN, MODEL, REFERENCE
    from sanderling.versions._stored import check_signature
    from sanderling_fleet.retrain.labels import class_number
    from sanderling_fleet.retrain.rows import read_arrays

    bundle = read_bundle(given / "draft.sanderling")
    manifest = bundle.manifest
    Reference.from_bytes(bundle.blobs[REFERENCE])
    golden = read_golden(bundle.blobs[GOLDEN])
    with sanderling.Session(bundle.blobs[MODEL]) as session:
        check_signature(manifest, session.inputs, session.outputs)
        for index in range(len(golden)):
            wrong = golden.wrong(index, session.run(golden.sample(index)), manifest.golden_tolerance)
            if wrong is not None:
                raise IntegrityError(f"[inspect] {manifest.full_name}: {wrong}")
        if not holdout:
            return Found(len(golden), 0, 0)
        arrays = read_arrays((given / "holdout.npz").read_bytes(), "holdout")
        labels = arrays["label"]
        if labels.dtype.kind == "U":
            labels = np.array([class_number(label, manifest.labels, None) for label in labels.tolist()], np.int64)
        right = 0
        for start in range(0, len(labels), _BATCH):
            part = slice(start, start + _BATCH)
            answers = session.run({tensor.name: arrays[f"in:{tensor.name}"][part] for tensor in manifest.inputs})
            right += int((answers[manifest.outputs[0].name].argmax(axis=-1).reshape(-1) == labels[part]).sum())
    return Found(len(golden), len(labels), right)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
