"""Puts the windows of a version's devices together: is it one device, a cohort or the world?

    state, judged = observe(state, window, now, labels)     # a device sent a window
    state, judged = expire(state, now, labels)              # time has passed: `state.deadline_at` says when to ask

Fleet window k is judged when every device that is waited for has sent its k, or at a deadline. A device joins with its
first window, which belongs to the next fleet window; it is waited for until it has been silent for some fleet windows
in a row. What comes late is added to the next fleet window: counts add, so nothing is lost. A device's windows are
counted once, by their number; where several processes on it hold the model, each numbers its own, and they add.
`sanderling.drift.FleetMonitor` weighs the evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sanderling.drift import Scope
from sanderling.errors import InputError
from sanderling_fleet.alerts import Alert, Severity
from sanderling_fleet.plain import Array
from sanderling_fleet.selector import DEVICE_ID
from sanderling_fleet.verdict_monitor import judge_window
from sanderling_fleet.verdict_state import (
    DeviceWindow,
    Entry,
    FleetState,
    Gathered,
    InputRanks,
    Member,
    Numbering,
    Policy,
    WindowVerdict,
    entry_of,
)

__all__ = [
    "DeviceWindow",
    "FleetState",
    "FleetWindow",
    "InputRanks",
    "Judgement",
    "Policy",
    "WindowVerdict",
    "acknowledge",
    "expect",
    "expire",
    "forget",
    "observe",
    "shared_label",
]

Labels = Mapping[str, Mapping[str, str]]
"""Labels by device."""

_MOST_GAPS = 64
_MOST_NUMBERINGS = 4
_COHORT_SHARE = 2 / 3


@dataclass(frozen=True)
class FleetWindow:
    """What the fleet says of one window.

    Attributes:
        window: Its number, from 1.
        scope: How much has moved by now; it stays until acknowledged.
        log_evidence: Natural logarithm of the fleet's e-value; minus infinity for none.
        devices: How many sent something for it.
        missing: Devices that had not sent it by the deadline.
        moved: Devices that have alarmed by themselves, until acknowledged.
        faulty: Devices with a sensor fault in this window.
        cohort: "label=value" that the moved devices share and the others do not; empty for none.
        causes: What the evidence points to.
        judged_at: Seconds since the epoch.
    """

    window: int
    scope: Scope
    log_evidence: float
    devices: int
    missing: tuple[str, ...]
    moved: tuple[str, ...]
    faulty: tuple[str, ...]
    cohort: str
    causes: tuple[str, ...]
    judged_at: float


@dataclass(frozen=True)
class Judgement:
    """What one event led to.

    Attributes:
        windows: Fleet windows that were judged, in order.
        raised: Alerts that are new.
        updated: Alerts that stand already and concern other devices now.
        cleared: Alerts that do not hold any more.
    """

    windows: tuple[FleetWindow, ...] = ()
    raised: tuple[Alert, ...] = ()
    updated: tuple[Alert, ...] = ()
    cleared: tuple[Alert, ...] = ()


def observe(state: FleetState, item: DeviceWindow, now: float, labels: Labels) -> tuple[FleetState, Judgement]:
    """Takes one device's window into account; one that was taken before changes nothing.

    Raises:
        InputError: Its numbers are impossible, or its streams are not those of the other devices.
    """
    entry, names = entry_of(item, state.policy)
    if names and state.names and names != state.names:
        raise InputError(
            f"[verdict] device {item.device!r} sends {len(names)} streams from {names[0]!r}, the fleet has "
            f"{len(state.names)} from {state.names[0]!r}. Look which version it runs"
        )
    state = replace(state, names=names or state.names)
    member = state.members.get(item.device, Member())
    if item.verdict is WindowVerdict.WARMING:
        # It has no say until its own reference is learned, and windows do not wait for it.
        return _judge_complete(_with_member(state, item.device, replace(member, waited_for=False)), now, labels)
    number = state.window
    if item.window > 0:  # 0 is the warm-up: a fault in it belongs to the next fleet window
        placed = _placed(member, item, state)
        if placed is None:
            return state, Judgement()
        member, number = placed
    state = _with_entry(_with_member(state, item.device, member), number, entry, now)
    return _judge_complete(state, now, labels)


def expire(state: FleetState, now: float, labels: Labels) -> tuple[FleetState, Judgement]:
    """Judges the windows whose deadline has passed."""
    return _judge_complete(state, now, labels)


def expect(state: FleetState, device: str) -> FleetState:
    """Waits for a device from the next fleet window on, before it has sent anything."""
    return _with_member(state, device, replace(state.members.get(device, Member()), waited_for=True, missed=0))


def forget(state: FleetState, device: str, now: float, labels: Labels) -> tuple[FleetState, Judgement]:
    """Leaves a device out: it was revoked or runs another version. If it comes back, it joins like a new one."""
    members = {name: member for name, member in state.members.items() if name != device}
    standing = tuple(alert for alert in state.standing if not _is_fault_of(alert, {device}))
    cleared = tuple(alert for alert in state.standing if alert not in standing)
    recent = state.recent if members else ()  # it is kept for those that may move
    state, judged = _judge_complete(replace(state, members=members, recent=recent, standing=standing), now, labels)
    return state, replace(judged, cleared=cleared + judged.cleared)


def acknowledge(state: FleetState) -> tuple[FleetState, Judgement]:
    """Forgets what moved and all evidence: someone has looked, and repaired it or let the devices learn anew."""
    standing = tuple(alert for alert in state.standing if not alert.kind.startswith("drift."))
    cleared = tuple(alert for alert in state.standing if alert.kind.startswith("drift."))
    state = replace(state, moved=(), scope=Scope.QUIET, everyone=None, rest=None, recent=(), standing=standing)
    return state, Judgement(cleared=cleared)


def shared_label(moved: Iterable[str], others: Iterable[str], labels: Labels) -> str:
    """The label value of which at least two thirds of the devices moved, and that every moved device has.

    Args:
        moved: At least two devices, else nothing is shared.
        others: Devices that have not moved.
        labels: By device.

    Returns:
        "label=value"; of several the one with the fewest others, then the first by name; empty for none.
    """
    moved = sorted(moved)
    if len(moved) < 2:
        return ""
    shared = set(labels.get(moved[0], {}).items())
    for device in moved[1:]:
        shared &= set(labels.get(device, {}).items())
    rest = [labels.get(device, {}) for device in others]
    found = []
    for key, value in shared:
        unmoved = sum(item.get(key) == value for item in rest)
        # A value that all devices have says nothing.
        if key != DEVICE_ID and unmoved < len(rest) and len(moved) >= _COHORT_SHARE * (len(moved) + unmoved):
            found.append((unmoved, key, value))
    return "{1}={2}".format(*min(found)) if found else ""


def _with_member(state: FleetState, device: str, member: Member) -> FleetState:
    # The last heard of goes last: whom a window waits for is found first.
    members = dict(state.members)
    members.pop(device, None)
    members[device] = member
    return replace(state, members=members)


def _placed(member: Member, item: DeviceWindow, state: FleetState) -> tuple[Member, int] | None:
    """The fleet window that a device's window belongs to; None if it was there before."""
    known = next((n for n in member.numberings if n.reference == item.reference), None)
    numbering = Numbering(item.reference, state.window - item.window, item.window)
    number = state.window
    if known is not None:
        seen = _seen(known, item.window)
        if seen is None:
            return None
        apart = item.window + seen.offset - state.window
        if abs(apart) > state.policy.most_apart and item.window == seen.last:
            numbering = replace(seen, offset=state.window - item.window)
        else:
            numbering, number = seen, state.window + min(max(apart, 0), state.policy.most_apart)
    others = tuple(n for n in member.numberings if n is not known)
    return replace(member, waited_for=True, missed=0, numberings=(*others[1 - _MOST_NUMBERINGS :], numbering)), number


def _seen(numbering: Numbering, window: int) -> Numbering | None:
    """Notes a window's number; None if it was there before."""
    if window <= numbering.last:
        gaps = tuple(gap for gap in numbering.gaps if gap != window)
        return replace(numbering, gaps=gaps) if window in numbering.gaps else None
    new = range(max(numbering.last + 1, window - _MOST_GAPS), window)
    return replace(numbering, last=window, gaps=(*numbering.gaps, *new)[-_MOST_GAPS:])


def _with_entry(state: FleetState, number: int, entry: Entry, now: float) -> FleetState:
    pending = {item.window: item for item in state.pending}
    item = pending.get(number, Gathered(number, now, {}))
    known = item.entries.get(entry.device)
    pending[number] = replace(
        item, entries={**item.entries, entry.device: known.plus(entry) if known is not None else entry}
    )
    return replace(state, pending=tuple(pending[key] for key in sorted(pending)))


def _judge_complete(state: FleetState, now: float, labels: Labels) -> tuple[FleetState, Judgement]:
    result = Judgement()
    while state.pending:
        deadline = state.deadline_at
        if not state.complete and (deadline is None or now < deadline):
            break
        # Numbers that nobody filled are passed over.
        state = replace(state, window=state.pending[0].window)
        entries = _sorted(state.pending[0])
        window, state = _judge(state, now, labels)
        standing = _standing(state, window, entries)
        result = _merge(result, window, state.standing, standing)
        state = replace(state, standing=standing)
    return state, result


def _judge(state: FleetState, now: float, labels: Labels) -> tuple[FleetWindow, FleetState]:
    pending, missing = state.pending[0], state.missing
    entries = _sorted(pending)
    verdict, memory = judge_window(state, entries)
    # Devices that have moved and send nothing now keep their alarm, and are in no sum.
    moved = {device: at for device, at in state.moved if device not in pending.entries} | dict(memory.moved)
    scope = verdict.scope
    if scope is not Scope.WORLD:
        scope = (Scope.QUIET, Scope.DEVICE, Scope.COHORT)[min(len(moved), 2)]
    faulty = tuple(entry.device for entry in entries if entry.fault)
    others = {device for device, member in state.members.items() if member.numberings} - set(moved) - set(faulty)
    window = FleetWindow(
        window=state.window,
        scope=scope,
        log_evidence=verdict.log_e,
        devices=len(entries),
        missing=missing,
        moved=tuple(sorted(moved)),
        faulty=faulty,
        cohort=shared_label(moved, others, labels) if scope is Scope.COHORT else "",
        causes=tuple(f"{cause.name} {cause.change}" for cause in verdict.causes[:3]),
        judged_at=now,
    )
    evidence = {entry.device: entry for entry in entries if entry.cells is not None}
    state = replace(
        state,
        window=state.window + 1,
        members={**state.members, **{device: _missed(state.members[device], state.policy) for device in missing}},
        pending=state.pending[1:],
        moved=tuple(sorted(moved.items())),
        scope=scope,
        everyone=None if memory.everyone is None else Array.of(memory.everyone, "float64"),
        rest=None if memory.rest is None else Array.of(memory.rest, "float64"),
        recent=(*state.recent, replace(pending, entries=evidence))[-len(memory.recent) :],
    )
    return window, state


def _sorted(item: Gathered) -> tuple[Entry, ...]:
    """By device: in which order they came says nothing."""
    return tuple(item.entries[device] for device in sorted(item.entries))


def _missed(member: Member, policy: Policy) -> Member:
    missed = member.missed + 1
    return replace(member, missed=missed, waited_for=missed < policy.forget_after)


def _is_fault_of(alert: Alert, devices: set[str]) -> bool:
    return alert.kind == "sensor.fault" and set(alert.devices) <= devices


def _standing(state: FleetState, window: FleetWindow, entries: tuple[Entry, ...]) -> tuple[Alert, ...]:
    """The alerts that hold after a window: one per broken sensor, one for drift."""
    healed = {entry.device for entry in entries if not entry.fault}
    alerts = [alert for alert in state.standing if alert.kind == "sensor.fault" and not _is_fault_of(alert, healed)]
    known = {alert.devices for alert in alerts}
    for entry in entries:
        if entry.fault and (entry.device,) not in known:
            summary = f"{entry.device}: sensor fault: {entry.fault}"
            alerts.append(Alert("sensor.fault", Severity.ERROR, summary, (entry.device,)))
    if window.scope is not Scope.QUIET:
        alerts.append(_drift_alert(state, window))
    return tuple(alerts)


def _drift_alert(state: FleetState, window: FleetWindow) -> Alert:
    kind = f"drift.{window.scope}"
    for alert in state.standing:
        if (alert.kind, alert.devices) == (kind, window.moved):
            return alert
    names = ", ".join(window.moved[:10])
    causes = f": {', '.join(window.causes)}" if window.causes else ""
    words = {
        Scope.DEVICE: f"one device moved, look at its site: {names}",
        Scope.COHORT: f"{len(window.moved)} devices moved ({window.cohort or 'no label in common'}): {names}",
        Scope.WORLD: f"the world moved, {len(window.moved)} devices alarm by themselves{causes}",
    }
    severity = Severity.ERROR if window.scope is Scope.WORLD else Severity.WARNING
    summary = f"{state.version} on {state.slot}: inputs moved, window {window.window}: {words[window.scope]}"
    return Alert(kind, severity, summary, window.moved)


def _merge(result: Judgement, window: FleetWindow, before: tuple[Alert, ...], after: tuple[Alert, ...]) -> Judgement:
    def key(alert: Alert) -> tuple[str, tuple[str, ...]]:
        return alert.kind, alert.devices if alert.kind == "sensor.fault" else ()

    old, new = {key(alert): alert for alert in before}, {key(alert): alert for alert in after}
    return Judgement(
        (*result.windows, window),
        (*result.raised, *(new[k] for k in new if k not in old)),
        (*result.updated, *(new[k] for k in new if k in old and new[k] != old[k])),
        (*result.cleared, *(old[k] for k in old if k not in new)),
    )
