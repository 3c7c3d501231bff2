"""The manifest of a model version: JSON that TUF's targets name by its digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sanderling.errors import IntegrityError
from sanderling.versions._formats import check_name

FORMAT = 1
MOST_MANIFEST_BYTES = 1 << 20
MOST_BLOBS = 256
MODEL, REFERENCE, GOLDEN, REPORT = "model.onnx", "version.reference", "golden.npz", "quantization.json"
"""Names of the blobs that have a meaning: the model, its drift reference, golden samples, the quantization report."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}(-[a-z0-9_]+)*")
_VERSION = re.compile(r"[0-9][0-9A-Za-z._+]{0,62}")
_RANGE = re.compile(r"(>=|<=|==|<|>)([0-9]+(?:\.[0-9]+)*)")


def split_version(text: str) -> tuple[str, str]:
    """Splits "NAME-VERSION" at its last dash.

    Raises:
        IntegrityError: It is not of this form.
    """
    name, dash, version = text.rpartition("-")
    if not dash or not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise IntegrityError(
            f"[manifest] {text!r} is no NAME-VERSION: a name of lower-case letters, digits, _ and -, a dash, and a "
            "version that starts with a digit and has no dash, such as resnet-50-1.2.0"
        )
    return name, version


@dataclass(frozen=True)
class Blob:
    """One file of a version.

    Attributes:
        digest: SHA-256, 32 bytes.
        size: Bytes.
    """

    digest: bytes
    size: int


@dataclass(frozen=True)
class Tensor:
    """One input or output: its name, NumPy dtype name, and shape, where None is chosen at run time."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Host:
    """What a device is, as far as compatibility asks.

    Attributes:
        machine: Of uname: "x86_64", "aarch64".
        isas: Instruction sets of the engine that run there.
        memory_bytes: Of RAM.
        accelerator: Such as "cuda-13.0 sm_87"; empty without one.
        runtime_version: Of Sanderling, "0.1.0".
    """

    machine: str
    isas: Sequence[str]
    memory_bytes: int
    accelerator: str
    runtime_version: str


@dataclass(frozen=True)
class Compatibility:
    """Where a version runs; what is empty is not asked.

    Attributes:
        machines: One of these.
        isas: At least one of these.
        min_memory_bytes: At least so much RAM.
        accelerator: The device's accelerator starts with it.
        runtime: Ranges of Sanderling's version, all of which hold: ">=0.1,<2".
    """

    machines: tuple[str, ...] = ()
    isas: tuple[str, ...] = ()
    min_memory_bytes: int = 0
    accelerator: str = ""
    runtime: str = ""

    def __post_init__(self) -> None:
        """Checks `runtime`.

        Raises:
            IntegrityError: It is no list of ranges: one that cannot be read must not pass as none.
        """
        for part in self.runtime.split(",") if self.runtime else ():
            if not _RANGE.fullmatch(part.strip()):
                raise IntegrityError(f"[manifest] runtime is {self.runtime!r}, expected ranges such as >=0.1,<2")

    def why_not(self, host: Host) -> str | None:
        """What keeps a version from running on `host`, with both values; None if it may run."""
        if self.machines and host.machine not in self.machines:
            return f"machine is {host.machine}, wanted is {' or '.join(self.machines)}"
        if self.isas and not set(self.isas) & set(host.isas):
            return f"instruction sets are {', '.join(host.isas) or 'none'}, wanted is {' or '.join(self.isas)}"
        if host.memory_bytes < self.min_memory_bytes:
            return f"memory is {host.memory_bytes:,} bytes, wanted are {self.min_memory_bytes:,}"
        if not host.accelerator.startswith(self.accelerator):
            return f"accelerator is {host.accelerator or 'none'}, wanted is {self.accelerator}"
        for bound, wanted in _RANGE.findall(self.runtime):
            if not _holds(_numbers(host.runtime_version), bound, _numbers(wanted)):
                return f"runtime is {host.runtime_version}, wanted is {self.runtime}"
        return None


@dataclass(frozen=True)
class Lineage:
    """Where a version comes from; for people and for the audit.

    Attributes:
        parent: "NAME-VERSION" that it was trained from, or empty.
        data: Digest or name of the training rows.
        code: Commit or name of the training code.
        job: Retraining job, or empty.
    """

    parent: str = ""
    data: str = ""
    code: str = ""
    job: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a version is.

    Attributes:
        name: Of the model.
        version: Text without a dash that starts with a digit.
        release_counter: Higher than that of every version it may replace without a downgrade token.
        inputs: In the model's order.
        outputs: In the model's order.
        blobs: By file name; "model.onnx" is always there.
        labels: Of the classes of the first output, or empty.
        compatibility: Where it runs.
        preprocessing: What was done to rows before they are inputs; JSON of the user's own.
        golden_tolerance: Largest absolute difference of an output from that of a golden sample.
        lineage: Where it comes from.
    """

    name: str
    version: str
    release_counter: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    blobs: Mapping[str, Blob]
    labels: tuple[str, ...] = ()
    compatibility: Compatibility = Compatibility()
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    golden_tolerance: float = 0.0
    lineage: Lineage = Lineage()

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            IntegrityError: A field is out of range, a blob's name is refused, or there is no model.
        """
        split_version(self.full_name)
        if not 0 < self.release_counter < 1 << 53:
            raise IntegrityError(f"[manifest] release_counter is {self.release_counter}, expected 1 to 2^53 - 1")
        if MODEL not in self.blobs or len(self.blobs) > MOST_BLOBS:
            raise IntegrityError(
                f"[manifest] {len(self.blobs)} blobs, expected {MODEL} and at most {MOST_BLOBS - 1} more"
            )
        for name, blob in self.blobs.items():
            check_name(name)
            if len(blob.digest) != 32 or not 0 < blob.size < 1 << 40:
                raise IntegrityError(
                    f"[manifest] blob {name!r}: digest of {len(blob.digest)} bytes and size {blob.size}, expected "
                    "SHA-256 and 1 byte to 1 TiB"
                )

    @property
    def full_name(self) -> str:
        """The name and version, joined by a dash."""
        return f"{self.name}-{self.version}"

    @property
    def digest(self) -> bytes:
        """SHA-256 of `to_bytes()`."""
        return hashlib.sha256(self.to_bytes()).digest()

    def to_bytes(self) -> bytes:
        """Canonical JSON: the same manifest gives the same bytes."""
        document = {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "release_counter": self.release_counter,
            "inputs": [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in self.inputs],
            "outputs": [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in self.outputs],
            "blobs": {name: {"sha256": b.digest.hex(), "bytes": b.size} for name, b in self.blobs.items()},
            "labels": list(self.labels),
            "compatibility": {
                "machines": list(self.compatibility.machines),
                "isas": list(self.compatibility.isas),
                "min_memory_bytes": self.compatibility.min_memory_bytes,
                "accelerator": self.compatibility.accelerator,
                "runtime": self.compatibility.runtime,
            },
            "preprocessing": dict(self.preprocessing),
            "golden_tolerance": self.golden_tolerance,
            "lineage": vars(self.lineage),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Reads what `to_bytes` wrote. Unknown fields are refused: a field may restrict what the version may do.

        Raises:
            IntegrityError: The bytes are too many, no JSON, of another format, or break a rule of the fields.
        """
        if len(data) > MOST_MANIFEST_BYTES:
            raise IntegrityError(f"[manifest] {len(data):,} bytes, at most {MOST_MANIFEST_BYTES:,} are allowed")
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise IntegrityError(
                    f"[manifest] format is {document['format']!r}, this release reads {FORMAT}. Update Sanderling"
                )
            read = cls(
                name=_text(document["name"]),
                version=_text(document["version"]),
                release_counter=_whole(document["release_counter"]),
                inputs=_tensors(document["inputs"]),
                outputs=_tensors(document["outputs"]),
                blobs={
                    _text(name): Blob(bytes.fromhex(blob["sha256"]), _whole(blob["bytes"]))
                    for name, blob in document["blobs"].items()
                },
                labels=_texts(document["labels"]),
                compatibility=Compatibility(
                    machines=_texts(document["compatibility"]["machines"]),
                    isas=_texts(document["compatibility"]["isas"]),
                    min_memory_bytes=_whole(document["compatibility"]["min_memory_bytes"]),
                    accelerator=_text(document["compatibility"]["accelerator"]),
                    runtime=_text(document["compatibility"]["runtime"]),
                ),
                preprocessing=dict(document["preprocessing"]),
                golden_tolerance=float(document["golden_tolerance"]),
                lineage=Lineage(**{key: _text(value) for key, value in document["lineage"].items()}),
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise IntegrityError(f"[manifest] not a manifest: {type(error).__name__}: {error}") from error
        if read.to_bytes() != data:
            raise IntegrityError("[manifest] not in canonical form, or with fields that this release does not know")
        return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is no list")
    return tuple(_text(value) for value in values)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


def _tensors(values: Any) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(_text(t["name"]), _text(t["dtype"]), tuple(None if d is None else _whole(d) for d in t["shape"]))
        for t in values
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:4])


def _holds(have: tuple[int, ...], bound: str, wanted: tuple[int, ...]) -> bool:
    length = max(len(have), len(wanted))
    a, b = (numbers + (0,) * (length - len(numbers)) for numbers in (have, wanted))
    return {">=": a >= b, "<=": a <= b, "==": a == b, "<": a < b, ">": a > b}[bound]
