"""How commands print: tables for people, JSON for programs; arrays in and out of files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import numpy.typing as npt

from sanderling.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

output_option = click.option(
    "-o",
    "--output",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print the result on stdout.",
)


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A plain table: columns padded, numbers to the right.

    Args:
        headers: Column names.
        rows: Cells; None prints as "-".
    """
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(header), *(len(row[i]) for row in cells), 0) for i, header in enumerate(headers)]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) or _is_number(str(row[i])) for row in rows)
        for i in range(len(headers))
    ]
    lines = [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in [list(headers), *cells]
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("%", "").replace("-", "").isdigit()


def print_json(value: Any) -> None:
    """Prints JSON on stdout; NumPy arrays as lists, paths as text."""

    def convert(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return item.tolist()
        if isinstance(item, np.generic):
            return item.item()
        if isinstance(item, Path):
            return str(item)
        raise TypeError(f"cannot write {type(item).__name__} as JSON")

    click.echo(json.dumps(value, indent=2, default=convert))


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Reads arrays by name from .npz, or the only one from .npy.

    Args:
        path: The file. Pickled objects are refused.
        names: The names that the model expects.

    Raises:
        InputError: The file cannot be read, or does not have exactly these names.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"[read] {str(path)!r} is not a .npy or .npz file: {error}") from error
    if isinstance(loaded, np.ndarray):
        if len(names) != 1:
            raise InputError(
                f"[read] {str(path)!r} holds one array, the model has inputs {list(names)}. Save them by name with "
                "numpy.savez"
            )
        return {names[0]: loaded}
    with loaded:
        found = {name: loaded[name] for name in loaded.files}
    if set(found) != set(names):
        raise InputError(f"[read] {str(path)!r} holds {sorted(found)}, the model expects {sorted(names)}")
    return found


def human_bytes(count: float) -> str:
    """1536 -> "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
