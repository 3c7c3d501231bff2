"""Which files a version may hold. What runs code when it is read is refused, by its name and by its first bytes."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import PurePosixPath

from sanderling.errors import IntegrityError

ALLOWED = (".onnx", ".json", ".npz", ".npy", ".reference")
"""Suffixes of blobs. An .npz or .npy is read with allow_pickle=False; .reference is drift.Reference.to_bytes()."""

_PICKLE_PROTOCOLS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_OBJECTS = re.compile(rb"""['"][|=<>]?(O[0-9]*|object_?)['"]""")
"""A dtype of Python objects in the header of an .npy file."""
_PROGRAMS = {b"\x7fELF": "an ELF program", b"MZ": "a Windows program", b"#!": "a script"}


def check_name(name: str) -> None:
    """Checks that a blob may have this name.

    Raises:
        IntegrityError: It is no plain relative file name, or its suffix is not one of `ALLOWED`.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name or not name.isascii():
        raise IntegrityError(f"[manifest] blob name {name!r} is not a plain relative path")
    if path.suffix not in ALLOWED:
        raise IntegrityError(
            f"[manifest] blob {name!r} has suffix {path.suffix or 'none'}, allowed are {', '.join(ALLOWED)}. Formats "
            "that run code when read (pickle, joblib, .pt) are refused: export the model to ONNX"
        )


def check_blob(name: str, data: bytes) -> None:
    """Checks that a blob's content is no executable format in disguise.

    Args:
        name: Its name in the manifest.
        data: Its bytes, whole.

    Raises:
        IntegrityError: The name is refused, or the content is a pickle or holds one.
    """
    check_name(name)
    if name.endswith(".npz"):
        _check_archive(name, data)
    elif name.endswith(".npy"):
        _check_array(name, data)
    else:
        _check_plain(name, data)


def _check_plain(name: str, data: bytes) -> None:
    # Protocols 0 and 1 are text and cannot be told from other text; nothing of ours unpickles anyway.
    if data.startswith(_PICKLE_PROTOCOLS) and data.rstrip(b"\n").endswith(b"."):
        raise IntegrityError(f"[manifest] blob {name!r} is a pickle: it would run code when read. Export to ONNX")
    for magic, what in _PROGRAMS.items():
        if data.startswith(magic):
            raise IntegrityError(f"[manifest] blob {name!r} is {what}")


def _check_array(name: str, data: bytes) -> None:
    if not data.startswith(b"\x93NUMPY"):
        raise IntegrityError(f"[manifest] blob {name!r} is no .npy file: it starts with {data[:6]!r}")
    # As NumPy reads it: by its length, whatever line breaks and quotes it has.
    start, size = (10, 2) if data[6:7] == b"\x01" else (12, 4)
    header = data[start : start + int.from_bytes(data[8 : 8 + size], "little")]
    if _OBJECTS.search(header):
        raise IntegrityError(f"[manifest] {name!r} holds Python objects, which are pickled. Save plain numbers")


def _check_archive(name: str, data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            for member, info in members.items():
                if not member.endswith(".npy"):
                    raise IntegrityError(f"[manifest] {name!r} holds {member!r}, expected .npy files only")
                with archive.open(info) as stream:
                    _check_array(f"{name}:{member}", stream.read(1 << 16))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise IntegrityError(f"[manifest] blob {name!r} is a damaged zip: {error}") from error
