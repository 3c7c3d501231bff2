"""`sanderling.compat.ort` against onnxruntime itself: one program, two imports."""

import warnings

import numpy as np
import onnxruntime
import pytest
from small_models import FEATURES, affine, onnx_bytes, quantized_mlp, sine, two_by_two

import sanderling.compat.ort as ort
from onnx import TensorProto
from sanderling import InputError, ModelError, UnsupportedError


def rows(n: int, features: int = FEATURES) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, features)).astype(np.float32)


def program(runtime, path):
    """What a user's program does, with either module."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(path, sess_options=options, providers=["CPUExecutionProvider"])
    arguments = [(a.name, a.type, a.shape) for a in (*session.get_inputs(), *session.get_outputs())]
    feeds = {"b": rows(3, 2), "a": rows(3, 4)}
    return arguments, [
        *session.run(None, feeds),
        *session.run([], feeds),
        *session.run(["joined"], feeds, runtime.RunOptions()),
        *session.run(["joined", "sum"], feeds),
    ]


def test_a_program_moves_by_one_import(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(two_by_two())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arguments, results = program(ort, str(path))
    expected_arguments, expected = program(onnxruntime, str(path))
    assert arguments == expected_arguments
    assert len(results) == len(expected) == 7
    for result, wanted in zip(results, expected, strict=True):
        assert result.dtype == wanted.dtype
        np.testing.assert_array_equal(result, wanted)


def test_bytes_and_defaults():
    session = ort.InferenceSession(quantized_mlp())
    (y,) = session.run(None, {"x": rows(4, 37)})
    assert y.shape == (4, 5)
    assert session.get_providers() == ort.get_available_providers() == ["CPUExecutionProvider"]
    assert session.get_provider_options() == {"CPUExecutionProvider": {}}
    assert isinstance(session.get_session_options(), ort.SessionOptions)
    assert ort.get_device() == onnxruntime.get_device().split("-")[0]
    ort.set_default_logger_severity(3)


@pytest.mark.parametrize("kind", ["BOOL", "FLOAT", "DOUBLE", "INT8", "UINT8", "INT32", "INT64"])
def test_types_are_named_as_onnxruntime_names_them(kind):
    number = getattr(TensorProto, kind)
    data = onnx_bytes([("Identity", ["x"], "y", {})], {"x": (number, ("N", None, 3))}, {"y": (number, ("N", None, 3))})
    ours, theirs = ort.InferenceSession(data), onnxruntime.InferenceSession(data)
    for a, b in ((ours.get_inputs(), theirs.get_inputs()), (ours.get_outputs(), theirs.get_outputs())):
        assert [(x.name, x.type, x.shape) for x in a] == [(x.name, x.type, x.shape) for x in b]


def test_zero_threads_are_one_per_core(monkeypatch):
    monkeypatch.setattr(ort.os, "sched_getaffinity", lambda _: {0, 1, 5})
    assert ort.InferenceSession(affine())._session.info()["threads"] == 3
    options = ort.SessionOptions(intra_op_num_threads=2)
    assert ort.InferenceSession(affine(), options)._session.info()["threads"] == 2
    options.intra_op_num_threads = -1
    with pytest.raises(InputError, match="intra_op_num_threads is -1, expected an integer from 0 to 256"):
        ort.InferenceSession(affine(), options)


def test_errors_are_ours_and_value_errors():
    session = ort.InferenceSession(affine())
    feeds = {"x": rows(1)}
    for names, feed, message in (
        (["z"], feeds, r"the model has no output 'z', it has \['y'\]"),
        (None, {}, r"missing \['x'\]"),
        (None, {"x": rows(1).astype(np.float64)}, r"is float64\[1, 6\], the model expects float32\[N, 6\]"),
        (None, {"x": rows(1) * np.nan}, "6 NaN among 6 values"),
        (None, rows(1), "input_feed is ndarray, expected a mapping"),
    ):
        with pytest.raises(InputError, match=message):
            session.run(names, feed)
        with pytest.raises(ValueError, match=message):
            session.run(names, feed)
    with pytest.raises(ModelError):
        ort.InferenceSession(b"not a model")
    with pytest.raises(InputError, match=r"cannot read"):
        ort.InferenceSession("/no/such/model.onnx")


def options_with(**settings: object) -> ort.SessionOptions:
    return ort.SessionOptions(**settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"providers": ["CUDAExecutionProvider"]}, r"providers are \['CUDAExecutionProvider'\], this build has"),
        ({"sess_options": options_with(enable_profiling=True)}, "enable_profiling is set"),
        ({"sess_options": options_with(optimized_model_filepath="x.onnx")}, "optimized_model_filepath is set"),
    ],
)
def test_what_cannot_be_met_is_refused(arguments, message):
    with pytest.raises(UnsupportedError, match=message):
        ort.InferenceSession(affine(), **arguments)


def entry(key: str) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.add_session_config_entry(key, "1")
    assert options.get_session_config_entry(key) == "1"
    return options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]},
            r"\['CUDAExecutionProvider'\] are not there",
        ),
        ({"providers": [("CPUExecutionProvider", {"use_arena": "1"})]}, "provider options are ignored"),
        ({"provider_options": [{"a": "b"}], "providers": ["CPUExecutionProvider"]}, "provider options are ignored"),
        ({"sess_options": options_with(execution_mode=ort.ExecutionMode.ORT_PARALLEL)}, "ORT_PARALLEL"),
        ({"sess_options": entry("session.made_up")}, "entry 'session.made_up' is unknown and ignored"),
        ({"disabled_optimizers": ["x"]}, "keyword argument 'disabled_optimizers' is unknown and ignored"),
    ],
)
def test_what_is_ignored_is_warned_of(arguments, message):
    with pytest.warns(UserWarning, match=message) as caught:
        ort.InferenceSession(affine(), **arguments)
    assert caught[0].filename == __file__


def test_unknown_names_are_errors():
    options = ort.SessionOptions()
    with pytest.raises(AttributeError):
        options.intra_op_threads = 2  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"sanderling.compat.ort has no 'OrtValue'"):
        _ = ort.OrtValue
    with pytest.raises(AttributeError):
        ort.InferenceSession(affine()).io_binding()  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"no configuration entry 'a', there are "):
        options.get_session_config_entry("a")
    with pytest.raises(InputError, match=r"sess_options is .*SessionOptions, expected sanderling.compat.ort"):
        ort.InferenceSession(affine(), onnxruntime.SessionOptions())
    with pytest.raises(UnsupportedError, match="custom operators"):
        options.register_custom_ops_library("x.so")
    with pytest.raises(UnsupportedError, match="terminate"):
        ort.InferenceSession(affine()).run(None, {"x": rows(1)}, ort.RunOptions(terminate=True))


def test_another_backend_when_asked():
    with pytest.raises(UnsupportedError, match="SequenceConstruct"):
        ort.InferenceSession(sine())
    (y,) = ort.InferenceSession(sine(), backend="auto").run(None, {"x": rows(2, 4)})
    np.testing.assert_allclose(y, np.sin(rows(2, 4)), rtol=1e-6)
