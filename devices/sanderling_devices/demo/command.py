"""`sanderling demo` and `sanderling demo device`: options, drawing, the JSON file and the exit code around the acts."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from sanderling.errors import UnsupportedError
from sanderling_devices.demo import digits, render, scenario, summary
from sanderling_devices.demo.report import Settings

CHECK_FAILED = 3
NEEDED = {"sklearn": "scikit-learn", "onnx": "onnx", "rich": "rich"}
FLEET_NEEDED = {
    "grpc": "grpcio",
    "cryptography": "cryptography",
    "tuf": "tuf",
    "paho": "paho-mqtt",
    "h11": "h11",
    "sqlalchemy": "SQLAlchemy",
    "aiosqlite": "aiosqlite",
    "alembic": "alembic",
    "iotcore": "iotcore",
}


@click.group(invoke_without_command=True)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Same seed, same verdicts."
)
@click.option(
    "--bad-model",
    type=click.Choice(["wrong", "hang"]),
    default="wrong",
    show_default=True,
    help="What the bad version does in the field.",
)
@click.option(
    "--devices", type=click.IntRange(4, 12), default=12, show_default=True, help="How many; fewer on a small machine."
)
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Also write everything found here."
)
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Leave all files and logs in this new folder."
)
@click.option("--plain", is_flag=True, help="Plain lines, also on a terminal.")
@click.option(
    "--delays", type=click.IntRange(0), hidden=True, help="Seed of random delays: the tests' second run of the acts."
)
@click.pass_context
def demo(
    context: click.Context,
    *,
    seed: int,
    bad_model: str,
    devices: int,
    json_path: Path | None,
    keep: Path | None,
    plain: bool,
    delays: int | None,
) -> None:
    """Shows Sanderling at work on this machine.

    Without a command: a fleet. A server with its broker, a publisher and twelve devices, each an agent, a router, a
    runner and a camera in processes of their own, over mutual TLS and MQTT. They enrol and get a version in stages; one
    sensor breaks and is named; the world changes and is named; samples are labelled, version 2 is trained, gated,
    signed and rolled out; a bad version 3, validly signed, is taken back by its canaries and stopped.

    What happens is told on stderr, the tables go to stdout. Ctrl-C ends all of it. Exit code: 0 if every act happened,
    3 if one did not.
    """
    if context.invoked_subcommand is not None:
        return
    _check_options(json_path, [*NEEDED, *FLEET_NEEDED, *(["onnxruntime"] if bad_model == "hang" else [])], "all")
    if keep is not None and keep.is_dir() and any(keep.iterdir()):
        raise click.BadParameter(f"{keep} is not empty. Give a new folder.", param_hint="--keep")
    from sanderling_devices.demo.fleet import draw, story
    from sanderling_devices.demo.fleet.report import Settings as FleetSettings
    from sanderling_devices.demo.fleet.site import Site

    settings = FleetSettings(seed=seed, bad_model=bad_model, devices=devices, delays=delays)
    with ended_by_signals() as check, contextlib.ExitStack() as opened:
        if keep is None:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="sanderling-")))
        else:
            folder = keep
            folder.mkdir(parents=True, exist_ok=True)
        site = opened.enter_context(Site(settings, folder))
        with draw.make_view(sys.stderr, plain=plain) as view:

            def watch(site: Site, what: str) -> None:
                check()
                view.watch(site, what)

            result = story.run(settings, site, view.emit, watch)
            check()  # an act may have failed because Ctrl-C reached the processes first
    render.print_tables(draw.tables(result), sys.stdout)
    if json_path is not None:
        json_path.write_text(json.dumps(result.as_dict(), indent=2) + "\n", encoding="utf-8")
    if not result.passed:
        click.echo(f"an act did not happen: {result.acts[-1].number} ({result.acts[-1].title})", err=True)
        context.exit(CHECK_FAILED)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[Callable[[], None]]:
    """Ctrl-C, SIGTERM and SIGHUP end the demo and all that it started, once: a second one must not break that off.

    Yields:
        Raises SystemExit if such a signal came. To be called now and then: the one that the signal itself raised is
        lost where Python ignores exceptions, such as in a finalizer.
    """
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    came: list[int] = []

    def check() -> None:
        if came:
            raise SystemExit(128 + came[0])

    def end(number: int, _: object) -> None:
        for each in numbers:
            signal.signal(each, lambda *_: None)  # not SIG_IGN: what is started until all has ended would inherit it
        came.append(number)
        click.echo("\nending everything", err=True)
        check()

    former = {number: signal.signal(number, end) for number in numbers}
    try:
        yield check
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _check_options(json_path: Path | None, modules: list[str], extra: str) -> None:
    if json_path is not None and not json_path.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder {json_path.parent} does not exist.", param_hint="--json")
    packages = {**NEEDED, **FLEET_NEEDED}
    missing = [packages.get(module, module) for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UnsupportedError(
            f"[demo] {' and '.join(missing)} not installed, which the demo needs. "
            f"Install the extra: pip install 'sanderling[{extra}]'"
        )


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
    _check_options(json_path, list(NEEDED), "demo")
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
