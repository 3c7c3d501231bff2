"""Rollouts in the store: events go through the rules, what they ask for is done in the same transaction.

So a server that is killed has done all of a step or nothing. A rollout is a Document of kind "rollout"; its subject is
the slot, its state the rollout's.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from sanderling.api.device.v1 import device_pb2
from sanderling.api.rollout.v1 import assignment_pb2
from sanderling.errors import GateRefused, InputError
from sanderling.versions import Host, Manifest
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.core import audit, desired
from sanderling_fleet.core.alerts import raise_alert
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.labels import matching
from sanderling_fleet.core.messages import ReportedResult
from sanderling_fleet.core.parsed import REVISION, Parsed, new_revision
from sanderling_fleet.gates import Comparison, Metric, Reading
from sanderling_fleet.rollout import step
from sanderling_fleet.rollout_events import (
    Action,
    Command,
    Event,
    Measured,
    Note,
    Progressed,
    RaiseAlert,
    Restore,
    RollBack,
    Superseded,
    Tick,
    WantVersion,
)
from sanderling_fleet.rollout_events import Device as Member
from sanderling_fleet.rollout_state import (
    OPEN_STAGES,
    TERMINAL,
    UNDER_WAY,
    AssignmentState,
    Rollout,
    RolloutSpec,
    RolloutState,
)
from sanderling_fleet.rollout_state import create as new_rollout
from sanderling_fleet.rollout_wire import number, result_of
from sanderling_fleet.store import Device, Document, Standing, Transaction, Version

KIND = "rollout"
AUTHOR = "server"
"""Who acts in the audit log when no operator did."""
Measure = Callable[[Transaction, Rollout], Awaitable[Mapping[Metric, tuple[Reading, ...]]]]
"""Reads what was measured of a rollout's candidates and controls since its stage became active, in order of arrival."""
_UNDER_WAY = {number(state): state for state in UNDER_WAY}


@dataclass(frozen=True)
class Stored:
    """A rollout with what the rules need not know.

    Attributes:
        rollout: Its state.
        created_by: Name of the operator's token.
        tokens: SignedDowngradeTokens that were given for it.
    """

    rollout: Rollout
    created_by: str
    tokens: tuple[bytes, ...] = ()


def join(core: Core) -> None:
    """Lets check-ins move the rollouts on."""
    core.on_slots = partial(on_slots, core)
    core.on_result = partial(on_result, core)


async def create(
    core: Core,
    spec: RolloutSpec,
    *,
    request_id: str,
    created_by: str,
    tokens: Sequence[bytes] = (),
    validate_only: bool = False,
) -> tuple[Stored, dict[str, str]]:
    """Makes a rollout and offers the version to its first stage. The same request again answers with the same rollout.

    Args:
        core: The fleet.
        spec: What is asked for.
        request_id: Chosen by the caller.
        created_by: Name of the operator's token.
        tokens: SignedDowngradeTokens.
        validate_only: Answer what would be made, and make nothing.

    Returns:
        The rollout, and why devices that match cannot have the version, by id.

    Raises:
        InputError: The version is not known, no device can have it, a token cannot be read, or the request id is empty.
    """
    if not request_id:
        raise InputError("[rollout] the request id is empty: without one a repetition would be a second rollout")
    name = "ro-" + hashlib.sha256(f"{created_by}\n{request_id}".encode()).hexdigest()[:12]
    now = core.clock.now()
    async with core.store.transaction() as tx:
        known = await tx.get(Document, KIND, name)
        if known is not None:
            return _read(known), {}
        stored = Stored(new_rollout(name, spec, now), created_by, tuple(tokens))
        fleet = await _fleet(tx, stored)
        unable = {device: member.blocked for device, member in fleet.items() if member.blocked}
        if len(unable) == len(fleet):
            why = "; ".join(f"{device}: {reason}" for device, reason in sorted(unable.items())[:5])
            raise InputError(
                f"[rollout] no device that matches {spec.selector or 'everything'!r} can have {spec.version}: "
                f"{why or 'none matches'}. Check the selector and the manifest's compatibility"
            )
        if not validate_only:
            withdrawn = await _supersede(core, tx, stored, fleet, now)
            stored = await _take(core, tx, stored, None, Tick(), now)
            joined = {item.device for item in stored.rollout.assignments}
            for device_id, former in withdrawn.items():
                if device_id not in joined:
                    await _want(core, tx, stored, device_id, former, "", 0)
    return stored, unable


async def get(core: Core, rollout_id: str) -> Stored:
    """A rollout.

    Raises:
        InputError: There is none of that id.
    """
    async with core.store.transaction() as tx:
        return _read(await _document(tx, rollout_id))


async def list_all(core: Core) -> list[Stored]:
    """All rollouts, newest first."""
    async with core.store.transaction() as tx:
        documents = await tx.find(Document, {"kind": KIND})
    return [_read(document) for document in sorted(documents, key=lambda item: item.created_at, reverse=True)]


async def command(core: Core, rollout_id: str, event: Command, tokens: Sequence[bytes] = ()) -> Stored:
    """Does what an operator asks.

    Args:
        core: The fleet.
        rollout_id: Which.
        event: What.
        tokens: SignedDowngradeTokens, added to those that were given for it before.

    Raises:
        GateRefused: A roll back would return devices to an older release, and the release role's token is missing.
        InputError: There is no such rollout; or, as `rollout.IllegalInState`, it does not fit its state.
    """
    now = core.clock.now()
    async with core.store.transaction() as tx:
        document = await _document(tx, rollout_id)
        stored = _read(document)
        stored = replace(stored, tokens=tuple(dict.fromkeys((*stored.tokens, *tokens))))
        if isinstance(event, RollBack):
            await _check_tokens(tx, stored)
        return await _take(core, tx, stored, document, event, now)


async def on_result(core: Core, tx: Transaction, device: Device, result: ReportedResult) -> None:
    """Takes a device's result into its rollout; one that no rollout here knows is kept and changes nothing."""
    rollout_id, _, of_device = result.assignment_id.partition("/")
    document = await tx.get(Document, KIND, rollout_id)
    if document is None or of_device != device.device_id:
        return
    try:
        event = result_of(assignment_pb2.AssignmentResult.FromString(result.content))
    except (DecodeError, InputError) as error:
        summary = f"{device.device_id} reported a result that cannot be read: {error}"
        await raise_alert(tx, core.clock.now(), Alert("rollout.result", Severity.ERROR, summary, (device.device_id,)))
        return
    await _take(core, tx, _read(document), document, event, core.clock.now())


async def on_slots(core: Core, tx: Transaction, device: Device) -> None:
    """Takes how far a device's updates are, as its check-in says."""
    for slot in device.slots:
        state = _UNDER_WAY.get(slot["state"])
        rollout_id, _, of_device = slot["assignment_id"].partition("/")
        if state is None or of_device != device.device_id:
            continue
        document = await tx.get(Document, KIND, rollout_id)
        if document is None or document.state in TERMINAL:
            continue
        stored = _read(document)
        mine = next((item for item in stored.rollout.assignments if item.device == device.device_id), None)
        if mine is not None and mine.state is not state:
            event = Progressed(mine.assignment_id, mine.attempt, state)
            await _take(core, tx, stored, document, event, core.clock.now())


async def tick(core: Core, readings: Measure | None = None) -> list[str]:
    """Lets time pass in every rollout that is not over; one transaction each.

    Args:
        core: The fleet.
        readings: What was measured of a rollout's candidates and controls; None without telemetry.

    Returns:
        Devices of which something new is wanted since the last call, by whatever changed it.
    """
    async with core.store.transaction() as tx:
        going = [
            item.document_id
            for state in RolloutState
            if state not in TERMINAL
            for item in await tx.find(Document, {"kind": KIND, "state": state.value})
        ]
    for rollout_id in sorted(going):
        async with core.store.transaction() as tx:
            document = await _document(tx, rollout_id)
            stored = _read(document)
            event: Event = Tick()
            if readings is not None and _compares(stored.rollout):
                event = Measured(await readings(tx, stored.rollout))
            await _take(core, tx, stored, document, event, core.clock.now())
    wanted, core.wanted = sorted(core.wanted), set()
    return wanted


def _compares(rollout: Rollout) -> bool:
    index = rollout.current
    stage = rollout.stages[index]
    gates = rollout.spec.stages[index].gates
    counted = any(gate.metric is not Metric.FAILURES for gate in gates)
    return stage.state in OPEN_STAGES and (counted or any(isinstance(gate, Comparison) for gate in gates))


async def _take(
    core: Core, tx: Transaction, stored: Stored, document: Document | None, event: Event, now: float
) -> Stored:
    fleet = await _fleet(tx, stored)
    after, actions = step(stored.rollout, event, now, fleet)
    new = replace(stored, rollout=after)
    if document is None or after is not stored.rollout or new.tokens != _read(document).tokens:
        await _keep(tx, new, document, now)
    for action in actions:
        await _do(core, tx, new, action, now)
    return new


async def _do(core: Core, tx: Transaction, stored: Stored, action: Action, now: float) -> None:
    match action:
        case WantVersion():
            await _want(core, tx, stored, action.device, action.version, action.assignment_id, action.attempt)
        case Restore():
            await _want(core, tx, stored, action.device, action.version, "", 0)
        case RaiseAlert():
            await raise_alert(tx, now, action.alert, stored.rollout.rollout_id)
        case Note():
            await audit.append(tx, now, AUTHOR, "rollout.step", stored.rollout.rollout_id, "ok", action.text)


async def _want(
    core: Core, tx: Transaction, stored: Stored, device_id: str, version: str, assignment_id: str, attempt: int
) -> None:
    known = await tx.get(Version, version) if version else None
    if version and known is None:
        summary = f"{device_id} should go back to {version}, which this server does not have. Push it again"
        await raise_alert(tx, core.clock.now(), Alert("registry.stale", Severity.ERROR, summary, (device_id,)), version)
        return
    slot = device_pb2.DesiredSlot(
        slot=stored.rollout.spec.slot,
        version=version,
        manifest_digest=known.manifest_digest if known else b"",
        assignment_id=assignment_id,
        attempt=attempt,
        probation=core.settings.probation,
        downgrade_token=_token_for(stored.tokens, version) or b"",
    )
    await desired.want(core, tx, device_id, slot)


async def _supersede(
    core: Core, tx: Transaction, stored: Stored, fleet: Mapping[str, Member], now: float
) -> dict[str, str]:
    """Takes the devices out of other rollouts of the slot, for the newer one wins.

    Returns:
        Those that were offered another version and have not ended, with the version that they had before.
    """
    withdrawn = {}
    event = Superseded(tuple(sorted(fleet)), stored.rollout.rollout_id)
    for document in await tx.find(Document, {"kind": KIND, "subject": stored.rollout.spec.slot}):
        if document.state not in TERMINAL:
            other = _read(document)
            for item in other.rollout.assignments:
                if item.device in fleet and item.offered_at and not item.ended:
                    withdrawn[item.device] = item.former_version
            await _take(core, tx, other, document, event, now)
    return withdrawn


async def _fleet(tx: Transaction, stored: Stored) -> dict[str, Member]:
    spec = stored.rollout.spec
    version = await tx.get(Version, spec.version)
    if version is None or version.withdrawn:
        if stored.rollout.assignments:
            return {device.device_id: Member(_committed(device, spec.slot)) for device in await _devices(tx, stored)}
        raise InputError(
            f"[rollout] {spec.version} is {'withdrawn' if version else 'not a version that this server has'}. "
            "See: sanderling model ls"
        )
    manifest = Manifest.from_bytes(version.manifest.encode())
    members = {}
    for device in await _devices(tx, stored):
        has = _committed(device, spec.slot)
        blocked = _why_blocked(device, manifest) or await _older(tx, stored, has, version)
        members[device.device_id] = Member(has, blocked)
    return members


async def _devices(tx: Transaction, stored: Stored) -> list[Device]:
    """Those that match the selector, and those that joined when they did: their labels may have changed since."""
    found = await matching(tx, stored.rollout.spec.selector)
    joined = {item.device for item in stored.rollout.assignments} - {device.device_id for device in found}
    return [*found, *(await tx.get_all(Device, [(name,) for name in sorted(joined)])).values()]


def _why_blocked(device: Device, manifest: Manifest) -> str:
    if device.standing != Standing.ACTIVE:
        return f"it is {device.standing}"
    facts = device.facts
    host = Host(facts["machine"], facts["isas"], facts["memory_bytes"], facts["accelerator"], facts["runtime_version"])
    return manifest.compatibility.why_not(host) or ""


async def _older(tx: Transaction, stored: Stored, has: str, wanted: Version) -> str:
    current = await tx.get(Version, has) if has else None
    if current is None or current.model != wanted.model or current.release_counter <= wanted.release_counter:
        return ""
    if _token_for(stored.tokens, wanted.name):
        return ""
    return f"it has {has}, a later release, and no token of the release role permits going back to {wanted.name}"


async def _check_tokens(tx: Transaction, stored: Stored) -> None:
    lacking = set()
    for item in stored.rollout.assignments:
        former = await tx.get(Version, item.former_version) if item.former_version else None
        newer = await tx.get(Version, stored.rollout.spec.version)
        goes_back = former and newer and former.model == newer.model and former.release_counter < newer.release_counter
        if item.state is AssignmentState.COMMITTED and goes_back and not _token_for(stored.tokens, item.former_version):
            lacking.add(item.former_version)
    if lacking:
        raise GateRefused(
            f"[rollout] devices that have committed {stored.rollout.spec.version} take an older release only with a "
            f"token of the release role: missing for {', '.join(sorted(lacking))}. Make it where releases are signed: "
            "sanderling model downgrade-token"
        )


def _token_for(tokens: Sequence[bytes], version: str) -> bytes | None:
    return next((token for token in tokens if token_version(token) == version), None)


def token_version(token: bytes) -> str:
    """The version that a SignedDowngradeToken permits; the device checks who signed it.

    Raises:
        InputError: It is none.
    """
    try:
        signed = device_pb2.SignedDowngradeToken.FromString(token)
        version = device_pb2.DowngradeToken.FromString(signed.token).version
    except DecodeError as error:
        raise InputError(f"[rollout] a downgrade token cannot be read: {error}") from error
    if not version:
        raise InputError("[rollout] a downgrade token names no version")
    return version


def _committed(device: Device, slot: str) -> str:
    return next((str(item["active_version"]) for item in device.slots if item["slot"] == slot), "")


async def _document(tx: Transaction, rollout_id: str) -> Document:
    document = await tx.get(Document, KIND, rollout_id)
    if document is None:
        raise InputError(f"[rollout] there is no {rollout_id!r}. List those there are: sanderling rollout ls")
    return document


async def _keep(tx: Transaction, stored: Stored, document: Document | None, now: float) -> None:
    rollout = stored.rollout
    body: dict[str, Any] = {
        "rollout": json.loads(rollout.to_json()),
        "created_by": stored.created_by,
        "tokens": [base64.b64encode(token).decode() for token in stored.tokens],
        REVISION: new_revision(),
    }
    state = RolloutState(rollout.state).value
    if document is None:
        new = Document(KIND, rollout.rollout_id, 1, state, rollout.spec.slot, now, now, body)
    else:
        new = replace(document, version=document.version + 1, state=state, updated_at=now, body=body)
    _parsed.keep(new, stored)
    if not await tx.swap(new):
        raise InputError(f"[rollout] {rollout.rollout_id} was changed at the same time. Try again")


_parsed: Parsed[Stored] = Parsed(64)


def _read(document: Document) -> Stored:
    known = _parsed.of(document)
    if known is not None:
        return known
    body = document.body
    tokens = tuple(base64.b64decode(token) for token in body["tokens"])
    stored = Stored(Rollout.from_json(json.dumps(body["rollout"])), body["created_by"], tokens)
    return _parsed.keep(document, stored)
