"""`sanderling simulate`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from sanderling.commands.output import output_option, table
from sanderling_devices.simulator.catalogue import find_scenario, packaged_scenarios
from sanderling_devices.simulator.reading import duration_text
from sanderling_devices.simulator.scenario import parse_scenario

CHECK_FAILED = 3


@click.command()
@click.argument("scenario", required=False)
@click.option("--list", "list_all", is_flag=True, help="Print the packaged scenarios and end.")
@click.option("--show", is_flag=True, help="Print the scenario's TOML instead of running it: a start for one's own.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="In place of the scenario's own.")
@click.option(
    "--events", type=click.Path(dir_okay=False, path_type=Path), help="Write what happened here, one JSON line each."
)
@output_option
@click.pass_context
def simulate(
    context: click.Context,
    *,
    scenario: str | None,
    list_all: bool,
    show: bool,
    seed: int | None,
    events: Path | None,
    output: str,
) -> None:
    """Run a fleet through days of virtual time, in seconds, and check what must hold.

    SCENARIO is a TOML file, or the name of a packaged scenario. Agents and server are the real ones, their rules,
    signatures and telemetry included; runners, the network and the world follow the scenario. The same scenario and
    seed give the same report, byte for byte.

    \b
    sanderling simulate --list
    sanderling simulate bad-version
    sanderling simulate bad-version --show > mine.toml
    sanderling simulate mine.toml --seed 7 -o json --events happened.jsonl

    \b
    A scenario in short:
      title = "Canary first"
      duration = "1d"
      [fleet]
      count = 20
      [[version]]
      name = "digits-1.0"
      counter = 1
      behaves = { confidence = 0.9 }
      [[event]]
      at = "0s"
      do = "publish"
      version = "digits-1.0"
      [[event]]
      at = "1m"
      do = "rollout"
      name = "first"
      version = "digits-1.0"
      stages = [{ name = "canary", count = 2, soak = "1h" }, { name = "all", percent = 100, soak = "1h" }]
      [[expect]]
      check = "rollout"
      rollout = "first"
      state = "succeeded"

    Exit code: 0 if every assertion held, 3 if one did not, 1 if the scenario is refused.
    """
    if list_all:
        found = [(name, parse_scenario(text, name)) for name, text in packaged_scenarios().items()]
        rows = [(name, item.fleet.count, duration_text(item.duration), item.title) for name, item in found]
        click.echo(table(("NAME", "DEVICES", "TIME", "TITLE"), rows))
        return
    if scenario is None:
        raise click.UsageError("Give a scenario, or --list.")
    if show:
        packaged = packaged_scenarios()
        find_scenario(scenario)
        click.echo(packaged[scenario] if scenario in packaged else Path(scenario).read_text(), nl=False)
        return
    if events is not None and not events.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder {events.parent} does not exist.", param_hint="--events")
    import dataclasses

    from sanderling_devices.simulator.simulation import simulate as run

    chosen = find_scenario(scenario)
    if seed is not None:
        chosen = dataclasses.replace(chosen, seed=seed)
    began = time.monotonic()
    result = run(chosen, _progress(chosen.duration))
    if events is not None:
        lines = [json.dumps(event, sort_keys=True) for event in result.events]
        events.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    click.echo(result.report.to_json() if output == "json" else result.report.text())
    click.echo(f"{duration_text(chosen.duration)} in {time.monotonic() - began:.1f} s", err=True)
    if not result.passed:
        broken = [outcome.asserted for outcome in result.report.outcomes if not outcome.passed]
        click.echo(f"broken: {'; '.join(broken)}", err=True)
        context.exit(CHECK_FAILED)


def _progress(duration: float) -> Callable[[float], None]:
    """Draws on a terminal; says nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda _: None

    def draw(passed: float) -> None:
        share = min(passed / duration, 1.0)
        bar = "#" * round(40 * share)
        sys.stderr.write(f"\r[{bar:<40}] {duration_text(passed):>12}" + ("\r\x1b[K" if share >= 1.0 else ""))
        sys.stderr.flush()

    return draw
