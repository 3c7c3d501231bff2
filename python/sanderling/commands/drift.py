"""`sanderling drift report`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from sanderling.commands.output import output_option, print_json
from sanderling.errors import InputError

if TYPE_CHECKING:
    from sanderling import Session
    from sanderling.drift import Reference, Sketches

EXIT_PROBLEM = 3


@click.group()
def drift() -> None:
    """Compare what a model sees with what is normal for it."""


@drift.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("seen", type=click.Path(path_type=Path))
@click.option(
    "--model", type=click.Path(path_type=Path), help="Run this model on rows, and compare classes and confidence too."
)
@click.option(
    "--save-reference", type=click.Path(path_type=Path, dir_okay=False), help="Write the reference for later reports."
)
@click.option("--features", default=20, show_default=True, type=click.IntRange(min=1), help="Features to list.")
@click.option(
    "--tolerance",
    default=0.02,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Effect that does not count: 0.02 is an AUC of 0.51.",
)
@click.option(
    "--alarm",
    default=1000.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="e-value from which data counts as moved.",
)
@click.option("--check", is_flag=True, help="Exit with 3 on a sensor fault, or when the e-value reaches --alarm.")
@output_option
def report(
    reference: Path,
    seen: Path,
    model: Path | None,
    save_reference: Path | None,
    features: int,
    tolerance: float,
    alarm: float,
    check: bool,
    output: str,
) -> None:
    """Say which features of SEEN have left REFERENCE, and how far.

    REFERENCE is normal data: rows (.npy, or .npz by input name) or a reference saved before. SEEN is what came later:
    rows, or sketches that a session wrote (`session.sketches().to_bytes()`). An alarm says that data has moved, not
    that the model is wrong.

    \b
    sanderling drift report normal.npy today.npy
    sanderling drift report normal.npy today.npy --model model.onnx --check
    """
    from sanderling import Session
    from sanderling import drift as watching

    session = Session(model, backend="auto") if model is not None else None
    known = _reference(reference, session)
    if save_reference is not None:
        save_reference.write_bytes(known.to_bytes())
        click.echo(f"wrote {save_reference}", err=True)
    result = watching.report(known, _sketches(seen, known, session), tolerance=tolerance)
    moved = math.isfinite(result.log_e) and result.log_e >= math.log(alarm)
    if output == "json":
        print_json({**result.to_dict(), "moved": moved})
    else:
        click.echo(result.table(features))
        click.echo(f"verdict: {'data has moved' if moved else 'no evidence that data has moved'}")
    if check and (moved or result.faults):
        sys.exit(EXIT_PROBLEM)


def _is_rows(path: Path) -> bool:
    return path.suffix in {".npy", ".npz"}


def _rows(path: Path) -> Any:
    """Rows as `Reference.fit` takes them: an array, or arrays by name."""
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"[drift report] {str(path)!r} holds no NumPy arrays: {error}") from error
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"[drift report] cannot read {str(path)!r}: {error.strerror}") from error


def _scores(rows: Any, session: Session | None) -> Any:
    return None if session is None else session.run(rows)


def _reference(path: Path, session: Session | None) -> Reference:
    from sanderling.drift import Reference

    if not _is_rows(path):
        return Reference.from_bytes(_bytes(path))
    rows = _rows(path)
    return Reference.fit(rows, _scores(rows, session))


def _sketches(path: Path, reference: Reference, session: Session | None) -> Sketches:
    from sanderling import _core
    from sanderling.drift import Sketches

    if not _is_rows(path):
        return Sketches.from_bytes(_bytes(path))
    rows = _rows(path)
    watch = _core.Watch(reference.watch_spec())
    for i, array in enumerate(_in_order(rows)):
        watch.observe_input(i, np.ascontiguousarray(array, np.float32))
    for i, array in enumerate(_in_order(_scores(rows, session))):
        watch.observe_output(i, np.ascontiguousarray(array, np.float32))
    return Sketches(watch.look())


def _in_order(arrays: Any) -> list[Any]:
    """The arrays of a mapping, or the only one, in the order of the model."""
    if arrays is None:
        return []
    return list(arrays.values()) if isinstance(arrays, dict) else [arrays]
