"""`sanderling demo device`: options, drawing, the JSON file and the exit code around scenario.py."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import click

from sanderling.errors import UnsupportedError
from sanderling_devices.demo import digits, render, scenario, summary
from sanderling_devices.demo.report import Settings

CHECK_FAILED = 3
NEEDED = {"sklearn": "scikit-learn", "onnx": "onnx", "rich": "rich"}


@click.group()
def demo() -> None:
    """Shows Sanderling at work on this machine."""


@demo.command()
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Same seed, same verdicts."
)
@click.option(
    "--change",
    type=click.Choice(list(digits.CHANGES)),
    help="What happens to the world: a shift by one pixel (default), or a turn by 30 degrees, which is harder to read.",
)
@click.option("--no-change", is_flag=True, help="Nothing happens to the world.")
@click.option("--no-fault", is_flag=True, help="No sensor breaks.")
@click.option(
    "--windows", type=click.IntRange(1, 1000), default=10, show_default=True, help="Quiet windows of 200 frames first."
)
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Also write everything measured here."
)
@click.option("--plain", is_flag=True, help="Plain lines, also on a terminal.")
@click.pass_context
def device(
    context: click.Context,
    *,
    seed: int,
    change: str | None,
    no_change: bool,
    no_fault: bool,
    windows: int,
    json_path: Path | None,
    plain: bool,
) -> None:
    """Twelve cameras read digits; one breaks, then the world changes.

    A small network that reads handwritten digits is quantized to int8 and compared with itself in float. Twelve
    cameras learn what is normal for each of them. One sensor breaks and is named; then every camera's picture changes
    and the world is named. With --no-change --no-fault nothing happens, and the watchers must stay quiet.

    What happens is told on stderr, the table of figures goes to stdout.

    Exit code: 0 if every act happened, 3 if one did not.
    """
    if change is not None and no_change:
        raise click.UsageError("--change and --no-change contradict each other. Give one of them.")
    if json_path is not None and not json_path.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder {json_path.parent} does not exist.", param_hint="--json")
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UnsupportedError(
            f"[demo] {' and '.join(missing)} not installed, which the demo needs. "
            "Install the extra: pip install 'sanderling[demo]'"
        )
    from sanderling_devices.demo.machine import Machine

    settings = Settings(seed=seed, change=None if no_change else change or "shift", fault=not no_fault, windows=windows)
    with render.make(sys.stderr, plain=plain) as draw, Machine(settings) as machine:
        result = scenario.run(settings, machine, draw)
    render.print_tables(summary.tables(result), sys.stdout)
    if json_path is not None:
        json_path.write_text(json.dumps(result.as_dict(), indent=2) + "\n", encoding="utf-8")
    if not result.passed:
        failed = ", ".join(f"{act.number} ({act.title})" for act in result.acts if not act.passed)
        click.echo(f"not every act happened: {failed}", err=True)
        context.exit(CHECK_FAILED)
