"""Runs a module in a process of its own: without the server's environment, with a log, progress and a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sanderling.errors import InputError
from sanderling_fleet.retrain.jobs import LOG_TAIL_CHARACTERS
from sanderling_fleet.trust.keys import private_folder

TASK, LOG, PROCESS = "task.json", "log.txt", "process.json"
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SANDERLING_ISA")
_MOST_PROGRESS_LINE, _MOST_PROGRESS_BYTES = 4096, 1 << 16
_PROGRESS_SECONDS = 0.1
"""At least so long from one look at the progress to the next: a trainer that floods the pipe waits, not the server."""
_LAST_PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class Finished:
    """How a process ended.

    Attributes:
        code: Its exit code; negative for the signal that killed it.
        overdue: It was killed because the deadline had passed.
        log_tail: The last that it printed.
    """

    code: int
    overdue: bool
    log_tail: str

    @property
    def how(self) -> str:
        """For a person."""
        if self.overdue:
            return "was killed at its deadline"
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"


def fresh_folder(folder: Path, given: Mapping[str, bytes]) -> tuple[Path, Path]:
    """Makes folder/given, which holds these files and is read-only, and folder/work, which is empty.

    What a former attempt left is killed and thrown away.
    """
    end_leftover(folder)
    discard(folder)
    inside, work = private_folder(folder / "given"), private_folder(folder / "work")
    for name, data in given.items():
        (inside / name).write_bytes(data)
        (inside / name).chmod(0o400)
    inside.chmod(0o500)
    return inside, work


def discard(folder: Path) -> None:
    """Deletes a folder however a process of others has left it, as long as none still works in it.

    Folders may be closed to their owner, and nested deeper than a path may be long or a program may recurse: each is
    opened, moved to the top and emptied there.
    """
    if not folder.exists():
        return
    folder.chmod(0o700)
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        names = (f".discarded-{number}" for number in itertools.count())
        waiting = [*_strip(top, top, names)]
        while waiting:
            name = waiting.pop()
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
            try:
                waiting += _strip(inner, top, names)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def _strip(folder: int, top: int, names: Iterator[str]) -> list[str]:
    """Deletes the files of an open folder and moves its folders to the top; their names there."""
    with os.scandir(folder) as found:
        entries = list(found)
    moved = []
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=folder)
            continue
        os.chmod(entry.name, 0o700, dir_fd=folder)
        moved.append(next(names))
        os.rename(entry.name, moved[-1], src_dir_fd=folder, dst_dir_fd=top)
    return moved


def end_leftover(folder: Path) -> bool:
    """Kills what is left of a process that a former server began in this folder; True if anything was."""
    try:
        said = json.loads((folder / PROCESS).read_text())
        leader, boot = int(said["pid"]), str(said["boot"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if boot != _boot_id():
        return False
    killed = False
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # After the name in parentheses: state, parent, group, session.
            session = int((process / "stat").read_text().rpartition(")")[2].split()[3])
            # A number may be another session's by now; that one does not stand in this folder.
            ours = session == leader and (process / "cwd").readlink().is_relative_to(folder.resolve())
        except (OSError, ValueError, IndexError):
            continue
        if ours:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)
            killed = True
    return killed


async def run_module(
    module: str,
    task: str,
    folder: Path,
    *,
    deadline_seconds: float,
    on_progress: Callable[[float, str], None] = lambda progress, tail: None,
) -> Finished:
    """Runs `python -m MODULE TASK.json DESCRIPTOR` in folder/work and waits for its end.

    It gets no variable but those that Python and its libraries need, a session of its own, and a pipe on which it
    writes its progress, one JSON number a line. When the caller is cancelled, or the deadline passes, it and all of its
    session are killed.

    Args:
        module: To be run; it must confine itself (`confine.confine`).
        task: JSON, written to folder/task.json.
        folder: As `fresh_folder` made it.
        deadline_seconds: From now.
        on_progress: Gets the progress and the log's tail.
    """
    (folder / TASK).write_text(task)
    log = folder / LOG
    reading, writing = os.pipe()
    try:
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", module, str(folder / TASK), str(writing)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder / "work",
                env=_environment(folder / "work"),
                pass_fds=(writing,),
                start_new_session=True,
            )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    (folder / PROCESS).write_text(json.dumps({"pid": process.pid, "boot": _boot_id()}))
    progress = asyncio.create_task(_follow(reading, log, on_progress))
    overdue = False
    try:
        async with asyncio.timeout(max(deadline_seconds, 0.0)):
            await process.wait()
    except TimeoutError:
        overdue = True
    finally:
        # Also after an orderly end: nothing that it started may go on.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = await asyncio.shield(process.wait())
        (folder / PROCESS).unlink(missing_ok=True)
        # The pipe ends with its writers; one that left the session may hold it open.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(progress, _LAST_PROGRESS_SECONDS)
    return Finished(code, overdue, tail_of(log))


def read_result(path: Path, most_bytes: int) -> bytes:
    """Reads a file that a process of others made.

    Raises:
        InputError: It is missing, too large, or no plain file: a link could name what only the server may read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(
            f"[retrain] {path.name} cannot be read: {error.strerror}. The trainer is to write it"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
            raise InputError(
                f"[retrain] {path.name} is no plain file or has more than {most_bytes:,} bytes ({found.st_size:,})"
            )
        return file.read(most_bytes)


def tail_of(log: Path) -> str:
    """The last of what was printed, as text."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_CHARACTERS))
            return file.read().decode(errors="replace").replace("\0", "")
    except FileNotFoundError:
        return ""


async def _follow(descriptor: int, log: Path, on_progress: Callable[[float, str], None]) -> None:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", 0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        rest = b""
        while data := await reader.read(_MOST_PROGRESS_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            progress = next((found for line in reversed(lines) if (found := _number(line)) is not None), None)
            if progress is not None:
                on_progress(progress, tail_of(log))
            rest = rest[-_MOST_PROGRESS_LINE:]
            await asyncio.sleep(_PROGRESS_SECONDS)
    finally:
        transport.close()


def _number(line: bytes) -> float | None:
    """The progress that a line tells; None if it is none."""
    try:
        return float(json.loads(line[:_MOST_PROGRESS_LINE]))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _environment(work: Path) -> dict[str, str]:
    variables = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    variables["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    return variables | {"HOME": str(work), "TMPDIR": str(work), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
