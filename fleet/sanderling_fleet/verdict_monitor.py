"""The device half's fleet monitor, made anew from what was stored for every window.

`FleetMonitor` has a fixed set of devices and keeps what it remembers in memory; a fleet's devices come and go and a
server stops. This is the only place that knows both forms, so that the rules of scope stand in one place.
"""

from __future__ import annotations

from collections.abc import Sequence

from sanderling.drift import (
    DeviceState,
    DeviceVerdict,
    FleetMemory,
    FleetMonitor,
    FleetVerdict,
    SensorFault,
    Settings,
)
from sanderling_fleet.verdict_state import Entry, FleetState


def judge_window(state: FleetState, entries: Sequence[Entry]) -> tuple[FleetVerdict, FleetMemory]:
    """Judges the next window by the devices that sent it.

    Args:
        state: From before it.
        entries: Of the window, at least one, no device twice.

    Returns:
        The verdict, and what is remembered of these devices after it.
    """
    settings = Settings(average_run_length=state.policy.average_run_length, tolerance=state.policy.tolerance)
    devices = [entry.device for entry in entries]
    faulty = frozenset(entry.device for entry in entries if entry.fault)
    monitor = FleetMonitor(devices, settings=settings, memory=_memory(state, frozenset(devices), faulty))
    verdicts = [verdict for entry in entries for verdict in monitor.add(_verdict(entry, state))]
    return verdicts[0], monitor.memory


def _memory(state: FleetState, present: frozenset[str], faulty: frozenset[str]) -> FleetMemory:
    # A device that has moved and sends nothing now is in no sum, those of former windows included.
    absent = {device for device, _ in state.moved} - present
    recent = []
    for window in state.recent:
        ranks = {device: entry.ranks(state.names) for device, entry in window.entries.items() if device not in absent}
        recent.append({device: item for device, item in ranks.items() if item is not None})
    return FleetMemory(
        window=state.window - 1,
        moved={
            device: _alarmed_at(state, device, window) if device in faulty else window
            for device, window in state.moved
            if device in present
        },
        scope=state.scope,
        everyone=None if state.everyone is None else state.everyone.values,
        rest=None if state.rest is None else state.rest.values,
        recent=recent,
    )


def _alarmed_at(state: FleetState, device: str, window: int) -> int:
    """When a device that is faulty now had alarmed; the fleet's last window if it sent nothing in between.

    The monitor takes an alarm for the fault's first rows if it came in the window before. Of a device that is slower
    than the others the window before may lie several of the fleet's back.
    """
    since = [item for item in state.recent if item.window > window]
    complete = len(since) < len(state.recent)  # what is remembered reaches back to the alarm
    return state.window - 1 if complete and not any(device in item.entries for item in since) else window


def _verdict(entry: Entry, state: FleetState) -> DeviceVerdict:
    moved = DeviceState.MOVED if entry.moved else DeviceState.QUIET
    faults = (SensorFault(entry.fault.split()[0], "", 1.0, entry.fault),) if entry.fault else ()
    return DeviceVerdict(
        device=entry.device,
        window=state.window,
        rows=entry.rows,
        state=DeviceState.FAULTY if faults else moved,
        faults=faults,
        ranks=entry.ranks(state.names),
    )
