"""The Open Inference Protocol: what is read, refused and answered, without and with a runner."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runner_harness import Runners, call, draw, get, infer_body, post

from sanderling.agent.runner import oip
from sanderling.errors import InputError


def body(**entry: Any) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2], **entry}]}
    ).encode()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, np.array([[1, 2]], np.float32)),
        ({"data": [[1.5, None]]}, np.array([[1.5, np.nan]], np.float32)),
        ({"datatype": "UINT8", "data": [0, 255]}, np.array([[0, 255]], np.uint8)),
        ({"datatype": "INT64", "data": [-(2**63), 2**63 - 1]}, np.array([[-(2**63), 2**63 - 1]], np.int64)),
        ({"datatype": "BOOL", "data": [True, False]}, np.array([[True, False]])),
        ({"shape": [0, 2], "data": []}, np.empty((0, 2), np.float32)),
    ],
)
def test_json_tensors(entry: dict[str, Any], expected: np.ndarray):
    found = oip.read_infer(body(**entry), None).inputs["x"]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(found, expected, equal_nan=found.dtype.kind == "f")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"datatype": "BYTES"}, "datatype 'BYTES'"),
        ({"data": [1, 2, 3]}, "has 3 values, shape"),
        ({"data": "no"}, "no float32 numbers"),
        ({"data": [[1], [2, 3]]}, "no float32 numbers"),
        ({"datatype": "UINT8", "data": [1, 256]}, "values that uint8 does not have"),
        ({"datatype": "INT32", "data": [1.5, 2]}, "values that int32 does not have"),
        ({"datatype": "INT8", "data": [True, False]}, "values that int8 does not have"),
        ({"shape": [1, -2]}, "a count is wanted"),
        ({"shape": [1, True]}, "a count is wanted"),
        ({"shape": [1 << 20, 1 << 20]}, "too large"),
        ({"shape": None}, "a list is wanted"),
        ({"parameters": {"binary_data_size": 7}}, "says 7 bytes"),
        ({"parameters": {"binary_data_size": 8}}, "0 follow"),
        ({"name": 5}, "text is wanted"),
        ({"shape": [1] * 100}, "has 100 extents"),
        ({"shape": [1 << 28, 1 << 40, 0], "data": []}, "too large"),
        ({"shape": [1 << 30] * 31 + [0], "data": []}, "too large"),
        ({"shape": "12"}, "shape of 'x' is '12'"),
        ({"shape": [10**4000] * 32}, "too large"),
    ],
)
def test_tensors_that_are_refused(entry: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        oip.read_infer(body(**entry), None)


def test_an_output_is_asked_for_once():
    """Else a short request gets an answer of any size."""
    outputs = [{"name": "y"}, {"name": "z"}, {"name": "y"}]
    document = {**json.loads(body()), "outputs": outputs}
    with pytest.raises(InputError, match="output 'y' is asked for twice"):
        oip.read_infer(json.dumps(document).encode(), None)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"inputs": 3}', b'{"inputs": [[]]}', b"{" * 5000])
def test_bodies_that_are_none(data: bytes):
    with pytest.raises(InputError):
        oip.read_infer(data, None)


def test_binary_tensors_with_and_without_rest():
    head = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP16", "shape": [2], "parameters": {"binary_data_size": 4}}]}
    ).encode()
    found = oip.read_infer(head + struct.pack("<2e", 1.5, -2), str(len(head)))
    assert np.array_equal(found.inputs["x"], np.array([1.5, -2], np.float16))
    for spaces in range(8):
        padded = head.replace(b"{", b" " * spaces + b"{", 1)
        found = oip.read_infer(padded + struct.pack("<2e", 1.5, -2), str(len(padded)))
        assert found.inputs["x"].flags.aligned
        assert found.inputs["x"][0] == 1.5
    with pytest.raises(InputError, match="2 bytes are left over"):
        oip.read_infer(head + bytes(6), str(len(head)))
    with pytest.raises(InputError, match="the whole body has"):
        oip.read_infer(head, str(len(head) + 1))
    for wrong in ("", "-1", "1e3", "x"):
        with pytest.raises(InputError):
            oip.read_infer(head, wrong)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_raise_anything_else(data: bytes, length: int):
    good = body(parameters={"binary_data_size": 8})
    for hostile in (data, good[: length % len(good)] + data, good + data):
        for header in (None, str(length), str(len(good))):
            try:
                oip.read_infer(hostile, header)
            except InputError:
                continue


def test_answers():
    outputs = {"a": np.array([[1, np.nan]], np.float32), "b": np.array([[3]], np.uint8)}
    request = oip.InferRequest("7", {}, (("b", False), ("a", True)), False)
    headers, data = oip.write_answer(request, outputs, model="m", version="m-1")
    length = int(dict(headers)[oip.LENGTH_HEADER])
    document = json.loads(data[:length])
    assert document["id"] == "7"
    assert [entry["name"] for entry in document["outputs"]] == ["b", "a"]
    assert document["outputs"][0]["data"] == [3]
    assert np.array_equal(np.frombuffer(data[length:], "<f4"), outputs["a"].ravel(), equal_nan=True)
    _, data = oip.write_answer(oip.InferRequest("", {}, (), False), outputs, model="m", version="m-1")
    assert json.loads(data)["outputs"][0]["data"] == [1.0, None]
    with pytest.raises(InputError, match="no output 'c'"):
        oip.write_answer(oip.InferRequest("", {}, (("c", False),), False), outputs, model="m", version="m-1")


def test_a_runner_speaks_it(runners: Runners):
    path = runners.run("1.0", 1.0).inference
    assert get(path, "/v2") == (200, {"name": "sanderling", "version": "2", "extensions": ["binary_tensor_data"]})
    assert get(path, "/v2/health/live")[0] == get(path, "/v2/health/ready")[0] == 200
    described = {
        "name": "camera",
        "versions": ["linear-1.0"],
        "platform": "sanderling",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }
    for target in ("", "/versions/1.0", "/versions/linear-1.0", "/"):
        assert get(path, f"/v2/models/camera{target}") == (200, described)
    assert get(path, "/v2/models/camera/versions/1.0/ready") == (200, {"name": "camera", "ready": True})
    rows = draw(0, 2)
    for target in ("infer", "versions/1.0/infer"):
        status, _, answer = post(path, f"/v2/models/camera/{target}", infer_body(rows, id="abc"))
        assert (status, answer["id"], answer["model_name"]) == (200, "abc", "camera")
    wrong = {
        "/v2/models/other/infer": 404,
        "/v2/models/camera/versions/9.9/infer": 404,
        "/v2/models/camera/config": 404,
        "/v3": 404,
        "/v2": 405,
        "/v2/models/camera": 405,
    }
    for target, expected in wrong.items():
        status, _, answer = post(path, target, infer_body(rows))
        assert (status, list(answer)) == (expected, ["error"]), target
    for data in (infer_body(rows[:, :3]), infer_body(rows, outputs=[{"name": "z"}]), b"{", infer_body(rows[:0])):
        status, _, answer = post(path, "/v2/models/camera/infer", data)
        assert (status, list(answer)) == (400, ["error"])
    assert call(path, "GET", "/v2/models/camera/infer")[0] == 405
    headers = {"Content-Encoding": "gzip"}
    assert call(path, "POST", "/v2/models/camera/infer", b"x", headers)[0] == 400
    headers = {"Content-Length": str(1 << 40)}
    assert call(path, "POST", "/v2/models/camera/infer", b"", headers)[0] == 413
    headers = {"X": "a" * (64 << 10)}
    assert call(path, "GET", "/v2", None, headers)[0] == 431
    assert call(path, "HEAD", "/v2")[2] == b""
