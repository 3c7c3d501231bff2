"""Devices of a store, and what they send."""

from __future__ import annotations

import asyncio

from sanderling.api.telemetry.v1 import telemetry_pb2 as pb
from sanderling_fleet.core.telemetry_rows import Identity, Received
from sanderling_fleet.store import Device, MemoryStore, Standing
from sanderling_fleet.store.sql import SqlStore

NOW = 1_800_000_000.0
SLOT, VERSION = "main", "digits-1.0"
CELLS = 32
STUCK = pb.SensorFault(kind=pb.SENSOR_FAULT_KIND_STUCK, input="x", detail="feature 0 has one value")


def device(name, standing=Standing.ACTIVE, **labels):
    return Device(name, standing, "", labels, {}, NOW, 0.0, "", [], 0, [], 0, NOW + 1e6)


def envelope(sequence, body=None, *, boot="boot-1", slot=SLOT, version=VERSION, at=None, **fields):
    message = pb.Envelope(protocol_version=1, boot_id=boot, sequence=sequence, slot=slot, version=version, **fields)
    message.recorded_at.FromMicroseconds(round((NOW + sequence if at is None else at) * 1e6))
    body = metrics() if body is None else body
    getattr(message, {pb.Metrics: "metrics", pb.DriftWindow: "drift", pb.Event: "event"}[type(body)]).CopyFrom(body)
    return message


def metrics(inferences=100, **fields):
    return pb.Metrics(**{"inferences": inferences, "latency_p95_us": 900.0, "mean_confidence": 0.9, **fields})


def window(number, verdict=pb.DEVICE_VERDICT_QUIET, *, rows=320, **fields):
    ranks = pb.RankCounts(
        input="x",
        features=1,
        cells=CELLS,
        counts=[rows // CELLS] * CELLS,
        design_effects=[1.0] * 24,
        reference_rows=2000,
    )
    return pb.DriftWindow(window=number, rows=rows, verdict=verdict, ranks=[ranks], **fields)


def event(kind="runner.crash", severity=pb.SEVERITY_ERROR, message="exit code -11"):
    return pb.Event(kind=kind, severity=severity, message=message)


def received(name, *messages, identity=Identity.VERIFIED):
    return [Received(name, message.SerializeToString(), identity) for message in messages]


def run_in(store_kind, tmp_path, test, devices=("dv-1", "dv-2")):
    """Runs a coroutine function with a fresh store that knows these devices."""

    async def body():
        store = MemoryStore() if store_kind == "memory" else await SqlStore.open(tmp_path / "fleet.db")
        try:
            async with store.transaction() as tx:
                for item in devices:
                    await tx.put(device(item) if isinstance(item, str) else item)
            await test(store)
        finally:
            await store.close()

    asyncio.run(body())
