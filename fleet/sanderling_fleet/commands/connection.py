"""How commands find the fleet server: flags, then SANDERLING_FLEET_*, then sanderling.toml."""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sanderling.errors import InputError

if TYPE_CHECKING:
    from sanderling_fleet.client import OperatorClient

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = "sanderling.toml"
_HINT = "Run in the folder operator/ that 'sanderling fleet init' made, or set SANDERLING_FLEET_ADDRESS, _CA and _TOKEN"


@dataclass(frozen=True)
class FleetSettings:
    """The table [fleet] of sanderling.toml; paths are relative to the file.

    Attributes:
        address: "host:port" of the operator listener.
        ca: Path of the CA's certificate.
        token_file: Path of a file with the bearer token.
    """

    address: str = ""
    ca: str = ""
    token_file: str = ""


def fleet_options(command: Command) -> Command:
    """Adds --address, --ca and --token-file, and passes the command an `OperatorClient` as `client`."""

    @click.option(
        "--address", envvar="SANDERLING_FLEET_ADDRESS", default="", help="host:port of the operator listener."
    )
    @click.option("--ca", envvar="SANDERLING_FLEET_CA", default="", help="Certificate of the fleet's CA, PEM.")
    @click.option("--token-file", envvar="SANDERLING_FLEET_TOKEN_FILE", default="", help="File with the bearer token.")
    @functools.wraps(command)
    def wrapped(*args: Any, address: str, ca: str, token_file: str, **options: Any) -> Any:
        with connect(FleetSettings(address, ca, token_file)) as client:
            return command(*args, client=client, **options)

    return wrapped  # type: ignore[return-value]


def release_option(command: Command) -> Command:
    """Adds --release, a folder, as `folder`."""
    return click.option(
        "--release",
        "folder",
        required=True,
        envvar="SANDERLING_RELEASE",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        help="The release folder, whose keys never leave this machine.",
    )(command)


def connect(flags: FleetSettings) -> OperatorClient:
    """Opens the connection that flags, environment and files describe.

    Raises:
        InputError: Something is missing or cannot be read.
    """
    require_fleet()
    from sanderling_fleet.client import OperatorClient

    found = find_settings(flags, config_files())
    if not found.address:
        raise InputError(f"[fleet] no address of a fleet server is known. {_HINT}")
    token = (os.environ.get("SANDERLING_FLEET_TOKEN", "") or _text(found.token_file, "token")).strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        # Not shown: it may be a secret all the same.
        raise InputError(f"[fleet] the token has {len(token)} characters that are no token's. {_HINT}")
    return OperatorClient(found.address, _certificate(found.ca), token)


def require_fleet() -> None:
    """Checks that the extra `fleet` is installed.

    Raises:
        ClickException: It is not.
    """
    try:
        import sanderling_fleet.client
        import sanderling_fleet.folders  # noqa: F401
    except ImportError as error:
        missing = error.name or str(error)
        raise click.ClickException(
            f"this command needs the package {missing!r}, which is not installed.\n"
            "  hint: pip install 'sanderling[fleet]'"
        ) from error


def config_files() -> list[Path]:
    """Where sanderling.toml is looked for, the first wins."""
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [Path(FILE), user / "sanderling" / FILE, Path("/etc/sanderling") / FILE]


def find_settings(flags: FleetSettings, files: list[Path]) -> FleetSettings:
    """Fills what the flags leave open from files, the first first, up to the one that has the address.

    Where an address is found, nothing is looked for farther on: a file in some folder must not send the token of
    another to an address of its own.

    Raises:
        InputError: A file cannot be read, or has an unknown key in [fleet].
    """
    from sanderling_fleet.config import from_table

    values = dict(vars(flags))
    for path in files:
        try:
            table = tomllib.loads(path.read_text()).get("fleet", {})
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise InputError(f"[config] {path} cannot be read: {error}") from error
        read = from_table(FleetSettings, table, f"{path} [fleet]")
        folder = path.absolute().parent
        values["ca"] = values["ca"] or (str(folder / read.ca) if read.ca else "")
        values["token_file"] = values["token_file"] or (str(folder / read.token_file) if read.token_file else "")
        if read.address:
            values["address"] = values["address"] or read.address
            break
    return FleetSettings(**values)


def _text(path: str, what: str) -> str:
    if not path:
        raise InputError(f"[fleet] no {what} is known. {_HINT}")
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"[fleet] the {what} {path} cannot be read: {why}. {_HINT}") from error


def _certificate(path: str) -> bytes:
    from cryptography import x509

    content = _text(path, "CA certificate").encode()
    try:
        x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise InputError(f"[fleet] {path} is no certificate in PEM. Take ca.pem of the folder operator/") from error
    return content
