import ml_dtypes
import numpy as np
import pytest

from onnx import TensorProto, helper
from onnx_models import element_type, model_of, one_node
from runner import Case, check
from samples import DTYPES, values
from sanderling import _core
from sanderling.errors import InputError

ALL = (*DTYPES, np.uint16, np.int16, np.uint32, np.uint64)


@pytest.mark.parametrize("target", ALL, ids=lambda d: d.__name__)
@pytest.mark.parametrize("source", ALL, ids=lambda d: d.__name__)
def test_cast_like(source: type, target: type) -> None:
    x = values(np.random.default_rng(0), (3, 67), source)
    if np.issubdtype(source, np.floating) and not np.issubdtype(target, np.floating):
        x = np.abs(np.clip(x, -100, 100))  # negative to unsigned differs from machine to machine
    inputs = {"x": x, "like": np.zeros((2, 0), target)}
    model = one_node("CastLike", inputs, output_dtype=target, opset=21)
    check(Case("cast", model, inputs, {"y": x.astype(target)}, exact=True))


@pytest.mark.parametrize("opset", [15, 19, 21, 23, 24, 25])
def test_older_opsets_and_a_batch_chosen_at_run_time(opset: int) -> None:
    inputs = {"x": np.array([[1.5, -2.5]], np.float32), "like": np.zeros(1, np.int64)}
    model = one_node("CastLike", inputs, output_dtype=np.int64, opset=opset, symbolic_batch=True)
    check(Case("batch", model, inputs, {"y": np.array([[1, -2]])}))


@pytest.mark.parametrize("saturate", [0, 1])
def test_small_floats(saturate: int) -> None:
    x = np.array([1e6, -1e6, 1.0625, 0.3], np.float32)
    like = np.zeros((), ml_dtypes.float8_e5m2)
    model = one_node("CastLike", {"x": x}, constants={"like": like}, output_dtype=like.dtype, saturate=saturate)
    wanted = (np.clip(x, -57344, 57344) if saturate else x).astype(like.dtype).astype(np.float32)
    got = _core.Session(_core.Model(model.SerializeToString())).run({"x": x})["y"]
    np.testing.assert_array_equal(got.astype(np.float32), wanted)


LIKE = {
    "an input": ([], "h"),
    "a constant": ([], "half"),
    "computed": ([("Relu", ["h"], {}), ("MatMul", ["v0", "w"], {}), ("Unsqueeze", ["v1", "axis"], {})], "v2"),
    "cast": ([("Cast", ["x"], {"to": TensorProto.FLOAT16}), ("Neg", ["v0"], {})], "v1"),
    "cast alike": ([("CastLike", ["x", "half"], {}), ("Where", ["flags", "v0", "v0"], {})], "v1"),
    "normalized": ([("LayerNormalization", ["h", "gain"], {"stash_type": 1})], "v0"),
    "wide": ([("Cast", ["h"], {"to": TensorProto.FLOAT}), ("Relu", ["v0"], {})], "v1"),
    "bool": ([("Greater", ["h", "h"], {})], "v0"),
    "integer": ([("ArgMax", ["h"], {})], "v0"),
}
"""Nodes that make v0, v1, ..., and the value whose type a cast in the middle of a model is to have."""


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("like", LIKE)
def test_in_the_middle_of_a_model(like: str, half: type) -> None:
    """What is rounded to a half stays rounded, though the graph computes halves as float32."""
    number = element_type(half)
    steps, target = LIKE[like]
    nodes = [
        helper.make_node(
            op, names, [f"v{i}"], **{k: number if v == TensorProto.FLOAT16 else v for k, v in more.items()}
        )
        for i, (op, names, more) in enumerate(steps)
    ]
    nodes.append(helper.make_node("CastLike", ["x", target], ["rounded"]))
    nodes.append(helper.make_node("Cast", ["rounded"], ["y"], to=TensorProto.FLOAT))
    constants = {"half": np.ones(1, half), "w": np.ones((4, 2), half), "gain": np.ones(4, half)}
    constants |= {"axis": np.array([0]), "flags": np.array([True])}
    model = model_of(nodes, {"x": (np.float32, ("N",)), "h": (half, ("N", 4))}, {"y": np.float32}, constants)
    x = np.array([1.0002441, 2049, -0.1, 70000.3, 0.0], np.float32)
    wanted = {"wide": np.float32, "bool": np.bool_, "integer": np.int64}.get(like, half)
    with np.errstate(over="ignore"):
        expected = x.astype(wanted).astype(np.float32)
    h = np.ones((5, 4), half)
    case = Case(like, model, {"x": x, "h": h}, {"y": expected}, exact=True, onnxruntime=half is np.float16)
    check(case)


def test_nan_stays_where_the_cast_is_to_floats() -> None:
    x = np.array([np.nan, 1], np.float32)
    for like in (np.zeros((), np.float64), np.zeros((), np.float16)):
        model = one_node("CastLike", {"x": x}, constants={"like": like}, output_dtype=like.dtype)
        check(Case("nan", model, {"x": x}, {"y": x.astype(like.dtype)}, exact=True))
    model = one_node("CastLike", {"x": x}, constants={"like": np.zeros((), np.int64)}, output_dtype=np.int64)
    with pytest.raises(InputError, match="1 NaN"):
        _core.Session(_core.Model(model.SerializeToString())).run({"x": x})
