import numpy as np
import pytest

from index_cases import check_bad_indices, drawn_indices, index_cases
from move_cases import OTHER_DTYPES
from onnx import helper
from onnx_models import Array, model_of, one_node
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling import _core
from sanderling.errors import ModelError


def gathered(
    name: str, data: Array, indices: Array, axis: int = 0, *, onnxruntime: bool = True, **settings: object
) -> list[Case]:
    expected = np.take(data, indices, axis)
    inputs = {"data": data, "indices": indices}
    return index_cases(name, "Gather", inputs, expected, axis=axis, onnxruntime=onnxruntime, **settings)


def cases() -> list[Case]:
    data = values(np.random.default_rng(0), (5, 6, 7))
    made = []
    for axis in (-3, -1, 0, 1, 2):
        for shape in ((), (1,), (4,), (2, 3), (0,)):
            indices = drawn_indices(axis + 3, data.shape[axis], shape)
            made += gathered(f"axis{axis}-{shape}", data, indices, axis, opset=13)
    made += gathered("int32", data, drawn_indices(1, 6, (9,), np.int32), 1)
    made += gathered("early", data, drawn_indices(1, 6, (9,), negative=False), 1, opset=7)
    made += gathered("vector", data[0, 0], drawn_indices(1, 7, (3, 2)))
    made += gathered("of-empty", np.zeros((0, 3), np.float32), np.zeros((0, 2), np.int64))
    made += gathered("empty-rows", np.zeros((3, 0), np.float32), drawn_indices(1, 3, (4,)))
    table = values(np.random.default_rng(1), (1000, 48))
    made += gathered("embedding", table, drawn_indices(2, 1000, (8, 128)))
    made += gathered("embedding32", table, drawn_indices(2, 1000, (8, 128), np.int32))
    made += gathered("few-long-rows", values(np.random.default_rng(3), (3, 100001)), drawn_indices(3, 3, (2,)))
    made += gathered("columns", values(np.random.default_rng(3), (301, 211)), drawn_indices(3, 211, (300,)), -1)
    for batch in (1, 3, 8):
        x = values(np.random.default_rng(batch), (batch, 5, 3))
        made.append(gathered(f"batch{batch}", x, drawn_indices(4, 5, (4,)), 1, symbolic_batch=True)[1])
    for dtype in DTYPES:
        x = values(np.random.default_rng(5), (5, 3), dtype)
        made += gathered(np.dtype(dtype).name, x, drawn_indices(5, 3, (4,)), 1)
    for dtype in OTHER_DTYPES:
        x = np.random.default_rng(6).integers(1, 3, (5, 3)).astype(dtype)
        made += gathered(np.dtype(dtype).name, x, drawn_indices(6, 5, (4,)), onnxruntime=False)
    return made


@pytest.mark.parametrize("case", cases(), ids=str)
def test_gather(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("index", [4, -5, 1 << 40, np.iinfo(np.int64).max, np.iinfo(np.int64).min])
def test_an_index_outside(index: int) -> None:
    x = np.zeros((2, 4), np.float32)
    indices = np.array([0, index, 1], np.int64)
    check_bad_indices("Gather", {"x": x, "indices": indices}, rf"element 1 .*index {index}, .*\[-4, 4\)", axis=1)


def test_an_index_outside_among_many() -> None:
    """Threads share the check; the message is of the first. Afterwards the session works as before."""
    x = values(np.random.default_rng(0), (50, 4))
    good = drawn_indices(0, 50, (100_000,), np.int32)
    bad = good.copy()
    bad[[70_000, 99_999]] = 50
    model = one_node("Gather", {"x": x, "indices": good})
    check_bad_indices("Gather", {"x": x, "indices": bad}, "element 70000 of input 1 is the index 50")
    for threads in (1, 3):
        session = _core.Session(_core.Model(model.SerializeToString()), threads=threads)
        for indices in (good, bad, good):
            if indices is bad:
                with pytest.raises(ModelError, match="index 50"):
                    session.run({"x": x, "indices": indices})
            else:
                np.testing.assert_array_equal(session.run({"x": x, "indices": indices})["y"], x[indices])


def test_indices_of_an_empty_axis() -> None:
    x = np.zeros((0, 4), np.float32)
    check_bad_indices("Gather", {"x": x, "indices": np.zeros(1, np.int64)}, "index 0")


def test_a_shape_is_gathered_before_the_model_runs() -> None:
    """As exporters write the batch of a Reshape."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], axis=0),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["first"]),
        helper.make_node("Concat", ["first", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    constants = {
        "zero": np.array(0, np.int64),
        "axes": np.array([0], np.int64),
        "rest": np.array([2, 3], np.int64),
    }
    model = model_of(nodes, {"x": (np.float32, ("N", 6))}, {"y": np.float32}, constants)
    for batch in (1, 5):
        x = values(np.random.default_rng(batch), (batch, 6))
        check(Case(f"batch{batch}", model, {"x": x}, {"y": x.reshape(batch, 2, 3)}, exact=True))


def test_refused() -> None:
    x = {"x": np.zeros((2, 4), np.float32), "indices": np.zeros(1, np.int64)}
    check_refused(one_node("Gather", x, axis=2), x, ModelError, "axis 2 is outside", "Gather")
    floats = x | {"indices": np.zeros(1, np.float32)}
    check_refused(one_node("Gather", floats), floats, ModelError, "input 1 is float32", "Gather")
    deep = x | {"indices": np.zeros((1,) * 8, np.int64)}
    check_refused(one_node("Gather", deep), deep, ModelError, "rank 9", "Gather")
