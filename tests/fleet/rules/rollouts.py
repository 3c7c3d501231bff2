"""A rollout with its fleet, for tests: hands events in, keeps what was wanted."""

from __future__ import annotations

from dataclasses import replace

from sanderling_fleet.gates import HardLimit
from sanderling_fleet.rollout import order, step
from sanderling_fleet.rollout_events import Device, Note, RaiseAlert, Restore, ResultArrived, Tick, WantVersion
from sanderling_fleet.rollout_state import (
    AssignmentState,
    ResultCode,
    Rollout,
    RolloutSpec,
    StageSpec,
    create,
)

HOUR = 3600.0
OLD, NEW = "digits-1", "digits-2"


def spec(*stages, **changes):
    stages = stages or (
        StageSpec("canary", count=2, soak_seconds=HOUR, deadline_seconds=100 * HOUR),
        StageSpec("all", percent=100, deadline_seconds=100 * HOUR),
    )
    settings = {"device_deadline_seconds": 24 * HOUR, **changes}
    return RolloutSpec("main", NEW, "site=hall-2", tuple(stages), **settings)


class World:
    """Devices d00, d01... with the old version, a rollout of the new one, and a clock that tests set."""

    def __init__(self, devices=6, rollout_spec=None, now=1000.0):
        self.now = now
        self.fleet = {f"d{i:02}": Device(OLD) for i in range(devices)}
        self.rollout = create("r1", rollout_spec or spec(), now)
        self.wanted: dict[str, str] = {}
        self.actions = []
        self.offers = 0

    def send(self, event=Tick(), after=0.0):  # noqa: B008
        """One step; the same event from the stored state must give the same."""
        self.now += after
        stored = Rollout.from_json(self.rollout.to_json())
        assert stored == self.rollout
        result = step(self.rollout, event, self.now, self.fleet)
        assert result == step(stored, event, self.now, dict(reversed(self.fleet.items())))
        self.rollout, actions = result
        for action in actions:
            if isinstance(action, WantVersion):
                self.offers += 1
                self.wanted[action.device] = action.version
            elif isinstance(action, Restore):
                self.wanted[action.device] = action.version
        self.actions += actions
        return actions

    def assignment(self, device) -> object:
        return next(item for item in self.rollout.assignments if item.device == device)

    def end(self, device, state=AssignmentState.COMMITTED, code=None, after=0.0):
        """A result of the device's current attempt; its slot is reported with it."""
        item = self.assignment(device)
        if state is AssignmentState.COMMITTED:
            self.fleet[device] = replace(self.fleet[device], version=NEW)
        code = code or (ResultCode.OK if state is AssignmentState.COMMITTED else ResultCode.SELFTEST_FAILED)
        return self.send(ResultArrived(item.assignment_id, item.attempt, state, code, "detail"), after)

    def end_all(self, **settings):
        for device in self.open:
            self.end(device, **settings)

    @property
    def open(self):
        return [item.device for item in self.rollout.assignments if not item.ended]

    @property
    def members(self):
        return [item.device for item in self.rollout.assignments]

    @property
    def order(self):
        return sorted(self.fleet, key=lambda name: order("r1", name))

    @property
    def states(self):
        return [str(stage.state) for stage in self.rollout.stages]

    @property
    def alerts(self):
        return [action.alert for action in self.actions if isinstance(action, RaiseAlert)]

    @property
    def notes(self):
        return [action.text for action in self.actions if isinstance(action, Note)]


STRICT = HardLimit(count=1)
