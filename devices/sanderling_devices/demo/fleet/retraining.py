"""The retraining half of the demo's site: what the server may retrain and how, a publisher, and who labels samples."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import sanderling as engine
from sanderling.versions import Bundle, read_bundle
from sanderling_devices.demo import digits
from sanderling_devices.demo.fleet import labeller, versions
from sanderling_devices.demo.fleet.processes import COMMAND, WAIT_S, Server, sanderling

MOST_LABELS = 200
CANARIES = 3
_SAMPLE_BYTES = 384
"""An image of 64 float32 as .npy."""
_CONFIG = f"""\
[{versions.MODEL}]
entry_point = "sanderling_devices.demo.retrain_digits:train"
calibration = "digits/calibration.npz"
holdout = "digits/holdout.npz"
[{versions.MODEL}.plan]
most_samples = {{most_samples}}
least_labels = 100
wanted_labels = 120
device_budget_bytes = {{device_budget_bytes}}
collect_seconds = 40.0
label_seconds = 60.0
[{versions.MODEL}.gate]
# Exact bounds on some two hundred rows are wide: a challenger that loses nothing is shown to lose less than this.
holdout_margin = 0.08
# The same for some thirty drifted rows: a gain of 19 points on them is shown to be no loss above 7.
drifted_margin = 0.1
"""
_POLICY = f"""\
model = "{versions.MODEL}"
policy = "auto-canary"
[canary]
devices = {CANARIES}
soak_seconds = 2.0
deadline_seconds = 600.0
device_deadline_seconds = 300.0
"""


def configure(server: Path, parts: digits.Split, devices: int) -> None:
    """Writes retrain.toml and the rows that it names into the folder server/; every device gives the same share."""
    folder = server / "digits"
    folder.mkdir()
    held_out = parts.held_out
    calibration: dict[str, Any] = {"in:image": parts.reference.frames}
    holdout: dict[str, Any] = {"in:image": held_out.frames, "label": held_out.labels.astype(str)}
    np.savez(folder / "calibration.npz", **calibration)
    np.savez(folder / "holdout.npz", **holdout)
    each = MOST_LABELS // devices
    numbers = {"most_samples": each * devices, "device_budget_bytes": each * _SAMPLE_BYTES}
    (server / "retrain.toml").write_text(_CONFIG.format_map(numbers))


class Publisher:
    """A process of the operator's side that signs what passes the gate, with a key that the server never sees.

    Args:
        folder: Its own; new.
        server: Of the fleet, running.
    """

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        sanderling("publisher", "init", folder, "--model", versions.MODEL, "--policy", "auto-canary")
        (folder / "publisher.toml").write_text(_POLICY)
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(sanderling("fleet", "operator", server.folder, "publisher", "--role", "publisher").strip())
        delegate = ("publisher", "delegate", folder / "publisher.pub", "--model", versions.MODEL)
        sanderling(*delegate, "--release", server.release, environment=server.environment)
        command = [*COMMAND, "publisher", "run", str(folder), "--every", "1s"]
        command += ["--server", server.addresses["operator"], "--ca", server.environment["SANDERLING_FLEET_CA"]]
        with (folder / "publisher.log").open("ab") as log:
            self._process = subprocess.Popen([*command, "--token-file", str(token)], stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """Of the process; 0 if it has ended."""
        return self._process.pid if self._process.poll() is None else 0

    def bundle(self, version: str) -> Bundle:
        """A version that it has signed."""
        return read_bundle(self.folder / f"{version}.sanderling")

    def close(self) -> None:
        """Ends it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def label(server: Server, job_id: str, seed: int) -> None:
    """Has the demo's labeller say what a job's samples show: `sanderling sample label`."""
    environment = {**server.environment, labeller.SEED: str(seed)}
    sanderling("sample", "label", job_id, "--labeller", labeller.NAME, environment=environment)


def accuracy(bundle: Bundle, rows: digits.Rows, world: str | None) -> float:
    """Share of rows that a version reads right, in the plain world or a changed one."""
    frames = digits.CHANGES[world](rows.frames) if world else rows.frames
    with engine.Session(bundle.blobs["model.onnx"], backend="auto") as session:
        return float((session.run(frames).argmax(axis=1) == rows.labels).mean())
