"""Quantizes the challenger and runs both models, in a process of its own: what a trainer made may break what reads it.

`python -m sanderling_fleet.retrain.judge_process TASK.json PROGRESS_DESCRIPTOR`. It imports no code of others. From
GIVEN it reads champion.onnx and challenger.onnx, calibration.npz ("in:NAME"), and of each set of rows NAME.npz
("in:NAME", "class" [rows]); into WORKDIR it writes the files of a version and outcomes.npz, which rows each of the two
gets right. Whether that is enough is decided elsewhere (`gate`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OUTCOMES = "outcomes.npz"
REFUSED = 3
GOLDEN_ROWS = 16
_BATCH = 256


@dataclass(frozen=True)
class JudgeTask:
    """What the server asks of the process; paths are absolute.

    Attributes:
        given: Folder of what it reads.
        workdir: Folder that it writes.
        manifest: Of the champion, JSON: the challenger must have the same inputs and outputs.
        sets: Names of the sets of rows.
        limits: Fields of `confine.Limits`.
    """

    given: str
    workdir: str
    manifest: str
    sets: tuple[str, ...]
    limits: dict[str, int]

    def to_text(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))


def main(arguments: list[str]) -> int:
    """Judges; the exit code."""
    values: dict[str, Any] = json.loads(Path(arguments[0]).read_text())
    task = JudgeTask(**values)
    from sanderling_fleet.retrain.confine import Limits, confine

    missing = confine(Limits(**task.limits), readable=[Path(task.given)], writable=[Path(task.workdir)])
    if missing:
        print(f"warning: {missing}", flush=True)
    from sanderling.errors import SanderlingError

    try:
        _judge(task, int(arguments[1]))
    except SanderlingError as error:
        # The same models and rows would end the same way.
        print(error, flush=True)
        return REFUSED
    return 0


def _judge(task: JudgeTask, progress: int) -> None:
    import sanderling
    from sanderling.drift import Reference
    from sanderling.versions import Manifest
    from sanderling.versions._golden import Golden, write_golden
    from sanderling.versions._manifest import GOLDEN, MODEL, REFERENCE, REPORT
    from sanderling.versions._stored import check_signature
    from sanderling_fleet.retrain.rows import Array, read_arrays, write_arrays

    given, work = Path(task.given), Path(task.workdir)
    manifest = Manifest.from_bytes(task.manifest.encode())

    def rows_of(name: str) -> dict[str, Array]:
        arrays = read_arrays((given / f"{name}.npz").read_bytes(), name)
        return {key.removeprefix("in:"): array for key, array in arrays.items() if key != "class"}

    calibration = rows_of("calibration")
    quantized = sanderling.quantize(sanderling.load(given / "challenger.onnx"), calibration)
    check_signature(manifest, quantized.inputs, quantized.outputs)
    os.write(progress, b"0.5\n")
    (work / MODEL).write_bytes(quantized.bytes)
    (work / REPORT).write_text(json.dumps(quantized.report.to_dict(), sort_keys=True))
    outcomes: dict[str, Array] = {}
    with sanderling.Session(quantized) as challenger, sanderling.Session(given / "champion.onnx") as champion:
        for name in task.sets:
            truth = read_arrays((given / f"{name}.npz").read_bytes(), name)["class"]
            for who, session in (("champion", champion), ("challenger", challenger)):
                answers = _run(session, rows_of(name))[manifest.outputs[0].name]
                outcomes[f"{who}:{name}"] = answers.argmax(axis=-1).reshape(-1) == truth
        normal = _run(challenger, calibration)
        (work / REFERENCE).write_bytes(Reference.fit(calibration, normal).to_bytes())
        shown = {name: array[:GOLDEN_ROWS] for name, array in calibration.items()}
        # A device runs each golden sample as a batch of its own, so that is how the answers are made.
        golden = Golden(shown, _run(challenger, shown, batch=1))
        (work / GOLDEN).write_bytes(write_golden(golden))
    (work / OUTCOMES).write_bytes(write_arrays(outcomes))
    os.write(progress, b"1.0\n")


def _run(session: Any, rows: Mapping[str, Any], *, batch: int = _BATCH) -> dict[str, Any]:
    import numpy as np

    count = len(next(iter(rows.values())))
    parts = [
        session.run({name: np.ascontiguousarray(array[start : start + batch]) for name, array in rows.items()})
        for start in range(0, count, batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
