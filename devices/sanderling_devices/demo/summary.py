"""The table of measured figures that ends the demo, as text cells; render.py draws them."""

from __future__ import annotations

from dataclasses import dataclass

from sanderling_devices.demo.report import ModelFigures, Result, WatchCost

RUNNERS = {
    "float": "float",
    "int8": "int8",
    "onnxruntime float": "ONNX Runtime float",
    "onnxruntime int8": "ONNX Runtime int8",
}


@dataclass(frozen=True)
class Table:
    """A titled table: the first column names the row, the others hold figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(result: Result) -> list[Table]:
    """Makes the tables of what the run measured; what it did not measure is left out."""
    made = []
    if result.models is not None:
        made.append(_models(result.models))
    made.append(_watching(result, result.watch))
    made.append(
        Table(
            "Acts",
            ("act", "", "why"),
            tuple((f"{act.number} {act.title}", "yes" if act.passed else "NO", act.reason) for act in result.acts),
        )
    )
    return made


def _models(figures: ModelFigures) -> Table:
    runners = [runner for runner in RUNNERS if runner in figures.latency_us]

    def row(name: str, cell: dict[str, str]) -> tuple[str, ...]:
        return (name, *(cell.get(runner, "") for runner in runners))

    rows = [
        row(
            "accuracy" if world == "unchanged" else f"accuracy under {world}",
            {runner: f"{share:.1%}" for runner, share in shares.items()},
        )
        for world, shares in figures.accuracy.items()
    ]
    rows.append(row("reads as float does", {name: f"{part:.1%}" for name, part in figures.agreement.items()}))
    rows.append(row("p50 of one frame", {name: f"{us:.1f} us" for name, us in figures.latency_us.items()}))
    rows.append(row("ONNX file", {name: f"{size:,} bytes" for name, size in figures.size_bytes.items()}))
    return Table(
        f"Model, {figures.rows} held-out images",
        ("", *(RUNNERS[runner] for runner in runners)),
        tuple(rows),
    )


def _watching(result: Result, cost: WatchCost | None) -> Table:
    rows = [("windows with a false alarm", f"{result.false_alarms} of {len(result.windows)}")]
    rows += [(f"camera {result.broken_camera} {fault}", _named(delay)) for fault, delay in result.fault_delay.items()]
    if result.settings.change:
        rows.append((f"world changed by {result.settings.change}", _named(result.change_delay)))
    if cost is not None:
        for unit, name in (("frame", "one frame"), ("window", "200 frames in one run")):
            times = f"{cost.run_us[unit]['unwatched']:,.1f} us, watched {cost.run_us[unit]['watched']:,.1f} us"
            rows.append((f"cost of watching {name}", f"{cost.percent[unit]:+.1f}% of run time ({times})"))
        rows.append(("judging one camera's window of 200", f"{cost.judge_ms:.1f} ms"))
        rows.append(("sketches of one camera and window", f"{cost.bytes_per_window:,} bytes"))
    return Table("Watching, windows of 200 frames", ("", "measured"), tuple(rows))


def _named(delay: int | None) -> str:
    if delay is None:
        return "never named"
    return f"named after {delay} window{'s' * (delay != 1)}"
