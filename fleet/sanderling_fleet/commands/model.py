"""`sanderling model sign|push|ls|show|downgrade-token`, beside those for files of `sanderling.commands.model`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sanderling.commands.model import model as files
from sanderling.commands.output import human_bytes, output_option, print_json, table
from sanderling_fleet.commands.connection import (
    FleetSettings,
    connect,
    fleet_options,
    release_option,
    require_fleet,
)
from sanderling_fleet.commands.printing import duration, plain, when

if TYPE_CHECKING:
    from sanderling_fleet.client import OperatorClient


@click.group()
def model() -> None:
    """Look into ONNX models, make them small, and publish versions of them to a fleet."""


for _name, _command in files.commands.items():
    model.add_command(_command, _name)


@model.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("result", type=click.Path(path_type=Path, dir_okay=False))
@release_option
def sign(bundles: tuple[Path, ...], result: Path, folder: Path) -> None:
    """Sign BUNDLES (NAME-VERSION.sanderling) and write RESULT, which `push --signed` brings to the server.

    For a release folder on a machine that does not reach the server. `push --release` does both at once.

    \b
    sanderling model sign digits-1.0.sanderling targets.json --release release
    sanderling model push digits-1.0.sanderling --signed targets.json
    """
    require_fleet()
    from sanderling.versions import read_bundle
    from sanderling_fleet.trust.release import ReleaseFolder

    release = ReleaseFolder(folder)
    content = release.add([read_bundle(path).manifest for path in bundles], time.time())
    result.write_bytes(content)
    release.keep(content)
    click.echo(f"wrote {result}: targets version {release.targets.signed.version}")


@model.command()
@click.argument("bundles", nargs=-1, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--release",
    "folder",
    envvar="SANDERLING_RELEASE",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The release folder, whose keys never leave this machine.",
)
@click.option("--signed", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="What `sign` wrote.")
@output_option
@fleet_options
def push(
    client: OperatorClient, bundles: tuple[Path, ...], folder: Path | None, signed: Path | None, output: str
) -> None:
    """Upload BUNDLES (NAME-VERSION.sanderling) and sign them with the keys of the release folder.

    Without BUNDLES the present versions are signed for another 90 days, or, where the server was restored from a
    backup, pushed again.

    \b
    sanderling model push digits-1.0.sanderling --release release
    """
    from sanderling.versions import read_bundle
    from sanderling_fleet.trust.release import ReleaseFolder

    if (folder is None) == (signed is None):
        raise click.UsageError("Give either --release, to sign here, or --signed, a file that was signed elsewhere.")
    read = [read_bundle(path) for path in bundles]
    if folder is not None:
        pushed = client.push(ReleaseFolder(folder), read, time.time())
    else:
        assert signed is not None
        pushed = client.push_signed(signed.read_bytes(), read)
    if output == "json":
        print_json(vars(pushed))
        return
    for version in pushed.versions:
        click.echo(version)
    again = "; the server lacked targets that were signed before and has them again" if pushed.repeated else ""
    click.echo(f"targets version {pushed.targets_version}, {len(pushed.versions)} new{again}", err=True)


@model.command("downgrade-token")
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("result", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--life", type=duration, default="7d", show_default=True, help="How long devices accept it.")
@release_option
def downgrade_token(bundle: Path, result: Path, life: float, folder: Path) -> None:
    """Permit devices to go back to the version in BUNDLE, and write the permission to RESULT.

    A device that has committed a later release takes an older one only with it.

    \b
    sanderling model downgrade-token digits-1.0.sanderling back.token --release release
    sanderling rollout roll-back ro-0123456789ab --downgrade-token back.token
    """
    require_fleet()
    from sanderling.versions import read_bundle
    from sanderling_fleet.trust.release import ReleaseFolder

    manifest = read_bundle(bundle).manifest
    result.write_bytes(ReleaseFolder(folder).downgrade_token(manifest, time.time() + life))
    click.echo(f"wrote {result}: devices may go back to {manifest.full_name}")


@model.command()
@click.argument("name", default="")
@output_option
@fleet_options
def ls(client: OperatorClient, name: str, output: str) -> None:
    """List the versions in the fleet, of all models or of NAME."""
    from sanderling.api.registry.v1 import registry_pb2 as pb

    found = client.every(client.registry.ListVersions, pb.ListVersionsRequest(model=name), "versions")
    if output == "json":
        print_json([{**plain(item), "manifest": json.loads(item.manifest)} for item in found])
        return
    rows = [
        (item.version, item.release_counter, human_bytes(item.size_bytes), item.role, when(item, "published_at"))
        for item in found
    ]
    click.echo(table(["version", "release", "size", "signed by", "published (UTC)"], rows))


@model.command()
@click.argument("what", metavar="FILE|NAME-VERSION")
@output_option
@click.option("--address", envvar="SANDERLING_FLEET_ADDRESS", default="", help="host:port of the operator listener.")
@click.option("--ca", envvar="SANDERLING_FLEET_CA", default="", help="Certificate of the fleet's CA, PEM.")
@click.option("--token-file", envvar="SANDERLING_FLEET_TOKEN_FILE", default="", help="File with the bearer token.")
@click.pass_context
def show(
    context: click.Context, /, what: str, output: str, address: str, ca: str, token_file: str, **of_file: Any
) -> None:
    """Print a model file's inputs, operators, shapes and costs, or the manifest of a version in the fleet.

    Of a file also how long each step of its plan takes here. Its first table is the model as the file has it; the
    second is what runs: operators are folded, fused and turned into integer ones first. Dimensions chosen at run time
    are 1 unless --batch or --shape says more.

    \b
    sanderling model show model.onnx
    sanderling model show model.onnx --batch 8 -o json
    sanderling model show model.onnx --shape tokens=1,128 --plot time.svg
    sanderling model show digits-1.0
    """
    if what.endswith(".onnx") or Path(what).exists():
        context.invoke(files.commands["show"], file=Path(what), output=output, **of_file)
        return
    with connect(FleetSettings(address, ca, token_file)) as client:
        from sanderling.api.registry.v1 import registry_pb2 as pb

        found = client.call(client.registry.GetVersion, pb.GetVersionRequest(version=what)).version
    manifest = json.loads(found.manifest)
    if output == "json":
        print_json({**plain(found), "manifest": manifest})
        return
    rows = [
        ("version", found.version),
        ("release counter", found.release_counter),
        ("signed by", found.role),
        ("published (UTC)", when(found, "published_at")),
        ("manifest SHA-256", found.manifest_digest.hex()),
        *((f"input {t['name']}", f"{t['dtype']} {t['shape']}") for t in manifest["inputs"]),
        *((f"output {t['name']}", f"{t['dtype']} {t['shape']}") for t in manifest["outputs"]),
        *((name, human_bytes(blob["bytes"])) for name, blob in manifest["blobs"].items()),
        *((f"runs on {name}", str(value)) for name, value in manifest["compatibility"].items() if value),
        *((f"from {name}", value) for name, value in manifest["lineage"].items() if value),
    ]
    click.echo(table(["", "value"], rows))


_own = {parameter.name for parameter in show.params}
show.params += [option for option in files.commands["show"].params if option.name not in {"file", *_own}]
