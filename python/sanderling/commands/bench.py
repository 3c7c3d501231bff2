"""`sanderling bench`: latency of a model here, beside the backends that are installed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from sanderling.commands.inputs import concrete_shapes, make_inputs
from sanderling.commands.output import output_option, print_json, table
from sanderling.errors import SanderlingError, UnsupportedError

WARM_UP_RUNS = 10
MIN_RUNS = 20


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path), help="Real rows (.npy, or .npz by input name) instead of random ones."
)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Rows per run.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256))
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(0.1, 600), help="Time per backend.")
@click.option(
    "--backend", "backends", multiple=True, help="Only this one; may be repeated. Default: every installed one."
)
@output_option
def bench(
    file: Path, data: Path | None, batch: int, threads: int, seconds: float, backends: tuple[str, ...], output: str
) -> None:
    """Measure the latency of the model FILE.

    All backends run in turn, a few calls each, so that a busy moment hits all alike. Every one reads the same arrays
    and is called the way it is fastest from Python. p50 and p99 are per call.

    \b
    sanderling bench model.onnx
    sanderling bench model.onnx --batch 8 --threads 2 --backend native
    """
    import sanderling
    from sanderling.backends import installed

    source = sanderling.load(file) if backends == ("native",) else file
    calls: dict[str, Callable[[], None]] = {}
    infos: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for name in backends or installed():
        try:
            session = sanderling.Session(source, backend=name, threads=threads)
            inputs = make_inputs(session.inputs, data, concrete_shapes(session.inputs, batch))
            outputs = session.run(inputs)
            calls[name] = session.bind(inputs, outputs)
            infos[name] = session.info()
        except SanderlingError as error:
            if backends:
                raise
            failed[name] = str(error)
    if not calls:
        raise UnsupportedError("[bench] no backend runs this model: " + "; ".join(failed.values()))
    times = _interleave(calls, seconds)
    base = float(np.median(times[next(iter(times))]))
    rows = []
    for name, samples in times.items():
        p50, p99 = (float(v) for v in np.percentile(samples, [50, 99]))
        rows.append(
            {
                "backend": name,
                "p50_us": p50 * 1e6,
                "p99_us": p99 * 1e6,
                "rows_per_s": batch / p50,
                "relative": p50 / base,
                "runs": len(samples),
                "info": infos[name],
            }
        )
    if output == "json":
        print_json({"file": file, "batch": batch, "threads": threads, "results": rows, "not_run": failed})
        return
    click.echo(
        table(
            ["backend", "p50 us", "p99 us", "rows/s", f"time / {rows[0]['backend']}", "runs"],
            [
                (
                    row["backend"],
                    f"{row['p50_us']:.1f}",
                    f"{row['p99_us']:.1f}",
                    f"{row['rows_per_s']:,.0f}",
                    f"{row['relative']:.2f}",
                    row["runs"],
                )
                for row in rows
            ],
        )
    )
    for name, reason in failed.items():
        click.echo(f"{name} not run: {reason}", err=True)


def _interleave(calls: dict[str, Callable[[], None]], seconds: float) -> dict[str, list[float]]:
    """Seconds of each call, backends taking turns."""
    for call in calls.values():
        for _ in range(WARM_UP_RUNS):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    spent = dict.fromkeys(calls, 0.0)
    while any(spent[name] < seconds or len(times[name]) < MIN_RUNS for name in calls):
        for name, call in calls.items():
            for _ in range(MIN_RUNS // 2):
                begin = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - begin)
                spent[name] += times[name][-1]
    return times
