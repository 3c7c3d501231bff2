"""`sanderling rollout create|ls|status|pause|resume|promote|abort|roll-back`."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sanderling.commands.output import output_option, print_json, table
from sanderling.errors import GateRefused
from sanderling_fleet.commands.connection import fleet_options
from sanderling_fleet.commands.printing import duration, plain, when

if TYPE_CHECKING:
    from sanderling.api.rollout.v1 import rollout_pb2
    from sanderling_fleet.client import OperatorClient

_LOOK_SECONDS = 1.0
_STAGES = ("canary:1:soak=10m", "tenth:10%:soak=1h", "all:100%")


@click.group()
def rollout() -> None:
    """Bring a version to devices in stages, and watch over it."""


@rollout.command()
@click.argument("version")
@click.option("--slot", default="main", show_default=True, help="Model slot on the devices.")
@click.option(
    "--selector", default="", help="Labels of the devices, such as 'site=hall-2,tier!=test'; all if left out."
)
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="NAME:SIZE[:soak=TIME][:deadline=TIME][:hold]",
    help=f"One stage; SIZE is a count or a percentage. May be repeated; default: {' '.join(_STAGES)}.",
)
@click.option(
    "--compare",
    "comparisons",
    multiple=True,
    metavar="METRIC=MARGIN",
    help="Compare with a control group in all stages but the last: latency_p95=1.15 (a factor), confidence=0.05, ...",
)
@click.option("--control", default=0.0, metavar="PERCENT", help="Devices that stay on their version, to compare with.")
@click.option(
    "--on-breach",
    type=click.Choice(["pause", "abort", "roll_back"]),
    default="pause",
    show_default=True,
    help="What happens by itself when a gate is breached.",
)
@click.option(
    "--device-deadline", type=duration, default="1d", show_default=True, help="Time that one device may take."
)
@click.option(
    "--downgrade-token",
    "tokens",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Leave of the release role to install an older release (sanderling model downgrade-token).",
)
@click.option("--dry-run", is_flag=True, help="Say which devices would get it and which cannot; change nothing.")
@output_option
@fleet_options
def create(client: OperatorClient, version: str, dry_run: bool, output: str, **options: Any) -> None:
    """Bring VERSION (NAME-VERSION) to devices.

    A stage lists how many devices have the version when it is over, those of earlier stages included. Each is judged
    by its gates: never more than one device may fail (or half of those that tried), and what --compare adds.

    \b
    sanderling rollout create digits-1.1
    sanderling rollout create digits-1.1 --selector site=hall-2 --stage canary:2:soak=30m:hold --stage all:100%
    sanderling rollout create digits-1.1 --control 20 --compare confidence=0.05 --compare latency_p95=1.2
    """
    from sanderling.api.rollout.v1 import rollout_pb2 as pb
    from sanderling_fleet.rollout_text import rollout_spec
    from sanderling_fleet.rollout_wire import spec_message

    spec = rollout_spec(
        version,
        slot=options["slot"],
        selector=options["selector"],
        stages=options["stages"] or _STAGES,
        comparisons=options["comparisons"],
        control_percent=options["control"],
        on_breach=options["on_breach"],
        device_deadline_seconds=options["device_deadline"],
    )
    request = pb.CreateRolloutRequest(
        request_id=secrets.token_hex(8),
        spec=spec_message(spec),
        downgrade_tokens=[path.read_bytes() for path in options["tokens"]],
        validate_only=dry_run,
    )
    answer = client.call(client.rollouts.CreateRollout, request)
    for device, reason in sorted(answer.incompatible.items()):
        click.echo(f"{device} cannot have it: {reason}", err=True)
    if output == "json":
        print_json(plain(answer))
    elif dry_run:
        click.echo(f"{len(answer.incompatible)} matching devices cannot have {version}; nothing was changed")
    else:
        click.echo(answer.rollout.rollout_id)
        click.echo(f"watch it: sanderling rollout status {answer.rollout.rollout_id} --watch", err=True)


@rollout.command()
@output_option
@fleet_options
def ls(client: OperatorClient, output: str) -> None:
    """List rollouts, newest first."""
    from sanderling.api.rollout.v1 import rollout_pb2 as pb
    from sanderling_fleet.commands.rollout_picture import word

    found = client.every(client.rollouts.ListRollouts, pb.ListRolloutsRequest(), "rollouts")
    if output == "json":
        print_json([plain(item) for item in found])
        return
    rows = [
        (
            item.rollout_id,
            item.spec.version,
            item.spec.slot,
            word(pb.RolloutState, item.state, "ROLLOUT_STATE_"),
            when(item, "created_at"),
            item.created_by,
            item.reason,
        )
        for item in found
    ]
    click.echo(table(["rollout", "version", "slot", "state", "created (UTC)", "by", "reason"], rows))


@rollout.command()
@click.argument("rollout_id")
@click.option("--watch", is_flag=True, help="Follow it to its end; exit 7 if it did not succeed.")
@output_option
@fleet_options
def status(client: OperatorClient, rollout_id: str, watch: bool, output: str) -> None:
    """Show a rollout: its stages, its gates with their numbers, its devices.

    \b
    sanderling rollout status ro-0123456789ab --watch
    """
    found = _get(client, rollout_id)
    if not watch:
        _show(found, output)
        return
    shown = ""
    while True:
        text = _text(found)
        if text != shown and output != "json":
            # A terminal redraws in place; a pipe gets each change once.
            if shown and sys.stdout.isatty():
                click.clear()
            click.echo(text)
            shown = text
        if found.HasField("ended_at"):
            break
        time.sleep(_LOOK_SECONDS)
        found = _get(client, rollout_id)
    if output == "json":
        _show(found, output)
    _check_success(found)


@rollout.command()
@click.argument("rollout_id")
@click.option("--reason", default="", help="For the audit log.")
@output_option
@fleet_options
def pause(client: OperatorClient, rollout_id: str, reason: str, output: str) -> None:
    """Stop offering the version; devices under way go on."""
    from sanderling.api.rollout.v1 import rollout_pb2 as pb

    request = pb.PauseRolloutRequest(rollout_id=rollout_id, reason=reason)
    _show(client.call(client.rollouts.PauseRollout, request).rollout, output)


@rollout.command()
@click.argument("rollout_id")
@output_option
@fleet_options
def resume(client: OperatorClient, rollout_id: str, output: str) -> None:
    """Go on with a paused rollout; an inconclusive stage gets its time anew."""
    from sanderling.api.rollout.v1 import rollout_pb2 as pb

    _show(client.call(client.rollouts.ResumeRollout, pb.ResumeRolloutRequest(rollout_id=rollout_id)).rollout, output)


@rollout.command()
@click.argument("rollout_id")
@output_option
@fleet_options
def promote(client: OperatorClient, rollout_id: str, output: str) -> None:
    """Go past a stage that waits for a person, or, of a paused rollout, against its gates."""
    from sanderling.api.rollout.v1 import rollout_pb2 as pb

    request = pb.PromoteRolloutRequest(rollout_id=rollout_id)
    _show(client.call(client.rollouts.PromoteRollout, request).rollout, output)


@rollout.command()
@click.argument("rollout_id")
@click.option("--reason", default="", help="For the audit log.")
@output_option
@fleet_options
def abort(client: OperatorClient, rollout_id: str, reason: str, output: str) -> None:
    """End it; devices that have committed the version keep it."""
    from sanderling.api.rollout.v1 import rollout_pb2 as pb

    request = pb.AbortRolloutRequest(rollout_id=rollout_id, reason=reason)
    _show(client.call(client.rollouts.AbortRollout, request).rollout, output)


@rollout.command("roll-back")
@click.argument("rollout_id")
@click.option("--reason", default="", help="For the audit log.")
@click.option(
    "--downgrade-token",
    "tokens",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Leave of the release role to return to a version (sanderling model downgrade-token). May be repeated.",
)
@output_option
@fleet_options
def roll_back(client: OperatorClient, rollout_id: str, reason: str, tokens: tuple[Path, ...], output: str) -> None:
    """End it, and bring the former version back to every device that it touched."""
    from sanderling.api.rollout.v1 import rollout_pb2 as pb

    request = pb.RollBackRolloutRequest(
        rollout_id=rollout_id, reason=reason, downgrade_tokens=[path.read_bytes() for path in tokens]
    )
    _show(client.call(client.rollouts.RollBackRollout, request).rollout, output)


def _get(client: OperatorClient, rollout_id: str) -> rollout_pb2.Rollout:
    from sanderling.api.rollout.v1 import rollout_pb2 as pb

    return client.call(client.rollouts.GetRollout, pb.GetRolloutRequest(rollout_id=rollout_id)).rollout


def _check_success(found: rollout_pb2.Rollout) -> None:
    from sanderling.api.rollout.v1 import rollout_pb2 as pb
    from sanderling_fleet.commands.rollout_picture import word

    if found.state != pb.ROLLOUT_STATE_SUCCEEDED:
        state = word(pb.RolloutState, found.state, "ROLLOUT_STATE_")
        raise GateRefused(f"[rollout] {found.rollout_id} ended as {state}: {found.reason}")


def _show(found: rollout_pb2.Rollout, output: str) -> None:
    if output == "json":
        print_json(plain(found))
    else:
        click.echo(_text(found))


def _text(found: rollout_pb2.Rollout) -> str:
    from sanderling_fleet.commands.rollout_picture import picture

    return picture(found)
