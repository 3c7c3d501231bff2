"""A scenario: a fleet, its network, versions and how they behave, what happens when, and what must hold."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sanderling.errors import InputError
from sanderling_devices.simulator.expectations import Assertion, Check
from sanderling_devices.simulator.reading import Seconds, read, suggestion


@dataclass(frozen=True)
class LabelRule:
    """Gives a label to devices.

    Attributes:
        key: The label.
        shares: Value to weight: dealt by chance in these shares...
        value: ...or one value for every device that the rule is for.
        profile: Only devices of this profile; empty for all.
        first: Only so many devices, the first ones; 0 for all.
    """

    key: str
    shares: dict[str, float] = field(default_factory=dict)
    value: str = ""
    profile: str = ""
    first: int = 0

    def __post_init__(self) -> None:
        """Checks that there is one of both.

        Raises:
            InputError: There are both, or none.
        """
        if bool(self.shares) == bool(self.value):
            raise InputError(f"[scenario] label {self.key!r} has shares and a value, or neither. Give one of them")


@dataclass(frozen=True)
class FleetSpec:
    """The devices and what the server tells them.

    Attributes:
        count: Devices.
        profiles: Device profile to weight.
        labels: In order; a later rule wins.
        check_in: Mean wait between two check-ins.
        rows_per_hour: Inferences that applications ask of each device, evenly.
        window_rows: Rows of a drift window.
        warmup_rows: Rows from which a device learns its own reference.
        metrics: Between two rows of metrics.
        probation_rows: Least rows of a trial.
        probation: Least time of a trial.
        ingest: How often the server takes what waits at the broker.
        tick: How often the server looks at rollouts.
    """

    count: int
    profiles: dict[str, float] = field(default_factory=lambda: {"x86-gateway": 1.0})
    labels: tuple[LabelRule, ...] = ()
    check_in: Seconds = 900.0
    rows_per_hour: float = 200.0
    window_rows: int = 200
    warmup_rows: int = 2000
    metrics: Seconds = 3600.0
    probation_rows: int = 500
    probation: Seconds = 600.0
    ingest: Seconds = 600.0
    tick: Seconds = 300.0

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InputError: One is out of range.
        """
        if self.count < 1 or self.rows_per_hour <= 0 or min(self.check_in, self.ingest, self.tick) <= 0:
            raise InputError("[scenario] fleet: count, rows_per_hour, check_in, ingest and tick must be above 0")
        if self.window_rows < 32 or self.warmup_rows < self.window_rows:
            raise InputError("[scenario] fleet: window_rows of at least 32, and warmup_rows of at least one window")


@dataclass(frozen=True)
class AgentSpec:
    """Numbers of the agent's rules; what is not given has the agent's own value.

    Attributes:
        observe: Between two looks at a runner.
        observe_trial: The same while a version is on trial.
        confidence_margin: How far mean confidence may fall in a trial.
        confidence_evidence: E-value at which it has.
    """

    observe: Seconds = 3600.0
    observe_trial: Seconds = 60.0
    confidence_margin: float = 0.1
    confidence_evidence: float = 1000.0


@dataclass(frozen=True)
class Offline:
    """Devices without network.

    Attributes:
        selector: Labels that must be equal, "key=value,key=value"; empty for all.
        share: Of those, chosen by chance.
        at: From the start of the simulation.
        lasts: How long.
        daily: From and to, hours of the day, UTC, every day; instead of `at` and `lasts`.
    """

    selector: str = ""
    share: float = 1.0
    at: Seconds = 0.0
    lasts: Seconds = 0.0
    daily: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Checks the hours and the share.

        Raises:
            InputError: They are none.
        """
        hours = len(self.daily) == 2 and all(0 <= hour <= 24 for hour in self.daily)
        if (self.daily and not hours) or not (self.daily or self.lasts > 0) or not 0 <= self.share <= 1:
            raise InputError("[scenario] offline: give `lasts`, or two hours from 0 to 24 as `daily`; share is 0 to 1")


@dataclass(frozen=True)
class Outage:
    """The server is down."""

    at: Seconds
    lasts: Seconds


@dataclass(frozen=True)
class NetworkSpec:
    """What lies between devices and fleet.

    Attributes:
        latency_ms: Median of a round trip.
        latency_spread: Standard deviation of its logarithm.
        loss: Chance that a call gets lost, half of the time on its way back.
        megabits_per_s: Of downloads.
        offline: Devices without network.
        outages: Of the server.
    """

    latency_ms: float = 80.0
    latency_spread: float = 0.5
    loss: float = 0.0
    megabits_per_s: float = 20.0
    offline: tuple[Offline, ...] = ()
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True)
class Behaviour:
    """How a version behaves in the field.

    Attributes:
        confidence: Mean, in (0, 1).
        confidence_spread: Standard deviation of a row's.
        drifted_confidence: Mean where inputs have drifted by 1; between, in proportion.
        accuracy: Share of right answers; for the report.
        latency_us: p95 on a device of slowness 1.
        crash_chance: That it crashes within an hour of its start.
        hang_chance: That it hangs within an hour of its start.
        golden: Golden samples within tolerance, of 10.
    """

    confidence: float = 0.9
    confidence_spread: float = 0.08
    drifted_confidence: float = 0.6
    accuracy: float = 0.95
    latency_us: float = 2000.0
    crash_chance: float = 0.0
    hang_chance: float = 0.0
    golden: int = 10

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InputError: One is out of range.
        """
        shares = (self.confidence, self.drifted_confidence, self.accuracy, self.crash_chance, self.hang_chance)
        if not all(0 <= share <= 1 for share in shares) or not 0 <= self.golden <= 10 or self.latency_us <= 0:
            raise InputError("[scenario] version: shares lie in 0 to 1, golden in 0 to 10, latency_us above 0")


@dataclass(frozen=True)
class VersionSpec:
    """A version of a model.

    Attributes:
        name: "NAME-VERSION".
        counter: Release counter.
        megabytes: Of its download.
        behaves: In the field.
        on: By profile, what is different there: any of `Behaviour`'s keys.
    """

    name: str
    counter: int
    megabytes: float = 4.0
    behaves: Behaviour = Behaviour()
    on: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the keys of `on`.

        Raises:
            InputError: One is unknown.
        """
        known = {item.name for item in dataclasses.fields(Behaviour)}
        for profile, changes in self.on.items():
            for key in set(changes) - known:
                raise InputError(
                    f"[scenario] version {self.name}, on.{profile} has the unknown key {key!r}. "
                    f"{suggestion(key, known)}"
                )

    def behaviour(self, profile: str) -> Behaviour:
        """On devices of a profile."""
        changes: dict[str, Any] = dict(self.on.get(profile, {}))
        return dataclasses.replace(self.behaves, **changes)


@dataclass(frozen=True)
class GateSpec:
    """A gate of a stage: with `margin` a comparison, without it a hard limit."""

    metric: str = "failures"
    count: int = 2
    share: float = 0.5
    margin: float | None = None
    alpha: float = 0.05


@dataclass(frozen=True)
class StageSpec:
    """A stage of a rollout: `count` or `percent` devices."""

    name: str
    count: int = 0
    percent: float = 0.0
    soak: Seconds = 3600.0
    deadline: Seconds = 3 * 86400.0
    hold: bool = False
    gates: tuple[GateSpec, ...] = (GateSpec(),)


class Deed(StrEnum):
    """What can happen."""

    PUBLISH = "publish"  # sign a version and push it
    PUSH_AGAIN = "push_again"  # push the release file that was signed last
    ROLLOUT = "rollout"  # create one; the same name again is the same rollout
    COMMAND = "command"  # what an operator says of a rollout
    DRIFT = "drift"  # inputs of some devices change
    FAULT = "fault"  # a sensor of some devices breaks
    BACKUP = "backup"
    RESTORE = "restore"
    KILL = "kill"  # the agent of some devices, or the whole machine


class FaultKind(StrEnum):
    """What can be wrong with a sensor."""

    STUCK = "stuck"
    SATURATED = "saturated"
    MISSING = "missing"


@dataclass(frozen=True)
class Happening:
    """Something that happens at a time.

    Attributes:
        at: From the start.
        do: What.
        version: Of publish and rollout.
        name: Of a rollout, for later reference.
        selector: Which devices, "key=value,key=value" by label, profile and device_id; of a rollout in the server's
            grammar, by label.
        stages: Of a rollout.
        on_breach: "pause", "abort" or "roll_back".
        control_percent: Of a rollout.
        device_deadline: Of a rollout.
        word: Of a command: "pause", "resume", "abort", "roll_back" or "promote".
        strength: Of a drift: how far rows move; 1 is far.
        alarm_after: Windows after which a device that drifts alarms by itself.
        lasts: Of drift or fault, 0 for ever; of a kill, how long the agent stays away.
        kind: Of a fault.
        reboot: Of a kill: the whole machine.
        count: Of a kill: so many devices, 0 for all that match.
    """

    at: Seconds
    do: Deed
    version: str = ""
    name: str = ""
    selector: str = ""
    stages: tuple[StageSpec, ...] = ()
    on_breach: str = "pause"
    control_percent: float = 0.0
    device_deadline: Seconds = 86400.0
    word: str = ""
    strength: float = 1.0
    alarm_after: int = 1
    lasts: Seconds = 0.0
    kind: FaultKind = FaultKind.STUCK
    reboot: bool = False
    count: int = 0

    def __post_init__(self) -> None:
        """Checks numbers.

        Raises:
            InputError: One is out of range.
        """
        if self.alarm_after < 1 or self.lasts < 0 or self.count < 0:
            raise InputError(
                f"[scenario] event {self.do} at {self.at:g} s has alarm_after {self.alarm_after}, lasts {self.lasts:g} "
                f"s, count {self.count}; at least 1, 0 and 0 are wanted"
            )


@dataclass(frozen=True)
class Scenario:
    """All of it.

    Attributes:
        title: One line.
        duration: Of the simulation.
        fleet: Devices.
        seed: Of everything that is left to chance.
        story: For people.
        network: Between them and the fleet.
        agent: Numbers of the rules.
        version: Versions, by behaviour.
        event: What happens.
        expect: What must hold.
    """

    title: str
    duration: Seconds
    fleet: FleetSpec
    seed: int = 0
    story: str = ""
    network: NetworkSpec = NetworkSpec()
    agent: AgentSpec = AgentSpec()
    version: tuple[VersionSpec, ...] = ()
    event: tuple[Happening, ...] = ()
    expect: tuple[Assertion, ...] = ()

    def __post_init__(self) -> None:
        """Checks what one part says of another.

        Raises:
            InputError: A version or rollout is not defined, or something happens after the end.
        """
        versions = {version.name for version in self.version}
        rollouts = {event.name for event in self.event if event.do is Deed.ROLLOUT}
        for event in self.event:
            where = f"event {event.do} at {event.at:g} s"
            if event.do in (Deed.PUBLISH, Deed.ROLLOUT) and event.version not in versions:
                raise InputError(
                    f"[scenario] {where}: no version {event.version!r}. {suggestion(event.version, versions)}"
                )
            if event.do is Deed.ROLLOUT and not (event.name and event.stages):
                raise InputError(f"[scenario] {where} has no name or no stages. Give both")
            if event.do is Deed.COMMAND and event.name not in rollouts:
                raise InputError(f"[scenario] {where}: no rollout {event.name!r}. {suggestion(event.name, rollouts)}")
            if event.at > self.duration:
                raise InputError(f"[scenario] {where} comes after the end, {self.duration:g} s. Make duration longer")
        for item in self.expect:
            if item.check is Check.ROLLOUT and item.rollout not in rollouts:
                raise InputError(
                    f"[scenario] expect {item.check}: no rollout {item.rollout!r}. {suggestion(item.rollout, rollouts)}"
                )
            if item.version and item.version not in versions:
                raise InputError(
                    f"[scenario] expect {item.check}: no version {item.version!r}. {suggestion(item.version, versions)}"
                )


def parse_scenario(text: str, name: str = "scenario") -> Scenario:
    """Reads a scenario.

    Args:
        text: TOML.
        name: For messages.

    Raises:
        InputError: It is no TOML, or not a scenario.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"[scenario] {name} is no TOML: {error}. Correct that line") from error
    return read(Scenario, table, name)
