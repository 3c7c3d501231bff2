"""`sanderling predict`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from sanderling.commands.output import output_option, print_json, read_arrays, table


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("rows", type=click.Path(path_type=Path))
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write all outputs to this .npz.")
@click.option("--backend", default="native", show_default=True, help="native, auto, or an installed backend.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256))
@output_option
def predict(file: Path, rows: Path, save: Path | None, backend: str, threads: int, output: str) -> None:
    """Run the model FILE on ROWS, a .npy of its input or a .npz by input name.

    The table shows, per row of each output, the largest element and where it is; JSON and --save hold every value.

    \b
    sanderling predict model.onnx rows.npy
    sanderling predict model.onnx rows.npy --save scores.npz
    """
    import sanderling

    with sanderling.Session(file, backend=backend, threads=threads) as session:
        outputs = session.run(read_arrays(rows, [spec.name for spec in session.inputs]))
    if save is not None:
        np.savez(save, **outputs)
        click.echo(f"wrote {save}", err=True)
    if output == "json":
        print_json(outputs)
        return
    lines = []
    for name, array in outputs.items():
        flat = array.reshape(array.shape[0] if array.ndim else 1, -1)
        for i, row in enumerate(flat):
            lines.append((name, i, int(np.argmax(row)), f"{float(np.max(row)):.6g}", str(array.shape[1:])))
    click.echo(table(["output", "row", "argmax", "max", "shape"], lines))
