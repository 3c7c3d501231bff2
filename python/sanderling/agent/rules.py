"""The rules of a device: (state, event) -> (state, actions). Pure: no IO, no clock, no chance.

The driver stores the new state before it acts, so every action may be asked for again; recovery is the event
`Started`, the same function over what was stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sanderling.agent.actions import (
    Action,
    CheckIn,
    Collect,
    Emit,
    ForgetTelemetry,
    Keep,
    SlotReport,
    Wake,
)
from sanderling.agent.bodies import Notice
from sanderling.agent.events import (
    CheckedIn,
    CheckInDue,
    CheckInFailed,
    Desired,
    Event,
    Hinted,
    SlotEvent,
    Started,
)
from sanderling.agent.slot import Step
from sanderling.agent.state import AgentState, Phase, Settings, Slot


def step(state: AgentState, event: Event, now: float, settings: Settings) -> tuple[AgentState, list[Action]]:
    """One step.

    Args:
        state: As stored.
        event: What happened.
        now: Seconds since the epoch.
        settings: Numbers of the rules.

    Returns:
        The state to be stored, equal to `state` if nothing changed, and what to do then, in order.
    """
    if isinstance(event, Started):
        return _start(state, event, now, settings)
    if isinstance(event, CheckInDue):
        return _check_in(state, now, settings)
    if isinstance(event, Hinted):
        actions: list[Action] = []
        return _soon(state, now, event.spread_s or settings.hint_spread_s, "hint", actions), actions
    if isinstance(event, CheckedIn):
        return _checked_in(state, event, now, settings)
    if isinstance(event, CheckInFailed):
        return _check_in_failed(state, event, now, settings)
    return _slot_event(state, event, now, settings)


def chance(state: AgentState, purpose: str) -> float:
    """A number in [0, 1) that differs between devices and check-ins, and is the same when asked again."""
    word = f"{state.device_id} {state.sequence} {purpose}".encode()
    return int.from_bytes(hashlib.sha256(word).digest()[:6], "big") / float(1 << 48)


def _start(state: AgentState, event: Started, now: float, settings: Settings) -> tuple[AgentState, list[Action]]:
    rebooted = bool(state.boot_id) and state.boot_id != event.boot_id
    state = replace(state, boot_id=event.boot_id, checking_in=False, check_in_at=0.0)
    actions: list[Action] = []
    for name in sorted(state.slots):
        state = _in_slot(state, name, now, settings, actions, lambda it: it.recover(rebooted))
    actions += _settle(state)
    # At once: a device that was away tells what it is and hears what it missed.
    return _soon(state, now, settings.hint_spread_s, "start", actions), actions


def _soon(state: AgentState, now: float, spread_s: float, purpose: str, actions: list[Action]) -> AgentState:
    """Brings the next check-in forward to within the spread; never puts it off, however often it is asked for.

    While a check-in is under way, its answer may have been given before what this is about: another one follows it.
    """
    at = now + min(spread_s, state.check_in_interval_s) * chance(state, purpose)
    if state.check_in_at and at >= state.check_in_at:
        return state
    if not state.checking_in:
        actions.append(Wake(at, CheckInDue()))
    return replace(state, check_in_at=at)


def _next_check_in(state: AgentState, at: float, actions: list[Action]) -> AgentState:
    """After an answer: the next check-in at `at`, or before it if one was wanted meanwhile."""
    at = min(at, state.check_in_at or at)
    actions.append(Wake(at, CheckInDue()))
    return replace(state, checking_in=False, check_in_at=at)


def _check_in(state: AgentState, now: float, settings: Settings) -> tuple[AgentState, list[Action]]:
    state = replace(state, sequence=state.sequence + 1, checking_in=True, check_in_at=0.0)
    return state, [
        # Its answer takes the place of this one, whatever it is: a device must never end asking.
        Wake(now + settings.check_in_lost_s, CheckInDue()),
        CheckIn(
            boot_id=state.boot_id,
            sequence=state.sequence,
            desired_counter=state.desired_counter,
            slots=tuple(_report(state.slots[name]) for name in sorted(state.slots)),
            results=state.results,
        ),
    ]


def _report(slot: Slot) -> SlotReport:
    running = slot.active
    return SlotReport(
        slot=slot.name,
        active_version=running.release.version if running else "",
        manifest_digest=running.release.digest if running else "",
        phase=slot.phase,
        assignment=slot.update.wanted.assignment if slot.update else "",
        inferences=running.all_rows if running else 0,
        runner_restarts=slot.restarts,
    )


def _checked_in(state: AgentState, event: CheckedIn, now: float, settings: Settings) -> tuple[AgentState, list[Action]]:
    actions: list[Action] = []
    confirmed = set(event.committed)
    results = tuple(r for r in state.results if (r.assignment, r.attempt) not in confirmed)
    waiting = {result.slot for result in results}
    slots = {
        name: replace(slot, phase=Phase.IDLE) if slot.phase is Phase.REPORT and name not in waiting else slot
        for name, slot in state.slots.items()
    }
    state = replace(
        state,
        results=results,
        slots=slots,
        approved=event.approved,
        check_in_interval_s=event.next_s,
        check_in_failures=0,
        check_in_error="",
        checked_in_at=now,
    )
    actions += [ForgetTelemetry(boot, sequence) for boot, sequence in event.telemetry]
    if event.refused:
        actions.append(Emit("", "", Notice("desired.refused", "error", event.refused)))
    jitter = 1.0 + settings.jitter * (2.0 * chance(state, "interval") - 1.0)
    state = _next_check_in(state, now + event.next_s * jitter, actions)
    if event.desired is not None:
        state = _take_desired(state, event.desired, now, settings, actions)
    return state, actions


def _check_in_failed(
    state: AgentState, event: CheckInFailed, now: float, settings: Settings
) -> tuple[AgentState, list[Action]]:
    actions: list[Action] = []
    failures = state.check_in_failures + 1
    wait = min(settings.retry_s * 2.0 ** min(failures - 1, 20), state.check_in_interval_s)
    state = replace(state, check_in_failures=failures, check_in_error=event.detail)
    # Full jitter: after an outage of the server the whole fleet comes back, and must not come at once.
    at = now + wait * (0.1 + 0.9 * chance(state, f"failed {failures}"))
    return _next_check_in(state, at, actions), actions


def _take_desired(
    state: AgentState, desired: Desired, now: float, settings: Settings, actions: list[Action]
) -> AgentState:
    wrong = ""
    if desired.device_id != state.device_id:
        wrong = f"it is for {desired.device_id}, this device is {state.device_id}"
    elif desired.counter < state.desired_counter:
        wrong = f"its counter is {desired.counter}, this device has seen {state.desired_counter}"
    if wrong:
        actions.append(Emit("", "", Notice("desired.refused", "error", f"desired state refused: {wrong}")))
        return state
    if desired.counter == state.desired_counter:
        return state
    state = replace(state, desired_counter=desired.counter, plan=desired.plan or state.plan)
    for name, wanted in desired.slots:
        if name not in state.slots and not wanted.version:
            continue
        if name not in state.slots:
            state = replace(state, slots={**state.slots, name: Slot(name, metrics_at=now)})
        state = _in_slot(state, name, now, settings, actions, partial(Step.want, wanted=wanted))
    return state


def _slot_event(state: AgentState, event: SlotEvent, now: float, settings: Settings) -> tuple[AgentState, list[Action]]:
    actions: list[Action] = []
    if event.slot in state.slots:
        state = _in_slot(state, event.slot, now, settings, actions, lambda it: it.handle(event))
    return state, actions


def _in_slot(
    state: AgentState, name: str, now: float, settings: Settings, actions: list[Action], do: Callable[[Step], None]
) -> AgentState:
    it = Step(state.slots[name], now, settings, state.plan, [], [])
    do(it)
    if it.slot != state.slots[name]:
        state = replace(state, slots={**state.slots, name: it.slot})
    actions += it.actions
    if it.results:
        state = replace(state, results=state.results + tuple(it.results))
        # Soon, not at once: the route and the cleaning come first.
        state = _soon(state, now, settings.hint_spread_s, "result", actions)
    if it.settled:
        actions += _settle(state)
    return state


def _settle(state: AgentState) -> list[Action]:
    """What may run and what must be kept, whole: whatever else there is may go."""
    runners, manifests, blobs, spare = [], [], [], []
    for slot in state.slots.values():
        candidate = slot.update.candidate if slot.update else None
        for running in (slot.active, candidate):
            if running is not None:
                runners.append((slot.name, running.release.version))
                manifests.append(running.release.digest)
                blobs += [running.own_reference] * bool(running.own_reference)
        if slot.previous is not None:
            spare.append(slot.previous.digest)
        for wanted in (slot.update.wanted if slot.update else None, slot.pending):
            if wanted is not None and wanted.digest:
                spare.append(wanted.digest)
    return [
        Keep(tuple(sorted(set(runners)))),
        Collect(tuple(sorted(set(manifests))), tuple(sorted(set(blobs))), tuple(sorted(set(spare)))),
    ]
