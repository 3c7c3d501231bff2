"""One step of a slot in the making: what the rules of `slot` are written in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sanderling.agent import probation
from sanderling.agent.actions import Emit, Launch, Observe, Serve, SlotAction, Wake
from sanderling.agent.bodies import Metrics, Notice
from sanderling.agent.events import HealDue, ObserveDue, SlotEvent, Window
from sanderling.agent.state import Code, Outcome, Phase, Result, Running, Settings, Slot, TelemetryPlan, Update

_HEAL_S = 0.1
"""Pause before the second try, seconds; doubled before each further one."""


def doubled(first_s: float, times: int, most_s: float) -> float:
    """A wait that doubles each time, up to a limit. Tries are not limited, and a double ends at 2**1023."""
    return float(min(first_s * 2.0 ** min(times, 64), most_s))


@dataclass
class Draft:
    """One step in the making: the slot as it will be, with what is to be done and what is to be reported.

    Attributes:
        slot: As it will be.
        now: Seconds since the epoch.
        settings: Numbers.
        plan: Telemetry.
        actions: In order.
        results: Of updates that ended.
        settled: Runners and blobs that are not needed any more may go.
    """

    slot: Slot
    now: float
    settings: Settings
    plan: TelemetryPlan
    actions: list[SlotAction]
    results: list[Result]
    settled: bool = False

    def limit_s(self, phase: Phase, update: Update) -> float:
        """How long a phase may take, seconds."""
        return update.wanted.trial.deadline_s if phase is Phase.PROBATION else self.settings.deadlines_s[phase]

    def launch(self, running: Running) -> Launch:
        """How a runner of this version is started."""
        return Launch(running.release, running.own_reference, running.next_window, self.plan)

    def serve_active(self) -> None:
        """Has the active version answer, if there is one."""
        if self.slot.active is not None:
            self.do(Serve(self.slot.name, 0, self.launch(self.slot.active)))

    def do(self, action: SlotAction) -> None:
        """Asks for an action."""
        self.actions.append(action)

    def wake(self, event: SlotEvent, wait_s: float) -> None:
        """Asks for `event` after a wait in seconds."""
        self.actions.append(Wake(self.now + max(wait_s, 0.0), event))

    def report(self, outcome: Outcome, code: Code, detail: str) -> None:
        """Notes how the update ended, in the stored state and in telemetry."""
        slot, update = self.slot, self.slot.update
        assert update is not None
        wanted = update.wanted
        self.slot = replace(slot, ended=wanted.key)
        good = outcome is Outcome.COMMITTED
        what = f"{wanted.version or 'no model'} {outcome.value.lower()}" + (
            f": {code.value}, {detail}" if detail else ""
        )
        notice = Notice(f"update.{outcome.value.lower()}", "info" if good else "warning", what, code)
        self.do(Emit(slot.name, wanted.version, notice))
        if wanted.assignment:
            self.results.append(
                Result(
                    wanted.assignment,
                    wanted.attempt,
                    slot.name,
                    wanted.version,
                    outcome,
                    code,
                    detail,
                    self.now,
                    probation.measured(update.candidate, update),
                    probation.measured(slot.active),
                )
            )

    def heal_later(self, detail: str) -> None:
        """Has the active version started again, later each time that it fails."""
        heals = self.slot.heals + 1
        self.slot = replace(self.slot, heals=heals)
        # The first time at once: a crash by chance costs its callers as little as can be.
        wait = 0.0 if heals == 1 else doubled(_HEAL_S, heals - 2, self.settings.heal_most_s)
        self.wake(HealDue(self.slot.name), wait)
        if heals == 3 and self.slot.active is not None:
            message = f"the active version cannot be served, tried {heals} times: {detail}"
            self.do(Emit(self.slot.name, self.slot.active.release.version, Notice("runner.failing", "error", message)))

    def observe(self, _event: ObserveDue) -> None:
        """Asks the runner that answers requests what it counted, and again later."""
        slot, update = self.slot, self.slot.update
        trial = slot.phase is Phase.PROBATION
        running = update.candidate if trial and update else slot.active
        if running is not None:
            row = running.next_row - 1
            version = running.release.version
            budget = self.plan.sample_budget_bytes
            self.do(Observe(slot.name, version, running.instance, running.next_window - 1, row, budget))
        self.wake(ObserveDue(slot.name), self.settings.observe_trial_s if trial else self.settings.observe_s)

    def emit_windows(self, version: str, windows: tuple[Window, ...]) -> None:
        """Puts drift windows into the outbox."""
        for window in windows:
            self.do(Emit(self.slot.name, version, window.body))

    def emit_metrics(self, running: Running) -> None:
        """Puts metrics into the outbox when their interval is over."""
        slot = self.slot
        if self.now - slot.metrics_at < self.plan.metrics_interval_s:
            return
        body = Metrics(
            inferences=max(running.all_rows - slot.sent_rows, 0),
            errors=max(running.all_errors - slot.sent_errors, 0),
            latency_p50_us=running.latency_p50_us,
            latency_p95_us=running.latency_p95_us,
            mean_confidence=running.mean_confidence,
            runner_restarts=slot.restarts - slot.sent_restarts,
            resident_bytes=running.resident_bytes,
            cpu_seconds=running.cpu_seconds,
        )
        self.do(Emit(slot.name, running.release.version, body))
        self.slot = replace(
            slot,
            metrics_at=self.now,
            sent_rows=running.all_rows,
            sent_errors=running.all_errors,
            sent_restarts=slot.restarts,
        )
