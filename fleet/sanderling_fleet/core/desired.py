"""What the fleet wants of each device: one signed state with a counter that never goes back."""

from __future__ import annotations

from sanderling.api.device.v1 import device_pb2
from sanderling.errors import InputError
from sanderling_fleet.core.context import Core
from sanderling_fleet.store import DesiredState, Device, Transaction
from sanderling_fleet.trust.director import SignedState, next_counter


async def current(tx: Transaction, device_id: str) -> SignedState | None:
    """The newest state of a device, None if nothing was ever wanted of it."""
    state = await tx.get(DesiredState, device_id)
    return None if state is None else SignedState(state.counter, state.payload, state.key_id, state.signature)


async def want(
    core: Core,
    tx: Transaction,
    device_id: str,
    slot: device_pb2.DesiredSlot,
    *,
    sample_budget_bytes: int | None = None,
) -> int:
    """Signs a new state in which one slot is changed and all others stay; returns its counter.

    Args:
        core: The fleet.
        tx: The caller's.
        device_id: Whose.
        slot: What is wanted in it.
        sample_budget_bytes: Of samples for retraining; None for what was wanted before.

    Raises:
        InputError: There is no such device.
    """
    device = await tx.get(Device, device_id)
    if device is None:
        raise InputError(f"[desired state] {device_id!r} is not a device of this fleet")
    stored = await tx.get(DesiredState, device_id)
    last = device_pb2.DesiredState.FromString(stored.payload) if stored else device_pb2.DesiredState()
    slots = {item.slot: item for item in last.slots}
    if device.reported_counter > last.counter:
        # This server was restored: what it remembers is older than what the device runs, which must not be undone.
        slots = {
            item["slot"]: device_pb2.DesiredSlot(
                slot=item["slot"],
                version=item["active_version"],
                manifest_digest=bytes.fromhex(item["manifest_digest"]),
            )
            for item in device.slots
        }
    slots[slot.slot] = slot
    now = core.clock.now()
    counter = next_counter(now, last.counter, device.reported_counter)
    ordered = [slots[name] for name in sorted(slots)]
    plan = device_pb2.TelemetryPlan()
    plan.CopyFrom(core.settings.telemetry)
    plan.sample_budget_bytes = (
        last.telemetry.sample_budget_bytes if sample_budget_bytes is None else sample_budget_bytes
    )
    plan.fleet_devices = 1 << max(await tx.count(Device) - 1, 0).bit_length()
    signed = core.director.sign(device_id, counter, now, ordered, plan)
    core.wanted.add(device_id)
    await tx.put(DesiredState(device_id, counter, now, signed.payload, signed.key_id, signed.signature))
    return counter
