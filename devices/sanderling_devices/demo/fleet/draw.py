"""Draws the fleet demo: a live table of devices on a terminal, plain lines elsewhere; and the tables that end it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from sanderling_devices.demo.fleet.report import CHANGED, Result, Retraining, TakenBack
from sanderling_devices.demo.fleet.retraining import MOST_LABELS
from sanderling_devices.demo.fleet.site import Site
from sanderling_devices.demo.fleet.windows import FAULT, MOVED, QUIET
from sanderling_devices.demo.render import Lines
from sanderling_devices.demo.report import Act, ActStarted
from sanderling_devices.demo.summary import Table

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

LINE_S = 5.0
NONE = "-"
_FRAME_S = 0.5
_COLOURS = ("white", "cyan", "green", "red")
_VERDICTS = {QUIET: "green", MOVED: "yellow", FAULT: "bold red"}
_GRADES = ((90, "green"), (70, "yellow"), (0, "red"))
"""Least percent read right, and how it is drawn."""


class Board:
    """What cameras say, since the last look: rows per second and the share that was read right."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._former: list[dict[str, Any]] = []

    def look(self, site: Site) -> list[tuple[str, ...]]:
        """For each camera: its number, device, version that answers, rows per second, share right, last verdict."""
        now, said = time.monotonic(), [dict(camera.said) for camera in site.cameras]
        rows: list[tuple[str, ...]] = []
        none: dict[str, Any] = {"rows": 0, "right": 0, "versions": {}}
        for number, (device, new) in enumerate(zip(site.devices, said, strict=False), 1):
            old = self._former[number - 1] if self._former else none
            asked, right = new["rows"] - old["rows"], new["right"] - old["right"]
            answering = [name for name, count in new["versions"].items() if count > old["versions"].get(name, 0)]
            rate, share = asked / max(now - self._at, 1e-3), f"{right / asked:.0%}" if asked else NONE
            rows.append(
                (
                    str(number),
                    device.device_id or NONE,
                    " ".join(answering) or NONE,
                    f"{rate:.0f}",
                    share,
                    site.heard.last(device.device_id) or NONE,
                )
            )
        self._former, self._at = said, now
        return rows


class PlainView:
    """Acts as lines, and now and then a line about the fleet."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._lines, self._board, self._at = write, Lines(write), Board(), 0.0

    def __enter__(self) -> Self:
        """Needs no setting up."""
        return self

    def __exit__(self, *failure: object) -> None:
        """Needs no cleaning up."""

    def emit(self, event: ActStarted | Act) -> None:
        """An act began or ended."""
        self._lines(event)

    def watch(self, site: Site, what: str) -> None:
        """The acts wait."""
        if site.cameras and time.monotonic() >= self._at + LINE_S:
            self._at = time.monotonic()
            read = [f"{number}:{share}" for number, _, _, _, share, _ in self._board.look(site) if share != NONE]
            self._write(f"  waiting for {what}" + (f"; read right by camera  {'  '.join(read)}" if read else ""))


class LiveView:
    """The same on a terminal: the table of devices stays at the bottom."""

    def __init__(self, console: Console) -> None:
        self._console, self._board, self._at = console, Board(), 0.0
        self._live: Live | None = None
        self._what, self._since = "", 0.0

    def __enter__(self) -> Self:
        """Needs no setting up: the table comes with the cameras."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the terminal as it was."""
        self._stop()

    def emit(self, event: ActStarted | Act) -> None:
        """An act began or ended."""
        if isinstance(event, ActStarted):
            self._console.print()
            self._console.rule(f"[bold]Act {event.number}: {event.title}", align="left")
            self._console.print(event.text, highlight=False)
        else:
            self._stop()
            mark = "[bold green]✓" if event.passed else "[bold red]✗"
            self._console.print(mark, end=" ")
            self._console.print(event.reason, highlight=False, markup=False)

    def watch(self, site: Site, what: str) -> None:
        """The acts wait."""
        from rich.live import Live

        if what != self._what:
            self._what, self._since = what, time.monotonic()
        if not site.cameras or time.monotonic() < self._at + _FRAME_S:
            return
        self._at = time.monotonic()
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(self._picture(site), refresh=True)

    def _picture(self, site: Site) -> Group:
        from rich.console import Group
        from rich.table import Table as Grid
        from rich.text import Text

        grid = Grid(box=None, padding=(0, 2, 0, 0))
        yields = ("device", "window")  # to the others, in a narrow terminal
        for name in ("camera", "device", "answered by", "rows/s", "right", "window"):
            text = name in ("device", "answered by", "window")
            grid.add_column(name, header_style="dim", justify="left" if text else "right", no_wrap=name not in yields)
        for number, device, versions, rate, share, verdict in self._board.look(site):
            busy = Text(versions, style=_colour(versions))
            grid.add_row(
                number,
                Text(device, style="dim", no_wrap=True, overflow="ellipsis"),
                busy,
                rate,
                Text(share, style=_grade(share)),
                Text(verdict, style=_VERDICTS.get(verdict, "dim"), no_wrap=True, overflow="ellipsis"),
            )
        waited = time.monotonic() - self._since
        return Group(grid, Text(f"waiting for {self._what}, {waited:.0f} s", style="dim"))

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def make_view(stream: TextIO, *, plain: bool) -> PlainView | LiveView:
    """Chooses how to draw."""
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()
    if not plain and stream.isatty() and encoding.startswith("utf"):
        from rich.console import Console

        console = Console(file=stream)
        if not console.is_dumb_terminal:
            return LiveView(console)
    return PlainView(lambda line: print(line, file=stream, flush=True))


def _colour(versions: str) -> str:
    """Of a version's number, so that a new one is seen to come and go."""
    number = versions.rpartition("-")[2]
    return _COLOURS[int(number) % len(_COLOURS)] if number.isdigit() else "dim"


def _grade(share: str) -> str:
    if share == NONE:
        return "dim"
    return next(colour for least, colour in _GRADES if int(share.rstrip("%")) >= least)


def tables(result: Result) -> list[Table]:
    """What the run found."""
    made = []
    if result.accuracy:
        made.append(_accuracy(result.accuracy))
    if result.alarms:
        named = tuple(
            (
                alarm.kind,
                "all" if len(alarm.cameras) == result.settings.devices else ", ".join(map(str, alarm.cameras)),
                f"{alarm.seconds:.0f} s, {alarm.windows:g} window{'s' * (alarm.windows != 1)}",
                alarm.summary,
            )
            for alarm in result.alarms
        )
        made.append(Table("Alarms", ("kind", "cameras", "after", "says"), named))
    if result.retraining:
        made.append(_retraining(result.retraining))
    if result.taken_back:
        made.append(_taken_back(result.taken_back))
    if result.devices:
        made.append(_devices(result))
    acts = tuple(
        (f"{act.number} {act.title}", "yes" if act.passed else "NO", f"{seconds:.0f} s", act.reason)
        for act, seconds in zip(result.acts, result.seconds, strict=True)
    )
    made.append(Table("Acts", ("act", "", "time", "why"), (*acts, ("all", "", f"{result.seconds_in_all:.0f} s", ""))))
    return made


def _accuracy(read: Mapping[str, float]) -> Table:
    rows = tuple(
        (name, f"{share:.1%}", f"{read[f'{name}, {CHANGED}']:.1%}")
        for name, share in read.items()
        if not name.endswith(CHANGED)
    )
    return Table("Read right, of the rows held out", ("", "as before", "in the changed world"), rows)


def _retraining(found: Retraining) -> Table:
    wrong = found.wrong_labels / found.labels if found.labels else 0.0
    rows = (
        ("version", found.version),
        ("samples uploaded", f"{found.samples}, {found.sample_bytes:,} bytes of at most {found.budget_bytes:,}"),
        ("labels bought", f"{found.labels} of at most {MOST_LABELS}, cost {found.label_cost:g}"),
        ("of them wrong", f"{found.wrong_labels}, {wrong:.0%}: the labeller errs as people do"),
        ("labels late by", f"{found.labels_late_windows:.1f} windows"),
        *(
            (
                f"gate: {item.rows_name}, {item.rows} rows",
                f"{item.champion:.1%} to {item.challenger:.1%} by these labels: {'passed' if item.passed else 'NO'}",
            )
            for item in found.gate
        ),
        ("from alarm to last device", f"{found.seconds:.0f} s"),
    )
    return Table("Retraining", ("", "measured"), rows)


def _taken_back(found: TakenBack) -> Table:
    rows = tuple((str(item.camera), item.code, f"{item.rows:,}", item.active, item.detail) for item in found.canaries)
    columns = ("camera", "taken back for", "rows answered", "now active", "the device says")
    return Table(f"{found.version}, on {len(rows)} canaries and {found.rows_beyond} rows beyond", columns, rows)


def _devices(result: Result) -> Table:
    columns = ("camera", "device", "version", "agent", "router", "runner", "memory", "rows", "unanswered")
    rows = tuple(
        (
            str(item.camera),
            item.device_id,
            item.version,
            *(str(pid) for pid in item.pids),
            f"{item.memory_mib:.0f} MiB",
            f"{item.rows:,}",
            str(item.failures),
        )
        for item in result.devices
    )
    return Table("Devices, pids of their processes", columns, rows)
