"""A device in virtual time whose ports do what a test says."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from sanderling.agent import actions, events
from sanderling.agent.driver import Driver
from sanderling.agent.fakes import MemoryStore, ScriptedPerformer, VirtualClock
from sanderling.agent.state import Code, Release, Result, Settings, Trial, Wanted

DEVICE = "dv-1"
START = 1_900_000_000.0


def digest(version: str) -> str:
    return version.encode().hex().ljust(64, "0")


def release(version: str) -> Release:
    return Release(version, digest(version), int(version.rpartition("-")[2].split(".")[0]))


def wanted(version: str, assignment: str = "", attempt: int = 1, counter: int = 0, **more) -> Wanted:
    trial = more.pop("trial", Trial(rows=500, duration_s=600, deadline_s=86_400))
    return Wanted(version, digest(version) if version else "", assignment, attempt, counter, trial, **more)


@dataclass
class Behaviour:
    """How a version behaves on this device."""

    confidence: float = 0.9
    latency_us: float = 1000.0
    golden: int = 10
    dies: Code | None = None
    dies_after: int = 0


@dataclass
class World:
    """The device's surroundings.

    Attributes:
        rows_per_second: That applications send.
        online: Whether check-ins and fetches reach the fleet.
        served: Version that the route names, per slot.
    """

    rows_per_second: float = 10.0
    online: bool = True
    settings: Settings = field(default_factory=Settings)
    store: MemoryStore = field(default_factory=MemoryStore)
    behaviour: dict[str, Behaviour] = field(default_factory=dict)
    failures: dict[tuple[type, str], tuple[Code, str, bool]] = field(default_factory=dict)
    served: dict[str, str] = field(default_factory=dict)
    answers: list[events.CheckedIn] = field(default_factory=list)
    desired: events.Desired | None = None
    confirmed: list[tuple[str, int]] = field(default_factory=list)
    confirm: bool = True
    reported: list[Result] = field(default_factory=list)
    boot_id: str = "boot-1"
    kept: tuple[tuple[str, str], ...] = ()
    collected: tuple[str, ...] = ()
    why_not: str = ""
    downgrade_allowed: bool = False
    slow_s: dict[type, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(START)
        self.counts = itertools.count(1)
        self.since: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        """Begins a new agent process over the same store."""
        self.performer = ScriptedPerformer()
        on = self.performer.on
        on(actions.CheckIn, self.check_in)
        on(actions.Resolve, self.resolve)
        on(actions.Fetch, lambda a: self.answer(a, a.release, events.Fetched(a.slot, a.step)))
        on(actions.Verify, lambda a: self.answer(a, a.release, events.Verified(a.slot, a.step)))
        on(actions.Load, lambda a: self.answer(a, a.launch.release, events.Loaded(a.slot, a.step)))
        on(actions.SelfTest, self.self_test)
        on(actions.Serve, self.serve)
        on(actions.Observe, self.observe)
        on(actions.Keep, self.keep)
        on(actions.Collect, self.collect)
        on(actions.ForgetTelemetry, self.forget)
        self.driver = Driver(DEVICE, self.boot_id, self.clock, self.store, self.performer, self.settings)

    @property
    def slot(self):
        return self.driver.state.slots["main"]

    def of(self, version: str) -> Behaviour:
        return self.behaviour.setdefault(version, Behaviour())

    def want(self, *slots, counter: int | None = None) -> None:
        """The fleet wants this from the next check-in on; names default to "main"."""
        named = tuple(s if isinstance(s, tuple) else ("main", s) for s in slots)
        self.desired = events.Desired(DEVICE, counter or next(self.counts) + 100, named)

    def install(self, version: str) -> None:
        self.want(wanted(version))
        self.run(2000)
        assert self.slot.active.release.version == version

    def run(self, seconds: float) -> None:
        self.driver.run(self.clock.now() + seconds)

    def check_in_now(self) -> None:
        self.driver.post(events.CheckInDue())
        self.run(1)

    # Ports

    def check_in(self, action):
        if not self.online:
            return [(self.clock.now() + 5, events.CheckInFailed("unreachable"))]
        newer = self.desired if self.desired and self.desired.counter > action.desired_counter else None
        self.reported += action.results
        for result in action.results:
            if self.confirm and (result.assignment, result.attempt) not in self.confirmed:
                self.confirmed.append((result.assignment, result.attempt))
        committed = tuple((r.assignment, r.attempt) for r in action.results) if self.confirm else ()
        answer = events.CheckedIn(900.0, True, newer, committed)
        self.answers.append(answer)
        return [(self.clock.now() + 0.1, answer)]

    def answer(self, action, what: Release, event):
        found = self.failures.get((type(action), what.version))
        if found is None and not self.online and isinstance(action, actions.Fetch):
            found = (Code.FETCH_FAILED, "unreachable", True)
        if found is not None:
            event = events.StepFailed(action.slot, action.step, *found)
        return [(self.clock.now() + self.slow_s.get(type(action), 0.5), event)]

    def resolve(self, action):
        found = events.Resolved(
            action.slot, action.step, release(action.wanted.version), self.why_not, self.downgrade_allowed
        )
        return self.answer(action, found.release, found)

    def self_test(self, action):
        mine = self.of(action.candidate.release.version)
        old = self.of(action.incumbent.release.version).latency_us if action.incumbent else 0.0
        event = events.SelfTested(action.slot, action.step, 10, mine.golden, mine.latency_us, old, "row 3")
        return self.answer(action, action.candidate.release, event)

    def serve(self, action):
        if action.launch is None:
            self.served.pop(action.slot, None)
            return [(self.clock.now() + 0.5, events.Served(action.slot, action.step))]
        name = action.launch.release.version
        answers = self.answer(action, action.launch.release, events.Served(action.slot, action.step))
        if isinstance(answers[0][1], events.Served) and self.served.get(action.slot) != name:
            self.served[action.slot] = name
            self.since[name] = self.clock.now()
        behaviour = self.of(name)
        if behaviour.dies and isinstance(answers[0][1], events.Served):
            died = events.Died(action.slot, name, behaviour.dies, f"{name} died")
            answers.append((self.clock.now() + behaviour.dies_after + 1, died))
        return answers

    def observe(self, action):
        if self.served.get(action.slot) != action.version:
            return []
        mine = self.of(action.version)
        rows = int((self.clock.now() - self.since[action.version]) * self.rows_per_second)
        instance = f"{action.version}#{self.since[action.version]}"
        first = action.stored_row + 1 if action.instance == instance else 0
        window = rows // 200
        closed = tuple(events.Window(n, b"") for n in range(action.stored_window + 1, window))
        return [
            (
                self.clock.now() + 0.01,
                events.Observed(
                    action.slot,
                    action.version,
                    instance,
                    rows,
                    0,
                    mine.latency_us,
                    first,
                    (mine.confidence,) * max(rows - first, 0),
                    closed,
                ),
            )
        ]

    def keep(self, action):
        self.kept = action.runners
        return []

    def collect(self, action):
        self.collected = action.manifests + action.spare
        return []

    def forget(self, action):
        self.store.forget(action.boot_id, action.sequence)
        return []
