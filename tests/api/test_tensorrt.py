"""The tensorrt backend: what needs no GPU, and the whole of it where there is one."""

import sys

import numpy as np
import pytest
from small_models import CLASSES, FEATURES, affine, affine_numpy, quantized_mlp

from sanderling import InputError, Session, UnsupportedError
from sanderling._model import TensorSpec
from sanderling.backends.tensorrt import widened

FREE = (TensorSpec("x", "float32", (None, 3, None)), TensorSpec("fixed", "float32", (2, 2)))


def test_ranges_hold_the_shapes_that_were_seen():
    first = widened({}, FREE, [(3, 3, 5), (2, 2)])
    assert first == {"x": ((1, 3, 1), (3, 3, 5), (4, 3, 8))}
    assert widened(first, FREE, [(4, 3, 1), (2, 2)]) == first
    grown = widened(first, FREE, [(9, 3, 2), (2, 2)])
    assert grown == {"x": ((1, 3, 1), (9, 3, 2), (16, 3, 8))}
    assert widened(grown, FREE, [(16, 3, 8), (2, 2)]) == grown


def test_fixed_shapes_need_no_range():
    assert widened({}, FREE[1:], [(2, 2)]) == {}


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(UnsupportedError, match=r"tensorrt cannot be imported: .* python3-libnvinfer.*sanderling\[ten"):
        Session(affine(), backend="tensorrt")


def test_an_unknown_device_is_unsupported():
    with pytest.raises(UnsupportedError, match="device is 'cpu', this backend has 'auto' and 'cuda'"):
        Session(affine(), backend="tensorrt", device="cpu")


@pytest.fixture
def gpu():
    pytest.importorskip("tensorrt", reason="TensorRT is not installed: the backend was not run")
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    if int(runtime.cudaGetDeviceCount()[0]):
        pytest.skip("there is no CUDA device: the backend was not run")


@pytest.mark.usefixtures("gpu")
def test_tensorrt_computes_what_native_does():
    session = Session(affine(), backend="tensorrt")
    for n in (1, 3, 17, 2):
        x = np.random.default_rng(n).standard_normal((n, FEATURES)).astype(np.float32)
        np.testing.assert_allclose(session.run(x), affine_numpy(x), rtol=1e-3, atol=1e-3)
        y = np.zeros((n, CLASSES), np.float32)
        session.run_into(x, y)
        np.testing.assert_array_equal(y, session.run(x))
    assert session.inputs[0].shape == (None, FEATURES)
    with pytest.raises(InputError):
        session.run(np.zeros((2, 5), np.float32))


@pytest.mark.usefixtures("gpu")
def test_a_quantized_model():
    x = np.random.default_rng(0).standard_normal((4, 37)).astype(np.float32)
    expected = Session(quantized_mlp()).run(x)
    np.testing.assert_allclose(Session(quantized_mlp(), backend="tensorrt").run(x), expected, atol=0.1)


@pytest.mark.usefixtures("gpu")
def test_an_unknown_operator_is_unsupported():
    from small_models import sine

    with pytest.raises(UnsupportedError, match="TensorRT cannot run the model"):
        Session(sine(), backend="tensorrt")
