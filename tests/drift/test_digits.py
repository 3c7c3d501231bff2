"""Twelve cameras that see handwritten digits, each its own 75: the scenario that the demo plays, without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_digits

from sanderling.drift import (
    DeviceMonitor,
    DeviceState,
    DeviceVerdict,
    FleetMonitor,
    FleetVerdict,
    Reference,
    Scope,
    Settings,
)

CAMERAS = 12
ROWS = 200


def shift(frames: np.ndarray) -> np.ndarray:
    moved = np.zeros_like(frames)
    moved[:, :, 1:] = frames[:, :, :-1]
    return moved


def turn30(frames: np.ndarray) -> np.ndarray:
    turned = ndimage.rotate(frames, 30, axes=(2, 1), reshape=False, order=1)
    return np.clip(np.rint(turned), 0, 16).astype(np.float32)


@dataclass
class Cameras:
    """Twelve monitored cameras after their warm-up."""

    seed: int

    def __post_init__(self) -> None:
        images = load_digits().images.astype(np.float32)
        self.rng = np.random.default_rng([self.seed, 77])
        order = self.rng.permutation(len(images))
        self.own = [images[order[300 + 75 * i : 375 + 75 * i]] for i in range(CAMERAS)]
        version = Reference.fit(images[order[:300]])
        self.names = [f"camera {i + 1}" for i in range(CAMERAS)]
        settings = Settings(devices=CAMERAS)
        self.monitors = [DeviceMonitor(version, device=name, settings=settings) for name in self.names]
        for i, monitor in enumerate(self.monitors):
            warm_up = monitor.observe(self.draw(i, 2000))
            assert {verdict.state for verdict in warm_up} == {DeviceState.WARMING_UP}
            assert monitor.own is not None
        self.fleet = FleetMonitor(self.names, settings=settings)

    def draw(self, camera: int, rows: int = ROWS) -> np.ndarray:
        return self.own[camera][self.rng.integers(75, size=rows)]

    def window(
        self,
        change: Callable[[np.ndarray], np.ndarray] = lambda frames: frames,
        broken: tuple[int, Callable[[np.ndarray], np.ndarray]] | None = None,
    ) -> tuple[list[DeviceVerdict], FleetVerdict]:
        verdicts, judged = [], []
        for i, monitor in enumerate(self.monitors):
            frames = change(self.draw(i))
            if broken is not None and broken[0] == i:
                frames = broken[1](frames)
            verdicts += monitor.observe(frames)
            judged += self.fleet.add(verdicts[-1])
        assert len(judged) == 1
        return verdicts, judged[0]


def stuck(frames: np.ndarray) -> np.ndarray:
    return np.repeat(frames[:1], len(frames), axis=0)


def glare(frames: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(0).random(frames.shape) < 0.02, 15, 16).astype(np.float32)


def dark(frames: np.ndarray) -> np.ndarray:
    return np.zeros_like(frames)


@pytest.mark.parametrize("seed", [0, 1])
def test_quiet_cameras_stay_quiet_for_60_windows(seed: int) -> None:
    cameras = Cameras(seed)
    for _ in range(60):
        verdicts, fleet = cameras.window()
        assert {verdict.state for verdict in verdicts} == {DeviceState.QUIET}
        assert fleet.scope is Scope.QUIET


@pytest.mark.parametrize("seed", range(10))
def test_one_sensor_breaks_and_then_the_world_changes(seed: int) -> None:
    cameras = Cameras(seed)
    bad = seed % CAMERAS
    for _ in range(3):
        assert cameras.window()[1].summary == "quiet"
    for kind, fault in (("stuck", stuck), ("saturated", glare), ("saturated", dark)):
        for _ in range(2):
            verdicts, fleet = cameras.window(broken=(bad, fault))
            assert fleet.scope is Scope.QUIET
            assert {device: found[0].kind for device, found in fleet.faulty.items()} == {cameras.names[bad]: kind}
            assert [verdict.device for verdict in verdicts if verdict.alarm] == [cameras.names[bad]]
    for _ in range(3):
        verdicts, fleet = cameras.window()
        assert fleet.summary == "quiet"
        assert not any(verdict.alarm for verdict in verdicts)
    scopes = []
    for _ in range(4):
        verdicts, fleet = cameras.window(shift if seed % 2 else turn30)
        assert not fleet.faulty
        scopes.append(fleet.scope)
    assert scopes[0] in (Scope.QUIET, Scope.WORLD)
    assert scopes[-1] is Scope.WORLD


def test_one_camera_that_is_turned_is_one_device() -> None:
    cameras = Cameras(3)
    cameras.window()
    for _ in range(3):
        verdicts, fleet = cameras.window(broken=(4, turn30))
        assert (fleet.scope, fleet.moved) == (Scope.DEVICE, ("camera 5",))
        assert [verdict.device for verdict in verdicts if verdict.alarm] == ["camera 5"]
        assert not fleet.faulty


def test_the_same_seed_gives_the_same_verdicts() -> None:
    first, second = ([Cameras(5).window(shift)[1] for _ in range(1)] for _ in range(2))
    assert first == second
