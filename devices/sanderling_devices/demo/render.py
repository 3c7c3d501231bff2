"""Draws the demo: live on a terminal, in plain lines elsewhere. It decides nothing.

What happens goes to stderr, the final table to stdout. Rich is imported only to draw with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

import numpy as np

from sanderling_devices.demo import digits
from sanderling_devices.demo.digits import Frames
from sanderling_devices.demo.report import (
    MOVED,
    QUIET,
    SETTLING,
    Act,
    ActStarted,
    Event,
    Pictures,
    Quantized,
    WarmedUp,
    WindowClosed,
    WorldChanged,
)
from sanderling_devices.demo.summary import Table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

MARKS: Final = {QUIET: ".", SETTLING: "~", MOVED: "!", "stuck": "S", "saturated": "#", "missing": "?"}
COLOURS: Final = {QUIET: "green", SETTLING: "cyan", MOVED: "yellow"}
FAULT_COLOUR: Final = "bold red"
PACE_S: Final = 0.15
"""How long a window stays on a terminal: the machine judges one faster than an eye can."""
PANEL_WIDTH: Final = 13  # two borders, two spaces and "saturated"
CAMERAS_PER_ROW: Final = 6  # so that a terminal of 80 columns shows them whole
SHADES: Final = " .:-=+*#%@"


class Lines:
    """Plain lines, for files, pipes and terminals without rich."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Draws through `write`, which is given one line at a time without its end."""
        self._write = write

    def __enter__(self) -> Self:
        """Needs no setting up."""
        return self

    def __exit__(self, *failure: object) -> None:
        """Needs no cleaning up."""

    def __call__(self, event: Event) -> None:
        """Draws one event."""
        for line in lines(event):
            self._write(line)


def lines(event: Event) -> Iterable[str]:
    """Says an event in plain lines."""
    match event:
        case ActStarted():
            yield ""
            yield f"Act {event.number}: {event.title}. {event.text}"
        case Quantized():
            yield from _machine(event)
        case WarmedUp():
            accepted = event.cameras.count(QUIET)
            yield f"  {accepted} of {len(event.cameras)} cameras learned their own reference"
        case WindowClosed():
            marks = "".join(MARKS.get(state, "?") for state in event.window.cameras)
            note = f"   <- {event.note}" if event.note else ""
            yield f"  window {event.window.number:3}  {marks}  {_verdict(event)}{note}"
        case WorldChanged():
            yield from picture_lines(event.pictures)
        case Act():
            yield f"  {'ok' if event.passed else 'FAILED'}: {event.reason}"


def _machine(event: Quantized) -> Iterable[str]:
    figures = event.figures
    yield "  " + ", ".join(f"{name} {value}" for name, value in figures.machine.items())
    if figures.onnxruntime is None:
        yield "  ONNX Runtime is not installed: no comparison with it (pip install onnxruntime)"
    else:
        yield f"  compared with ONNX Runtime {figures.onnxruntime} on one thread"
        differs = any(shares["onnxruntime int8"] != shares["int8"] for shares in figures.accuracy.values())
        if differs and figures.machine["kernels"] == "avx2":
            yield "  its int8 reads some images otherwise: on a CPU without VNNI its products saturate at 16 bits"


def _verdict(event: WindowClosed) -> str:
    window = event.window
    named = [
        f"camera {number} is {state}"
        for number, state in enumerate(window.cameras, start=1)
        if state not in (QUIET, SETTLING, MOVED)
    ]
    moved = sum(state == MOVED for state in window.cameras)
    if moved:
        named.append(f"{moved} camera{'s' * (moved != 1)} moved")
    fleet = f"fleet: {window.verdict}"
    return "; ".join([fleet, *named])


def picture_lines(pictures: Pictures) -> Iterable[str]:
    """Draws images before and after the change, side by side, in characters of growing ink."""
    for name, frames, read in (
        ("before", pictures.before, pictures.read_before),
        ("after", pictures.after, pictures.read_after),
    ):
        yield f"  {name}, read as {', '.join(str(digit) for digit in read)}:"
        index = np.rint(frames[:, 0] / digits.BRIGHTEST * (len(SHADES) - 1)).astype(int)
        for row in range(digits.SIDE):
            yield ("    " + "   ".join("".join(SHADES[shade] * 2 for shade in image[row]) for image in index).rstrip())


class Screen:
    """A terminal: twelve cameras as small pictures that change as windows close."""

    def __init__(self, console: Console, pace_s: float = PACE_S) -> None:
        """Draws on `console`; a window stays for `pace_s` seconds."""
        self._console = console
        self._pace_s = pace_s
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Needs no setting up: the live part starts with the first window."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the terminal as it was, also after an error."""
        self._stop()

    def __call__(self, event: Event) -> None:
        """Draws one event."""
        if isinstance(event, WindowClosed):
            self._window(event)
            return
        self._stop()
        match event:
            case ActStarted():
                self._console.print()
                self._console.rule(f"[bold]Act {event.number}: {event.title}", align="left")
                self._console.print(event.text)
            case WorldChanged():
                self._console.print(_pictures(event.pictures))
            case Act():
                mark = "[bold green]✓" if event.passed else "[bold red]✗"
                self._console.print(f"{mark}[/] {event.reason}", highlight=False)
            case _:
                for line in lines(event):
                    self._console.print(line.strip(), style="dim", highlight=False)

    def _window(self, event: WindowClosed) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        if event.note or event.window.verdict != QUIET or set(event.window.cameras) != {QUIET}:
            note = f"  ← {event.note}" if event.note else ""
            self._live.console.print(f"window {event.window.number:3}  {_verdict(event)}{note}", highlight=False)
        self._live.update(_cameras(event), refresh=True)
        time.sleep(self._pace_s)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _cameras(event: WindowClosed) -> RenderableType:
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table as Grid
    from rich.text import Text

    panels = []
    for number, (state, frame) in enumerate(zip(event.window.cameras, event.frames, strict=True), start=1):
        colour = COLOURS.get(state, FAULT_COLOUR)
        inside = Group(picture(frame), Text(state, style=colour))
        panels.append(Panel(inside, title=f"{number}", border_style=colour, width=PANEL_WIDTH))
    grid = Grid.grid()
    for start in range(0, len(panels), CAMERAS_PER_ROW):
        grid.add_row(*panels[start : start + CAMERAS_PER_ROW])
    return Group(Text(f"window {event.window.number:3}  {_verdict(event)}", style="bold"), grid)


def _pictures(pictures: Pictures) -> RenderableType:
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid.grid(padding=(0, 2))
    for name, frames, read in (
        ("before", pictures.before, pictures.read_before),
        ("after", pictures.after, pictures.read_after),
    ):
        grid.add_row(name, *(picture(frame) for frame in frames))
        grid.add_row(
            "",
            *(
                Text(f"reads {digit}", style="green" if digit == label else "red")
                for digit, label in zip(read, pictures.labels, strict=True)
            ),
        )
    return grid


def picture(frame: Frames) -> Text:
    """Draws one image [1, 8, 8] as eight columns and four lines: a half block is two pixels."""
    from rich.text import Text

    grey = np.rint(frame[0] / digits.BRIGHTEST * 255).astype(int)
    text = Text(no_wrap=True)
    for row in range(0, digits.SIDE, 2):
        for upper, lower in zip(grey[row], grey[row + 1], strict=True):
            text.append("▀", f"rgb({upper},{upper},{upper}) on rgb({lower},{lower},{lower})")
        if row + 2 < digits.SIDE:
            text.append("\n")
    return text


def make(stream: TextIO, *, plain: bool = False) -> Lines | Screen:
    """Chooses how to draw on a stream: live where it is a terminal that can show blocks."""
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()
    if plain or not stream.isatty() or not encoding.startswith("utf"):
        return Lines(lambda line: print(line, file=stream, flush=True))
    from rich.console import Console

    console = Console(file=stream)
    if console.is_dumb_terminal:
        return Lines(lambda line: print(line, file=stream, flush=True))
    return Screen(console)


def print_tables(tables: Iterable[Table], stream: TextIO) -> None:
    """Prints the final tables: ruled by rich on a terminal, aligned columns elsewhere."""
    if stream.isatty():
        from rich.console import Console
        from rich.table import Table as Ruled

        console = Console(file=stream)
        for table in tables:
            ruled = Ruled(title=table.title, title_justify="left", title_style="bold")
            for column in table.columns:
                ruled.add_column(column)
            for row in table.rows:
                ruled.add_row(*row)
            console.print(ruled)
        return
    for table in tables:
        widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
        print(f"\n{table.title}", file=stream)
        for row in (table.columns, *table.rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print(("  " + "  ".join(cells)).rstrip(), file=stream)
