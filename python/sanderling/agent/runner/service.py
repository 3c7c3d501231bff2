"""The agent's side of a runner: sanderling.api.runner.v1."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np
import numpy.typing as npt

from sanderling._protocol import PROTOCOL_VERSION
from sanderling.agent.runner.counters import Counts
from sanderling.agent.runner.samples import TakenRow
from sanderling.agent.runner.serving import Options, Serving
from sanderling.api.runner.v1 import runner_pb2, runner_pb2_grpc
from sanderling.errors import DeadlineError, InputError
from sanderling.versions._stored import read_version

_DEFAULT_LATENCY_RUNS = 30
_MOST_SAMPLE_BYTES = 3 << 20  # of one answer; gRPC's own limit is 4 MiB
_DEFAULT_DRAIN_S = 10.0
_LOAD_WAIT_S = 1.0


class Host(Protocol):
    """What the process does for its service. Called by threads of the gRPC server."""

    def serve(self, serving: Serving, active: Callable[[], bool]) -> str:
        """Opens the inference socket and returns its path."""

    def drain(self, timeout_s: float) -> int:
        """Answers what was accepted and refuses what is new; returns how many requests had no answer in time."""

    def end(self) -> None:
        """Lets the process end."""


class RunnerService(runner_pb2_grpc.RunnerServiceServicer):
    """One version of one slot.

    Args:
        host: The process.
        hang_s: Inference without progress for so long is a hang; Health then says that it is not ready.
    """

    def __init__(self, host: Host, *, hang_s: float) -> None:
        self._host, self._hang_s = host, hang_s
        self._load_lock, self._test_lock = threading.Lock(), threading.Lock()
        self._loaded: tuple[runner_pb2.LoadRequest, runner_pb2.LoadResponse] | None = None
        self._serving: Serving | None = None
        self._active = False
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._start_ticks = start_ticks(os.getpid())

    def Load(self, request: runner_pb2.LoadRequest, context: grpc.ServicerContext) -> runner_pb2.LoadResponse:
        """Opens a model. The same request again gets the same answer; another one is refused."""
        if not self._load_lock.acquire(timeout=_LOAD_WAIT_S):  # calls that were given up must not take every thread
            raise DeadlineError("[load] an earlier Load is under way. Wait for it, or end this process")
        try:
            return self._load(request)
        finally:
            self._load_lock.release()

    def SelfTest(
        self, request: runner_pb2.SelfTestRequest, context: grpc.ServicerContext
    ) -> runner_pb2.SelfTestResponse:
        """Runs the golden samples and measures latency."""
        serving = self._ready()
        if not self._test_lock.acquire(blocking=False):  # a test that hangs must not take every thread of the server
            raise InputError("[self-test] one is under way. Wait for it")
        try:
            found = serving.self_test(request.latency_runs or _DEFAULT_LATENCY_RUNS)
        finally:
            self._test_lock.release()
        return runner_pb2.SelfTestResponse(
            samples=found.samples,
            within_tolerance=found.within_tolerance,
            latency_median_us=found.latency_median_us,
            detail=found.detail,
        )

    def Activate(
        self, request: runner_pb2.ActivateRequest, context: grpc.ServicerContext
    ) -> runner_pb2.ActivateResponse:
        """Lets the inference socket answer."""
        self._ready()
        self._active = True
        return runner_pb2.ActivateResponse()

    def TakeSketches(
        self, request: runner_pb2.TakeSketchesRequest, context: grpc.ServicerContext
    ) -> runner_pb2.TakeSketchesResponse:
        """Windows and confidences since what is acknowledged. Windows and rows are numbered from 1."""
        serving = self._ready()
        if request.HasField("sample_budget_bytes"):
            serving.samples.resize(request.sample_budget_bytes)
        windows, own = serving.observer.take(request.acknowledged_window)
        first, values = serving.observer.confidences.look(request.acknowledged_row)
        return runner_pb2.TakeSketchesResponse(
            windows=windows,
            counters=counters_message(serving.counters.look()),
            confidences=runner_pb2.Confidences(first_row=first, values=values),
            own_reference=own,
        )

    def TakeSamples(
        self, request: runner_pb2.TakeSamplesRequest, context: grpc.ServicerContext
    ) -> runner_pb2.TakeSamplesResponse:
        """Rows kept for retraining."""
        most = min(request.most_bytes or _MOST_SAMPLE_BYTES, _MOST_SAMPLE_BYTES)
        taken = self._ready().samples.take(acknowledged_id=request.acknowledged_sample_id, most_bytes=most)
        return runner_pb2.TakeSamplesResponse(samples=[_sample_message(item) for item in taken])

    def Health(self, request: runner_pb2.HealthRequest, context: grpc.ServicerContext) -> runner_pb2.HealthResponse:
        """Answers from what is known: it waits for no inference and no lock that one holds."""
        serving = self._serving
        response = runner_pb2.HealthResponse(
            protocol_version=PROTOCOL_VERSION,
            pid=os.getpid(),
            boot_id=self._boot_id,
            start_ticks=self._start_ticks,
        )
        if serving is not None:
            stuck_s = serving.progress.stuck_s()
            if stuck_s:
                response.stuck_for.FromMicroseconds(round(stuck_s * 1e6))
            response.ready = stuck_s < self._hang_s
            response.version = serving.options.version
        return response

    def Drain(self, request: runner_pb2.DrainRequest, context: grpc.ServicerContext) -> runner_pb2.DrainResponse:
        """Answers what was accepted, then lets the process end. Take the sketches before."""
        unanswered = self._host.drain(request.timeout.ToMicroseconds() / 1e6 or _DEFAULT_DRAIN_S)
        context.add_callback(self._host.end)
        return runner_pb2.DrainResponse(unanswered=unanswered)

    def _load(self, request: runner_pb2.LoadRequest) -> runner_pb2.LoadResponse:
        if self._loaded is not None:
            if self._loaded[0] != request:
                raise InputError(
                    f"[load] this runner has {self._loaded[0].version}, {request.version} needs another process"
                )
            return self._loaded[1]
        serving = Serving(read_version(request.blobs_folder, request.manifest_digest), self._options(request))
        try:
            socket = self._host.serve(serving, lambda: self._active)
        except BaseException:
            serving.close()
            raise
        self._serving = serving
        response = runner_pb2.LoadResponse(inference_socket=socket)
        self._loaded = (request, response)
        return response

    def _ready(self) -> Serving:
        if self._serving is None:
            raise InputError("[runner] no model is loaded. Call Load first")
        return self._serving

    def _options(self, request: runner_pb2.LoadRequest) -> Options:
        """The request's options; what it leaves at 0 keeps its default."""
        named: dict[str, Any] = {
            "threads": request.threads,
            "max_batch_size": request.max_batch_size,
            "max_queue_size": request.max_queue_size,
            "window_rows": request.window_rows,
            "warmup_rows": request.warmup_rows,
            "fleet_devices": request.fleet_devices,
            "next_window": request.next_window,
        }
        options = Options(
            slot=request.slot,
            version=request.version,
            device_id=request.device_id,
            max_queue_delay_us=request.max_queue_delay.ToMicroseconds(),
            own_reference=request.own_reference,
            sample_budget_bytes=request.sample_budget_bytes,
            hang_s=self._hang_s,
        )
        return replace(options, **{name: value for name, value in named.items() if value})


def start_ticks(pid: int) -> int:
    """When a process began, in clock ticks since boot: with its pid and the boot id it names it for ever.

    Raises:
        OSError: There is no such process.
    """
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])  # field 22; the name in brackets may hold anything


def counters_message(counts: Counts) -> runner_pb2.Counters:
    """Counts as they are sent."""
    return runner_pb2.Counters(**vars(counts))


def _sample_message(item: TakenRow) -> runner_pb2.RunnerSample:
    return runner_pb2.RunnerSample(
        sample_id=item.sample_id,
        window=item.row.window,
        inputs=_arrays(item.row.inputs),
        uniform=item.uniform,
        weight=item.weight,
    )


def _arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, bytes]:
    files = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array, allow_pickle=False)
        files[name] = stream.getvalue()
    return files
