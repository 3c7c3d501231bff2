"""The real stage of the demo: one network, twelve sessions that run and watch it, twelve streams."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

import sanderling
from sanderling import drift
from sanderling_devices.demo import digits, measure
from sanderling_devices.demo.digits import Frames
from sanderling_devices.demo.report import QUIET, ModelFigures, Pictures, Settings, WatchCost, Window
from sanderling_devices.demo.train_digits import MODEL_PATH

LATENCY_REPEATS = 1000
WINDOW_REPEATS = 50
PICTURES = 4


class Machine:
    """Implements scenario.Stage with Sanderling itself.

    Args:
        settings: the run's; `seed` and `change` decide the rows and what is measured.
    """

    def __init__(self, settings: Settings) -> None:
        self._change = settings.change
        self._parts = digits.split(settings.seed)
        self._streams = [
            digits.CameraStream(rows, seed=settings.seed, camera=index)
            for index, rows in enumerate(self._parts.cameras)
        ]
        self._watching = drift.Settings(devices=digits.CAMERAS)
        names = [f"camera {number}" for number in range(1, digits.CAMERAS + 1)]
        self._fleet = drift.FleetMonitor(names, settings=self._watching)
        self._names = names
        self._monitors: list[drift.DeviceMonitor] = []
        self._sessions: list[sanderling.Session] = []
        self._judge_ns: list[int] = []
        self._sketch_bytes: list[int] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Opens nothing yet: sessions begin with the acts."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes all sessions."""
        self._open.close()

    def quantize(self) -> ModelFigures:
        """Quantizes the committed network and measures it beside the float one and ONNX Runtime."""
        model = sanderling.load(MODEL_PATH)
        self._int8 = sanderling.quantize(model, self._parts.reference.frames)
        self._unwatched = self._session()
        exact = self._open.enter_context(sanderling.Session(model))
        runs: dict[str, measure.Run] = {"float": _run(exact), "int8": _run(self._unwatched)}
        peer = measure.OnnxRuntime.find()
        if peer is not None:
            runs["onnxruntime float"] = peer.load(model.bytes)
            runs["onnxruntime int8"] = peer.load(self._int8.bytes)

        held_out = self._parts.held_out
        worlds = {"unchanged": held_out}
        if self._change is not None:
            worlds[self._change] = digits.Rows(digits.CHANGES[self._change](held_out.frames), held_out.labels)
        as_float = measure.read(runs["float"], held_out.frames)
        info = self._unwatched.info()
        return ModelFigures(
            rows=len(held_out),
            accuracy={
                world: {name: measure.accuracy(run, rows) for name, run in runs.items()}
                for world, rows in worlds.items()
            },
            agreement={
                name: float((measure.read(run, held_out.frames) == as_float).mean())
                for name, run in runs.items()
                if name != "float"
            },
            size_bytes={"float": len(model.bytes), "int8": len(self._int8.bytes)},
            latency_us=measure.latency_us(runs, held_out.frames, repeats=LATENCY_REPEATS),
            onnxruntime=None if peer is None else peer.version,
            machine={"backend": str(info["backend"]), "kernels": str(info["isa"]), "threads": str(info["threads"])},
        )

    def warm_up(self) -> Sequence[str]:
        """Feeds every monitor until its camera's own reference is frozen, then opens the watching sessions."""
        frames = self._parts.reference.frames
        version = drift.Reference.fit({"image": frames}, {"digit": self._unwatched.run(frames)})
        states = []
        for name, stream in zip(self._names, self._streams, strict=True):
            monitor = drift.DeviceMonitor(version, device=name, settings=self._watching)
            rows = stream.read(self._watching.warmup_rows)
            verdicts = monitor.observe(rows, self._unwatched.run(rows))
            faults = [fault.kind for verdict in verdicts for fault in verdict.faults]
            states.append(QUIET if monitor.own is not None else ", ".join(faults) or "too few rows")
            self._monitors.append(monitor)
            self._sessions.append(self._session(monitor.reference))
        return states

    def watch_cost(self) -> WatchCost:
        """Times runs with and without a watch; what judging takes and sketches weigh is known from the windows."""
        watched = self._session(self._monitors[0].reference)
        runs = {"unwatched": _run(self._unwatched), "watched": _run(watched)}
        run_us = {
            unit: measure.latency_us(runs, self._parts.held_out.frames, repeats=repeats, batch=batch, quantile=0.1)
            for unit, repeats, batch in (
                ("frame", LATENCY_REPEATS, 1),
                ("window", WINDOW_REPEATS, self._watching.window_rows),
            )
        }
        return WatchCost(
            run_us=run_us,
            percent={unit: (us["watched"] / us["unwatched"] - 1) * 100 for unit, us in run_us.items()},
            judge_ms=median(self._judge_ns) / 1e6,
            bytes_per_window=round(median(self._sketch_bytes)),
        )

    def break_sensor(self, camera: int, fault: str | None) -> None:
        """Breaks or repairs one camera's stream."""
        self._streams[camera - 1].fault = fault

    def change_world(self, change: str) -> Pictures:
        """Changes all streams; shows held-out images that the int8 model misreads from then on, if there are any."""
        for stream in self._streams:
            stream.change = change
        held_out, run = self._parts.held_out, _run(self._unwatched)
        after = digits.CHANGES[change](held_out.frames)
        read_before, read_after = measure.read(run, held_out.frames), measure.read(run, after)
        misread = (read_before == held_out.labels) & (read_after != held_out.labels)
        chosen = np.argsort(~misread, kind="stable")[:PICTURES]
        return Pictures(
            held_out.frames[chosen], after[chosen], held_out.labels[chosen], read_before[chosen], read_after[chosen]
        )

    def window(self, number: int) -> tuple[Window, Frames]:
        """Runs one window on every session and judges what their sketches say."""
        cameras, last, judged = [], [], []
        for stream, session, monitor in zip(self._streams, self._sessions, self._monitors, strict=True):
            frames = stream.read(self._watching.window_rows)
            session.run(frames)
            last.append(frames[-1])
            sketches = session.sketches(reset=True)
            start = time.perf_counter_ns()
            verdict = monitor.add(sketches)
            self._judge_ns.append(time.perf_counter_ns() - start)
            self._sketch_bytes.append(len(sketches.to_bytes()))
            assert verdict is not None, "a window has window_rows rows"
            cameras.append(verdict.faults[0].kind if verdict.faults else str(verdict.state))
            judged += self._fleet.add(verdict)
        (fleet,) = judged
        evidence = fleet.log_e / math.log(10)
        window = Window(number, tuple(cameras), str(fleet.scope), evidence if math.isfinite(evidence) else None)
        return window, np.stack(last)

    def _session(self, reference: drift.Reference | None = None) -> sanderling.Session:
        return self._open.enter_context(sanderling.Session(self._int8, watch=reference))


def _run(session: sanderling.Session) -> Callable[[Frames], NDArray[np.float32]]:
    return session.run
