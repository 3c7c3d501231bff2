"""The Runners port: one process per (slot, version). Performs Load, SelfTest, Serve, Observe and Keep.

A runner is recorded before it is used, so that a restarted agent adopts it, once its Health confirms that the process
of that pid is the one that was recorded. One that is gone though nobody ended it has crashed, also while the agent
was away.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration

from sanderling._protocol import PROTOCOL_VERSION
from sanderling.agent.actions import Launch, Load, Observe, SelfTest, Serve
from sanderling.agent.blobs import BlobStore, is_full
from sanderling.agent.events import Died, Event, Loaded, Observed, SelfTested, Served, StepFailed, Window
from sanderling.agent.fork_server import ForkServer
from sanderling.agent.processes import Process, boot_id, wait_for
from sanderling.agent.router_client import RouterClient
from sanderling.agent.state import Code, Release
from sanderling.agent.store import SqliteStore
from sanderling.agent.transport import typed
from sanderling.api.runner.v1 import runner_pb2, runner_pb2_grpc
from sanderling.errors import DeadlineError, IntegrityError, InternalError, SanderlingError, TransportError
from sanderling.versions._active import Active, read_active, write_active

START_S = 30.0
LOAD_S = 240.0
SELF_TEST_S = 60.0
CALL_S = 10.0
HEALTH_S = 3.0
DRAIN_S = 10.0
_LATENCY_RUNS = 30
_MOST_ANSWER_BYTES = 64 << 20  # windows that have waited, and the device's own reference, which Load takes too
_CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", _MOST_ANSWER_BYTES),
    # One that does not listen yet does so in milliseconds: gRPC would ask again after a second.
    ("grpc.initial_reconnect_backoff_ms", 5),
    ("grpc.min_reconnect_backoff_ms", 5),
    ("grpc.max_reconnect_backoff_ms", 50),
]
_INCUMBENT_S = 10.0


@dataclass
class _Runner:
    """A runner that is loaded: its process, the way to it, and where it answers inference."""

    process: Process
    socket: Path
    inference_socket: str
    channel: grpc.Channel

    @property
    def stub(self) -> runner_pb2_grpc.RunnerServiceStub:
        return runner_pb2_grpc.RunnerServiceStub(self.channel)


@dataclass(frozen=True)
class Folders:
    """Where runners live: `run` holds sockets, `logs` outputs, `attach` what attached applications read."""

    run: Path
    logs: Path
    attach: Path


class Runners:
    """The port. Actions may come from several threads; those on one version's runner wait for each other.

    Args:
        device_id: As enrolled.
        blobs: Where models are.
        store: Where processes are recorded.
        router: Where new requests are sent.
        folders: For sockets, logs and attached applications.
        fetch: Gets blobs of a trusted release that are missing or damaged.
        threads: Of each runner, 0 for its default.
        open_attach: Listens for what attached applications of a slot see.
        changed: Called when `running` has changed.
    """

    def __init__(
        self,
        device_id: str,
        blobs: BlobStore,
        store: SqliteStore,
        router: RouterClient,
        folders: Folders,
        fetch: Callable[[Release], None],
        threads: int = 0,
        open_attach: Callable[[str], None] = lambda slot: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._device_id, self._blobs, self._store, self._router = device_id, blobs, store, router
        self._folders, self._fetch, self._threads = folders, fetch, threads
        self._open_attach, self._changed = open_attach, changed
        self.fork_server = ForkServer(folders.run, folders.logs)
        self._runners: dict[tuple[str, str], _Runner] = {}
        self._lock = threading.Lock()
        self._starting: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)

    def sweep(self) -> None:
        """Ends runners of a former agent that are not recorded: it was killed before they had ended."""
        recorded = set(self._store.processes().values())
        for process in self.fork_server.forked():
            if process.to_text() not in recorded:
                process.kill()

    def perform(self, action: Load | SelfTest | Serve | Observe) -> Event | None:
        """Does it; what goes wrong is the answer."""
        step = getattr(action, "step", 0)
        try:
            if isinstance(action, Load):
                return self._ensure(action.slot, action.launch) or Loaded(action.slot, step)
            if isinstance(action, SelfTest):
                return self._self_test(action)
            if isinstance(action, Serve):
                return self._serve(action)
            return self._observe(action)
        except (SanderlingError, OSError) as error:
            if isinstance(action, Observe):
                return None  # whether it died is `look`'s to say
            return _failed(action, step, error)

    # Actions

    def _ensure(self, slot: str, launch: Launch) -> Died | None:
        """A loaded runner for the version; the news that the one that was there has died."""
        key = (slot, launch.release.version)
        with self._lock:
            starting = self._starting[key]
        with starting:
            return self._ensure_one(key, launch)

    def _ensure_one(self, key: tuple[str, str], launch: Launch) -> Died | None:
        with self._lock:
            runner = self._runners.get(key)
        if runner is not None and runner.process.is_alive():
            return None
        if runner is None and (record := self._store.processes().get(_name(key))) is not None:
            former = Process.from_text(record)
            if former.is_alive() and self._adopt(key, launch, former):
                return None
            was_running = former.boot_id == boot_id()
            former.kill()
            self._store.record_process(_name(key), None)
            if was_running:
                return Died(*key, Code.CRASH, f"the runner of {key[1]} ended while the agent was away")
        if runner is not None:
            self._forget(key)
            self._store.record_process(_name(key), None)
            return Died(*key, Code.CRASH, f"the runner of {key[1]}, pid {runner.process.pid}, ended")
        return self._start(key, launch)

    def _start(self, key: tuple[str, str], launch: Launch) -> Died | None:
        self._repair(launch.release)
        socket = self._socket(key)
        socket.unlink(missing_ok=True)
        process = self.fork_server.fork(
            socket,
            f"runner-{key[0]}.log",
            lambda process: self._store.record_process(_name(key), process.to_text()),
        )
        try:
            self._connect(key, launch, process)
        except BaseException as error:
            crashed = isinstance(error, TransportError) and process.wait_gone(1.0)
            process.kill()
            self._store.record_process(_name(key), None)
            if not crashed:
                raise
            return Died(key[0], key[1], Code.CRASH, f"the runner of {key[1]} ended while it loaded: {error}")
        return None

    def _adopt(self, key: tuple[str, str], launch: Launch, process: Process) -> bool:
        channel = grpc.insecure_channel(f"unix:{self._socket(key)}")
        try:
            health = runner_pb2_grpc.RunnerServiceStub(channel).Health(runner_pb2.HealthRequest(), timeout=HEALTH_S)
        except grpc.RpcError:
            return False
        finally:
            channel.close()
        confirmed = (health.pid, health.start_ticks, health.boot_id) == (
            process.pid,
            process.start_ticks,
            process.boot_id,
        )
        if not confirmed or health.version not in ("", key[1]):
            return False
        if health.protocol_version != PROTOCOL_VERSION:
            # One of another release may mean something else by the same words. It has not died: it is replaced.
            process.kill()
            return self._start(key, launch) is None
        try:
            self._connect(key, launch, process)
        except SanderlingError:
            return False
        return True

    def _connect(self, key: tuple[str, str], launch: Launch, process: Process) -> None:
        socket = self._socket(key)
        channel = grpc.insecure_channel(f"unix:{socket}", _CHANNEL)
        stub = runner_pb2_grpc.RunnerServiceStub(channel)
        try:
            with typed():
                self._await_start(stub, process)
                health = stub.Health(runner_pb2.HealthRequest(), timeout=HEALTH_S)
                if health.version == key[1]:  # loaded before: what it was loaded with stands
                    answer = socket.with_name(socket.name + ".http").as_posix()
                else:
                    answer = stub.Load(self._load_request(key, launch), timeout=LOAD_S).inference_socket
        except BaseException:
            channel.close()
            raise
        with self._lock:
            self._runners[key] = _Runner(process, socket, answer, channel)
        self._changed()

    def _await_start(self, stub: runner_pb2_grpc.RunnerServiceStub, process: Process) -> None:
        for _ in range(int(START_S)):
            try:
                stub.Health(runner_pb2.HealthRequest(), timeout=1.0, wait_for_ready=True)
                return
            except grpc.RpcError as error:
                if not process.is_alive():
                    raise TransportError(
                        f"[runner] it ended before it listened. See {self._folders.logs}/runner-*.log"
                    ) from error
        raise DeadlineError(f"[runner] it does not listen after {START_S:.0f} s. See {self._folders.logs}/runner-*.log")

    def _load_request(self, key: tuple[str, str], launch: Launch) -> runner_pb2.LoadRequest:
        own = self._blobs.read(launch.own_reference) if self._blobs.has(launch.own_reference or "none") else b""
        return runner_pb2.LoadRequest(
            slot=key[0],
            version=key[1],
            manifest_digest=bytes.fromhex(launch.release.digest),
            blobs_folder=str(self._blobs.folder.resolve()),
            threads=self._threads,
            window_rows=launch.plan.window_rows,
            warmup_rows=launch.plan.warmup_rows,
            own_reference=own,
            next_window=launch.next_window,
            device_id=self._device_id,
            sample_budget_bytes=launch.plan.sample_budget_bytes,
            fleet_devices=launch.plan.fleet_devices,
        )

    def _repair(self, release: Release) -> None:
        """Gets blobs again that a power cut or a bad disk took; their digests are trusted since the version was."""
        try:
            self._fetch(release)
        except TransportError as error:
            raise IntegrityError(
                f"[runner] blobs of {release.version} are missing and cannot be fetched: {error}"
            ) from error

    def _self_test(self, action: SelfTest) -> Event:
        if (died := self._ensure(action.slot, action.candidate)) is not None:
            return died
        request = runner_pb2.SelfTestRequest(latency_runs=_LATENCY_RUNS)
        incumbent_us = self._incumbent_us(action.slot, action.incumbent, request) if action.incumbent else 0.0
        with typed():
            found = self._runner(action.slot, action.candidate.release.version).stub.SelfTest(
                request, timeout=SELF_TEST_S
            )
        return SelfTested(
            action.slot,
            action.step,
            found.samples,
            found.within_tolerance,
            found.latency_median_us,
            incumbent_us,
            found.detail,
        )

    def _incumbent_us(self, slot: str, launch: Launch, request: runner_pb2.SelfTestRequest) -> float:
        """Median latency of the version that answers now; 0, nothing to compare with, where it cannot be measured.

        If its runner has just crashed, `look` says so and the rules start it again; here it is waited for.
        """
        key = (slot, launch.release.version)

        def runs() -> bool:
            with self._lock:
                runner = self._runners.get(key)
            return runner is not None and runner.process.is_alive()

        if not wait_for(runs, _INCUMBENT_S):
            return 0.0
        try:
            with typed():
                return float(self._runner(*key).stub.SelfTest(request, timeout=SELF_TEST_S).latency_median_us)
        except SanderlingError:
            return 0.0  # its trouble is not the candidate's fault

    def _serve(self, action: Serve) -> Event:
        launch = action.launch
        if launch is None:
            self._router.route(action.slot, None)
            return Served(action.slot, action.step)
        if (died := self._ensure(action.slot, launch)) is not None:
            return died
        version = launch.release.version
        runner = self._runner(action.slot, version)
        with typed():
            runner.stub.Activate(runner_pb2.ActivateRequest(), timeout=CALL_S)
        self._router.route(action.slot, (runner.inference_socket, version))
        active = Active(
            version,
            launch.release.digest,
            str(self._blobs.folder.resolve()),
            self._device_id,
            launch.plan.window_rows,
            launch.plan.warmup_rows,
            launch.plan.fleet_devices,
        )
        if self._attached(action.slot) != active:
            write_active(self._folders.attach, action.slot, active)
        self._open_attach(action.slot)
        return Served(action.slot, action.step)

    def _attached(self, slot: str) -> Active | None:
        try:
            return read_active(self._folders.attach, slot)
        except SanderlingError:
            return None

    def _observe(self, action: Observe) -> Observed:
        runner = self._runner(action.slot, action.version)
        same = action.instance == runner.process.instance
        request = runner_pb2.TakeSketchesRequest(
            acknowledged_window=max(action.stored_window, 0),
            acknowledged_row=max(action.stored_row, 0) if same else 0,
            sample_budget_bytes=action.sample_budget_bytes,
        )
        with typed():
            seen = runner.stub.TakeSketches(request, timeout=CALL_S)
        own = self._blobs.put(seen.own_reference) if seen.own_reference else ""
        return Observed(
            action.slot,
            action.version,
            runner.process.instance,
            seen.counters.rows,
            seen.counters.errors,
            seen.counters.latency_p95_us,
            seen.confidences.first_row,
            tuple(seen.confidences.values),
            tuple(Window(window.window, window.SerializeToString()) for window in seen.windows),
            own,
            seen.counters.latency_p50_us,
            seen.counters.resident_bytes,
            seen.counters.cpu_seconds,
        )

    def take_samples(
        self, slot: str, version: str, acknowledged: Mapping[str, int], most_bytes: int
    ) -> tuple[str, Sequence[runner_pb2.RunnerSample]]:
        """Samples of a runner that the fleet has not stored.

        Raises:
            TransportError: There is no such runner, or it does not answer.
        """
        runner = self._runner(slot, version)
        instance = runner.process.instance
        request = runner_pb2.TakeSamplesRequest(
            acknowledged_sample_id=acknowledged.get(instance, 0), most_bytes=most_bytes
        )
        with typed():
            return instance, runner.stub.TakeSamples(request, timeout=CALL_S).samples

    def keep(self, slot: str, versions: set[str]) -> list[Callable[[], None]]:
        """Lets go of a slot's other runners at once; the answers drain and end them, which takes time."""
        ends: list[Callable[[], None]] = []
        for name, body in self._store.processes().items():
            owner, dash, version = name.removeprefix("runner/").partition("/")
            if not name.startswith("runner/") or not dash or owner != slot or version in versions:
                continue
            self._forget((slot, version))
            self._store.record_process(name, None)
            ends.append(partial(self._end, Process.from_text(body), (slot, version)))
        return ends

    def slots(self) -> set[str]:
        """Slots that have a recorded runner."""
        names = [n.split("/") for n in self._store.processes() if n.startswith("runner/")]
        return {parts[1] for parts in names}

    def _end(self, process: Process, key: tuple[str, str]) -> None:
        try:
            with grpc.insecure_channel(f"unix:{self._socket(key)}") as channel:
                request = runner_pb2.DrainRequest(timeout=Duration(seconds=int(DRAIN_S)))
                runner_pb2_grpc.RunnerServiceStub(channel).Drain(request, timeout=DRAIN_S + 1)
        except grpc.RpcError:
            pass  # it is ended in any case
        if not process.wait_gone(2.0):
            process.kill()

    # Watching

    def running(self) -> list[Process]:
        """Processes of the runners that are loaded."""
        with self._lock:
            return [runner.process for runner in self._runners.values()]

    def look(self, health: bool = True) -> list[Died]:
        """Whose process has ended; with `health` also asks each runner, and kills one that hangs."""
        with self._lock:
            runners = dict(self._runners)
        found = [self._look(key, runner) for key, runner in runners.items() if health or not runner.process.is_alive()]
        return [died for died in found if died is not None]

    def _look(self, key: tuple[str, str], runner: _Runner) -> Died | None:
        try:
            health = runner.stub.Health(runner_pb2.HealthRequest(), timeout=HEALTH_S)
            if health.ready:
                return None
            stuck_s = health.stuck_for.ToMicroseconds() / 1e6
            code, why = Code.HANG, f"inference has made no progress for {stuck_s:.1f} s"
        except grpc.RpcError:
            code, why = Code.HANG, f"Health was not answered within {HEALTH_S:.0f} s"
        if not runner.process.is_alive():
            code, why = Code.CRASH, "its process ended"
        with self._lock:
            if self._runners.get(key) is not runner:
                return None  # let go of meanwhile
            del self._runners[key]
        runner.process.kill()
        runner.channel.close()
        self._store.record_process(_name(key), None)
        return Died(key[0], key[1], code, f"the runner of {key[1]}, pid {runner.process.pid}: {why}")

    # Small words

    def _runner(self, slot: str, version: str) -> _Runner:
        with self._lock:
            runner = self._runners.get((slot, version))
        if runner is None:
            raise TransportError(f"[runner] {version} has no runner in slot {slot}")
        return runner

    def _forget(self, key: tuple[str, str]) -> None:
        with self._lock:
            runner = self._runners.pop(key, None)
        if runner is not None:
            runner.channel.close()

    def _socket(self, key: tuple[str, str]) -> Path:
        # Short: a Unix socket's path has at most 107 bytes.
        return self._folders.run / (hashlib.sha256("/".join(key).encode()).hexdigest()[:12] + ".sock")


def _name(key: tuple[str, str]) -> str:
    return f"runner/{key[0]}/{key[1]}"


def _failed(action: Load | SelfTest | Serve, step: int, error: Exception) -> StepFailed:
    """What an error means for an update."""
    if is_full(error):
        code = Code.NO_SPACE
    elif isinstance(error, IntegrityError):
        code = Code.INTEGRITY
    elif isinstance(error, DeadlineError):
        code = Code.HANG
    elif isinstance(error, InternalError | OSError):
        code = Code.INTERNAL
    elif isinstance(action, SelfTest):
        code = Code.SELFTEST_FAILED
    else:
        code = Code.BUILD_FAILED
    return StepFailed(action.slot, step, code, str(error))
