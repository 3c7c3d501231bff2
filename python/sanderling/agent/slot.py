r"""The state machine of one slot: (slot, event) -> (slot, actions, results). Pure.

    IDLE -> FETCH -> VERIFY -> BUILD -> SELFTEST -> SWITCH -> PROBATION -> COMMIT -> REPORT -> IDLE
            \________ error: discard ________/     \___ error: REVERT ___/

An error before SWITCH discards the candidate: nothing changed on the device. From SWITCH on it reverts: the
incumbent, whose runner was kept, answers again. After COMMIT nothing reverts. Every phase has a deadline; a result is
part of the stored state before anybody is told. docs/agent-states.md draws it whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sanderling.agent import probation
from sanderling.agent.actions import (
    Emit,
    Fetch,
    Load,
    Resolve,
    SelfTest,
    Serve,
    Verify,
)
from sanderling.agent.bodies import Metrics, Notice
from sanderling.agent.draft import Draft, doubled
from sanderling.agent.events import (
    Attached,
    Died,
    Fetched,
    HealDue,
    Loaded,
    Observed,
    ObserveDue,
    Resolved,
    RetryDue,
    SelfTested,
    Served,
    SlotEvent,
    StepDue,
    StepFailed,
    Verified,
)
from sanderling.agent.state import (
    BEFORE_SWITCH,
    ON_TRIAL,
    Code,
    Outcome,
    Phase,
    Running,
    Update,
    Wanted,
)

_ROUTE_RETRY_S = 1.0  # requests wait for this one
_TIMED_OUT = {
    Phase.FETCH: Code.FETCH_FAILED,
    Phase.VERIFY: Code.FETCH_FAILED,
    Phase.BUILD: Code.BUILD_FAILED,
    Phase.SELFTEST: Code.HANG,
    Phase.SWITCH: Code.HANG,
    Phase.PROBATION: Code.PROBATION_TIMEOUT,
}


class Step(Draft):
    """One event or one wish of the fleet, taken into a slot."""

    # Entered with an event or a wish.

    def handle(self, event: SlotEvent) -> None:
        """Dispatches; what does not fit the phase or the step is an ordinary latecomer and changes nothing."""
        step = getattr(event, "step", 0)
        if step and step != self.slot.step:
            return
        _HANDLERS[type(event)](self, event)

    def want(self, wanted: Wanted) -> None:
        """Takes the fleet's wish: begins it, keeps it for later, or ends what is under way for it."""
        slot, update = self.slot, self.slot.update
        if update is None:
            if wanted.key != slot.ended:
                self._begin(wanted)
        elif update.wanted.same_as(wanted):
            self.slot = replace(slot, pending=None)
        elif slot.phase in BEFORE_SWITCH:
            self._end(Outcome.SUPERSEDED, Code.SUPERSEDED, f"{wanted.version or 'nothing'} was asked for instead")
            self._begin(wanted)
        else:
            self.slot = replace(slot, pending=wanted)
            incumbent = slot.active.release if slot.active else None
            back = incumbent.digest == wanted.digest if incumbent else not wanted.version
            if slot.phase in ON_TRIAL and back:
                self._revert(Code.SUPERSEDED, f"the fleet asked for {wanted.version or 'no model'} again")

    def recover(self, rebooted: bool) -> None:
        """The agent's process began: goes on where the stored state says."""
        slot, update = self.slot, self.slot.update
        self.wake(ObserveDue(slot.name), self.settings.observe_s)
        if slot.phase in ON_TRIAL:
            if slot.active:
                self.do(Load(slot.name, 0, self.launch(slot.active)))
        elif slot.phase is not Phase.REVERT:
            self.serve_active()
        if update is None:
            return
        update = replace(update, transitions=update.transitions + 1, boots=update.boots + rebooted)
        # Time without power is nobody's fault; the loop breaker bounds how often a deadline is moved.
        deadline = max(slot.deadline_at, self.now + self.limit_s(slot.phase, update)) if rebooted else slot.deadline_at
        self.slot = slot = replace(slot, update=update, deadline_at=deadline)
        if self._broken_loop():
            return
        if slot.phase in ON_TRIAL and update.boots > self.settings.most_boots:
            self._revert(Code.CRASH, f"the machine restarted {update.boots} times while {update.wanted.version} ran")
        elif slot.phase is Phase.SELFTEST:
            self._enter(Phase.BUILD)  # its runner may be gone
        elif slot.phase is Phase.PROBATION:
            assert update.candidate is not None
            self.do(Serve(slot.name, slot.step, self.launch(update.candidate)))
            self.wake(StepDue(slot.name, slot.step), slot.deadline_at - self.now)
        else:
            self.wake(StepDue(slot.name, slot.step), slot.deadline_at - self.now)
            self._act()

    # Phases.

    def _begin(self, wanted: Wanted) -> None:
        slot = replace(self.slot, update=Update(wanted, self.now), pending=None)
        self.slot = slot
        if slot.active and slot.active.release.digest == wanted.digest:
            self._end(Outcome.COMMITTED, Code.OK, f"{wanted.version} was already active")
        elif not wanted.version:
            self.slot = replace(slot, active=None, previous=slot.active.release if slot.active else None)
            self._enter(Phase.COMMIT)
        else:
            self._enter(Phase.FETCH)

    def _enter(self, phase: Phase) -> None:
        slot, update = self.slot, self.slot.update
        assert update is not None
        deadline = self.limit_s(phase, update)
        update = replace(update, transitions=update.transitions + 1, retries=0)
        self.slot = replace(slot, phase=phase, step=slot.step + 1, deadline_at=self.now + deadline, update=update)
        if self._broken_loop():
            return
        self.wake(StepDue(slot.name, self.slot.step), deadline)
        self._act()

    def _act(self) -> None:
        """Asks for what the present phase is about."""
        slot, update = self.slot, self.slot.update
        assert update is not None
        candidate = update.candidate
        if slot.phase is Phase.FETCH:
            self.do(Resolve(slot.name, slot.step, update.wanted))
        elif slot.phase in (Phase.COMMIT, Phase.REVERT):
            self.do(Serve(slot.name, slot.step, self.launch(slot.active) if slot.active else None))
        elif slot.phase is Phase.PROBATION:
            self.wake(ObserveDue(slot.name), self.settings.observe_trial_s)
        else:
            assert candidate is not None
            launch = self.launch(candidate)
            if slot.phase is Phase.VERIFY:
                self.do(Verify(slot.name, slot.step, candidate.release))
            elif slot.phase is Phase.BUILD:
                self.do(Load(slot.name, slot.step, launch))
            elif slot.phase is Phase.SELFTEST:
                incumbent = self.launch(slot.active) if slot.active else None
                self.do(SelfTest(slot.name, slot.step, launch, incumbent))
            elif slot.phase is Phase.SWITCH:
                self.do(Serve(slot.name, slot.step, launch))

    def _resolved(self, event: Resolved) -> None:
        slot, update = self.slot, self.slot.update
        if slot.phase is not Phase.FETCH or update is None:
            return
        release = event.release
        floor = slot.floors.get(release.model, 0)
        if event.why_not:
            self._fail(Code.INCOMPATIBLE, event.why_not)
        elif release.digest != update.wanted.digest:
            self._fail(
                Code.INTEGRITY,
                f"signed metadata names manifest {release.digest[:16]} for {release.version}, the desired state "
                f"{update.wanted.digest[:16]}",
            )
        elif slot.active and slot.active.release.version == release.version:
            self._fail(
                Code.INTEGRITY,
                f"{release.version} is active with manifest {slot.active.release.digest[:16]}, now its manifest is "
                f"{release.digest[:16]}: a version never changes, publish it under another name",
            )
        elif release.counter <= floor and not event.downgrade_allowed:
            self._fail(
                Code.INTEGRITY,
                f"{release.version} has release counter {release.counter}, this slot has seen {floor}: going back "
                "needs a downgrade token of the release role",
            )
        else:
            self.slot = replace(slot, update=replace(update, candidate=Running(release), failure=None))
            self.do(Fetch(slot.name, slot.step, release))

    def _fetched(self, _event: Fetched) -> None:
        if self.slot.phase is Phase.FETCH and self.slot.update is not None:
            self.slot = replace(self.slot, update=replace(self.slot.update, failure=None))
            self._enter(Phase.VERIFY)

    def _verified(self, _event: Verified) -> None:
        if self.slot.phase is Phase.VERIFY:
            self._enter(Phase.BUILD)

    def _loaded(self, event: Loaded) -> None:
        if self.slot.phase is Phase.BUILD and event.step:
            self._enter(Phase.SELFTEST)

    def _self_tested(self, event: SelfTested) -> None:
        slot, update, settings = self.slot, self.slot.update, self.settings
        if slot.phase is not Phase.SELFTEST or update is None:
            return
        limit = settings.latency_ratio * event.incumbent_latency_us + settings.latency_slack_us
        if event.within < event.samples:
            detail = f"{event.within} of {event.samples} golden samples are within tolerance; {event.detail}"
            self._fail(Code.SELFTEST_FAILED, detail.rstrip("; "))
        elif event.incumbent_latency_us and event.latency_us > limit:
            self._fail(
                Code.SELFTEST_FAILED,
                f"median latency is {event.latency_us:,.0f} us, the incumbent's {event.incumbent_latency_us:,.0f} us "
                f"in the same test, allowed are {limit:,.0f} us",
            )
        else:
            score = event.within / event.samples if event.samples else 0.0
            self.slot = replace(slot, update=replace(update, golden_score=score))
            self._enter(Phase.SWITCH)

    def _served(self, event: Served) -> None:
        slot, update = self.slot, self.slot.update
        if not event.step:
            return  # healthy is who has answered requests, not who was started
        if slot.phase is Phase.SWITCH and update is not None:
            test = probation.start_test(slot.active, self.settings)
            self.slot = replace(slot, update=replace(update, switched_at=self.now, test=test))
            self._enter(Phase.PROBATION)
        elif slot.phase is Phase.COMMIT and update is not None:
            self._end(Outcome.COMMITTED, Code.OK, "")
        elif slot.phase is Phase.REVERT and update is not None and update.failure is not None:
            self._end(Outcome.REVERTED, *update.failure)

    def _commit(self) -> None:
        slot, update = self.slot, self.slot.update
        assert update is not None
        assert update.candidate is not None
        release = update.candidate.release
        self.slot = replace(
            slot,
            floors={**slot.floors, release.model: release.counter},
        )
        self.report(Outcome.COMMITTED, Code.OK, "")  # with the trial's incumbent, which is not the slot's hereafter
        self.slot = replace(
            self.slot,
            active=update.candidate,
            previous=slot.active.release if slot.active else None,
            sent_rows=update.told_rows,
            sent_errors=update.told_errors,
        )
        self._enter(Phase.COMMIT)

    # Ends.

    def _fail(self, code: Code, detail: str) -> None:
        if self.slot.phase in BEFORE_SWITCH:
            self._end(Outcome.DISCARDED, code, detail)
        elif self.slot.phase in ON_TRIAL:
            self._revert(code, detail)

    def _revert(self, code: Code, detail: str) -> None:
        update = self.slot.update
        assert update is not None
        self.slot = replace(self.slot, update=replace(update, failure=(code, detail)))
        self._enter(Phase.REVERT)

    def _end(self, outcome: Outcome, code: Code, detail: str) -> None:
        update = self.slot.update
        assert update is not None
        if update.wanted.key != self.slot.ended:  # a commit was reported when it was stored
            self.report(outcome, code, detail)
        pending = self.slot.pending
        phase = Phase.REPORT if update.wanted.assignment else Phase.IDLE
        self.slot = replace(self.slot, phase=phase, step=self.slot.step + 1, update=None, pending=None)
        self.settled = True
        if pending is not None:
            self.want(pending)

    def _broken_loop(self) -> bool:
        update = self.slot.update
        if update is None or update.transitions <= self.settings.most_transitions:
            return False
        if self.slot.phase not in BEFORE_SWITCH | ON_TRIAL:
            return False
        self._fail(Code.INTERNAL, f"{update.transitions} stored transitions without an end: the loop was broken")
        return True

    # Failures and time.

    def _step_failed(self, event: StepFailed) -> None:
        slot, update = self.slot, self.slot.update
        if not event.step:
            if slot.phase not in ON_TRIAL:
                self.heal_later(event.detail)
        elif slot.phase in (Phase.COMMIT, Phase.REVERT) or (event.retry and slot.phase is Phase.FETCH):
            assert update is not None
            wait = doubled(self.settings.retry_s, update.retries, self.settings.retry_most_s)
            if slot.phase is not Phase.FETCH:
                wait = _ROUTE_RETRY_S
            failure = update.failure
            if slot.phase is Phase.FETCH:
                failure = (event.code, event.detail)
                if event.code is not Code.FETCH_FAILED and failure != update.failure:
                    notice = Notice("fetch.refused", "warning", event.detail, event.code)
                    self.do(Emit(slot.name, update.wanted.version, notice))
            self.slot = replace(slot, update=replace(update, retries=update.retries + 1, failure=failure))
            self.wake(RetryDue(slot.name, slot.step), wait)
        else:
            self._fail(event.code, event.detail)

    def _retry(self, _event: RetryDue) -> None:
        if self.slot.update is not None and self.slot.phase in (Phase.FETCH, Phase.COMMIT, Phase.REVERT):
            self._act()

    def _step_due(self, _event: StepDue) -> None:
        slot, update = self.slot, self.slot.update
        if update is None:
            return
        if slot.phase is Phase.COMMIT:
            self._end(Outcome.COMMITTED, Code.OK, "")
            self.serve_active()
        elif slot.phase is Phase.REVERT:
            code, detail = update.failure or (Code.INTERNAL, "")
            self._end(Outcome.REVERTED, code, f"{detail}; the former version could not be started in time")
            self.serve_active()
        else:
            limit, extra = self.limit_s(slot.phase, update), ""
            if slot.phase is Phase.PROBATION and update.candidate is not None:
                extra = f" with {update.candidate.all_rows} of {update.wanted.trial.rows} rows"
            code = _TIMED_OUT[slot.phase]
            if update.failure is not None:  # the last try's, which was to be tried again
                code, extra = update.failure[0], f": {update.failure[1]}"
            self._fail(code, f"{slot.phase.value} did not end within {limit:,.0f} s{extra}")

    def _died(self, event: Died) -> None:
        slot, update = self.slot, self.slot.update
        kind = "runner.crash" if event.code is Code.CRASH else "runner.hang"
        self.do(Emit(slot.name, event.version, Notice(kind, "error", event.detail, event.code)))
        candidate = update.candidate if update else None
        if update is not None and candidate is not None and candidate.release.version == event.version:
            counted = replace(candidate, crashes=candidate.crashes + 1)
            self.slot = replace(slot, update=replace(update, candidate=counted), restarts=slot.restarts + 1)
            if slot.phase in ON_TRIAL or slot.phase in (Phase.BUILD, Phase.SELFTEST):
                self._fail(event.code, event.detail)
                return
        if slot.active is not None and slot.active.release.version == event.version:
            self.slot = replace(
                self.slot, active=replace(slot.active, crashes=slot.active.crashes + 1), restarts=slot.restarts + 1
            )
            self.heal_later(event.detail)

    def _heal(self, _event: HealDue) -> None:
        slot = self.slot
        if slot.phase in ON_TRIAL:
            if slot.active:
                self.do(Load(slot.name, 0, self.launch(slot.active)))
        elif slot.phase is Phase.REVERT:
            self.wake(HealDue(slot.name), _ROUTE_RETRY_S)  # it is being served: if that came too early, again after it
        else:
            self.serve_active()

    # Observation.

    def _observed(self, event: Observed) -> None:
        slot, update = self.slot, self.slot.update
        if slot.phase is Phase.PROBATION and update is not None and update.candidate is not None:
            if update.candidate.release.version == event.version:
                self._observed_trial(update, update.candidate, event)
        elif slot.active is not None and slot.active.release.version == event.version:
            running, _, windows = probation.take_in(slot.active, event)
            healthy = running.all_rows > slot.active.all_rows
            self.slot = replace(slot, active=running, heals=0 if healthy else slot.heals)
            self.emit_windows(event.version, windows)
            self.emit_metrics(running)

    def _attached(self, event: Attached) -> None:
        slot, update, body = self.slot, self.slot.update, event.body
        self.do(Emit(slot.name, event.version, body))
        if not isinstance(body, Metrics):
            return
        candidate = update.candidate if update and slot.phase is Phase.PROBATION else None
        # Told by the row above: metrics must not tell it again, those of the trial's rows after a commit neither.
        if update and candidate and candidate.release.version == event.version:
            told = replace(
                update,
                told_rows=update.told_rows + body.inferences,
                told_errors=update.told_errors + body.errors,
            )
            self._judge(told, *probation.take_in_attached(candidate, body))
        elif slot.active is not None and slot.active.release.version == event.version:
            running, _ = probation.take_in_attached(slot.active, body)
            self.slot = replace(
                slot,
                active=running,
                sent_rows=slot.sent_rows + body.inferences,
                sent_errors=slot.sent_errors + body.errors,
            )

    def _observed_trial(self, update: Update, candidate: Running, event: Observed) -> None:
        running, fresh, windows = probation.take_in(candidate, event)
        self.emit_windows(event.version, windows)
        self._judge(update, running, fresh)

    def _judge(self, update: Update, running: Running, fresh: tuple[float, ...]) -> None:
        update, failed = probation.advance(replace(update, candidate=running), self.slot.active, fresh, self.settings)
        self.slot = replace(self.slot, update=update)
        if failed is None and probation.is_over(update, self.now):
            failed = probation.too_slow(running, self.slot.active, self.settings)
            if failed is None:
                self._commit()
                return
        if failed is not None:
            self._revert(*failed)


_HANDLERS: dict[type, Callable[[Step, Any], None]] = {
    Resolved: Step._resolved,
    Fetched: Step._fetched,
    Verified: Step._verified,
    Loaded: Step._loaded,
    SelfTested: Step._self_tested,
    Served: Step._served,
    StepFailed: Step._step_failed,
    StepDue: Step._step_due,
    RetryDue: Step._retry,
    HealDue: Step._heal,
    ObserveDue: Step.observe,
    Observed: Step._observed,
    Attached: Step._attached,
    Died: Step._died,
}
