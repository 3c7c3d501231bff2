"""What a thief does who has become the fleet server's user: a program, `python -m tests.loop.thief SERVER ACTION ...`.

He reads every file that this user can open, takes whatever key he finds, and writes what he likes into the server's
database and blobs, beside the server that runs. One line of JSON says what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from sanderling.api.device.v1 import device_pb2
from sanderling.api.rollout.v1 import assignment_pb2
from sanderling.trust import version_target
from sanderling.versions import read_bundle
from sanderling_fleet.core import registry
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.desired import want
from sanderling_fleet.folders import open_core
from sanderling_fleet.store import Metadata as Stored
from sanderling_fleet.store import Result
from sanderling_fleet.store.blobs import put_blob
from sanderling_fleet.trust import tuf_repository as tuf

PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


def keys_of(server: Path, environment: bytes) -> list[CryptoSigner]:
    """Every private key in the server's folder, its database, and its environment."""
    files = [path.read_bytes() for path in server.rglob("*") if path.is_file()]
    texts = dict.fromkeys(found for data in (*files, environment) for found in PEM.findall(data))
    return [CryptoSigner(serialization.load_pem_private_key(text, None)) for text in texts]  # type: ignore[arg-type]


def opened(paths: list[str]) -> list[str]:
    """Those of these files and folders that can be opened."""
    done = []
    for path in paths:
        try:
            os.close(os.open(path, os.O_RDONLY))
        except PermissionError:
            continue
        done.append(path)
    return done


async def put(core: Core, role: str, version: int, content: bytes) -> None:
    """A file of metadata, unchecked."""
    async with core.store.transaction() as tx:
        await tx.put(Stored(role, version, content, 2e9))


async def sign_online(core: Core, **versions: int) -> None:
    """With the server's own keys, which sign anything."""
    async with core.store.transaction() as tx:
        await registry._sign(core, tx, {role.replace("__", "/"): number for role, number in versions.items()})


async def newest(core: Core, role: str) -> Any:
    """What is in force; None for a role that has signed nothing yet."""
    async with core.store.transaction() as tx:
        return await registry.newest(tx, role)


def signed(content: Root | Targets | Snapshot | Timestamp, signers: list[CryptoSigner]) -> bytes:
    """With every key, one after the other."""
    metadata = Metadata(content)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


async def forge(core: Core, role: str, evil: Path, signers: list[CryptoSigner]) -> None:
    """A version that nobody released, in "targets", in "auto/MODEL", or under a root that names the thief's keys."""
    bundle = read_bundle(evil)
    for data in (*bundle.blobs.values(), bundle.manifest.to_bytes()):
        await put_blob(core.blobs, data)
    if role == "root":
        root = tuf.read(Root, (await newest(core, "root")).content, "root").signed
        root.version += 1
        for signer in signers:
            root.add_key(SSlibKey.from_crypto(signer._private_key.public_key()), "targets")
        await put(core, "root", root.version, signed(root, signers))
        role = "targets"
    current = await newest(core, role)
    targets = tuf.read(Targets, current.content, role).signed if current else Targets()
    path = version_target(bundle.manifest.full_name)
    targets.targets[path] = TargetFile.from_data(path, bundle.manifest.to_bytes(), ["sha256"])
    targets.version += current is not None
    await put(core, role, targets.version, signed(targets, signers))
    await sign_online(core, **{role.replace("/", "__"): targets.version})


async def mix(core: Core) -> None:
    """The newest timestamp, with the file of an older snapshot in the place of the one that it names."""
    old = await newest(core, "snapshot")
    await sign_online(core)
    new = await newest(core, "snapshot")
    await put(core, "snapshot", new.version, old.content)


async def expire(core: Core) -> None:
    """A timestamp that is newer than all, and has expired."""
    timestamp = tuf.read(Timestamp, (await newest(core, "timestamp")).content, "timestamp").signed
    timestamp.version += 1
    timestamp.expires = timestamp.expires.replace(year=2020)
    await put(core, "timestamp", timestamp.version, signed(timestamp, [core.roles._timestamp]))


async def roll_back(core: Core) -> None:
    """Metadata of an hour ago, rightly signed then: all numbers are lower."""
    snapshot = tuf.read(Snapshot, (await newest(core, "snapshot")).content, "snapshot").signed
    timestamp = tuf.read(Timestamp, (await newest(core, "timestamp")).content, "timestamp").signed
    async with core.store.transaction() as tx:
        await tx.delete(Stored, "timestamp", timestamp.version)
    snapshot.version -= 3600
    timestamp.version -= 3600
    timestamp.snapshot_meta = MetaFile(snapshot.version)
    await put(core, "snapshot", snapshot.version, signed(snapshot, [core.roles._snapshot]))
    await put(core, "timestamp", timestamp.version, signed(timestamp, [core.roles._timestamp]))


async def flip(core: Core, version: str) -> None:
    """One byte of the model of a version that was rightly signed."""
    manifest = json.loads((await registry.get_version(core, version)).manifest)
    digest = manifest["blobs"]["model.onnx"]["sha256"]
    path = Path(core.blobs._folder) / digest[:2] / digest  # type: ignore[attr-defined]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


async def ask_for(core: Core, device: str, wish: device_pb2.DesiredSlot, assignment: str) -> int:
    """Makes a device want a version, by the director's key."""
    wish.assignment_id, wish.attempt = assignment, 1
    async with core.store.transaction() as tx:
        return await want(core, tx, device, wish)


async def result_of(core: Core, device: str, assignment: str) -> object:
    """What a device reported of it; None if it has not."""
    async with core.store.transaction() as tx:
        found = await tx.get(Result, device, assignment, 1)
    if found is None:
        return None
    said = assignment_pb2.AssignmentResult.FromString(found.content)
    state = assignment_pb2.AssignmentState.Name(said.state)
    return {"state": state, "code": assignment_pb2.ResultCode.Name(said.code), "detail": said.detail}


async def act(server: Path, action: str, arguments: list[str]) -> object:
    """One crime; what he says of it."""
    if action == "open":
        return opened(arguments)
    core = await open_core(server)
    try:
        match action, arguments:
            case "forge", [role, evil, pid]:
                signers = keys_of(server, Path(f"/proc/{pid}/environ").read_bytes())
                await forge(core, role, Path(evil), signers)
                return len(signers)
            case "flip", [version]:
                return await flip(core, version)
            case "result", [device, assignment]:
                return await result_of(core, device, assignment)
            case "ask", [device, slot, version, digest, assignment]:
                wish = device_pb2.DesiredSlot(slot=slot, version=version, manifest_digest=bytes.fromhex(digest))
                return await ask_for(core, device, wish, assignment)
            case _:
                return await {"mix": mix, "expire": expire, "roll back": roll_back}[action](core)
    finally:
        await core.store.close()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(act(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))))
