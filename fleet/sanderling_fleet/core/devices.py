"""What operators do with devices and groups."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sanderling.errors import InputError
from sanderling_fleet.core.alerts import resolve_alert
from sanderling_fleet.core.check_in import CONFLICT_ALERT
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.labels import matching
from sanderling_fleet.selector import DEVICE_ID, parse
from sanderling_fleet.store import Certificate, DesiredState, Device, Group, Presence, Standing, Transaction

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?")
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_GROUP = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MOST_LABELS = 64


@dataclass(frozen=True)
class Known:
    """All that operators are told of a device.

    Attributes:
        device: As it is stored.
        desired_counter: Of what is wanted of it, 0 for nothing yet.
        presence: What the broker heard of it last; None for nothing yet.
    """

    device: Device
    desired_counter: int
    presence: Presence | None


async def list_devices(core: Core, selector: str, after: str, limit: int) -> tuple[list[Known], str]:
    """One page of devices.

    Returns:
        The devices, and where the next page starts, empty at the end.

    Raises:
        InputError: The selector cannot be read.
    """
    async with core.store.transaction() as tx:
        found = [device for device in await matching(tx, selector) if device.device_id > after]
        page = found[:limit]
        known = await _known(tx, page)
    return known, page[-1].device_id if len(found) > len(page) else ""


async def get_device(core: Core, device_id: str) -> Known:
    """A device.

    Raises:
        InputError: There is none of that id.
    """
    async with core.store.transaction() as tx:
        return (await _known(tx, [await _device(tx, device_id)]))[0]


async def approve(core: Core, device_id: str) -> Known:
    """Lets a device take part; one in conflict starts afresh from its next check-in.

    Raises:
        InputError: There is none, or it was revoked.
    """
    async with core.store.transaction() as tx:
        device = await _device(tx, device_id)
        if device.standing == Standing.REVOKED:
            raise InputError(f"[approve] {device_id} was revoked, which is for good. Enrol it again")
        if device.standing == Standing.CONFLICT:
            device = dataclasses.replace(device, boot_id="", former_boot_ids=[], sequence=0)
            await resolve_alert(tx, core.clock.now(), CONFLICT_ALERT, device_id)
        device = dataclasses.replace(device, standing=Standing.ACTIVE, reason="")
        await tx.put(device)
        return (await _known(tx, [device]))[0]


async def revoke(core: Core, device_id: str, reason: str) -> Known:
    """Refuses a device and all its certificates from now on.

    Raises:
        InputError: There is none of that id.
    """
    now = core.clock.now()
    async with core.store.transaction() as tx:
        device = dataclasses.replace(await _device(tx, device_id), standing=Standing.REVOKED, reason=reason)
        await tx.put(device)
        for certificate in await tx.find(Certificate, {"device_id": device_id}):
            if not certificate.revoked_at:
                await tx.put(dataclasses.replace(certificate, revoked_at=now))
        return (await _known(tx, [device]))[0]


async def label(core: Core, device_id: str, put: Mapping[str, str], remove: Sequence[str]) -> Known:
    """Sets and removes labels.

    Raises:
        InputError: There is no such device, or a label is not of a form that selectors can name.
    """
    async with core.store.transaction() as tx:
        device = await _device(tx, device_id)
        labels = {key: value for key, value in {**device.labels, **put}.items() if key not in remove}
        check_labels(labels)
        device = dataclasses.replace(device, labels=labels)
        await tx.put(device)
        return (await _known(tx, [device]))[0]


def check_labels(labels: Mapping[str, str]) -> None:
    """Checks that selectors can name these labels.

    Raises:
        InputError: They cannot, there are too many, or one is `device_id`.
    """
    if len(labels) > _MOST_LABELS:
        raise InputError(f"[label] {len(labels)} labels, at most {_MOST_LABELS} are allowed")
    for key, value in labels.items():
        if key == DEVICE_ID or not _LABEL.fullmatch(key) or not _VALUE.fullmatch(value):
            raise InputError(
                f"[label] {key}={value!r} is not allowed: letters, digits, '-', '_', '.' and, in keys, '/'; and "
                f"{DEVICE_ID} is taken"
            )


async def set_group(core: Core, name: str, selector: str) -> Group:
    """Names a selector; an empty one matches all devices.

    Raises:
        InputError: The name or the selector cannot be read.
    """
    if not _GROUP.fullmatch(name):
        raise InputError(f"[group] {name!r} is no name, expected lower-case letters, digits and '-', at most 63")
    parse(selector)
    async with core.store.transaction() as tx:
        await tx.put(Group(name, selector))
    return Group(name, selector)


async def delete_group(core: Core, name: str) -> None:
    """Takes a group away; nothing happens if there is none."""
    async with core.store.transaction() as tx:
        await tx.delete(Group, name)


async def list_groups(core: Core) -> list[Group]:
    """All groups, by name."""
    async with core.store.transaction() as tx:
        return await tx.find(Group)


async def _device(tx: Transaction, device_id: str) -> Device:
    device = await tx.get(Device, device_id)
    if device is None:
        raise InputError(f"[device] there is no {device_id!r}. List those there are: sanderling device ls")
    return device


async def _known(tx: Transaction, devices: Sequence[Device]) -> list[Known]:
    keys = [device.key() for device in devices]
    states, presences = await tx.get_all(DesiredState, keys), await tx.get_all(Presence, keys)
    return [
        Known(device, states[key].counter if key in states else 0, presences.get(key))
        for device, key in zip(devices, keys, strict=True)
    ]
