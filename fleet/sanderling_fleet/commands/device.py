"""`sanderling device token|ls|show|approve|revoke|label`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sanderling.commands.output import output_option, print_json, table
from sanderling_fleet.commands.connection import fleet_options
from sanderling_fleet.commands.printing import duration, pairs, plain, when

if TYPE_CHECKING:
    from sanderling_fleet.client import OperatorClient


@click.group()
def device() -> None:
    """Take devices in, look at them, and put them out."""


@device.command()
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Given to the device; may be repeated.")
@click.option("--life", type=duration, default="24h", show_default=True, help="How long the token is good.")
@click.option("--approved/--pending", default=True, show_default=True, help="Whether it needs no approval.")
@output_option
@fleet_options
def token(client: OperatorClient, labels: tuple[str, ...], life: float, approved: bool, output: str) -> None:
    """Print a join token, with which one machine may become a device. It is a secret and shown once.

    \b
    sanderling device token --label site=hall-2
    """
    from sanderling.api.device.v1 import device_admin_pb2 as pb
    from sanderling_fleet.wire import duration

    request = pb.CreateJoinTokenRequest(life=duration(life), labels=_labels(labels)[0], approved=approved)
    made = client.call(client.devices.CreateJoinToken, request)
    if output == "json":
        print_json(plain(made))
        return
    click.echo(made.join_token)
    click.echo(f"serves one device until {when(made, 'expires_at')} UTC: sanderling agent enroll TOKEN", err=True)


@device.command()
@click.argument("selector", default="")
@output_option
@fleet_options
def ls(client: OperatorClient, selector: str, output: str) -> None:
    """List devices, all or those that SELECTOR matches.

    \b
    sanderling device ls
    sanderling device ls 'site=hall-2,tier!=test'
    """
    found = list_devices(client, selector)
    if output == "json":
        print_json([plain(item) for item in found])
        return
    rows = [
        (
            item.device_id,
            _standing(item),
            when(item, "last_seen_at"),
            " ".join(f"{slot.slot}:{slot.active_version or '-'}" for slot in item.slots) or None,
            item.facts.profile or item.facts.machine,
            pairs(item.labels),
        )
        for item in found
    ]
    click.echo(table(["device", "standing", "last seen (UTC)", "slots", "profile", "labels"], rows))


@device.command()
@click.argument("device_id")
@output_option
@fleet_options
def show(client: OperatorClient, device_id: str, output: str) -> None:
    """Print all that is known of one device."""
    from sanderling.api.device.v1 import device_admin_pb2 as pb

    _print(client.call(client.devices.GetDevice, pb.GetDeviceRequest(device_id=device_id)).device, output)


@device.command()
@click.argument("device_ids", nargs=-1, required=True)
@output_option
@fleet_options
def approve(client: OperatorClient, device_ids: tuple[str, ...], output: str) -> None:
    """Let devices take part that wait for it, or that were found in conflict."""
    from sanderling.api.device.v1 import device_admin_pb2 as pb

    for device_id in device_ids:
        _print(client.call(client.devices.ApproveDevice, pb.ApproveDeviceRequest(device_id=device_id)).device, output)


@device.command()
@click.argument("device_id")
@click.option("--reason", default="", help="For the audit log, and told to the device.")
@output_option
@fleet_options
def revoke(client: OperatorClient, device_id: str, reason: str, output: str) -> None:
    """Refuse a device from now on, for good; it keeps running what it has."""
    from sanderling.api.device.v1 import device_admin_pb2 as pb

    request = pb.RevokeDeviceRequest(device_id=device_id, reason=reason)
    _print(client.call(client.devices.RevokeDevice, request).device, output)


@device.command()
@click.argument("device_id")
@click.argument("labels", nargs=-1, required=True, metavar="KEY=VALUE|KEY-...")
@output_option
@fleet_options
def label(client: OperatorClient, device_id: str, labels: tuple[str, ...], output: str) -> None:
    """Set labels of a device; KEY- takes one away.

    \b
    sanderling device label dv-1f2e site=hall-2 canary-
    """
    from sanderling.api.device.v1 import device_admin_pb2 as pb

    put, remove = _labels(labels)
    request = pb.LabelDeviceRequest(device_id=device_id, set=put, remove=remove)
    _print(client.call(client.devices.LabelDevice, request).device, output)


def list_devices(client: OperatorClient, selector: str) -> list[Any]:
    """All devices that match, page by page."""
    from sanderling.api.device.v1 import device_admin_pb2 as pb

    return client.every(client.devices.ListDevices, pb.ListDevicesRequest(selector=selector, page_size=500), "devices")


def _labels(texts: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    put, remove = {}, []
    for text in texts:
        key, equals, value = text.partition("=")
        if equals:
            put[key] = value
        elif text.endswith("-"):
            remove.append(text[:-1])
        else:
            raise click.UsageError(f"{text!r} is no label, expected KEY=VALUE, or KEY- to take one away")
    return put, remove


def _standing(item: Any) -> str:
    from sanderling.api.device.v1 import device_admin_pb2 as pb

    return pb.DeviceStanding.Name(item.standing).removeprefix("DEVICE_STANDING_").lower()


def _presence(item: Any) -> str | None:
    if not item.HasField("online"):
        return None
    return f"{'online' if item.online else 'offline'} since {when(item, 'online_changed_at')}"


def _print(item: Any, output: str) -> None:
    if output == "json":
        print_json(plain(item))
        return
    rows = [
        ("device", item.device_id),
        ("standing", f"{_standing(item)}: {item.reason}" if item.reason else _standing(item)),
        ("labels", pairs(item.labels)),
        ("enrolled (UTC)", when(item, "enrolled_at")),
        ("last seen (UTC)", when(item, "last_seen_at")),
        ("broker", _presence(item)),
        ("certificate ends (UTC)", when(item, "certificate_expires_at")),
        ("desired state", f"{item.reported_counter} of {item.desired_counter}"),
        ("machine", f"{item.facts.machine} {' '.join(item.facts.isas)}"),
        ("memory", f"{item.facts.memory_bytes >> 20:,} MiB"),
        ("accelerator", item.facts.accelerator or None),
        ("Sanderling", item.facts.runtime_version),
        *((f"slot {slot.slot}", slot.active_version or None) for slot in item.slots),
    ]
    click.echo(table(["", "value"], rows))
