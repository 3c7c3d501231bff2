"""`sanderling sample export|import|label`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanderling.commands.output import output_option, print_json
from sanderling.errors import InputError
from sanderling_fleet.commands.connection import fleet_options
from sanderling_fleet.commands.printing import plain
from sanderling_fleet.commands.retrain import retraining, state_of

if TYPE_CHECKING:
    from sanderling.api.retrain.v1 import retrain_pb2 as pb
    from sanderling_fleet.client import OperatorClient
    from sanderling_fleet.publisher.client import RetrainClient
    from sanderling_fleet.retrain.rows import SampleRows


@click.group()
def sample() -> None:
    """Fetch the samples of a retraining job and say what they show."""


@sample.command()
@click.argument("job_id")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@fleet_options
def export(client: OperatorClient, job_id: str, folder: Path) -> None:
    """Write the samples of JOB_ID to FOLDER/samples.npz, and FOLDER/labels.csv to be filled in.

    samples.npz has "in:NAME" for each input of the model, and device_id, sample_id, uniform, weight and window, one
    row each. labels.csv has the same rows in the same order, with an empty label.

    \b
    sanderling sample export job-1a2b3c to-label
    """
    from sanderling_fleet.retrain.labels import write_labels
    from sanderling_fleet.retrain.rows import write_rows

    rows = _fetch(retraining(client), job_id)
    folder.mkdir(parents=True, exist_ok=True)
    labels = folder / "labels.csv"
    if labels.exists():
        raise InputError(f"[export] {labels} exists, and someone's labels may be in it. Give another folder")
    (folder / "samples.npz").write_bytes(write_rows(rows))
    labels.write_text(write_labels(dict.fromkeys(rows.keys(), "")))
    click.echo(f"{len(rows)} samples in {folder / 'samples.npz'}; fill in {labels}", err=True)


@sample.command(name="import")
@click.argument("job_id")
@click.argument("labels", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--cost", default=0.0, show_default=True, help="What these labels cost, in your unit.")
@output_option
@fleet_options
def import_(client: OperatorClient, job_id: str, labels: Path, cost: float, output: str) -> None:
    """Hand in the labels of a CSV file; rows without a label are passed over, the last label of a sample holds.

    \b
    sanderling sample import job-1a2b3c to-label/labels.csv --cost 12.50
    """
    from sanderling_fleet.retrain.labels import read_labels

    try:
        text = labels.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"[labels] {labels} cannot be read: {error}. Save it as CSV in UTF-8") from error
    _tell(retraining(client).import_labels(job_id, read_labels(text), cost), output)


@sample.command()
@click.argument("job_id")
@click.option(
    "--labeller", required=True, metavar="MODULE:OBJECT", help="Has a method label(samples) -> labels and cost."
)
@output_option
@fleet_options
def label(client: OperatorClient, job_id: str, labeller: str, output: str) -> None:
    """Let a program label the samples: a service, a larger model, a test rig. It runs here, not on the server.

    \b
    sanderling sample label job-1a2b3c --labeller my_package.crowd:labeller
    """
    from sanderling_fleet.retrain.labels import load_labeller

    found = load_labeller(labeller)
    calls = retraining(client)
    labelled = found.label(_fetch(calls, job_id))
    _tell(calls.import_labels(job_id, labelled.labels, labelled.cost), output)


def _fetch(calls: RetrainClient, job_id: str) -> SampleRows:
    from sanderling_fleet.retrain.rows import read_rows

    job = calls.job(job_id)
    if not job.samples_digest:
        raise InputError(f"[sample] {job_id} has no file of samples: it is {state_of(job)} ({job.reason}). Ask later")
    return read_rows(calls.download(job.samples_digest))


def _tell(answer: tuple[pb.Job, int], output: str) -> None:
    job, unknown = answer
    if output == "json":
        print_json({"job": plain(job), "unknown": unknown})
        return
    click.echo(f"{job.job_id}: {state_of(job)}: {job.reason}")
    if unknown:
        click.echo(f"{unknown} labels were of samples that the job does not have", err=True)
