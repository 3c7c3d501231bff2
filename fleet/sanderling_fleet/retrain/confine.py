"""What a process that runs code of others may use: limits of the kernel, and the files that it was given.

`confine` is called in the child itself before it imports anything of others; it cannot be undone. Where the kernel has
Landlock (Linux 5.13 and later), the process and its children open no file outside the folders named: not the server's
keys, database or blobs, though they run as the same user. From Linux 6.12 on they send no signal to processes outside.
Where the kernel cannot, it says so, and the server should run as a user whose processes and files may be lost.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sanderling.errors import InputError

# Numbers of Linux's ABI (include/uapi/linux/landlock.h), the same on every architecture.
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14
_SCOPES_ABI, _SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 6, 1 << 0, 1 << 1
_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
# Of /etc only what libraries read: tokens and keys of other programs may lie there too.
_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/bin", "/sbin", "/sys/devices/system", "/proc/self", "/proc/cpuinfo", "/proc/meminfo"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/ssl", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/shm")


@dataclass(frozen=True)
class Limits:
    """What one process may use.

    Attributes:
        cpu_seconds: Of all its threads together.
        memory_bytes: Of address space.
        file_bytes: Of the largest file that it may write, its log included.
    """

    cpu_seconds: int = 6 * 3600
    memory_bytes: int = 8 << 30
    file_bytes: int = 4 << 30

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InputError: One is not above 0.
        """
        if min(self.cpu_seconds, self.memory_bytes, self.file_bytes) <= 0:
            raise InputError(f"[retrain] {self}: expected more than 0 each")


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine(limits: Limits, *, readable: Sequence[Path], writable: Sequence[Path]) -> str:
    """Binds this process and its children for good.

    Args:
        limits: Of the kernel's resources.
        readable: Folders and files beside Python's own and the system's.
        writable: Folders.

    Returns:
        What could not be had of this kernel, for the log; empty if all could.
    """
    for kind, most in (
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()
    # The kernel kills this process when the server dies, so that no trainer outlives the job that it belongs to.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return _restrict_files(libc, readable, writable)


def _restrict_files(libc: ctypes.CDLL, readable: Sequence[Path], writable: Sequence[Path]) -> str:
    abi = libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        reason = os.strerror(ctypes.get_errno())
        return f"no Landlock in this kernel ({reason}): this process can read all that the server's user can"
    handled = _ALL_BY_ABI[min(abi, 3)]
    scoped = abi >= _SCOPES_ABI
    ruleset = _Ruleset(handled, 0, _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if scoped else 0)
    # An older kernel knows the first field only.
    size = ctypes.sizeof(ruleset) if scoped else ctypes.sizeof(ctypes.c_uint64)
    descriptor = libc.syscall(_CREATE, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if descriptor < 0:
        return f"Landlock refused a ruleset: {os.strerror(ctypes.get_errno())}"
    try:
        python = {Path(entry) for entry in (*sys.path, sys.prefix, sys.base_prefix) if entry}
        for path in {*map(Path, _SYSTEM), *python, *readable}:
            _allow(libc, descriptor, path, _READ & handled)
        for path in {*map(Path, _DEVICES), *writable}:
            _allow(libc, descriptor, path, handled)
        if libc.syscall(_RESTRICT, descriptor, 0) != 0:
            return f"Landlock did not take hold: {os.strerror(ctypes.get_errno())}"
    finally:
        os.close(descriptor)
    return (
        "" if scoped else "Landlock of this kernel knows no scopes: this process can signal those of the server's user"
    )


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _Beneath(rights if path.is_dir() else rights & _FILE_RIGHTS, folder)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(folder)
