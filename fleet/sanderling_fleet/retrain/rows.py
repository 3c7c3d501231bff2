"""Samples in memory, and as one .npz without pickle: what a labeller is given and what a trainer learns from.

Arrays of the file: "in:NAME" [rows, ...] for each input of the model, "device_id", "sample_id", "uniform", "weight" and
"window" [rows], and "label" where there are labels.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling.errors import InputError

Array = npt.NDArray[Any]
_IN = "in:"
_COLUMNS = {"device_id": "U", "sample_id": "u", "uniform": "b", "weight": "f", "window": "u"}
GATE_SHARE = 0.25
"""Of the labelled samples: at most so many judge the challenger instead of training it."""


@dataclass(frozen=True, eq=False)
class SampleRows:
    """Rows that devices kept.

    Attributes:
        inputs: By input name, [rows, ...].
        device_id: Who sent it.
        sample_id: As the device numbered it.
        uniform: True for the even share of what a device saw, false for what looked drifted.
        weight: 1 / (chance of having been kept).
        window: Of the device, in which it was seen.
    """

    inputs: Mapping[str, Array]
    device_id: Array
    sample_id: Array
    uniform: Array
    weight: Array
    window: Array

    def __len__(self) -> int:
        """How many rows."""
        return len(self.device_id)

    def keys(self) -> list[tuple[str, int]]:
        """What names each row: (device id, sample id)."""
        return list(zip(self.device_id.tolist(), self.sample_id.tolist(), strict=True))

    def take(self, index: Array | Sequence[int]) -> SampleRows:
        """Some of the rows."""
        chosen = np.asarray(index, dtype=np.int64)
        columns = {name: getattr(self, name)[chosen] for name in _COLUMNS}
        return SampleRows({name: array[chosen] for name, array in self.inputs.items()}, **columns)

    def for_gate(self) -> npt.NDArray[np.bool_]:
        """Which rows judge the challenger: of the uniform ones, up to `GATE_SHARE` of all rows.

        By a hash of their names, so that the same rows are kept out of training in every attempt and every job.
        """
        most = int(GATE_SHARE * len(self))
        ranked = sorted(
            (hashlib.sha256(f"{device}/{sample}".encode()).digest(), i)
            for i, (device, sample) in enumerate(self.keys())
            if self.uniform[i]
        )
        chosen = np.zeros(len(self), bool)
        chosen[[i for _, i in ranked[:most]]] = True
        return chosen


def write_rows(rows: SampleRows) -> bytes:
    """Writes the file; equal rows give equal bytes."""
    arrays = {_IN + name: array for name, array in rows.inputs.items()}
    return write_arrays(arrays | {name: getattr(rows, name) for name in _COLUMNS})


def read_rows(data: bytes) -> SampleRows:
    """Reads what `write_rows` wrote.

    Raises:
        InputError: It is damaged, or no such file.
    """
    arrays = read_arrays(data, "samples")
    inputs = {name.removeprefix(_IN): array for name, array in arrays.items() if name.startswith(_IN)}
    wrong = [name for name, kind in _COLUMNS.items() if name not in arrays or arrays[name].dtype.kind != kind]
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if wrong or not inputs or len(set(counts.values())) != 1:
        raise InputError(f"[samples] no file of samples: arrays {sorted(arrays)}, rows {counts}. Export it anew")
    return SampleRows(inputs, **{name: arrays[name] for name in _COLUMNS})


def write_arrays(arrays: Mapping[str, Array]) -> bytes:
    """An .npz without pickle and without times, so that equal arrays give equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted(arrays.items()):
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), write_array(array))
    return stream.getvalue()


def read_arrays(data: bytes, what: str, *, most_bytes: int | None = None) -> dict[str, Array]:
    """Reads an .npz.

    Args:
        data: The file.
        what: Named in errors.
        most_bytes: That it may have unpacked, if it may be hostile.

    Raises:
        InputError: It is damaged, too large, or holds Python objects.
    """
    try:
        if most_bytes is not None:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                size = sum(item.file_size for item in archive.infolist())
            if size > most_bytes:
                raise ValueError(f"{size:,} bytes unpacked, expected at most {most_bytes:,}")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds on damaged bytes
        raise InputError(f"[{what}] no readable .npz: {error!r}. Save it with numpy.savez, without objects") from error


def write_array(array: Array) -> bytes:
    """An .npy without pickle."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def read_array(data: bytes, what: str) -> Array:
    """Reads an .npy that may be hostile: nothing is allocated that its bytes do not fill.

    Raises:
        InputError: It is damaged, cut, holds Python objects, or has bytes after its array.
    """
    stream = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(stream) == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        content = data[stream.tell() :]
        wanted = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or wanted != len(content):
            raise ValueError(f"{dtype}{list(shape)} is {wanted:,} bytes, here are {len(content):,}")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    except Exception as error:  # a hostile header raises whatever its parser does
        raise InputError(f"[{what}] no readable .npy without objects: {error!r}") from error
