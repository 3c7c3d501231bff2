"""`sanderling fleet broker-config`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanderling.commands.output import output_option, print_json
from sanderling_fleet.commands.connection import require_fleet

if TYPE_CHECKING:
    from sanderling_fleet.broker.mosquitto import Listener


@click.command("broker-config")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--to", "target", type=click.Path(path_type=Path, file_okay=False), help="Default: FOLDER/broker.")
@click.option("--host", "hosts", multiple=True, help="Name or address that devices dial; may be repeated.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address that the broker listens on.")
@click.option("--port", default=8883, show_default=True, type=click.IntRange(1, 65535), help="Port of the broker.")
@output_option
def broker_config(folder: Path, target: Path | None, hosts: tuple[str, ...], bind: str, port: int, output: str) -> None:
    """Write a configuration of Mosquitto for the fleet in FOLDER: mutual TLS, and to each device its own topics.

    `sanderling fleet run` keeps FOLDER/broker up to date: who is revoked, and the broker's certificate. Elsewhere, run
    this again before that ends, in 397 days, and have Mosquitto restarted.

    \b
    sanderling fleet broker-config my-fleet --host fleet.example.org --bind 0.0.0.0
    mosquitto -c my-fleet/broker/mosquitto.conf
    """
    require_fleet()
    from sanderling_fleet.broker.mosquitto import Listener

    listener = Listener(bind, port, hosts or Listener.hosts)
    target = (target or folder / "broker").absolute()
    asyncio.run(_write(folder / "server", target, listener))
    url = f"mqtts://{listener.hosts[0]}:{port}"
    if output == "json":
        print_json({"folder": target, "url": url})
        return
    click.echo(f"mosquitto -c {target / 'mosquitto.conf'}")
    click.echo("Run it as the user that runs the fleet server, so that revocations reach it.", err=True)
    click.echo(f'In {folder / "server" / "fleet.toml"}: broker = "{url}"', err=True)


async def _write(server: Path, target: Path, listener: Listener) -> None:
    from sanderling_fleet.broker.mosquitto import BrokerFolder
    from sanderling_fleet.broker.revocation import revoked_of
    from sanderling_fleet.clock import WallClock
    from sanderling_fleet.folders import open_core

    now = WallClock().now()
    core = await open_core(server)
    try:
        async with core.store.transaction() as tx:
            revoked = await revoked_of(tx, now)
    finally:
        await core.store.close()
    BrokerFolder.create(target, server, listener, revoked, now)
