"""Opens retraining jobs by itself: the fleet's verdict goes into the rules of `trigger`, what they ask for is done.

What is to be done follows from the stored state and not from the moment: a server that was killed between the two does
it at its next look.
"""

from __future__ import annotations

import dataclasses
import logging

from sanderling.drift import Scope
from sanderling.errors import InputError
from sanderling.versions import split_version
from sanderling_fleet import trigger
from sanderling_fleet.core.alerts import raise_alert
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.fleet_watch import fleet_windows
from sanderling_fleet.retrain import book
from sanderling_fleet.retrain.driver import Retrainer
from sanderling_fleet.retrain.events import Cancelled
from sanderling_fleet.retrain.job import Job, JobState
from sanderling_fleet.store import Device, Document, Standing, Transaction
from sanderling_fleet.trigger import Phase, TriggerState

KIND = "retrain-trigger"
_WINDOWS = 50
_log = logging.getLogger(__name__)


class Opener:
    """Looks at the slots whose models can be retrained here."""

    def __init__(self, core: Core, retrainer: Retrainer) -> None:
        self._core = core
        self._retrainer = retrainer

    async def look(self) -> None:
        """Once: what was judged since, how jobs stand, what is due."""
        async with self._core.store.transaction() as tx:
            slots = await _slots(tx)
        for slot in slots:
            try:
                await self._look_at(slot)
            except InputError as error:
                _log.warning("no retraining of slot %r: %s", slot, error)

    async def _look_at(self, slot: str) -> None:
        now = self._core.clock.now()
        async with self._core.store.transaction() as tx:
            champion = await book.champion_of(tx, slot)
            model, _ = split_version(champion)
            if model not in self._retrainer.models:
                return
            document = await tx.get(Document, KIND, slot)
            policy = self._retrainer.models[model].trigger_policy()
            state = TriggerState.from_json(document.body["state"]) if document else TriggerState(slot, policy)
            seen_at = document.body["seen_at"] if document else 0.0
            former = document.body.get("champion", champion) if document else champion
            newest = await _newest_job(tx, slot)
            job = newest if newest and newest.open else None
            actions: list[trigger.Action] = []
            events = self._events(state, newest, champion, seen_at, await fleet_windows(tx, slot, _WINDOWS))
            if former != champion:
                # Before all else: a job that ends in the same look must not find the former one's drift standing.
                events.insert(0, trigger.DriftOver())
            for event in events:
                state, asked = trigger.decide(state, event, now)
                actions += asked
            for action in actions:
                # The verdict has told of broken sensors already, in the same words.
                if isinstance(action, trigger.RaiseAlert) and action.alert.kind != "sensor.fault":
                    await raise_alert(tx, now, action.alert, slot)
                elif isinstance(action, trigger.StopCollecting | trigger.CancelJob) and job is not None:
                    reason = action.reason if isinstance(action, trigger.CancelJob) else "the drift is over"
                    await book.apply(tx, now, job.job_id, Cancelled(reason))
            seen_at = max([seen_at, *(window["judged_at"] for window in await fleet_windows(tx, slot, 1))])
            body = {"state": state.to_json(), "seen_at": seen_at, "champion": champion}
            if document is None or body != document.body:
                fresh = document or Document(KIND, slot, 0, "", slot, now, now, {})
                await tx.put(
                    dataclasses.replace(
                        fresh, version=fresh.version + 1, state=state.phase.value, updated_at=now, body=body
                    )
                )
        # A job that this phase has had, ended or not, is not opened again.
        had_one = newest is not None and (newest.open or newest.created_at >= state.phase_at)
        if state.phase is not Phase.IDLE and not had_one:
            await book.start(
                self._core,
                self._retrainer.plans,
                request_id=f"trigger/{slot}/{state.phase_at}",
                slot=slot,
                trigger=f"drift: {state.reason}",
            )
            self._retrainer.wake()

    def _events(
        self, state: TriggerState, newest: Job | None, champion: str, seen_at: float, windows: list[dict[str, object]]
    ) -> list[trigger.Event]:
        events: list[trigger.Event] = []
        if newest is not None and newest.state is not JobState.COLLECTING:
            events.append(trigger.SamplesArrived(newest.samples))
        if state.phase is Phase.TRAINING and newest is not None and not newest.open:
            events.append(trigger.JobEnded(newest.state.value))
        for window in reversed(windows):  # newest first
            mine = window["version"] == champion and self._core.telemetry.trusts(str(window["identity"]))
            if mine and float(str(window["judged_at"])) > seen_at:
                faulty = window["faulty"]
                assert isinstance(faulty, list | tuple)
                events.append(
                    trigger.DriftJudged(
                        Scope(str(window["scope"])),
                        f"fleet window {window['window']} of {champion}: {window['scope']} moved",
                        tuple(str(device) for device in faulty),
                    )
                )
        return [*events, trigger.Tick()]


async def _slots(tx: Transaction) -> list[str]:
    devices = await tx.find(Device, {"standing": Standing.ACTIVE.value})
    return sorted({item["slot"] for device in devices for item in device.slots if item["active_version"]})


async def _newest_job(tx: Transaction, slot: str) -> Job | None:
    return max(await book.find_jobs(tx, slot=slot), key=lambda job: job.created_at, default=None)
