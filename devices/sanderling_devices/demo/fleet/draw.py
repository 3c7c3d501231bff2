"""Draws the fleet demo: a live table of devices on a terminal, plain lines elsewhere; and the tables that end it."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from sanderling_devices.demo.fleet.report import Result
from sanderling_devices.demo.fleet.site import Site
from sanderling_devices.demo.render import Lines
from sanderling_devices.demo.report import Act, ActStarted
from sanderling_devices.demo.summary import Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

LINE_S = 5.0
_FRAME_S = 0.5


class Board:
    """What cameras say, since the last look: rows per second and the share that was read right."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._former: list[dict[str, Any]] = []

    def look(self, site: Site) -> list[tuple[str, ...]]:
        """Camera, device, version that answers, rows per second, share right; for each camera."""
        now, said = time.monotonic(), [dict(camera.said) for camera in site.cameras]
        rows: list[tuple[str, ...]] = []
        none: dict[str, Any] = {"rows": 0, "right": 0, "versions": {}}
        for number, (device, new) in enumerate(zip(site.devices, said, strict=False), 1):
            old = self._former[number - 1] if len(self._former) >= number else none
            asked, right = new["rows"] - old["rows"], new["right"] - old["right"]
            answering = [name for name, count in new["versions"].items() if count > old["versions"].get(name, 0)]
            rate, share = asked / max(now - self._at, 1e-3), f"{right / asked:.0%}" if asked else "-"
            rows.append((str(number), device.device_id, " ".join(answering) or "-", f"{rate:.0f}", share))
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

    def watch(self, site: Site) -> None:
        """The acts wait."""
        if site.cameras and time.monotonic() >= self._at + LINE_S:
            self._at = time.monotonic()
            rows = self._board.look(site)
            self._write("  " + "  ".join(f"{number}:{share}" for number, _, _, _, share in rows) + "  read right")


class LiveView:
    """The same on a terminal: the table of devices stays at the bottom."""

    def __init__(self, console: Console) -> None:
        self._console, self._board, self._at = console, Board(), 0.0
        self._live: Live | None = None

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

    def watch(self, site: Site) -> None:
        """The acts wait."""
        from rich.live import Live
        from rich.table import Table as Grid

        if not site.cameras or time.monotonic() < self._at + _FRAME_S:
            return
        self._at = time.monotonic()
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        grid = Grid("camera", "device", "answers", "rows/s", "right")
        for row in self._board.look(site):
            grid.add_row(*row)
        self._live.update(grid, refresh=True)

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


def tables(result: Result) -> list[Table]:
    """What the run found."""
    made = []
    if result.accuracy:
        rows = tuple((name, f"{share:.1%}") for name, share in result.accuracy.items())
        made.append(Table("Accuracy on rows held out", ("", "read right"), rows))
    if result.alarms:
        named = tuple((alarm.kind, f"{alarm.seconds:.0f} s", alarm.summary) for alarm in result.alarms)
        made.append(Table("Alarms", ("kind", "after", "says"), named))
    if result.devices:
        made.append(_devices(result))
    acts = tuple(
        (f"{act.number} {act.title}", "yes" if act.passed else "NO", f"{seconds:.0f} s", act.reason)
        for act, seconds in zip(result.acts, result.seconds, strict=True)
    )
    made.append(Table("Acts", ("act", "", "time", "why"), acts))
    return made


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
