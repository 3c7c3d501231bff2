"""`sanderling alert ls|ack`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from sanderling.commands.output import output_option, print_json, table
from sanderling_fleet.commands.connection import fleet_options
from sanderling_fleet.commands.printing import plain, when

if TYPE_CHECKING:
    from sanderling_fleet.client import OperatorClient

_MOST_NAMED = 3


@click.group()
def alert() -> None:
    """See what the fleet wants looked at."""


@alert.command()
@click.option("--all", "everything", is_flag=True, help="Also those that someone has acknowledged.")
@output_option
@fleet_options
def ls(client: OperatorClient, everything: bool, output: str) -> None:
    """List alerts that hold, newest first."""
    from sanderling.api.telemetry.v1 import alert_pb2, telemetry_pb2

    request = alert_pb2.ListAlertsRequest(include_acknowledged=everything)
    found = client.every(client.alerts.ListAlerts, request, "alerts")
    if output == "json":
        print_json([plain(item) for item in found])
        return
    rows = [
        (
            item.alert_id,
            telemetry_pb2.Severity.Name(item.severity).removeprefix("SEVERITY_").lower(),
            when(item, "raised_at"),
            item.repeats,
            _named(item.devices),
            item.acknowledged_by or None,
            item.summary,
        )
        for item in found
    ]
    click.echo(table(["alert", "severity", "raised (UTC)", "repeats", "devices", "acknowledged by", "summary"], rows))


@alert.command()
@click.argument("alert_id")
@click.option("--comment", default="", help="What was found or done.")
@output_option
@fleet_options
def ack(client: OperatorClient, alert_id: str, comment: str, output: str) -> None:
    """Say that ALERT_ID was looked at. Drift is then watched for anew.

    \b
    sanderling alert ack sensor.fault/main/digits-1.0/dv-3-1 --comment "lens cleaned"
    """
    from sanderling.api.telemetry.v1 import alert_pb2

    request = alert_pb2.AckAlertRequest(alert_id=alert_id, comment=comment)
    done = client.call(client.alerts.AckAlert, request).alert
    if output == "json":
        print_json(plain(done))
    else:
        click.echo(f"{done.alert_id} was acknowledged by {done.acknowledged_by}")


def _named(devices: Iterable[str]) -> str | None:
    names = list(devices)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more if names else None
