"""Devices by their labels."""

from __future__ import annotations

from sanderling_fleet.selector import DEVICE_ID, parse
from sanderling_fleet.store import Device, Transaction


def labels_of(device: Device) -> dict[str, str]:
    """A device's labels, with the one that every device has: its id."""
    return {**device.labels, DEVICE_ID: device.device_id}


async def matching(tx: Transaction, selector: str) -> list[Device]:
    """Devices whose labels match, by id.

    Raises:
        InputError: The selector cannot be read.
    """
    wanted = parse(selector)
    return [device for device in await tx.find(Device) if wanted.matches(labels_of(device))]
