"""The litert backend: .tflite files behind the same session, compared with the native engine and with NumPy."""

import sys
from threading import Thread

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from small_models import BIAS, CLASSES, FEATURES, WEIGHT, affine, affine_numpy
from tflite_models import Kind, fully_connected, tflite_bytes

import sanderling
from sanderling import InputError, ModelError, Session, UnsupportedError
from sanderling.drift import Reference


def twin(**options) -> bytes:
    """What `affine` computes, as a .tflite file."""
    return fully_connected(np.ascontiguousarray(WEIGHT.T), BIAS, **options)


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_litert_computes_what_native_does(threads):
    session, native = Session(twin(), backend="litert", threads=threads), Session(affine())
    for n in (1, 3, 8, 1):
        x = rows(n, seed=n)
        np.testing.assert_allclose(session.run(x), native.run(x), rtol=1e-5, atol=1e-5)
        y = np.zeros((n, CLASSES), np.float32)
        session.run_into(np.asfortranarray(x), y)
        np.testing.assert_array_equal(y, session.run(x))
        call = session.bind(x, y)
        x[:] = rows(n, seed=10 + n)
        call()
        np.testing.assert_allclose(y, affine_numpy(x), rtol=1e-5, atol=1e-5)
    assert [(s.name, s.dtype, s.shape) for s in session.inputs] == [("x", "float32", (None, FEATURES))]
    assert [(s.name, s.dtype, s.shape) for s in session.outputs] == [("y", "float32", (None, CLASSES))]


def test_a_file_or_its_bytes(tmp_path):
    path = tmp_path / "affine.tflite"
    path.write_bytes(twin())
    x = rows(2)
    np.testing.assert_array_equal(
        Session(path, backend="litert").run(x), Session(path.read_bytes(), backend="litert").run(x)
    )


def test_a_fixed_batch_stays_fixed():
    session = Session(twin(batch=2), backend="litert")
    assert session.inputs[0].shape == (2, FEATURES)
    with pytest.raises(InputError, match=r"\[3, 6\]"):
        session.run(rows(3))
    np.testing.assert_allclose(session.run(rows(2)), affine_numpy(rows(2)), rtol=1e-5, atol=1e-5)


def test_names_are_the_signature_s():
    session = Session(twin(signature="serve"), backend="litert")
    assert [s.name for s in session.inputs + session.outputs] == ["serve_x", "serve_y"]
    assert list(session.run({"serve_x": rows(2)})) == ["serve_y"]


REFUSED = {
    "float64": np.zeros((2, FEATURES)),
    "rank": np.zeros(FEATURES, np.float32),
    "empty": np.zeros((0, FEATURES), np.float32),
    "nan": np.full((1, FEATURES), np.nan, np.float32),
    "name": {"z": np.zeros((1, FEATURES), np.float32)},
}


@pytest.mark.parametrize("x", REFUSED.values(), ids=REFUSED)
def test_inputs_are_refused_in_the_words_of_the_native_engine(x):
    unnamed = affine(batch=None)  # a .tflite file does not name its extents
    messages = []
    for session in (Session(unnamed), Session(twin(), backend="litert")):
        with pytest.raises(InputError) as caught:
            session.run(x)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_codes_stay_codes():
    rng = np.random.default_rng(3)
    weight = rng.integers(-127, 128, (CLASSES, FEATURES)).astype(np.int8)
    bias = rng.integers(-500, 500, CLASSES).astype(np.int32)
    scales = {"x": (0.05, 3), "w": (0.02, 0), "b": (0.05 * 0.02, 0), "y": (0.15, -7)}
    data = tflite_bytes(
        [(schema.BuiltinOperator.FULLY_CONNECTED, ["x", "w", "b"], ["y"], schema.FullyConnectedOptionsT())],
        {"x": (Kind.INT8, (-1, FEATURES))},
        {"y": (Kind.INT8, (-1, CLASSES))},
        {"w": weight, "b": bias},
        scales,
    )
    session = Session(data, backend="litert")
    x = rng.integers(-128, 128, (500, FEATURES)).astype(np.int8)
    exact = ((x.astype(np.int64) - 3) @ weight.T.astype(np.int64) + bias) * (0.05 * 0.02 / 0.15)
    expected = np.clip(np.rint(exact) - 7, -128, 127)
    tie = np.abs(exact - np.floor(exact) - 0.5) < 1e-3
    y = session.run(x)
    assert y.dtype == np.int8
    assert (np.abs(y - expected) <= 1).all()
    np.testing.assert_array_equal(y[~tie], expected[~tie])
    quantization = session.info()["quantization"]
    assert quantization["x"]["zero_points"] == [3]
    assert quantization["y"]["scales"] == [np.float32(0.15)]


def test_inputs_and_outputs_are_watched():
    x = rows(300)
    session = Session(twin(), backend="litert", watch=Reference.fit(x))
    session.run(x[:200])
    session.run(x[200:])
    assert session.sketches().rows == 300


def test_threads_take_turns():
    session = Session(twin(), backend="litert")
    failures = []

    def work(n: int) -> None:
        x = rows(n, seed=n)
        expected = affine_numpy(x)
        for _ in range(200):
            if not np.allclose(session.run(x), expected, rtol=1e-5, atol=1e-5):
                failures.append(n)

    threads = [Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_info():
    info = Session(twin(), backend="litert", threads=2).info()
    assert info["library"].startswith("ai_edge_litert ")
    del info["library"]
    assert info == {"backend": "litert", "why": "asked for by name", "threads": 2, "quantization": {}}


def test_auto_finds_the_backend_of_the_file():
    info = Session(twin(), backend="auto").info()
    assert info["backend"] == "litert"
    assert info["why"].startswith("native: [load] this is a TFLite model, expected ONNX")


@pytest.mark.parametrize("make", [sanderling.load, Session])
def test_what_reads_onnx_says_what_the_file_is(make):
    with pytest.raises(UnsupportedError, match=r"a TFLite model, expected ONNX\. Run it with .*backend='litert'"):
        make(twin())


def test_a_backend_gets_only_its_files():
    with pytest.raises(UnsupportedError, match="backend 'litert' runs tflite files, this is onnx"):
        Session(affine(), backend="litert")
    with pytest.raises(UnsupportedError, match="backend 'onnxruntime' runs onnx files, this is tflite"):
        Session(twin(), backend="onnxruntime")


def test_damaged_files_are_model_errors():
    data = twin()
    for broken in (data[:200], data[:8] + bytes(len(data) - 8)):
        with pytest.raises(ModelError, match="LiteRT cannot load the model"):
            Session(broken, backend="litert")


def test_operators_that_it_lacks_are_unsupported():
    data = tflite_bytes(
        [(schema.BuiltinOperator.CUSTOM, ["x"], ["y"], None)],
        {"x": (Kind.FLOAT32, (1, 2))},
        {"y": (Kind.FLOAT32, (1, 2))},
    )
    with pytest.raises(UnsupportedError, match="Frobnicate"):
        Session(data, backend="litert")


def test_text_is_unsupported():
    data = tflite_bytes(
        [(schema.BuiltinOperator.RESHAPE, ["x"], ["y"], schema.ReshapeOptionsT())],
        {"x": (Kind.STRING, (1, 2))},
        {"y": (Kind.STRING, (2, 1))},
    )
    with pytest.raises(UnsupportedError, match=r"input 'x' is \w+, supported are bool, "):
        Session(data, backend="litert")


def test_an_unknown_device_is_unsupported():
    with pytest.raises(UnsupportedError, match="device is 'npu', this backend has 'auto' and 'cpu'"):
        Session(twin(), backend="litert", device="npu")


def test_a_missing_package_says_what_to_install(monkeypatch):
    for package in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, f"{package}.interpreter", None)
    with pytest.raises(UnsupportedError, match=r'Install it: python3 -m pip install "sanderling\[litert\]"'):
        Session(twin(), backend="litert")
