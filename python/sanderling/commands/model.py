"""`sanderling model show|quantize|build`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sanderling._model import Layer
from sanderling._profile import StepTime
from sanderling.commands.inputs import concrete_shapes, make_inputs
from sanderling.commands.output import human_bytes, output_option, print_json, read_arrays, table
from sanderling.commands.picture import Bar, bar_chart
from sanderling.errors import InputError

SECONDS = 0.3
"""How long the steps of a model are timed."""


@click.group()
def model() -> None:
    """Look into ONNX models, make them small, and pack versions of them."""


def _shape(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, list[int]]:
    """NAME=1,3,224,224 as a mapping."""
    shapes = {}
    for value in values:
        name, _equals, extents = value.rpartition("=")
        try:
            shapes[name] = [int(extent) for extent in extents.split(",") if extent]
        except ValueError:
            name = ""
        if not name:
            raise click.BadParameter(f"{value!r} is not NAME=EXTENT,EXTENT,..., such as x=1,3,224,224.")
    return shapes


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Rows per run, for shapes and MACs."
)
@click.option(
    "--shape", "shapes", multiple=True, callback=_shape, help="NAME=1,3,224,224: extents of one input. May be repeated."
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Real rows (.npy, or .npz by input name) instead of random ones."
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256))
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture of time by step, SVG.")
@output_option
def show(
    file: Path,
    *,
    batch: int,
    shapes: dict[str, list[int]],
    data: Path | None,
    threads: int,
    plot: Path | None,
    output: str,
) -> None:
    """Print a model's inputs, operators, shapes and costs, and how long each step of its plan takes here.

    The first table is the model as the file has it. The second is what runs: operators are folded, fused and turned
    into integer ones first. Dimensions chosen at run time are 1 unless --batch or --shape says more.

    \b
    sanderling model show model.onnx
    sanderling model show model.onnx --batch 8 -o json
    sanderling model show model.onnx --shape tokens=1,128 --plot time.svg
    """
    import sanderling
    from sanderling import _core
    from sanderling._profile import profile

    if plot is not None and plot.suffix != ".svg":
        raise click.BadParameter(f"{plot} does not end in .svg, the one format there is.", param_hint="--plot")
    loaded = sanderling.load(file)
    extents = concrete_shapes(loaded.inputs, batch, shapes)
    arrays = make_inputs(loaded.inputs, data, extents)
    layers = loaded.layers({name: array.shape for name, array in arrays.items()})
    session = _core.Session(loaded.core, threads=threads)
    steps = profile(session, arrays, SECONDS)
    info = session.info()
    total_us = sum(step.microseconds for step in steps)
    if plot is not None:
        bars = [
            Bar(f"{step.node} ({step.op or 'copy'})", step.microseconds, f"{step.microseconds:.1f} us", step.kernel)
            for step in steps
        ]
        subtitle = f"{total_us:,.1f} us in {len(steps)} steps, {threads} threads, {info['isa']}, batch {batch}"
        plot.write_text(bar_chart(file.name, subtitle, bars), encoding="utf-8")
    if output == "json":
        print_json(
            {
                "file": file,
                "bytes": len(loaded.bytes),
                "info": loaded.info,
                "inputs": [vars(spec) for spec in loaded.inputs],
                "outputs": [vars(spec) for spec in loaded.outputs],
                "operators": loaded.operators,
                "layers": [vars(layer) for layer in layers],
                "isa": info["isa"],
                "threads": threads,
                "arena_bytes": info["arena_bytes"],
                "steps": [vars(step) for step in steps],
                "lowered": info["operators"],
            }
        )
        return
    click.echo(f"{file}: {human_bytes(len(loaded.bytes))}, {loaded.info['producer']}, opset {loaded.info['opset']}")
    for kind, specs in (("input", loaded.inputs), ("output", loaded.outputs)):
        for spec in specs:
            shape = "?" if spec.shape is None else [("?" if d is None else d) for d in spec.shape]
            click.echo(f"{kind:7}{spec.name}: {spec.dtype or '?'} {shape}")
    click.echo()
    click.echo(table(["operator", "node", "output", "MACs", "weight bytes"], [_layer_row(layer) for layer in layers]))
    click.echo()
    total = sum(layer.macs for layer in layers)
    weights = sum(layer.weight_bytes for layer in layers)
    click.echo(f"{len(layers)} nodes, {total:,} MACs for batch {batch}, {human_bytes(weights)} of weights")
    click.echo()
    click.echo(
        table(["runs as", "node", "output", "kernel", "us", "share"], [_step_row(step, total_us) for step in steps])
    )
    click.echo()
    click.echo(
        f"{len(steps)} steps, {total_us:,.1f} us, {human_bytes(info['arena_bytes'])} for activations, "
        f"{threads} {'thread' if threads == 1 else 'threads'}, {info['isa']}"
    )
    if plot is not None:
        click.echo(f"wrote {plot}")


def _layer_row(layer: Layer) -> tuple[str | None, ...]:
    outputs = " ".join("?" if shape is None else f"{dtype}{list(shape)}" for _, dtype, shape in layer.outputs)
    macs = f"{layer.macs:,}" if layer.macs else None
    return layer.op, layer.name, outputs, macs, f"{layer.weight_bytes:,}" if layer.weight_bytes else None


def _step_row(step: StepTime, total_us: float) -> tuple[str, ...]:
    share = f"{step.microseconds / total_us:.0%}" if total_us else "0%"
    output = f"{step.dtype}{list(step.shape)}"
    return step.op or "copy", step.node, output, step.kernel, f"{step.microseconds:.1f}", share


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("calibration", type=click.Path(path_type=Path))
@click.argument("result", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Also write the report, as JSON.")
@output_option
def quantize(file: Path, calibration: Path, result: Path, report: Path | None, output: str) -> None:
    """Quantize FILE to int8 with the rows of CALIBRATION and write RESULT, standard ONNX with QDQ nodes.

    CALIBRATION is a .npy of rows as the model takes them (a few hundred real ones), or a .npz by input name. Rows that
    look like what devices see matter more than many rows.

    \b
    sanderling model quantize model.onnx rows.npy model-int8.onnx
    """
    import sanderling

    loaded = sanderling.load(file)
    rows = read_arrays(calibration, [spec.name for spec in loaded.inputs])
    quantized = sanderling.quantize(loaded, rows)
    if result.exists() and result.samefile(file):
        raise InputError(f"[quantize] RESULT {str(result)!r} is the model itself. Give another name")
    quantized.save(result)
    summary: dict[str, Any] = quantized.report.to_dict()
    if report is not None:
        report.write_text(json.dumps(summary, indent=2) + "\n")
    if output == "json":
        print_json(summary)
    else:
        click.echo(str(quantized.report))
        click.echo(f"wrote {result}: {human_bytes(len(loaded.bytes))} -> {human_bytes(len(quantized.bytes))}")


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("rows", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Of the model: lower-case letters, digits, _ and -.")
@click.option("--version", required=True, help="Starts with a digit, has no dash.")
@click.option("--release", type=click.IntRange(min=1), required=True, help="Counts up with every release of the model.")
@click.option("--labels", default="", help="Names of the classes of the first output, separated by commas.")
@click.option("--machine", "machines", multiple=True, help="Where it runs, such as x86_64; everywhere if left out.")
@click.option("--min-memory", default=0, type=click.IntRange(min=0), help="Bytes of RAM that a device must have.")
@click.option("--runtime", default="", help="Versions of Sanderling that it runs on, such as '>=0.1,<2'.")
@click.option("--parent", default="", help="NAME-VERSION that it was trained from.")
@click.option("--report", type=click.Path(path_type=Path, exists=True), help="The report of `model quantize --report`.")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=".", help="Where to write it."
)
@output_option
def build(file: Path, rows: Path, folder: Path, output: str, **options: Any) -> None:
    """Pack FILE as a version for a fleet, NAME-VERSION.sanderling.

    ROWS (.npy, or .npz by input name) are what the version is to call normal: devices compare what they see with them.
    Some become golden samples, which a device must answer as this machine does before the version may run there.

    \b
    sanderling model build digits-int8.onnx rows.npy --name digits --version 1.0 --release 1
    """
    import sanderling
    from sanderling.versions import Compatibility, Lineage, write_bundle
    from sanderling.versions._build import Recipe, build_version

    loaded = sanderling.load(file)
    recipe = Recipe(
        name=options["name"],
        version=options["version"],
        release_counter=options["release"],
        labels=[label for label in options["labels"].split(",") if label],
        compatibility=Compatibility(
            machines=options["machines"], min_memory_bytes=options["min_memory"], runtime=options["runtime"]
        ),
        lineage=Lineage(parent=options["parent"]),
        report=json.loads(options["report"].read_text()) if options["report"] else None,
    )
    bundle = build_version(loaded, read_arrays(rows, [spec.name for spec in loaded.inputs]), recipe)
    path = write_bundle(bundle, folder)
    if output == "json":
        print_json({"file": path, "manifest": json.loads(bundle.manifest.to_bytes())})
        return
    parts = ", ".join(f"{name} {human_bytes(blob.size)}" for name, blob in bundle.manifest.blobs.items())
    click.echo(f"wrote {path}: {parts}")
