"""Processes that outlive the agent: started apart from it, recorded, and known again by pid, start time and boot id."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

_M_ARENA_MAX = -8  # of <malloc.h>


@functools.cache
def boot_id() -> str:
    """Of the running kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Process:
    """A process as it is recorded: the three together name it for ever."""

    pid: int
    start_ticks: int
    boot_id: str

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Process:
        """Reads `to_text`."""
        return cls(**json.loads(text))

    @property
    def instance(self) -> str:
        """One word that no other process has."""
        return f"{self.boot_id}:{self.pid}:{self.start_ticks}"

    def is_alive(self) -> bool:
        """Whether this very process runs; a child of ours that has ended is reaped."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return self.boot_id == boot_id() and running_since(self.pid) == self.start_ticks

    def send(self, number: signal.Signals) -> bool:
        """Sends a signal to this very process, never to one that got its pid; False if it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if not self.is_alive():
                return False
            signal.pidfd_send_signal(handle, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)

    def wait_gone(self, timeout_s: float) -> bool:
        """Waits until it has ended; False if it has not in time."""
        return wait_for(lambda: not self.is_alive(), timeout_s)

    def kill(self) -> None:
        """Ends it by SIGKILL and waits for it, at most five seconds."""
        if self.send(signal.SIGKILL):
            self.wait_gone(5.0)


def start(command: Sequence[str], log: Path) -> Process:
    """Starts a process in a session of its own, so that what ends the agent does not end it.

    Args:
        command: Program and arguments.
        log: Both of its outputs are added to this file.

    Raises:
        OSError: It cannot be started.
    """
    with open_log(log) as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, close_fds=True
        )
    child.returncode = 0  # we reap it by pid: Popen must not warn that it was left running
    return Process(child.pid, running_since(child.pid) or 0, boot_id())


def open_log(log: Path) -> IO[bytes]:
    """To add to; a long one is put aside before."""
    if log.exists() and log.stat().st_size > 1 << 20:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def wait_for_an_end(processes: Iterable[Process], timeout_s: float, interrupted: int) -> None:
    """Waits until one of the processes that run now has ended, or `interrupted`, a descriptor, can be read."""
    handles = []
    try:
        for process in processes:
            with contextlib.suppress(OSError):  # it is gone, and whoever asks for its state is told so
                handles.append(os.pidfd_open(process.pid))
                if not process.is_alive():
                    os.close(handles.pop())
        waiting = select.poll()  # select() takes no descriptor above 1023
        for descriptor in (interrupted, *handles):
            waiting.register(descriptor, select.POLLIN)
        waiting.poll(timeout_s * 1000)
    finally:
        for handle in handles:
            os.close(handle)


def few_arenas() -> None:
    """Has glibc give memory to all threads from one arena: an agent's and a runner's threads seldom ask at once."""
    with contextlib.suppress(AttributeError, OSError):  # another C library has no such arenas
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def find(module: str, option: str, path: Path) -> list[Process]:
    """Processes of this user that run a Python module with a path as this option.

    An agent that was killed after it had started one and before it had recorded it knows it by nothing else.
    """
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if folder.stat().st_uid != os.getuid() or module not in words or option not in words[:-1]:
                continue
            # A relative path is that of the process's folder, which need not be ours.
            its_path = (folder / "cwd").readlink() / words[words.index(option) + 1]
        except OSError:
            continue
        started = running_since(int(folder.name))
        if started is not None and its_path.resolve() == path.resolve():
            found.append(Process(int(folder.name), started, boot_id()))
    return found


def wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Asks every 20 ms until it holds; False if it did not in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    return True


def running_since(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None if it has ended, also if nobody has reaped it yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
