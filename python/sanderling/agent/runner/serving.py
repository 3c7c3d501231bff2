"""One version in a runner: its session, its batcher, and what watches it."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

import sanderling
from sanderling import _core
from sanderling._batcher import Batcher
from sanderling._session import Session
from sanderling._windows import Windows, check_reference
from sanderling.agent.runner.counters import Counters, Progress
from sanderling.agent.runner.observer import Answered, Observer
from sanderling.agent.runner.one_by_one import OneByOne
from sanderling.agent.runner.samples import Samples
from sanderling.drift import Reference, Settings
from sanderling.errors import InputError, UnsupportedError
from sanderling.versions import Host, Manifest
from sanderling.versions._golden import Golden, read_golden
from sanderling.versions._stored import StoredVersion, check_signature

Array = npt.NDArray[Any]
_BACKLOG_PAUSE_S = 0.002


@dataclass(frozen=True)
class Options:
    """How a version is run.

    Attributes:
        slot: Of the model.
        version: "NAME-VERSION".
        device_id: Seeds the split into rank cells.
        threads: Of one run.
        max_batch_size: Rows.
        max_queue_delay_us: Longest wait for other requests, in microseconds.
        max_queue_size: Requests that wait.
        window_rows: Rows of a window.
        warmup_rows: Rows from which the device's own reference is learned.
        own_reference: Learned earlier; empty learns one.
        next_window: Number of the next window.
        sample_budget_bytes: Of rows kept for retraining; 0 keeps none.
        fleet_devices: One device alarms at so many times the fleet's alarm level.
        hang_s: Inference without progress for so long is a hang.
    """

    slot: str
    version: str
    device_id: str = ""
    threads: int = 1
    max_batch_size: int = 8
    max_queue_delay_us: int = 0
    max_queue_size: int = 64
    window_rows: int = 200
    warmup_rows: int = 2000
    own_reference: bytes = b""
    next_window: int = 1
    sample_budget_bytes: int = 0
    fleet_devices: int = 1
    hang_s: float = 10.0


@dataclass(frozen=True)
class SelfTest:
    """What the golden samples gave.

    Attributes:
        samples: Golden samples run; 0 if the version has none.
        within_tolerance: Of those.
        latency_median_us: Of runs of one sample, in microseconds.
        detail: What was wrong with the first sample that failed.
    """

    samples: int
    within_tolerance: int
    latency_median_us: float
    detail: str


class QueueFull(Exception):
    """An expected outcome: too many requests wait."""


class Serving:
    """Runs one version for one slot.

    Raises:
        IntegrityError: A blob is not what the manifest says.
        InputError: An option is out of range, or the own reference is damaged.
        ModelError: The model is damaged, or the manifest or reference does not fit it.
        UnsupportedError: This host cannot run it.
    """

    def __init__(self, stored: StoredVersion, options: Options) -> None:
        self.manifest: Manifest = stored.manifest
        self.options = options
        if self.manifest.full_name != options.version:
            raise InputError(
                f"[load] version {options.version!r} was asked for, the manifest is of {self.manifest.full_name!r}"
            )
        reason = self.manifest.compatibility.why_not(this_host())
        if reason is not None:
            raise UnsupportedError(f"[load] {options.version} does not run here: {reason}")
        self.session = Session(stored.model, backend="auto", threads=options.threads)
        check_signature(self.manifest, self.session.inputs, self.session.outputs)
        windows = self._windows(stored)
        self._golden: Golden | None = None if stored.golden is None else read_golden(stored.golden)
        self.counters, self.progress = Counters(), Progress(options.hang_s)
        self._batcher: Batcher | OneByOne = _batcher(self.session, options)
        self.observer = Observer(windows, samples := Samples(options.sample_budget_bytes, seed=os.getpid()))
        self.samples = samples

    def _windows(self, stored: StoredVersion) -> Windows | None:
        if stored.reference is None:
            return None
        version = Reference.from_bytes(stored.reference)
        check_reference(version, self.session.inputs)
        own = Reference.from_bytes(self.options.own_reference) if self.options.own_reference else None
        if own is not None:
            check_reference(own, self.session.inputs)
        return Windows(
            version,
            device=self.options.device_id,
            settings=Settings(
                window_rows=self.options.window_rows,
                warmup_rows=self.options.warmup_rows,
                devices=self.options.fleet_devices,
            ),
            own=own,
            next_number=self.options.next_window,
        )

    async def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Runs one request of one or several rows.

        Raises:
            InputError: The inputs do not fit the model, or hold NaN.
            QueueFull: Too many requests wait.
        """
        while self.observer.is_behind:  # answering faster than watching would fill the memory
            await asyncio.sleep(_BACKLOG_PAUSE_S)
        ordered = {spec.name: inputs[spec.name] for spec in self.session.inputs if spec.name in inputs}
        if len(ordered) != len(inputs):
            ordered = dict(inputs)  # the batcher names what is unknown
        begin = time.perf_counter()
        with self.progress:
            try:
                future = self._batcher.submit(ordered)
                if future is None:
                    raise QueueFull
                outputs: dict[str, Array] = await asyncio.wrap_future(future)
            except InputError:
                self.counters.failed()
                if any(array.dtype.kind == "f" and bool(np.isnan(array).any()) for array in ordered.values()):
                    self.observer.put(Answered(ordered, None))
                raise
            except QueueFull:
                raise
            except BaseException:
                self.counters.failed()
                raise
        rows = len(next(iter(ordered.values())))
        self.counters.answered(rows, (time.perf_counter() - begin) * 1e6)
        self.observer.put(Answered(ordered, outputs))
        return outputs

    def self_test(self, latency_runs: int) -> SelfTest:
        """Runs the golden samples and measures latency; neither is counted or watched."""
        golden = self._golden
        within, detail = 0, ""
        with self.progress:
            for index in range(0 if golden is None else len(golden)):
                assert golden is not None
                wrong = golden.wrong(index, self.session.run(golden.sample(index)), self.manifest.golden_tolerance)
                within += wrong is None
                detail = detail or wrong or ""
            probe = self._zeros() if golden is None else golden.sample(0)
            times = []
            for _ in range(max(latency_runs, 1)):
                begin = time.perf_counter()
                self.session.run(probe)
                times.append((time.perf_counter() - begin) * 1e6)
        return SelfTest(0 if golden is None else len(golden), within, median(times), detail)

    def _zeros(self) -> dict[str, Array]:
        return {
            tensor.name: np.zeros([extent or 1 for extent in tensor.shape], tensor.dtype)
            for tensor in self.manifest.inputs
        }

    def close(self) -> None:
        """Ends the threads; nothing may run any more."""
        self._batcher.close()
        self.observer.close()
        self.session.close()


def _batcher(session: Session, options: Options) -> Batcher | OneByOne:
    try:
        return Batcher(
            session,
            max_batch_size=options.max_batch_size,
            max_queue_delay_us=options.max_queue_delay_us,
            max_queue_size=options.max_queue_size,
        )
    except UnsupportedError:
        return OneByOne(session, max_queue_size=options.max_queue_size)


def this_host() -> Host:
    """What this device is, as far as a manifest may ask."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Host(platform.machine(), tuple(_core.runnable_isas()), memory, "", sanderling.__version__)
