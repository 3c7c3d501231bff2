"""Progress on stderr when that is a terminal; silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yields `items` and shows how many of `total` are done, with rich where it is installed."""
    if not sys.stderr.isatty():
        yield from items
        return
    try:
        from rich.console import Console
        from rich.progress import track as rich_track
    except ImportError:
        yield from _plain(items, total, label)
        return
    yield from rich_track(items, description=label, total=total, console=Console(stderr=True), transient=True)


def _plain(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    for done, item in enumerate(items):
        print(f"\r{label} {done}/{total}", end="", file=sys.stderr, flush=True)
        yield item
    print(f"\r{label} {total}/{total}", file=sys.stderr, flush=True)
