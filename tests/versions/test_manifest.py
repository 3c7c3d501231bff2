"""Manifests and bundles: what is written is read back equal; what is damaged, disguised or unknown is refused."""

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sanderling.errors import IntegrityError
from sanderling.versions import (
    Blob,
    Bundle,
    Compatibility,
    Host,
    Lineage,
    Manifest,
    Tensor,
    check_blob,
    read_bundle,
    split_version,
    write_bundle,
)

MODEL = b"\x08\x0a\x12\x04test"
HOST = Host("x86_64", ("avx2", "scalar"), 4 << 30, "", "0.1.0")


def npz(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def blob(data: bytes) -> Blob:
    return Blob(hashlib.sha256(data).digest(), len(data))


def manifest(blobs: dict[str, bytes] | None = None, **fields: object) -> Manifest:
    named = blobs or {"model.onnx": MODEL}
    return replace(
        Manifest(
            name="digits",
            version="1.2.0",
            release_counter=7,
            inputs=(Tensor("image", "float32", (None, 1, 8, 8)),),
            outputs=(Tensor("digit", "float32", (None, 10)),),
            blobs={name: blob(data) for name, data in named.items()},
            labels=tuple("0123456789"),
            compatibility=Compatibility(machines=("x86_64", "aarch64"), runtime=">=0.1,<2"),
            preprocessing={"scale": 1.0},
            golden_tolerance=1e-3,
            lineage=Lineage(parent="digits-1.1.0"),
        ),
        **fields,
    )


def test_a_manifest_comes_back_equal():
    there = manifest()
    assert Manifest.from_bytes(there.to_bytes()) == there
    assert there.digest == hashlib.sha256(there.to_bytes()).digest()


@pytest.mark.parametrize(
    "text", ["digits", "Digits-1", "digits-x", "-1", "digits-", "digits-1-", "../x-1", "digits-1/2"]
)
def test_names_that_are_none(text: str):
    with pytest.raises(IntegrityError, match="no NAME-VERSION"):
        split_version(text)


def test_names():
    assert split_version("face_id-v2-10.0.1") == ("face_id-v2", "10.0.1")


@pytest.mark.parametrize(
    "name",
    ["weights.pkl", "model.pt", "model.pth", "x.joblib", "a.py", "b", "../model.onnx", "/model.onnx", "a\\b.onnx", ""],
)
def test_refused_blob_names(name: str):
    with pytest.raises(IntegrityError, match="blob"):
        manifest({"model.onnx": MODEL, name: b"1"})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_in_disguise_is_refused(protocol: int):
    with pytest.raises(IntegrityError, match="is a pickle"):
        check_blob("model.onnx", pickle.dumps({"weights": [1, 2]}, protocol=protocol))


def test_arrays_of_objects_are_refused():
    objects = np.array([{"a": 1}, None], dtype=object)
    with pytest.raises(IntegrityError, match="holds Python objects"):
        check_blob("golden.npz", npz(x=objects))
    check_blob("golden.npz", npz(x=np.zeros(3, np.float32)))


def npy(header: bytes, version: int = 1) -> bytes:
    width = 2 if version == 1 else 4
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(width, "little") + header + b"\x80\x04."


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n",
        b'{"descr": "|O", "fortran_order": False, "shape": (1,), }\n',
        b"{\n'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n",
        b"{'descr': 'object', 'fortran_order': False, 'shape': (1,), }\n",
        b"{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }\n",
        (b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }" + b" " * 300)[:266],  # its length has a line break
    ],
)
def test_an_array_of_objects_is_refused(header: bytes, version: int):
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(io.BytesIO(npy(header, version)))
    with pytest.raises(IntegrityError, match="Python objects"):
        check_blob("rows.npy", npy(header, version))


def test_a_zip_with_a_pickle_is_refused():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(1))
    with pytest.raises(IntegrityError, match=r"data\.pkl"):
        check_blob("golden.npz", stream.getvalue())
    with pytest.raises(IntegrityError, match="damaged zip"):
        check_blob("golden.npz", stream.getvalue()[:-30])


def test_damaged_manifests_are_refused():
    good = manifest().to_bytes()
    for end in range(0, len(good) - 1, 7):
        with pytest.raises(IntegrityError):
            Manifest.from_bytes(good[:end])
    document = json.loads(good)
    for key in document:
        for wrong in (None, [], {}, "", 0, -1, True, "x" * 99, [[]], {"a": 1}):
            changed = json.dumps({**document, key: wrong}, sort_keys=True, separators=(",", ":")).encode()
            if changed == good:
                continue
            try:
                read = Manifest.from_bytes(changed)
            except IntegrityError:
                continue
            assert read.to_bytes() == changed  # another valid manifest, such as one without labels


def test_unknown_fields_and_formats_are_refused():
    document = json.loads(manifest().to_bytes())
    with pytest.raises(IntegrityError, match="fields that this release does not know"):
        Manifest.from_bytes(json.dumps({**document, "run": "x"}, sort_keys=True, separators=(",", ":")).encode())
    with pytest.raises(IntegrityError, match="format is 2, this release reads 1"):
        Manifest.from_bytes(json.dumps({**document, "format": 2}).encode())


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Compatibility(machines=("aarch64",)), "machine is x86_64, wanted is aarch64"),
        (Compatibility(isas=("neon",)), "instruction sets are avx2, scalar, wanted is neon"),
        (Compatibility(min_memory_bytes=8 << 30), "memory is 4,294,967,296 bytes, wanted are 8,589,934,592"),
        (Compatibility(accelerator="cuda"), "accelerator is none, wanted is cuda"),
        (Compatibility(runtime=">=0.2"), "runtime is 0.1.0, wanted is >=0.2"),
        (Compatibility(runtime=">=0.1,<0.1.0"), "runtime is 0.1.0, wanted is >=0.1,<0.1.0"),
        (Compatibility(runtime=">=0.1,<0.10"), None),
        (Compatibility(), None),
    ],
)
def test_compatibility(wanted: Compatibility, why: str | None):
    assert wanted.why_not(HOST) == why


@pytest.mark.parametrize("runtime", ["new", ">=x", "0.1", ">=0.1;<2", ">=0.1,"])
def test_a_range_that_cannot_be_read_is_refused(runtime: str):
    with pytest.raises(IntegrityError, match="expected ranges"):
        Compatibility(runtime=runtime)


def test_a_bundle_comes_back_equal_and_its_bytes_are_stable(tmp_path: Path):
    blobs = {"model.onnx": MODEL, "golden.npz": npz(x=np.arange(4.0))}
    there = Bundle(manifest(blobs), blobs)
    path = write_bundle(there, tmp_path)
    assert path.name == "digits-1.2.0.sanderling"
    first = path.read_bytes()
    assert read_bundle(path) == there
    assert write_bundle(there, tmp_path).read_bytes() == first


def test_every_flipped_byte_of_a_blob_is_found(tmp_path: Path):
    blobs = {"model.onnx": MODEL}
    path = write_bundle(Bundle(manifest(blobs), blobs), tmp_path)
    good = path.read_bytes()
    at = good.index(MODEL)
    for i in range(len(MODEL)):
        path.write_bytes(good[: at + i] + bytes([good[at + i] ^ 1]) + good[at + i + 1 :])
        with pytest.raises(IntegrityError):
            read_bundle(path)
    for end in range(0, len(good), 11):
        path.write_bytes(good[:end])
        with pytest.raises(IntegrityError):
            read_bundle(path)


def test_left_over_and_missing_blobs(tmp_path: Path):
    with pytest.raises(IntegrityError, match="its manifest names"):
        Bundle(manifest(), {"model.onnx": MODEL, "more.json": b"{}"})
    with pytest.raises(IntegrityError, match="its manifest names"):
        Bundle(manifest({"model.onnx": MODEL, "more.json": b"{}"}), {"model.onnx": MODEL})
    path = tmp_path / "x-1.sanderling"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", manifest().to_bytes())
        archive.writestr("model.onnx", MODEL)
    with pytest.raises(IntegrityError, match="compressed"):
        read_bundle(path)
