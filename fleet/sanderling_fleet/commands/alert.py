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
WHAT_TO_DO = {
    "device.conflict": "find the copy of the machine; sanderling device approve DEVICE starts the right one afresh",
    "device": "see what it runs: sanderling device show DEVICE",
    "drift.device": "look at its site and its camera; then sanderling alert ack ALERT, and it is watched for anew",
    "drift.cohort": "look for what these devices have in common; then sanderling alert ack ALERT",
    "drift.world": "see whether a job has begun: sanderling retrain ls; or open one: sanderling retrain start SLOT",
    "fleet.restored": "push what the backup lacks: sanderling model push --release RELEASE-FOLDER",
    "registry.expiring": "have it signed anew before it expires, as the summary says",
    "registry.stale": "push that release again: sanderling model push --release RELEASE-FOLDER",
    "retrain.deferred": "nothing: it begins by itself; or begin now: sanderling retrain start SLOT",
    "retrain.draft": "sanderling publisher sign FOLDER JOB, or sanderling retrain reject JOB --reason ...",
    "retrain.ended": "read why, with the trainer's log: sanderling retrain show JOB",
    "retrain.labels": "sanderling sample export JOB FOLDER, label, sanderling sample import JOB FOLDER/labels.csv",
    "retrain.starved": "see that devices keep samples and reach the server: sanderling device ls",
    "retrain.stuck": "read why: sanderling retrain ls",
    "rollout.breach": "see the gates: sanderling rollout status ROLLOUT; then promote, abort or roll-back",
    "rollout.holding": "sanderling rollout promote ROLLOUT, or abort, or roll-back",
    "rollout.inconclusive": "sanderling rollout resume ROLLOUT for more time, promote against the gate, or abort",
    "rollout.incomplete": "see the devices that lack it: sanderling rollout status ROLLOUT",
    "rollout.result": "see the device: sanderling device show DEVICE",
    "sensor.fault": "repair the sensor of that device; then sanderling alert ack ALERT",
    "telemetry.dropped": "see whether that device reaches the broker; what was dropped is gone",
}
"""By kind, or by what stands before its dot."""


@click.group()
def alert() -> None:
    """See what the fleet wants looked at."""


@alert.command()
@click.option("--all", "everything", is_flag=True, help="Also those that someone has acknowledged.")
@output_option
@fleet_options
def ls(client: OperatorClient, everything: bool, output: str) -> None:
    """List alerts that hold, newest first, and say what to do about each kind."""
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
    for kind in sorted({item.kind for item in found}):
        what = WHAT_TO_DO.get(kind) or WHAT_TO_DO.get(kind.partition(".")[0])
        if what:
            click.echo(f"{kind}: {what}", err=True)


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
