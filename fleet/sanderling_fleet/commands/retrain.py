"""`sanderling retrain start|ls|show|reject`."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import click

from sanderling.commands.output import human_bytes, output_option, print_json, table
from sanderling_fleet.commands.connection import fleet_options
from sanderling_fleet.commands.printing import plain, when

if TYPE_CHECKING:
    from sanderling.api.retrain.v1 import retrain_pb2 as pb
    from sanderling_fleet.client import OperatorClient
    from sanderling_fleet.publisher.client import RetrainClient


@click.group()
def retrain() -> None:
    """Retrain a model on what devices saw, and look at what came of it."""


@retrain.command()
@click.argument("slot")
@click.option("--reason", default="", help="Goes into the job and the audit log.")
@click.option("--request-id", default="", help="The same id again gives the same job.  [default: a new one]")
@output_option
@fleet_options
def start(client: OperatorClient, slot: str, reason: str, request_id: str, output: str) -> None:
    """Open a job for SLOT: devices are asked for samples, which then wait for labels.

    \b
    sanderling retrain start main --reason "new camera housing"
    """
    _show(retraining(client).start(request_id or str(uuid.uuid4()), slot, reason), output)


@retrain.command()
@click.argument("slot", default="")
@output_option
@fleet_options
def ls(client: OperatorClient, slot: str, output: str) -> None:
    """List jobs, all or those of SLOT, oldest first."""
    jobs = retraining(client).jobs(slot)
    if output == "json":
        print_json([plain(job) for job in jobs])
        return
    rows = [
        (
            job.job_id,
            job.slot,
            job.champion_version,
            state_of(job),
            job.samples,
            job.labels,
            job.draft_version or None,
            when(job, "created_at"),
            job.reason,
        )
        for job in jobs
    ]
    click.echo(
        table(["job", "slot", "champion", "state", "samples", "labels", "draft", "created (UTC)", "reason"], rows)
    )


@retrain.command()
@click.argument("job_id")
@output_option
@fleet_options
def show(client: OperatorClient, job_id: str, output: str) -> None:
    """Print a job: its state and why, champion against challenger, the last of the trainer's log."""
    _show(retraining(client).job(job_id), output)


@retrain.command()
@click.argument("job_id")
@click.option("--reason", required=True, help="Goes into the job and the audit log.")
@output_option
@fleet_options
def reject(client: OperatorClient, job_id: str, reason: str, output: str) -> None:
    """End a draft without signing it."""
    _show(retraining(client).reject(job_id, reason), output)


def retraining(client: OperatorClient) -> RetrainClient:
    """The calls of retraining over a connection."""
    from sanderling_fleet.publisher.client import RetrainClient

    return RetrainClient(client)


def state_of(job: pb.Job) -> str:
    """The state in words, with the progress of work under way."""
    from sanderling.api.retrain.v1 import retrain_pb2 as pb

    name = pb.JobState.Name(job.state).removeprefix("JOB_STATE_").lower().replace("_", " ")
    working = job.state in (pb.JOB_STATE_TRAINING, pb.JOB_STATE_GATING)
    return f"{name} {100 * job.progress:.0f} %" if working else name


def _show(job: pb.Job, output: str) -> None:
    if output == "json":
        print_json(plain(job))
        return
    facts: list[tuple[str, Any]] = [
        ("job", job.job_id),
        ("slot", job.slot),
        ("champion", job.champion_version),
        ("state", state_of(job)),
        ("reason", job.reason),
        ("trigger", job.trigger),
        ("samples", f"{job.samples}, {human_bytes(job.sample_bytes)}"),
        ("labels", f"{job.labels}, cost {job.label_cost:g}"),
        ("draft", job.draft_version or None),
        ("created (UTC)", when(job, "created_at")),
        ("ended (UTC)", when(job, "ended_at")),
    ]
    click.echo(table(["", ""], facts))
    if job.gate:
        rows = [
            (
                item.rows_name,
                item.rows,
                f"{100 * item.champion_accuracy:.1f} %",
                f"{100 * item.challenger_accuracy:.1f} %",
                f"{100 * item.lower:+.1f} to {100 * item.upper:+.1f}",
                "passed" if item.passed else "not passed",
            )
            for item in job.gate
        ]
        click.echo()
        click.echo(table(["rows", "n", "champion", "challenger", "difference, points", "gate"], rows))
    if job.log_tail:
        click.echo(job.log_tail.rstrip(), err=True)
