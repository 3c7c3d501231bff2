"""Tensors whose data lies beside the model, and sparse ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import onnx
import sanderling
from onnx import TensorProto, helper, numpy_helper


def model_of(weights: list[TensorProto]) -> onnx.ModelProto:
    nodes = [helper.make_node("Add", ["x", weights[0].name], ["y"])]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [64, 32]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


W = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)


def external(location: str, **entries: str) -> onnx.ModelProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=W.shape, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model_of([tensor])


def test_what_onnx_saves(tmp_path: Path) -> None:
    model = model_of([numpy_helper.from_array(W, "w")])
    path = tmp_path / "deep" / "model.onnx"
    path.parent.mkdir()
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    x = np.ones_like(W)
    assert (path.parent / "weights.bin").stat().st_size == W.nbytes
    for session in (sanderling.Session(sanderling.load(path)), sanderling.Session(path)):
        np.testing.assert_array_equal(session.run(x), x + W)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
    np.testing.assert_array_equal(sanderling.Session(sanderling.load(path)).run(x), expected)


def test_a_piece_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "all.bin").write_bytes(b"\x01" * 100 + W.tobytes() + b"\x02" * 7)
    path = tmp_path / "model.onnx"
    for entries in ({"offset": "100", "length": str(W.nbytes)}, {"offset": "100"}):
        path.write_bytes(external("sub/all.bin", **entries).SerializeToString())
        np.testing.assert_array_equal(sanderling.Session(sanderling.load(path)).run(np.zeros_like(W)), W)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with secrets beside it."""
    (tmp_path / "secret.bin").write_bytes(W.tobytes())
    (tmp_path / "model-2").mkdir()
    (tmp_path / "model-2" / "secret.bin").write_bytes(W.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "up").symlink_to(tmp_path)
    (folder / "short.bin").write_bytes(W.tobytes()[:-1])
    (folder / "folder.bin").mkdir()
    return folder


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../secret.bin", "leaves the model's folder"),
        ("up/../secret.bin", "leaves the model's folder"),
        ("up/secret.bin", "a link that leaves the model's folder"),
        ("up/model-2/secret.bin", "a link that leaves the model's folder"),
        ("link.bin", "a link that leaves the model's folder"),
        ("{tmp}/secret.bin", "no relative path"),
        ("", "no relative path"),
        ("none.bin", "cannot be read"),
        ("folder.bin", "which is no file"),
        ("short.bin", "needs 8192 bytes from byte 0 of 'short.bin' on, there are 8191"),
    ],
)
def test_it_never_leaves_the_folder(outside: Path, location: str, words: str) -> None:
    path = outside / "model.onnx"
    path.write_bytes(external(location.replace("{tmp}", str(outside.parent))).SerializeToString())
    with pytest.raises(sanderling.ModelError, match=words) as caught:
        sanderling.load(path)
    assert "initializer 'w'" in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"offset": "-1"}, "offset '-1'"),
        ({"offset": "9999999999999999999"}, "offset '9999999999999999999'"),
        ({"offset": "9000"}, "begins at byte 9000"),
        ({"length": "12"}, "needs 8192 bytes, in 'w.bin' it has 12"),
        ({"length": "a"}, "length 'a'"),
    ],
)
def test_places_that_lie(tmp_path: Path, entries: dict[str, str], words: str) -> None:
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    (tmp_path / "model.onnx").write_bytes(external("w.bin", **entries).SerializeToString())
    with pytest.raises(sanderling.ModelError, match=words):
        sanderling.load(tmp_path / "model.onnx")


def test_elements_in_two_places(tmp_path: Path) -> None:
    model = external("w.bin")
    model.graph.initializer[0].raw_data = W.tobytes()
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(sanderling.ModelError, match="here and in another file"):
        sanderling.load(tmp_path / "model.onnx")


def test_bytes_have_no_folder() -> None:
    with pytest.raises(sanderling.UnsupportedError, match="Load it by its path"):
        sanderling.load(external("w.bin").SerializeToString())


def sparse(values: Any, indices: Any, dims: list[int]) -> onnx.ModelProto:
    model = model_of([numpy_helper.from_array(W, "w")])
    del model.graph.initializer[:]
    tensor = helper.make_sparse_tensor(
        numpy_helper.from_array(np.asarray(values), "w"), numpy_helper.from_array(np.asarray(indices)), dims
    )
    model.graph.sparse_initializer.append(tensor)
    return model


def test_sparse_tensors_become_dense() -> None:
    dense = np.where(np.abs(W) > 1.5, W, 0).astype(np.float32)
    rows = np.argwhere(dense)
    for indices in (rows, rows[:, 0] * 32 + rows[:, 1]):
        model = sparse(dense[dense != 0], indices.astype(np.int64), [64, 32])
        got = sanderling.Session(sanderling.load(model.SerializeToString())).run(np.zeros_like(W))
        np.testing.assert_array_equal(got, dense)


def test_a_sparse_constant() -> None:
    value = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([7.0], np.float32)), numpy_helper.from_array(np.array([3], np.int64)), [32]
    )
    model = model_of([numpy_helper.from_array(W, "w")])
    del model.graph.initializer[:]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=value))
    expected = np.zeros_like(W)
    expected[:, 3] = 7
    got = sanderling.Session(sanderling.load(model.SerializeToString())).run(np.zeros_like(W))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("indices", "dims", "words"),
    [
        ([[0, 32]], [64, 32], "with the index 32, expected 0 to 31"),
        ([[-1, 0]], [64, 32], "with the index -1, expected 0 to 63"),
        ([2048], [64, 32], "with the index 2048, expected 0 to 2047"),
        ([[0]], [64, 32], "and indices int64"),
        ([0, 1], [64, 32], "and indices int64"),
        ([0], [1 << 16, 1 << 16], "the limit for these is"),
        ([0], [-1, 3], "cannot be made"),
    ],
)
def test_sparse_tensors_that_lie(indices: Any, dims: list[int], words: str) -> None:
    model = sparse(np.ones(1, np.float32), np.array(indices, np.int64), dims)
    with pytest.raises(sanderling.ModelError, match=words):
        sanderling.load(model.SerializeToString())
