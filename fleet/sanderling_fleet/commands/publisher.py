"""`sanderling publisher init|delegate|run|sign`."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sanderling_fleet.commands.connection import FleetSettings, connect, require_fleet
from sanderling_fleet.commands.printing import duration

if TYPE_CHECKING:
    from sanderling_fleet.publisher.publish import Publisher

Command = TypeVar("Command", bound=Callable[..., Any])
_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


def _server_options(command: Command) -> Command:
    for option in (
        click.option("--token-file", envvar="SANDERLING_FLEET_TOKEN_FILE", default="", help="File with the token."),
        click.option("--ca", envvar="SANDERLING_FLEET_CA", default="", help="Certificate of the fleet's CA, PEM."),
        click.option(
            "--server",
            "--address",
            "address",
            envvar="SANDERLING_FLEET_ADDRESS",
            default="",
            help="host:port of the operator listener.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def publisher() -> None:
    """Sign retrained versions with a key of their own, off the server."""


@publisher.command()
@_FOLDER
@click.option("--model", required=True, help="Whose versions it signs.")
@click.option(
    "--policy",
    type=click.Choice(["manual", "auto-canary"]),
    default="manual",
    show_default=True,
    help="manual: a person names each draft. auto-canary: what passes goes to a few devices and waits there.",
)
def init(folder: Path, model: str, policy: str) -> None:
    """Make a publisher in FOLDER: a key, and publisher.toml with the policy to be edited.

    The key can sign nothing before the release role delegates to it: sanderling publisher delegate.

    \b
    sanderling publisher init publisher --model digits
    """
    require_fleet()
    from sanderling_fleet.publisher.folder import PublisherFolder, PublisherSettings

    made = PublisherFolder.create(folder, PublisherSettings(model=model, policy=policy))
    click.echo(folder / "publisher.pub")
    click.echo(
        f"made the key of {made.role}; keep {folder} off the server, and let the release role delegate", err=True
    )


@publisher.command()
@click.argument("public", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--model", required=True, help="Whose versions it may sign, and no other's.")
@click.option(
    "--release",
    required=True,
    envvar="SANDERLING_RELEASE",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The release folder, whose keys never leave this machine.",
)
@_server_options
def delegate(public: Path, model: str, release: Path, **server: str) -> None:
    """Let the publisher of the key PUBLIC sign versions of one model, in place of a former publisher.

    \b
    sanderling publisher delegate publisher/publisher.pub --model digits --release release
    """
    require_fleet()
    from sanderling.errors import IntegrityError
    from sanderling_fleet.publisher.client import RetrainClient
    from sanderling_fleet.publisher.folder import load_public
    from sanderling_fleet.trust.release import ReleaseFolder

    role = ReleaseFolder(release)
    with connect(FleetSettings(**server)) as client:
        calls = RetrainClient(client)
        theirs = calls.role_metadata("targets")
        if theirs is None or not role.adopt(theirs):
            raise IntegrityError(
                "[publisher] the server's targets are older than the release folder's: it was restored from a backup. "
                "Push them again first: sanderling model push"
            )
        content = role.delegate(model, load_public(public), time.time())
        calls.publish("targets", content)
        role.keep(content)
    click.echo(f"{public} signs versions of {model} from now on, targets version {role.targets.signed.version}")


@publisher.command()
@_FOLDER
@click.option("--every", type=duration, default="30s", show_default=True, help="How often it looks for drafts.")
@click.option("--once", is_flag=True, help="Look once and end.")
@_server_options
def run(folder: Path, every: float, once: bool, **server: str) -> None:
    """Look for drafts, check them, and do what the policy in FOLDER/publisher.toml says.

    It may be killed at any time: the next one goes on where it was.

    \b
    sanderling publisher run publisher --server fleet.example.org:7445 --token-file publisher/token
    """
    with connect(FleetSettings(**server)) as client:
        working = _publisher(folder, client)
        if once:
            for line in working.look():
                click.echo(line)
            return
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        click.echo(f"looks for drafts every {every:g} s", err=True)
        working.run(stop, every)


@publisher.command()
@_FOLDER
@click.argument("job_id")
@click.option("--canary", is_flag=True, help="Also ask for the rollout that publisher.toml describes.")
@_server_options
def sign(folder: Path, job_id: str, canary: bool, **server: str) -> None:
    """Sign and publish the draft of JOB_ID. It is checked as the policy would check it.

    \b
    sanderling publisher sign publisher job-1a2b3c --canary
    """
    with connect(FleetSettings(**server)) as client:
        click.echo(_publisher(folder, client).sign(job_id, canary=canary))


def _publisher(folder: Path, client: Any) -> Publisher:
    from sanderling_fleet.publisher.client import RetrainClient
    from sanderling_fleet.publisher.folder import PublisherFolder
    from sanderling_fleet.publisher.publish import Publisher

    return Publisher(PublisherFolder(folder), RetrainClient(client))
