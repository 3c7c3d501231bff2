"""The seam of backends: ONNX Runtime behind it speaks as the native engine does."""

import importlib.metadata
import sys

import numpy as np
import onnxruntime
import pytest
from small_models import CLASSES, FEATURES, affine, affine_numpy, onnx_bytes, quantized_mlp, sine, two_by_two

import sanderling
from onnx import TensorProto, helper
from sanderling import InputError, ModelError, Session, UnsupportedError, backends
from sanderling.backends.onnxruntime import OnnxRuntimeBackend

EVERY = ["native", "onnxruntime"]  # that run ONNX


def rows(n: int, features: int = FEATURES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, features)).astype(np.float32)


def test_installed_names_native_first():
    assert backends.installed() == ["native", "litert", "onnxruntime", "tensorrt"]


@pytest.mark.parametrize("backend", EVERY)
@pytest.mark.parametrize("n", [1, 3, 8, 17])
def test_backends_compute_the_same(backend, n):
    x = rows(n)
    session = Session(affine(), backend=backend, threads=2)
    np.testing.assert_allclose(session.run(x), affine_numpy(x), rtol=1e-5, atol=1e-5)
    y = np.zeros((n, CLASSES), np.float32)
    session.run_into(np.asfortranarray(x), y)
    np.testing.assert_array_equal(y, session.run(x))
    call = session.bind(x, y)
    x[:] = rows(n, seed=1)
    call()
    np.testing.assert_allclose(y, affine_numpy(x), rtol=1e-5, atol=1e-5)
    assert [s.name for s in session.inputs + session.outputs] == ["x", "y"]
    assert session.inputs == Session(affine()).inputs
    assert session.outputs == Session(affine()).outputs


BROKEN_INPUTS = {
    "float64": np.zeros((2, FEATURES)),
    "float16": np.zeros((2, FEATURES), np.float16),
    "big-endian": np.zeros((2, FEATURES), ">f4"),
    "rank": np.zeros(FEATURES, np.float32),
    "extent": np.zeros((2, 5), np.float32),
    "empty": np.zeros((0, FEATURES), np.float32),
    "nan": np.array([[1, np.nan, 2, np.nan, 3, 4]], np.float32),
    "name": {"z": np.zeros((1, FEATURES), np.float32)},
    "text": np.array(["a"]),
}


@pytest.mark.parametrize("x", BROKEN_INPUTS.values(), ids=BROKEN_INPUTS)
def test_backends_refuse_inputs_in_the_same_words(x):
    messages = []
    for backend in EVERY:
        with pytest.raises(InputError) as caught:
            Session(affine(), backend=backend).run(x)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    "y",
    [
        pytest.param(np.zeros((1, CLASSES), np.float32), id="shape"),
        pytest.param(np.zeros((2, CLASSES)), id="dtype"),
        pytest.param(np.zeros((2, CLASSES), np.float32).T[::-1].T, id="layout"),
        pytest.param(np.frombuffer(bytes(24), np.float32).reshape(2, CLASSES), id="read-only"),
        pytest.param({"q": np.zeros((2, CLASSES), np.float32)}, id="name"),
    ],
)
@pytest.mark.parametrize("use", ["run_into", "bind"])
def test_backends_refuse_outputs_in_the_same_words(y, use):
    messages = []
    for backend in EVERY:
        with pytest.raises(InputError) as caught:
            getattr(Session(affine(), backend=backend), use)(rows(2), y)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("use", ["run_into", "bind"])
def test_backends_refuse_shared_memory_in_the_same_words(use):
    messages = []
    for backend in EVERY:
        memory = np.zeros(2 * FEATURES + 2, np.float32)
        with pytest.raises(InputError, match="shares memory with input 'x'") as caught:
            getattr(Session(affine(), backend=backend), use)(
                memory[: 2 * FEATURES].reshape(2, FEATURES), memory[-2 * CLASSES :].reshape(2, CLASSES)
            )
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_bound_call_of_onnxruntime_may_be_filled_later():
    x, y = np.full((2, FEATURES), np.nan, np.float32), np.zeros((2, CLASSES), np.float32)
    call = Session(affine(), backend="onnxruntime").bind(x, y)
    x[:] = rows(2)
    call()
    np.testing.assert_allclose(y, affine_numpy(x), rtol=1e-5, atol=1e-5)


def test_several_inputs_and_outputs():
    a, b = rows(3, 4), rows(3, 2)
    for backend in EVERY:
        results = Session(two_by_two(), backend=backend).run({"a": a, "b": b})
        np.testing.assert_array_equal(results["sum"], a + a)
        np.testing.assert_array_equal(results["joined"], np.concatenate([a, b], axis=1))


def test_info_says_that_threads_do_not_spin():
    info = Session(affine(), backend="onnxruntime", threads=2).info()
    assert info == {
        "backend": "onnxruntime",
        "why": "asked for by name",
        "onnxruntime": onnxruntime.__version__,
        "providers": ["CPUExecutionProvider"],
        "threads": 2,
        "spinning": False,
    }


def test_auto_prefers_native_and_says_why_not():
    assert Session(affine(), backend="auto").info()["backend"] == "native"
    x = rows(2, 4)
    session = Session(sine(), backend="auto")
    np.testing.assert_allclose(session.run(x), np.sin(x), rtol=1e-6)
    info = session.info()
    assert info["backend"] == "onnxruntime"
    assert info["why"].startswith("native: ")
    assert "SequenceConstruct" in info["why"]


def test_native_names_the_operator_it_lacks():
    with pytest.raises(UnsupportedError, match="SequenceConstruct"):
        Session(sine())


def test_auto_gives_all_reasons_when_nothing_runs_the_model():
    graph = helper.make_graph(
        [helper.make_node("Frobnicate", ["x"], ["y"], domain="example.org")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example.org", 1)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    with pytest.raises(UnsupportedError, match=r"no backend can run this model: native: .*Frobnicate.*; onnxruntime: "):
        Session(data, backend="auto")
    with pytest.raises(UnsupportedError, match=r"ONNX Runtime cannot run the model: .*Frobnicate"):
        Session(data, backend="onnxruntime")


@pytest.mark.parametrize("data", [b"", b"not a model", affine()[:-40]], ids=["empty", "text", "cut"])
def test_damaged_models_are_model_errors(data):
    for backend in EVERY:
        with pytest.raises(ModelError):
            Session(data, backend=backend)


def test_onnxruntime_refuses_types_that_tensors_here_cannot_have():
    data = onnx_bytes(
        [("Cast", ["x"], "y", {"to": TensorProto.BFLOAT16})],
        {"x": (TensorProto.FLOAT, ("N",))},
        {"y": (TensorProto.BFLOAT16, ("N",))},
    )
    with pytest.raises(UnsupportedError, match=r"output 'y' is tensor\(bfloat16\), supported are tensor\(bool\), "):
        Session(data, backend="onnxruntime")


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    hint = r'Install it: python3 -m pip install "sanderling\[onnxruntime\]"'
    with pytest.raises(UnsupportedError, match=hint):
        Session(affine(), backend="onnxruntime")
    with pytest.raises(UnsupportedError, match=hint):
        Session(sine(), backend="auto")


def test_unknown_devices_are_unsupported():
    for backend in EVERY:
        with pytest.raises(UnsupportedError, match=r"device is 'npu', this b.* has 'auto' and 'cpu'"):
            Session(affine(), backend=backend, device="npu")


class Doubler:
    """A backend from another package, with a device of its own."""

    name = "doubler"

    def __init__(self, data: bytes, *, device: str, threads: int) -> None:
        if device not in ("auto", "abacus"):
            raise UnsupportedError(f"[doubler] device is {device!r}")
        self.inputs = self.outputs = sanderling.load(data).inputs
        self._device = device

    def run(self, inputs):
        return [2 * array for array in inputs]

    def info(self):
        return {"device": self._device}


def test_other_packages_add_backends(monkeypatch):
    here = importlib.metadata.EntryPoint("doubler", f"{__name__}:Doubler", backends.GROUP)
    gone = importlib.metadata.EntryPoint("gone", "no_such_package:Backend", backends.GROUP)
    monkeypatch.setattr(backends, "entry_points", lambda group: [here, gone])
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", _load)
    assert backends.installed() == ["native", "doubler", "gone"]
    session = Session(affine(), backend="doubler", device="abacus")
    np.testing.assert_array_equal(session.run(rows(2)), 2 * rows(2))
    assert session.info() == {"backend": "doubler", "why": "asked for by name", "device": "abacus"}
    with pytest.raises(UnsupportedError, match=r"backend 'gone' \(no_such_package:Backend\) cannot be imported"):
        Session(affine(), backend="gone")
    with pytest.raises(UnsupportedError, match="no backend 'other', installed are 'native', 'doubler', 'gone'"):
        Session(affine(), backend="other")
    assert Session(affine(), backend="auto", device="abacus").info()["backend"] == "doubler"


def _load(point):
    if point.name == "doubler":
        return Doubler
    raise ModuleNotFoundError("No module named 'no_such_package'")


def test_the_backend_can_be_used_by_itself():
    backend = OnnxRuntimeBackend(quantized_mlp())
    (y,) = backend.run([rows(2, 37)])
    assert y.shape == (2, 5)
