"""A real fleet server that retrains, one device of it, and what an operator and a labeller do."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path

import numpy as np
from tests.fleet.retrain.trainers import champion_onnx, world
from tests.fleet.server.running_fleet import EnrolledDevice, RunningFleet, pem

import sanderling
from sanderling.api.device.v1 import device_pb2
from sanderling.api.retrain.v1 import samples_pb2
from sanderling.api.retrain.v1.samples_pb2_grpc import SampleServiceStub
from sanderling.versions import Blob, Bundle, Manifest, Tensor
from sanderling_fleet import folders
from sanderling_fleet.client import OperatorClient
from sanderling_fleet.core import rollouts
from sanderling_fleet.publisher.client import RetrainClient
from sanderling_fleet.retrain.rows import read_rows, write_arrays
from sanderling_fleet.server import FleetServer

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("no", "yes")
PLAN = {"most_samples": 120, "least_labels": 60, "wanted_labels": 110, "device_budget_bytes": 100_000}
CONFIG = """
[linear]
entry_point = "{entry_point}"
code = "{code}"
calibration = "linear/calibration.npz"
holdout = "linear/holdout.npz"
[linear.plan]
{plan}
[linear.gate]
{gate}
[linear.trigger]
{trigger}
"""


class RetrainingFleet(RunningFleet):
    """Jobs are looked after when a test says `look`, so that it sees every state."""

    def __init__(
        self, folder, *, entry_point="tests.fleet.retrain.trainers:nearest_mean", plan=None, gate=None, trigger=None
    ):
        super().__init__(folder)
        self.entry_point, self.tables = entry_point, {"plan": PLAN | (plan or {}), "gate": gate, "trigger": trigger}

    def __enter__(self):
        self._thread.start()
        if not self.folder.exists():
            self.run(folders.create(self.folder, self.config, self.clock))
            self._configure()
        self.core = self.run(folders.open_core(self.folder / "server", self.config, self.clock))
        self.server = FleetServer(self.core, self.config, self.folder / "server")
        self.retrainer = self.server.retrainer
        self.retrainer.run = _idle
        self.run(self.server.start())
        return self

    def __exit__(self, *failure):
        self.run(self.retrainer.stop())
        super().__exit__(*failure)

    def _configure(self):
        folder = self.folder / "server" / "linear"
        folder.mkdir()
        rows, classes = world(1, 64)
        (folder / "calibration.npz").write_bytes(write_arrays({"in:x": rows}))
        rows, classes = world(2, 300)
        labels = np.array(NAMES)[classes]
        slices = np.where(np.arange(300) < 100, "first hundred", "")
        (folder / "holdout.npz").write_bytes(write_arrays({"in:x": rows, "label": labels, "slice": slices}))
        tables = {name: "\n".join(f"{k} = {v}" for k, v in (of or {}).items()) for name, of in self.tables.items()}
        text = CONFIG.format(entry_point=self.entry_point, code=ROOT, **tables)
        (self.folder / "server" / "retrain.toml").write_text(text)

    def look(self):
        self.run(self.retrainer.look())

    def settle(self):
        asyncio.run_coroutine_threadsafe(self.retrainer.settle(), self.loop).result(120)

    def operator(self, token=None):
        client = OperatorClient(
            self.server.operator_address, self.core.authority.pem.encode(), token or self.admin_token
        )
        self._stack.enter_context(client)
        return client

    def rollouts(self):
        """Those that were asked for, and by whom."""
        return self.run(rollouts.list_all(self.core))

    def client(self, token=None):
        return RetrainClient(self.operator(token))

    def release_champion(self, release, version="1", counter=1):
        bundle = champion(version, counter)
        self.operator().push(release, [bundle], self.core.clock.now())
        return bundle.manifest

    def camera(self, manifest, **wanted):
        return Camera(self, manifest, self.join_token(**wanted).secret)


async def _idle():
    """In place of looking by itself."""
    await asyncio.Event().wait()


class Camera(EnrolledDevice):
    """A device that runs the champion in its slot `main` and keeps samples."""

    def __init__(self, fleet, manifest, secret):
        self._fleet, self._manifest = fleet, manifest
        super().__init__(fleet, secret, request_id=secret)
        self.check_in()

    def connect(self, fleet):
        super().connect(fleet)
        address, chain = fleet.core.settings.addresses.device, self.enrolled.certificate_chain.encode()
        self.samples = SampleServiceStub(fleet.channel(address, key=pem(self.key), chain=chain))

    def check_in(self, **said):
        status = device_pb2.SlotStatus(
            slot="main", active_version=self._manifest.full_name, manifest_digest=self._manifest.digest
        )
        return super().check_in(slots=[status], **said)

    def budget(self):
        """What the fleet asks for, from its signed desired state."""
        signed = self.check_in().desired_state
        return device_pb2.DesiredState.FromString(signed.desired_state).telemetry.sample_budget_bytes

    def upload(self, *samples):
        return self.samples.UploadSamples(samples_pb2.UploadSamplesRequest(samples=samples), timeout=20)


def champion(version, counter):
    rows, _ = world(1, 64)
    model = sanderling.quantize(champion_onnx(), rows).bytes
    manifest = Manifest(
        name="linear",
        version=version,
        release_counter=counter,
        inputs=(Tensor("x", "float32", (None, 4)),),
        outputs=(Tensor("y", "float32", (None, 2)),),
        blobs={"model.onnx": Blob(hashlib.sha256(model).digest(), len(model))},
        labels=NAMES,
    )
    return Bundle(manifest, {"model.onnx": model})


def sample(number, row, *, name="x", slot="main", **fields):
    """Every third is of the uniform share."""
    stream = io.BytesIO()
    np.save(stream, row, allow_pickle=True)
    fields = {"weight": 2.0, "uniform": number % 3 == 0, "version": "linear-1"} | fields
    return samples_pb2.Sample(sample_id=number, slot=slot, inputs={name: stream.getvalue()}, **fields)


def changed_samples(first, count, seed=7):
    rows, _ = world(seed, count, changed=True)
    return [sample(first + i, row) for i, row in enumerate(rows)]


def truth_of(rows):
    """What a person would say, by (device id, sample id)."""
    classes = rows.inputs["x"][:, :2].sum(axis=1) > 2.0
    return {key: NAMES[int(c)] for key, c in zip(rows.keys(), classes, strict=True)}


def label_all(client, job_id, wrong=0, only=None):
    """Exports, labels, imports; the job afterwards."""
    digest = client.job(job_id).samples_digest
    labels = truth_of(read_rows(client.download(digest)))
    keys = sorted(labels)[: only or len(labels)]
    other = dict(zip(NAMES, reversed(NAMES), strict=True))
    said = {key: other[labels[key]] if i < wrong else labels[key] for i, key in enumerate(keys)}
    return client.import_labels(job_id, said, 0.05 * len(said))[0]


def draft(fleet, release, **changes):
    """Goes all the way to a draft; the job."""
    camera = fleet.camera(fleet.release_champion(release))
    client = fleet.client()
    job = client.start("r1", "main", "the world moved")
    fleet.look()
    camera.upload(*changed_samples(1, 120))
    fleet.look()
    label_all(client, job.job_id, **changes)
    fleet.look()
    fleet.settle()
    return client.job(job.job_id)
