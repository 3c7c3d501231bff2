"""`sanderling audit ls|verify`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanderling.commands.output import output_option, print_json, table
from sanderling_fleet.commands.connection import fleet_options, require_fleet
from sanderling_fleet.commands.printing import plain, when

if TYPE_CHECKING:
    from sanderling_fleet.client import OperatorClient


@click.group()
def audit() -> None:
    """See who did what."""


@audit.command()
@click.option("--after", default=0, show_default=True, type=click.IntRange(min=0), help="Only lines after this one.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="At most so many lines.")
@output_option
@fleet_options
def ls(client: OperatorClient, after: int, limit: int, output: str) -> None:
    """List the audit log, oldest first; refused calls are in it too."""
    from sanderling.api.device.v1 import device_admin_pb2 as pb

    request = pb.ListAuditRequest(after_sequence=after, page_size=limit)
    lines = client.call(client.devices.ListAudit, request).lines
    if output == "json":
        print_json([plain(line) for line in lines])
        return
    rows = [
        (
            line.sequence,
            when(line, "recorded_at"),
            line.actor,
            line.action,
            line.subject or None,
            line.outcome,
            line.detail,
        )
        for line in lines
    ]
    click.echo(table(["line", "time (UTC)", "actor", "action", "subject", "outcome", "detail"], rows))


@audit.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@output_option
def verify(folder: Path, output: str) -> None:
    """Check on the server's machine that no line of the log in FOLDER/server was changed or taken out."""
    require_fleet()
    from sanderling_fleet.core.audit import verify as verify_chain
    from sanderling_fleet.folders import open_core

    async def run() -> int:
        core = await open_core(folder / "server")
        try:
            return await verify_chain(core)
        finally:
            await core.store.close()

    lines = asyncio.run(run())
    if output == "json":
        print_json({"lines": lines})
    else:
        click.echo(f"{lines:,} lines, each sealed by the one before it")
