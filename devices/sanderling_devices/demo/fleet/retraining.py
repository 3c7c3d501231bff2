"""The retraining half of the demo's site: what the server may retrain and how, a publisher, and who labels samples."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import sanderling as engine
from sanderling.versions import Bundle, read_bundle
from sanderling_devices.demo import digits
from sanderling_devices.demo.fleet import labeller, versions
from sanderling_devices.demo.fleet.processes import COMMAND, Server, end, sanderling

MOST_LABELS = 200
SOAK_S = 1.0
"""Of each stage of a rollout."""
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
# Of a busy machine, too: what ends collecting is the samples, what ends the wait is the labels.
collect_seconds = 150.0
label_seconds = 150.0
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
devices = {{canaries}}
soak_seconds = {SOAK_S}
deadline_seconds = 600.0
device_deadline_seconds = 300.0
"""


def device_budget_bytes(devices: int) -> int:
    """Of samples from one device; every device gives the same share."""
    return MOST_LABELS // devices * _SAMPLE_BYTES


def configure(server: Path, parts: digits.Split, devices: int) -> None:
    """Writes retrain.toml and the rows that it names into the folder server/."""
    folder = server / "digits"
    folder.mkdir()
    held_out = parts.held_out
    calibration: dict[str, Any] = {"in:image": parts.reference.frames}
    holdout: dict[str, Any] = {"in:image": held_out.frames, "label": held_out.labels.astype(str)}
    np.savez(folder / "calibration.npz", **calibration)
    np.savez(folder / "holdout.npz", **holdout)
    each = MOST_LABELS // devices
    numbers = {"most_samples": each * devices, "device_budget_bytes": device_budget_bytes(devices)}
    (server / "retrain.toml").write_text(_CONFIG.format_map(numbers))


class Publisher:
    """A process of the operator's side that signs what passes the gate, with a key that the server never sees.

    Args:
        folder: Its own; new.
        server: Of the fleet, running.
        canaries: Devices that get a new version first.
    """

    def __init__(self, folder: Path, server: Server, canaries: int) -> None:
        self.folder, self._server, self._canaries = folder, server, canaries
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Makes its key and policy, has the release role delegate to it, and runs it."""
        folder, server = self.folder, self._server
        sanderling("publisher", "init", folder, "--model", versions.MODEL, "--policy", "auto-canary")
        (folder / "publisher.toml").write_text(_POLICY.format(canaries=self._canaries))
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(sanderling("fleet", "operator", server.folder, "publisher", "--role", "publisher").strip())
        delegate = ("publisher", "delegate", folder / "publisher.pub", "--model", versions.MODEL)
        sanderling(*delegate, "--release", server.release, environment=server.environment)
        command = [*COMMAND, "publisher", "run", str(folder), "--every", "1s"]
        command += ["--server", server.addresses["operator"], "--ca", server.environment["SANDERLING_FLEET_CA"]]
        with (folder / "publisher.log").open("ab") as log:
            self._process = subprocess.Popen([*command, "--token-file", str(token)], stdout=log, stderr=log)

    def bundle(self, version: str) -> Bundle:
        """A version that it has signed."""
        return read_bundle(self.folder / f"{version}.sanderling")

    def close(self) -> None:
        """Ends it."""
        if self._process is not None:
            end(self._process, signal.SIGTERM)


def label(server: Server, job_id: str, seed: int, told: Path) -> int:
    """Has the demo's labeller say what a job's samples show: `sanderling sample label`.

    Args:
        server: Of the fleet.
        job_id: Of the job.
        seed: Decides which labels are wrong.
        told: A file for the labeller's own count.

    Returns:
        How many of its labels are wrong.
    """
    environment = {**server.environment, labeller.SEED: str(seed), labeller.TOLD: str(told)}
    sanderling("sample", "label", job_id, "--labeller", labeller.NAME, environment=environment)
    return int(json.loads(told.read_text())["wrong"])


def accuracy(bundle: Bundle, rows: digits.Rows, world: str | None) -> float:
    """Share of rows that a version reads right, in the plain world or a changed one."""
    frames = digits.CHANGES[world](rows.frames) if world else rows.frames
    with engine.Session(bundle.blobs["model.onnx"], backend="auto") as session:
        return float((session.run(frames).argmax(axis=1) == rows.labels).mean())
