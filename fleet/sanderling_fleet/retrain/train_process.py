"""The trainer's process: `python -m sanderling_fleet.retrain.train_process TASK.json PROGRESS_DESCRIPTOR`.

It binds itself, loads what it was given, and only then imports the entry point. The result is WORKDIR/challenger.onnx.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CHALLENGER = "challenger.onnx"
REFUSED = 3
"""Exit code: the entry point is wrong, and another attempt would be as well."""


@dataclass(frozen=True)
class TrainTask:
    """What the server asks of the process; paths are absolute.

    Attributes:
        entry_point: "module:function".
        code: Folders that are searched for it beside what is installed.
        given: Folder of champion.onnx and samples.npz, read-only.
        workdir: The only folder that it may write.
        data: More folders or files that it may read.
        seed: Of the job.
        deadline: Seconds since the epoch.
        class_names: The champion's labels.
        limits: Fields of `confine.Limits`.
    """

    entry_point: str
    code: tuple[str, ...]
    given: str
    workdir: str
    data: tuple[str, ...]
    seed: int
    deadline: float
    class_names: tuple[str, ...]
    limits: dict[str, int]

    def to_text(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))


def main(arguments: list[str]) -> int:
    """Trains; the exit code."""
    values: dict[str, Any] = json.loads(Path(arguments[0]).read_text())
    task = TrainTask(**values)
    sys.path[:0] = task.code
    from sanderling_fleet.retrain.confine import Limits, confine

    given, workdir = Path(task.given), Path(task.workdir)
    missing = confine(Limits(**task.limits), readable=[given, *map(Path, (*task.code, *task.data))], writable=[workdir])
    if missing:
        print(f"warning: {missing}", flush=True)
    os.chdir(workdir)

    import sanderling
    from sanderling.errors import InputError
    from sanderling_fleet.retrain.context import LabelledSamples, TrainContext
    from sanderling_fleet.retrain.labels import load_object
    from sanderling_fleet.retrain.rows import read_arrays

    arrays = read_arrays((given / "samples.npz").read_bytes(), "samples")
    inputs = {name.removeprefix("in:"): array for name, array in arrays.items() if name.startswith("in:")}
    for array in inputs.values():
        array.flags.writeable = False
    samples = LabelledSamples(inputs, arrays["labels"], arrays["weight"], arrays["device_id"])
    names = tuple(task.class_names)
    context = TrainContext(
        samples, given / "champion.onnx", workdir, task.seed, task.deadline, names, int(arguments[1])
    )
    try:
        train = load_object(task.entry_point)
    except InputError as error:
        print(error, flush=True)
        return REFUSED
    made = train(context)
    if not isinstance(made, str | os.PathLike | sanderling.Model):
        print(f"[train] {task.entry_point} returned {type(made).__name__}, expected a path or a sanderling.Model")
        return REFUSED
    # Loading it here shows a broken model as the trainer's failure, with its log.
    (workdir / CHALLENGER).write_bytes(sanderling.load(made).bytes)
    context.report(1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
