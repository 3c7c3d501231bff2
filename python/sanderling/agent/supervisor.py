"""The agent's process: the driver in real time, over real ports."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from sanderling.agent.actions import (
    Action,
    CheckIn,
    Collect,
    Fetch,
    ForgetTelemetry,
    Keep,
    Load,
    Observe,
    Resolve,
    SelfTest,
    Serve,
    Verify,
)
from sanderling.agent.attached import AttachedListener
from sanderling.agent.blobs import BlobStore, write_durably
from sanderling.agent.check_in import CheckIns
from sanderling.agent.driver import Driver
from sanderling.agent.events import Event, Hinted
from sanderling.agent.facts import find_facts, host_of
from sanderling.agent.files import Files
from sanderling.agent.identity import Identity
from sanderling.agent.mqtt import BrokerLink
from sanderling.agent.notify import notify, watchdog_s
from sanderling.agent.outbox import Caps
from sanderling.agent.ports import Later, WallClock
from sanderling.agent.processes import boot_id, few_arenas, wait_for_an_end
from sanderling.agent.restarts import Restarts
from sanderling.agent.router_client import RouterClient
from sanderling.agent.runners import Folders, Runners
from sanderling.agent.samples import SampleUploads
from sanderling.agent.state import Settings
from sanderling.agent.store import SqliteStore
from sanderling.agent.transport import FleetClient
from sanderling.agent.tuf_client import SignedVersions
from sanderling.agent.workers import Workers
from sanderling.errors import InputError, SanderlingError

_HEALTH_S = 1.0
_FLOOR_S = 600.0
_SOCKET_BYTES = 107  # of sockaddr_un
GROUP = "sanderling"
"""Whose members may attach: they read models and write what they saw."""
_log = logging.getLogger("sanderling.agent")


@dataclass(frozen=True)
class Options:
    """How an agent runs.

    Attributes:
        state: Its folder.
        host: Where the router listens.
        port: Of the router; 0 lets it choose one, which it keeps.
        profile: Name of the device profile.
        blobs_bytes: Quota of models.
        outbox: Caps of telemetry that waits.
        threads: Of each runner, 0 for its default.
        settings: Of the rules.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    profile: str = ""
    blobs_bytes: int = 4 << 30
    outbox: Caps = field(default_factory=Caps)
    threads: int = 0
    settings: Settings = field(default_factory=Settings)


class Supervisor:
    """One agent.

    Args:
        options: How it runs.

    Raises:
        AuthError: The device is not enrolled.
        InputError: Another agent uses this folder, or its path is too long.
        IntegrityError: The state on the disk is damaged.
    """

    def __init__(self, options: Options) -> None:
        state = options.state
        self._options, self._stop, self._end_all = options, threading.Event(), False
        # It stays open: a signal may come after the end.
        self._interrupted = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._identity = Identity.load(state / "identity")
        longest = state / "run" / "0123456789ab.sock.http"
        if len(os.fsencode(longest)) > _SOCKET_BYTES:
            raise InputError(f"[agent] {longest} is too long for a Unix socket. Use a shorter state folder")
        self._lock_file = _lock(state)
        for name in ("run", "logs", "attach", "blobs"):
            (state / name).mkdir(mode=0o700, exist_ok=True)
        share(state, state / "attach", state / "blobs")
        self._boot = boot_id()
        self._floor_at = 0.0
        self.clock = WallClock(_floor(state))
        self.store = SqliteStore(state / "state.db", options.outbox)
        self.blobs = BlobStore(state / "blobs", options.blobs_bytes)
        for digest in self.blobs.start(self._boot):
            _log.warning("blob %s was damaged by a power cut; it is fetched again when it is needed", digest[:16])
        self._workers = Workers()
        facts, client = find_facts(options.profile), FleetClient(lambda: self._identity)
        versions = SignedVersions(state / "tuf", self._identity.tuf_root, client, self._wall)
        self._check_ins = CheckIns(client, versions, self.store, facts, lambda: self._identity, self._moved, self._wall)
        self._files = Files(self.blobs, versions, client, host_of(facts), self._wall)
        self.router = RouterClient(state / "router", self.store, state / "logs", options.host, options.port)
        folders = Folders(state / "run", state / "logs", state / "attach")
        self._attached = AttachedListener(
            folders.attach, lambda seen: self.driver.post(seen), lambda: self.driver.backlog
        )
        self.runners = Runners(
            self._identity.device_id,
            self.blobs,
            self.store,
            self.router,
            folders,
            self._files.fetch,
            options.threads,
            self._attached.open,
            self._interrupt_watch,
        )
        self._samples = SampleUploads(client.upload_samples, self.runners)
        self.driver = Driver(
            self._identity.device_id, self._boot, self.clock, self.store, self._perform, options.settings
        )
        self._link = BrokerLink(
            lambda: self._identity, self.store, self._boot, lambda spread_s: self.driver.post(Hinted(spread_s))
        )

    def run(self) -> None:
        """Runs until `stop`."""
        self.router.ensure()
        self.runners.sweep()
        self._attached.start()
        watcher = threading.Thread(target=self._watch, name="agent watch", daemon=True)
        watcher.start()
        self._link.start()
        notify("READY=1")
        try:
            while not self._stop.is_set():
                self.driver.run(self.clock.now() + min(watchdog_s(), 10.0), self._stop.is_set)
                notify("WATCHDOG=1")
                self._note_time()
                self._link.follow()
        finally:
            self._close(watcher)

    def stop(self, end_all: bool = False) -> None:
        """Ends `run`; safe in a signal handler.

        Args:
            end_all: Ends runners and router too; else they go on answering, and the next agent adopts them.
        """
        self._end_all = self._end_all or end_all
        self._stop.set()
        self._interrupt_watch()
        self.clock.interrupt()

    def _interrupt_watch(self) -> None:
        os.eventfd_write(self._interrupted, 1)

    def _close(self, watcher: threading.Thread) -> None:
        notify("STOPPING=1")
        self.stop()
        self._link.stop()
        watcher.join(5.0)
        self._attached.close()
        self._workers.close(5.0)
        self.runners.fork_server.close()
        if self._end_all:
            self.router.end()
            for slot in self.runners.slots():  # their records, adopted or not
                for end in self.runners.keep(slot, set()):
                    end()
        self._note_time(at_once=True)
        self.blobs.stop(self._boot)
        self.store.close()
        self._lock_file.close()

    # The driver's Performer

    def _perform(self, action: Action) -> Iterator[Later]:
        if isinstance(action, ForgetTelemetry):
            self.store.forget(action.boot_id, action.sequence)
        elif isinstance(action, CheckIn):
            self._link.before_check_in()
            self._submit("fleet", partial(self._check_ins.perform, action))
            self._submit("fleet", self._send_samples)
        elif isinstance(action, Resolve | Fetch | Verify | Collect):
            self._submit("files", partial(self._files.perform, action))
        elif isinstance(action, Load | SelfTest | Serve | Observe):
            self._submit(_lane(action), partial(self.runners.perform, action))
        elif isinstance(action, Keep):
            for slot in self.runners.slots() | {slot for slot, _ in action.runners}:
                versions = {version for owner, version in action.runners if owner == slot}
                self._submit(f"try {slot}", partial(self._keep, slot, versions))
        return iter(())

    def _send_samples(self) -> None:
        state = self.driver.state
        running = [(slot.name, slot.active.release.version) for slot in state.slots.values() if slot.active]
        if state.plan.sample_budget_bytes and state.approved:
            self._samples.send(running, state.plan.sample_budget_bytes)

    def _submit(self, key: str, work: Callable[[], Event | None]) -> None:
        def answer() -> None:
            event = work()
            if event is not None:
                self.driver.post(event)

        self._workers.submit(key, answer)

    def _keep(self, slot: str, versions: set[str]) -> None:
        # Draining takes seconds, in which the slot's other work must go on.
        for end in self.runners.keep(slot, versions):
            self._workers.submit("drain", end)

    # Beside the driver

    def _watch(self) -> None:
        health_at, restarts = 0.0, Restarts("router", self.router.ensure)
        while not self._stop.is_set():
            # A hang is found by asking, an end at once: until then requests wait.
            router = self.router.process
            wait_s = min(_HEALTH_S, restarts.pause_s() or _HEALTH_S)
            wait_for_an_end([*self.runners.running(), *([router] if router else [])], wait_s, self._interrupted)
            if self._stop.is_set():
                return
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._interrupted)  # by a runner that is new: it is waited for from now on
            ask = time.monotonic() >= health_at
            if ask:
                health_at = time.monotonic() + _HEALTH_S
            for died in self.runners.look(health=ask):
                self.driver.post(died)
            restarts.look()
            self.runners.fork_server.rest()

    def _moved(self, identity: Identity) -> None:
        self._identity = identity

    def _wall(self) -> float:
        """For expiry: the later of our clock and the system's, which may have been set since the start."""
        return max(self.clock.now(), time.time())

    def _note_time(self, at_once: bool = False) -> None:
        now = self._wall()
        if at_once or now - self._floor_at > _FLOOR_S:
            self._floor_at = now
            with contextlib.suppress(SanderlingError, OSError):
                write_durably(self._options.state / "clock", str(int(now)).encode())


def run_agent(options: Options) -> None:
    """Runs an agent until SIGTERM, which leaves runners and router to the next one, or SIGINT, which ends them too."""
    few_arenas()
    agent = Supervisor(options)
    heard, tell = os.pipe()

    def listen() -> None:
        for word in iter(lambda: os.read(heard, 1), b""):
            agent.stop(end_all=word == b"a")

    # A handler runs inside whatever the main thread does, also inside a lock that `stop` takes: another thread stops.
    threading.Thread(target=listen, name="agent signals", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _tell(tell, b"t"))
    signal.signal(signal.SIGINT, lambda *_: _tell(tell, b"a"))
    agent.run()


def _lane(action: Load | SelfTest | Serve | Observe) -> str:
    """Key of a worker: what requests wait for never waits for a candidate that loads or a look that is not answered.

    `Keep` goes with the candidates: it must not overtake the Load of one that it lets go of.
    """
    if isinstance(action, Observe):
        return f"look {action.slot}"
    if isinstance(action, SelfTest) or (isinstance(action, Load) and action.step):
        return f"try {action.slot}"
    return f"serve {action.slot}"


def _tell(pipe: int, word: bytes) -> None:
    os.write(pipe, word)


def share(*folders: Path, group: str = GROUP) -> None:
    """Lets a group read folders and what will be made in them; where there is no such group nobody else may.

    Args:
        folders: Become 2750.
        group: Its name.
    """
    for folder in folders:
        mode = 0o700
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(folder, -1, grp.getgrnam(group).gr_gid)
            mode = 0o2750  # what is made in it is of its group
        folder.chmod(mode)


def _lock(state: Path) -> IO[str]:
    file = (state / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise InputError(f"[agent] {state} is used by another agent. Stop that one first") from error
    os.set_inheritable(file.fileno(), False)
    return file


def _floor(state: Path) -> float:
    """A time that has certainly passed; 0 at the first start."""
    try:
        return float((state / "clock").read_text())
    except (OSError, ValueError):
        return 0.0
