"""What version is active in a slot, for applications on the same device that run it themselves.

In the folder `attach` of the agent's state:

    SLOT.json         what is active: version, digest of its manifest, folder of its blobs
    SLOT.generation   8 bytes in the machine's order, little-endian wherever Sanderling runs: a counter that
                      applications map and compare at each call
    SLOT.socket       where the agent takes what they saw

The agent renames SLOT.json into place before it moves the counter: who sees the new number finds the new version.
Needs no NumPy: the agent imports it.
"""

from __future__ import annotations

import json
import mmap
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sanderling.errors import IntegrityError, TransportError

_COUNTER_BYTES = 8
_MODE = 0o640


@dataclass(frozen=True)
class Active:
    """The active version of a slot.

    Attributes:
        version: "NAME-VERSION".
        manifest_digest: SHA-256 of the manifest, in hex.
        blobs_folder: Absolute path of the content-addressed folder.
        device_id: Seeds the split into rank cells.
        window_rows: Rows of a window.
        warmup_rows: Rows from which what is normal is learned.
        fleet_devices: One device alarms at so many times the fleet's alarm level.
    """

    version: str
    manifest_digest: str
    blobs_folder: str
    device_id: str = ""
    window_rows: int = 200
    warmup_rows: int = 2000
    fleet_devices: int = 1


def write_active(folder: str | os.PathLike[str], slot: str, active: Active) -> int:
    """Makes `active` the slot's version for attached applications; called by the agent alone.

    Returns:
        The counter's new value, at least 1.
    """
    top = Path(folder)
    _replace(_description(top, slot), json.dumps(asdict(active), sort_keys=True).encode())
    counter = _counter(top, slot)
    if not counter.exists() or counter.stat().st_size != _COUNTER_BYTES:  # a power cut may leave an empty file
        _replace(counter, bytes(_COUNTER_BYTES))  # by rename: a reader must not map a file that is still empty
    with counter.open("r+b") as file, mmap.mmap(file.fileno(), _COUNTER_BYTES) as mapped:
        # One aligned store of 8 bytes: a reader sees the old number or the new.
        numbers = memoryview(mapped).cast("Q")
        try:
            numbers[0] = value = int(numbers[0]) + 1
        finally:
            numbers.release()
    return value


def read_active(folder: str | os.PathLike[str], slot: str) -> Active:
    """What is active in the slot.

    Raises:
        TransportError: Nothing is, or this process may not read it.
        IntegrityError: The file is damaged.
    """
    path = _description(Path(folder), slot)
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        return Active(**document)
    except OSError as error:
        raise TransportError(
            f"[attach] no active version in slot {slot!r}: {path}: {error.strerror}. Is the agent running, and is this "
            "process in the group sanderling?"
        ) from error
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"[attach] {path} is damaged: {error}. Restart the agent, which writes it anew") from error


def socket_path(folder: str | os.PathLike[str], slot: str) -> Path:
    """Where the agent takes what attached applications saw."""
    return Path(folder) / f"{slot}.socket"


class Generation:
    """The slot's counter, mapped: reading it costs no system call.

    Raises:
        TransportError: There is none yet, or this process may not read it.
    """

    def __init__(self, folder: str | os.PathLike[str], slot: str) -> None:
        path = _counter(Path(folder), slot)
        try:
            with path.open("rb") as file:
                self._mapped = mmap.mmap(file.fileno(), _COUNTER_BYTES, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise TransportError(
                f"[attach] no counter of slot {slot!r}: {path}: {error}. Is the agent running, and is this process in "
                "the group sanderling?"
            ) from error
        self._numbers = memoryview(self._mapped).cast("Q")

    def read(self) -> int:
        """Its value now."""
        return self._numbers[0]

    def close(self) -> None:
        """Unmaps it."""
        self._numbers.release()
        self._mapped.close()


def _description(folder: Path, slot: str) -> Path:
    return folder / f"{slot}.json"


def _counter(folder: Path, slot: str) -> Path:
    return folder / f"{slot}.generation"


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, _MODE)  # whatever the umask: the group reads it
        file.write(data)
    partial.replace(path)
