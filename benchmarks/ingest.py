"""How many rows of telemetry a second the fleet server takes into SQLite: envelopes in, commits out, no broker.

    python benchmarks/ingest.py --devices 1000 --rows 20000

Each batch is one transaction, flushed to the disk, as ingest does it. A mix is nine rows of metrics and one window of
drift; windows are judged, so their cost grows with the devices of the fleet.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sanderling.api.telemetry.v1 import telemetry_pb2 as pb
from sanderling_fleet.core.telemetry import Intake
from sanderling_fleet.core.telemetry_rows import Identity, Received
from sanderling_fleet.store import Device, Standing
from sanderling_fleet.store.sql import SqlStore

_NOW = 1_800_000_000.0
_CELLS, _FEATURES, _WINDOW_ROWS = 32, 16, 320


def main() -> None:
    """Prints a table, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=1000, help="rows in a transaction, as ingest takes them")
    parser.add_argument("--kinds", nargs="+", default=["metrics", "event", "mix"])
    wanted = parser.parse_args()
    found = {kind: asyncio.run(_measure(kind, wanted)) for kind in wanted.kinds}
    print(f"{wanted.devices:,} devices, {wanted.rows:,} rows, {wanted.batch:,} in a transaction")
    for kind, (rate, slowest) in found.items():
        print(f"{kind:8} {rate:9,.0f} rows/s   slowest batch {slowest * 1e3:7.0f} ms")
    rates = {kind: round(rate) for kind, (rate, _) in found.items()}
    print(json.dumps({"rows_per_second": rates, **vars(wanted), "machine": platform.machine()}))


async def _measure(kind: str, wanted: argparse.Namespace) -> tuple[float, float]:
    sent = list(_sent(kind, wanted.devices, wanted.rows))
    with tempfile.TemporaryDirectory() as folder:
        store = await SqlStore.open(Path(folder) / "fleet.db")
        async with store.transaction() as tx:
            for number in range(wanted.devices):
                await tx.put(_device(number))
        intake, counted, taken_s = Intake(), 0, []
        for start in range(0, len(sent), wanted.batch):
            began = time.perf_counter()
            async with store.transaction() as tx:
                taken = await intake.take(tx, sent[start : start + wanted.batch], _NOW + start)
            taken_s.append(time.perf_counter() - began)
            assert not taken.refused, taken.refused[0]
            counted += taken.counted
        assert counted == len(sent)
        await store.close()
    return len(sent) / sum(taken_s), max(taken_s)


def _sent(kind: str, devices: int, rows: int) -> Iterator[Received]:
    """Rows in the order in which devices that do not know of each other would send them."""
    rng = random.Random(1)
    sequences, windows = [0] * devices, [0] * devices
    for row in range(rows):
        if row % devices == 0:
            order = rng.sample(range(devices), devices)
        number = order[row % devices]
        sequences[number] += 1
        envelope = pb.Envelope(
            protocol_version=1, boot_id=f"boot-{number}", sequence=sequences[number], slot="main", version="digits-1.0"
        )
        envelope.recorded_at.FromSeconds(int(_NOW) + row)
        if kind == "event":
            envelope.event.CopyFrom(pb.Event(kind="runner.started", severity=pb.SEVERITY_INFO, message="pid 4711"))
        elif kind == "mix" and (row // devices + number) % 10 == 0:
            windows[number] += 1
            envelope.drift.CopyFrom(_window(windows[number]))
        else:
            envelope.metrics.CopyFrom(
                pb.Metrics(inferences=200, latency_p50_us=400.0, latency_p95_us=900.0, mean_confidence=0.9)
            )
        yield Received(f"dv-{number:06d}", envelope.SerializeToString(), Identity.VERIFIED)


def _window(number: int) -> pb.DriftWindow:
    ranks = pb.RankCounts(
        input="x",
        features=_FEATURES,
        cells=_CELLS,
        counts=[_WINDOW_ROWS // _CELLS] * (_CELLS * _FEATURES),
        design_effects=[1.0] * 24 * _FEATURES,
        reference_rows=2000,
    )
    return pb.DriftWindow(window=number, rows=_WINDOW_ROWS, verdict=pb.DEVICE_VERDICT_QUIET, ranks=[ranks])


def _device(number: int) -> Device:
    return Device(f"dv-{number:06d}", Standing.ACTIVE, "", {}, {}, _NOW, 0.0, "", [], 0, [], 0, _NOW + 30 * 86400)


if __name__ == "__main__":
    main()
