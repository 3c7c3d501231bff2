"""kill -9 of the publisher before and after everything that it makes durable, while a device is asked all the time.

What a retraining job made goes from its draft to every device by the publisher's canary and a person's promotion.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest
from tests.fleet.retrain.retraining_fleet import RetrainingFleet, draft
from tests.fleet.retrain.test_publisher import STEPS, Witness, look_and_die, publisher_of
from tests.fleet.retrain.trainers import world

from sanderling.api.rollout.v1 import rollout_pb2
from sanderling.errors import TransportError
from sanderling_devices.demo.fleet.inference import Client
from sanderling_devices.demo.fleet.processes import AGENT_PROGRAM, Device, wait_for
from sanderling_fleet.config import ServerConfig
from sanderling_fleet.publisher.folder import PublisherFolder, PublisherSettings
from sanderling_fleet.publisher.policy import AUTO_CANARY, Canary
from sanderling_fleet.rollout_text import rollout_spec
from sanderling_fleet.rollout_wire import spec_message
from sanderling_fleet.trust.release import ReleaseFolder

WAIT_S = 120.0
SLOT = "main"
SHORT = ServerConfig(
    enrolment_port=0,
    device_port=0,
    operator_port=0,
    check_in_seconds=0.25,
    rollout_tick_seconds=0.2,
    probation_rows=20,
    probation_seconds=0.5,
)
CANARY = Canary(selector="has=agent", devices=1, soak_seconds=0.2, device_deadline_seconds=300.0)
AUTO = PublisherSettings(model="linear", policy=AUTO_CANARY, canary=CANARY)


class Asking:
    """An application; notes which version answered, or what went wrong."""

    def __init__(self, device: Device) -> None:
        self._device, self.answered, self.failures = device, [], []
        self._quiet = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet.set()
        self._thread.join()

    def _run(self) -> None:
        rows, _ = world(3, 64)
        while not self._quiet.wait(0.01):
            try:
                client = Client(*self._device.router(), SLOT, timeout_s=WAIT_S)
                try:
                    self.answered.append(client.infer(rows[:1], "x").version)
                finally:
                    client.close()
            except TransportError as error:
                if self.answered:
                    self.failures.append(str(error))


class Scene:
    """A fleet with a draft, and a device that runs the champion."""

    def __init__(self, fleet: RetrainingFleet, device: Device) -> None:
        self.fleet, self.device, self._operator = fleet, device, fleet.operator()

    def active(self) -> str:
        state = self.device.remembered()
        running = state.slots[SLOT].active if state is not None and SLOT in state.slots else None
        return running.release.version if running else ""

    def state(self, rollout_id: str) -> tuple[str, list[str]]:
        request = rollout_pb2.GetRolloutRequest(rollout_id=rollout_id)
        found = self._operator.call(self._operator.rollouts.GetRollout, request).rollout
        stages = [rollout_pb2.StageState.Name(stage.state).removeprefix("STAGE_STATE_") for stage in found.stages]
        return rollout_pb2.RolloutState.Name(found.state).removeprefix("ROLLOUT_STATE_"), stages

    def install_the_champion(self) -> None:
        spec = rollout_spec(
            "linear-1",
            slot=SLOT,
            selector="has=agent",
            stages=["all:100%"],
            comparisons=[],
            control_percent=0.0,
            on_breach="pause",
            device_deadline_seconds=300.0,
        )
        request = rollout_pb2.CreateRolloutRequest(request_id="first", spec=spec_message(spec))
        self._operator.call(self._operator.rollouts.CreateRollout, request)
        wait_for(lambda: self.active() == "linear-1", "linear-1", WAIT_S)

    def promote(self, rollout_id: str) -> None:
        request = rollout_pb2.PromoteRolloutRequest(rollout_id=rollout_id)
        self._operator.call(self._operator.rollouts.PromoteRollout, request)


@pytest.fixture
def scene(tmp_path):
    fleet = RetrainingFleet(tmp_path / "fleet")
    fleet.config = SHORT
    with fleet, tempfile.TemporaryDirectory(prefix="sl-") as state:
        job = draft(fleet, ReleaseFolder(fleet.folder / "release"))
        assert job.draft_version == "linear-2", job
        device = Device(Path(state), AGENT_PROGRAM)
        try:
            device.enrol(fleet.join_token(labels={"has": "agent"}).to_text())
            device.start()
            wait_for(lambda: (device.state / "router" / "router.json").exists(), "the router", WAIT_S)
            yield Scene(fleet, device)
        finally:
            print((device.state / "agent.log").read_text(errors="replace")[-3000:])  # shown where a test has failed
            device.close()


def killed(scene: Scene, folder: Path, steps: list[int]) -> None:
    """Publishers that die at these steps, each counted from its start, and one that goes on to its end."""
    fleet, witness = scene.fleet, Witness(scene.fleet, folder)
    publisher_of(fleet, ReleaseFolder(fleet.folder / "release"), folder, AUTO)
    with Asking(scene.device) as asking:
        scene.install_the_champion()
        seen = []
        for left in steps:
            seen.append(look_and_die(fleet, folder, left))
            witness.look()
        assert look_and_die(fleet, folder, 0) == "ended"
        witness.look()
        assert "ended" not in seen, seen
        (rollout,) = [r.rollout.rollout_id for r in fleet.rollouts() if r.rollout.spec.version == "linear-2"]
        wait_for(lambda: scene.state(rollout)[1][0] == "HOLDING", "the canary's end", WAIT_S)
        assert scene.active() == "linear-2"
        scene.promote(rollout)
        wait_for(lambda: scene.state(rollout)[0] == "SUCCEEDED", "the rollout's end", WAIT_S)
    assert asking.failures == []
    assert list(dict.fromkeys(asking.answered)) == ["linear-1", "linear-2"]
    assert list(witness.signed) == [1]
    assert PublisherFolder(folder).pending() is None


DECIDED, SIGNED, ALL = STEPS.index("decide:after") + 1, STEPS.index("sign:after") + 1, len(STEPS)
# Counted from its start: what was decided is not decided again, what was signed is not signed again.
ONCE_DECIDED, ONCE_SIGNED = -DECIDED, -DECIDED - len(("sign:before", "sign:after"))


def test_the_publisher_at_points_of_a_publication(scene, tmp_path):
    """Kept and not decided, signed and not published, published and not asked for, asked for and not done."""
    place = {step: STEPS.index(step) + 1 for step in STEPS}
    later = [place["publish:after"] + ONCE_SIGNED, place["ask for a rollout:after"] + ONCE_SIGNED]
    killed(scene, tmp_path / "publisher", [place["keep:after"], place["sign:after"], *later])


@pytest.mark.slow
def test_the_publisher_at_every_point(scene, tmp_path):
    """One after the other: the first dies at its first step, the next gets one step further."""
    first = list(range(1, DECIDED + 1))
    then = [step + ONCE_DECIDED for step in range(DECIDED + 1, SIGNED + 1)]
    last = [step + ONCE_SIGNED for step in range(SIGNED + 1, ALL + 1)]
    killed(scene, tmp_path / "publisher", [*first, *then, *last])
