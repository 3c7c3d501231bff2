"""What happens when: operators, the release role, the world, and accidents."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from sanderling.api.rollout.v1 import rollout_pb2
from sanderling.errors import InputError
from sanderling.versions import Blob, Manifest, Tensor
from sanderling_devices.simulator.network import is_down
from sanderling_devices.simulator.reading import suggestion
from sanderling_devices.simulator.scenario import Deed, GateSpec, Happening, StageSpec
from sanderling_devices.simulator.world import Change

if TYPE_CHECKING:
    from sanderling_devices.simulator.simulation import Simulation

_SLOT = "main"
_ASKS_THE_SERVER = frozenset({Deed.PUBLISH, Deed.PUSH_AGAIN, Deed.ROLLOUT, Deed.COMMAND, Deed.BACKUP, Deed.RESTORE})
_BREACHES = {"pause", "abort", "roll_back"}


class Timeline:
    """Does what a scenario says.

    Attributes:
        rollouts: Id by the name that the scenario gives.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._sim = simulation
        self.rollouts: dict[str, str] = {}
        self._backup: object = None

    def schedule(self) -> None:
        """Puts everything on the heap."""
        start = self._sim.clock.now()
        for event in self._sim.scenario.event:
            self._sim.at(start + event.at, partial(self._do, event))

    def _do(self, event: Happening) -> None:
        sim, now = self._sim, self._sim.clock.now()
        about = event.version or event.name or event.selector or "all"
        if event.do in _ASKS_THE_SERVER and is_down(sim.scenario.network.outages, event.at):
            raise InputError(f"[scenario] {event.do} {about} at {event.at:g} s: the server is down then. Move it")
        sim.journal.note(now, event.do.value, about)
        match event.do:
            case Deed.PUBLISH:
                sim.server.publish(*self._version(event.version))
            case Deed.PUSH_AGAIN:
                sim.server.push_again()
            case Deed.ROLLOUT:
                self.rollouts[event.name] = sim.server.create_rollout(_spec(event), event.name)
            case Deed.COMMAND:
                if event.name not in self.rollouts:
                    raise InputError(f"[scenario] {event.word} of {event.name!r} before it was created. Do it later")
                sim.server.command(self.rollouts[event.name], event.word)
            case Deed.DRIFT | Deed.FAULT:
                self._change(event, now)
            case Deed.BACKUP:
                self._backup = sim.server.backup()
            case Deed.RESTORE:
                if self._backup is None:
                    raise InputError("[scenario] restore without a backup before it. Add an event: backup")
                sim.server.restore(self._backup)
            case Deed.KILL:
                self._kill(event)

    def _version(self, name: str) -> tuple[Manifest, list[bytes]]:
        spec = next(item for item in self._sim.scenario.version if item.name == name)
        # Its size travels as time, so that two hundred devices need not hold it.
        model = f"simulated model of {name}\n".encode() * 16
        family, _, version = name.rpartition("-")
        manifest = Manifest(
            name=family,
            version=version,
            release_counter=spec.counter,
            inputs=(Tensor("x", "float32", (None, 2)),),
            outputs=(Tensor("y", "float32", (None, 10)),),
            blobs={"model.onnx": Blob(hashlib.sha256(model).digest(), len(model))},
        )
        return manifest, [model]

    def _change(self, event: Happening, now: float) -> None:
        end = now + event.lasts if event.lasts else float("inf")
        drift = event.do is Deed.DRIFT
        change = Change(now, end, event.strength if drift else 0.0, event.alarm_after, "" if drift else event.kind)
        for device in self._sim.select(event.selector):
            self._sim.inputs[device.device_id].changes.append(change)

    def _kill(self, event: Happening) -> None:
        for device in self._sim.select(event.selector)[: event.count or None]:
            self._sim.journal.note(self._sim.clock.now(), "killed", device.device_id, reboot=event.reboot)
            self._sim.restart(device, power_cut=event.reboot, away_s=event.lasts)


def _spec(event: Happening) -> rollout_pb2.RolloutSpec:
    if event.on_breach not in _BREACHES:
        raise InputError(f"[scenario] on_breach {event.on_breach!r}. {suggestion(event.on_breach, _BREACHES)}")
    spec = rollout_pb2.RolloutSpec(
        slot=_SLOT,
        version=event.version,
        selector=event.selector,
        stages=[_stage(stage) for stage in event.stages],
        on_breach=rollout_pb2.OnBreach.Value(f"ON_BREACH_{event.on_breach.upper()}"),
        control_percent=event.control_percent,
    )
    spec.device_deadline.FromNanoseconds(int(event.device_deadline * 1e9))
    return spec


def _stage(stage: StageSpec) -> rollout_pb2.Stage:
    size: dict[str, Any] = {"percent": stage.percent} if stage.percent else {"count": stage.count}
    message = rollout_pb2.Stage(name=stage.name, hold=stage.hold, gates=[_gate(gate) for gate in stage.gates], **size)
    message.soak.FromNanoseconds(int(stage.soak * 1e9))
    message.deadline.FromNanoseconds(int(stage.deadline * 1e9))
    return message


def _gate(gate: GateSpec) -> rollout_pb2.Gate:
    known = {name.removeprefix("METRIC_").lower() for name in rollout_pb2.Metric.DESCRIPTOR.values_by_name} - {
        "unspecified"
    }
    if gate.metric not in known:
        raise InputError(f"[scenario] a gate on {gate.metric!r}. {suggestion(gate.metric, known)}")
    metric = rollout_pb2.Metric.Value(f"METRIC_{gate.metric.upper()}")
    if gate.margin is None:
        return rollout_pb2.Gate(hard_limit=rollout_pb2.HardLimit(metric=metric, count=gate.count, share=gate.share))
    return rollout_pb2.Gate(comparison=rollout_pb2.Comparison(metric=metric, margin=gate.margin, alpha=gate.alpha))
