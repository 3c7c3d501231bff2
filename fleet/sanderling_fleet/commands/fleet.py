"""`sanderling fleet init|run|status|renew-root|operator`."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import logging
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanderling.commands.output import output_option, print_json, table
from sanderling.errors import InputError
from sanderling_fleet.commands.broker import broker_config
from sanderling_fleet.commands.connection import fleet_options, release_option, require_fleet
from sanderling_fleet.commands.device import list_devices
from sanderling_fleet.commands.printing import duration, plain

if TYPE_CHECKING:
    from sanderling_fleet.client import OperatorClient
    from sanderling_fleet.config import ServerConfig

_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
_DRAIN_SECONDS = 10.0


@click.group()
def fleet() -> None:
    """Set up and run a fleet server."""


@fleet.command()
@_FOLDER
@click.option("--address", default="127.0.0.1", show_default=True, help="Name or address that devices dial.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address that the server listens on.")
@output_option
def init(folder: Path, address: str, bind: str, output: str) -> None:
    """Make a new fleet in FOLDER: keys, database, and a token for its first operator.

    \b
    sanderling fleet init my-fleet --address fleet.example.org --bind 0.0.0.0
    """
    require_fleet()
    from sanderling_fleet.config import ServerConfig
    from sanderling_fleet.folders import create

    asyncio.run(create(folder, ServerConfig(host=address, bind=bind)))
    parts = {
        "server": "stays here: its CA, its online keys, its database",
        "release": "to the machine where releases are made; whoever has it decides what devices run",
        "operator": "to whoever runs the fleet: address, CA certificate, admin token",
    }
    if output == "json":
        print_json({name: folder / name for name in parts})
    else:
        click.echo(table(["folder", "where it goes"], [(folder / name, where) for name, where in parts.items()]))
    click.echo(
        "WARNING: development mode. Root is 1 of 1: the single key release/root.key can replace all others. Take it "
        "offline, and take release/ off this machine, before devices matter.",
        err=True,
    )


fleet.add_command(broker_config)


@fleet.command()
@_FOLDER
@click.option("--enrolment-port", type=click.IntRange(0, 65535), help="In place of the one in fleet.toml; 0 is free.")
@click.option("--device-port", type=click.IntRange(0, 65535), help="Likewise.")
@click.option("--operator-port", type=click.IntRange(0, 65535), help="Likewise.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="In place of a value in fleet.toml.")
@output_option
def run(
    folder: Path,
    enrolment_port: int | None,
    device_port: int | None,
    operator_port: int | None,
    settings: tuple[str, ...],
    output: str,
) -> None:
    """Run the server of FOLDER until SIGTERM or Ctrl-C; calls under way are answered first.

    Prints the addresses it listens on, once it does.

    \b
    sanderling fleet run my-fleet
    sanderling fleet run my-fleet --set check_in_seconds=10 --set probation_seconds=5
    """
    require_fleet()
    from sanderling_fleet.config import load_config, with_settings

    config = with_settings(load_config(folder / "server" / "fleet.toml"), settings)
    config = dataclasses.replace(
        config,
        enrolment_port=config.enrolment_port if enrolment_port is None else enrolment_port,
        device_port=config.device_port if device_port is None else device_port,
        operator_port=config.operator_port if operator_port is None else operator_port,
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    asyncio.run(_serve(folder / "server", config, output))


async def _serve(folder: Path, config: ServerConfig, output: str) -> None:
    from sanderling_fleet.folders import open_core
    from sanderling_fleet.server import FleetServer

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    core = await open_core(folder, config)
    server = FleetServer(core, config, folder)
    try:
        await server.start()
        addresses = {
            "enrolment": core.settings.addresses.enrolment,
            "device": core.settings.addresses.device,
            "operator": server.operator_address,
        }
        if output == "json":
            print_json(addresses)
        else:
            click.echo("\n".join(f"{name:9} {address}" for name, address in addresses.items()))
        await stopped.wait()
        click.echo("draining", err=True)
    finally:
        await server.stop(_DRAIN_SECONDS)


@fleet.command()
@output_option
@fleet_options
def status(client: OperatorClient, output: str) -> None:
    """Say how the fleet stands: devices by standing, versions, groups. Exits with 3 if a device is in conflict."""
    from sanderling.api.device.v1 import device_admin_pb2 as pb
    from sanderling.api.registry.v1 import registry_pb2

    devices = list_devices(client, "")
    standings = collections.Counter(
        pb.DeviceStanding.Name(item.standing).removeprefix("DEVICE_STANDING_").lower() for item in devices
    )
    running = collections.Counter(slot.active_version for item in devices for slot in item.slots if slot.active_version)
    versions = client.every(client.registry.ListVersions, registry_pb2.ListVersionsRequest(), "versions")
    groups = client.every(client.devices.ListGroups, pb.ListGroupsRequest(), "groups")
    if output == "json":
        print_json(
            {
                "devices": dict(standings),
                "running": dict(running),
                "versions": [item.version for item in versions],
                "groups": [plain(group) for group in groups],
            }
        )
    else:
        rows = [
            *((f"devices {name}", count) for name, count in sorted(standings.items())),
            *((f"running {name}", count) for name, count in sorted(running.items())),
            ("versions", len(versions)),
            ("groups", len(groups)),
        ]
        click.echo(table(["", "count"], rows))
    if standings["conflict"]:
        click.get_current_context().exit(3)


@fleet.command()
@release_option
@output_option
@fleet_options
def renew_root(client: OperatorClient, folder: Path, output: str) -> None:
    """Sign the root for another year. It needs root.key in the release folder: take it away again afterwards."""
    from sanderling_fleet.trust.release import ReleaseFolder

    version = client.renew_root(ReleaseFolder(folder), time.time())
    if output == "json":
        print_json({"root_version": version})
    else:
        click.echo(f"root version {version}")


@fleet.command()
@_FOLDER
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "publisher", "admin"]), default="viewer")
@click.option("--life", type=duration, help="How long it is good; for ever if not given.")
@click.option("--delete", is_flag=True, help="Take NAME's token away instead.")
def operator(folder: Path, name: str, role: str, life: float | None, delete: bool) -> None:
    """Print a new token for NAME, made on the server's machine in FOLDER/server. It is a secret and shown once.

    \b
    sanderling fleet operator my-fleet alice --role operator --life 90d
    """
    require_fleet()
    from sanderling_fleet.core import operators
    from sanderling_fleet.folders import open_core

    if not (folder / "server" / "fleet.db").exists():
        raise InputError(f"[operator] {folder} is no fleet. Make one with: sanderling fleet init")

    async def change() -> str:
        core = await open_core(folder / "server")
        try:
            if delete:
                await operators.delete_token(core, name)
                return ""
            return await operators.create_token(core, name, operators.Role(role), life or 0.0)
        finally:
            await core.store.close()

    token = asyncio.run(change())
    if token:
        click.echo(token)
