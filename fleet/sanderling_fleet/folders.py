"""The folders of a fleet, as `sanderling fleet init` makes them.

server/     fleet.toml, fleet.db, blobs/, the CA, and the keys of snapshot, timestamp and director
release/    the keys of root and targets: where releases are made, never on the server
operator/   sanderling.toml, the CA's certificate and a token: for who runs the fleet
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sanderling.api.device.v1 import device_pb2
from sanderling.errors import InputError
from sanderling.trust import director_document
from sanderling_fleet.clock import Clock, WallClock
from sanderling_fleet.config import ServerConfig, config_text, load_config
from sanderling_fleet.core import operators, registry
from sanderling_fleet.core.context import Core, Settings
from sanderling_fleet.core.messages import Addresses
from sanderling_fleet.core.telemetry import Intake, TelemetryPolicy
from sanderling_fleet.store.blobs import FolderBlobs, put_blob
from sanderling_fleet.store.sql import SqlStore
from sanderling_fleet.trust.ca import CertificateAuthority
from sanderling_fleet.trust.director import Director
from sanderling_fleet.trust.keys import load_ed25519, private_folder, to_pem, write_private
from sanderling_fleet.trust.release import ReleaseFolder
from sanderling_fleet.trust.tuf_repository import OnlineRoles
from sanderling_fleet.wire import duration

ONLINE_KEYS = ("snapshot", "timestamp", "director")


async def create(folder: Path, config: ServerConfig, clock: Clock | None = None) -> ReleaseFolder:
    """Makes a new fleet in `folder`, with one admin whose token lies in operator/token.

    Raises:
        InputError: The folder has something in it.
    """
    clock = clock or WallClock()
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"[init] {folder} is not empty. Give a new folder")
    server = private_folder(folder / "server")
    keys = {name: Ed25519PrivateKey.generate() for name in ONLINE_KEYS}
    for name, key in keys.items():
        write_private(server / f"{name}.key", to_pem(key))
    CertificateAuthority.create("sanderling fleet CA", clock.now()).save(server)
    (server / "fleet.toml").write_text(config_text(config))
    release = ReleaseFolder.create(
        folder / "release",
        snapshot=keys["snapshot"].public_key(),
        timestamp=keys["timestamp"].public_key(),
        director=keys["director"].public_key(),
        now=clock.now(),
    )
    core = await open_core(server, config, clock)
    try:
        await put_blob(core.blobs, director_document(keys["director"].public_key()))
        await registry.initialise(core, release.root.to_bytes(), release.targets.to_bytes())
        token = await operators.create_token(core, "admin", operators.Role.ADMIN)
    finally:
        await core.store.close()
    operator = private_folder(folder / "operator")
    write_private(operator / "token", token.encode())
    (operator / "ca.pem").write_text(core.authority.pem)
    (operator / "sanderling.toml").write_text(
        f'[fleet]\naddress = "{config.host}:{config.operator_port}"\nca = "ca.pem"\ntoken_file = "token"\n'
    )
    return release


async def open_core(server: Path, config: ServerConfig | None = None, clock: Clock | None = None) -> Core:
    """Opens the folder server/.

    Raises:
        InputError: fleet.toml is refused.
        IntegrityError: A key is missing or damaged.
    """
    config = config or load_config(server / "fleet.toml")
    keys = {name: load_ed25519(server / f"{name}.key") for name in ONLINE_KEYS}
    authority = CertificateAuthority.load(server)
    addresses = Addresses(f"{config.host}:{config.device_port}", f"{config.host}:{config.enrolment_port}")
    return Core(
        store=await SqlStore.open(server / "fleet.db"),
        blobs=FolderBlobs(server / "blobs"),
        clock=clock or WallClock(),
        authority=authority,
        roles=OnlineRoles(keys["snapshot"], keys["timestamp"]),
        director=Director(keys["director"]),
        settings=Settings(
            addresses,
            check_in_seconds=config.check_in_seconds,
            probation=device_pb2.Probation(rows=config.probation_rows, duration=duration(config.probation_seconds)),
            telemetry=device_pb2.TelemetryPlan(window_rows=config.window_rows, warmup_rows=config.warmup_rows),
        ),
        telemetry=Intake(TelemetryPolicy(retention_days=config.telemetry_days, trust_asserted=config.trust_asserted)),
    )
