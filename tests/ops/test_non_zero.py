import numpy as np
import pytest

from onnx import helper
from onnx_models import model_of, one_node
from runner import Case, check
from samples import DTYPES, name_of, values


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4)], ids=str)
def test_non_zero(dtype: type, shape: tuple[int, ...]) -> None:
    x = values(np.random.default_rng(1), shape, dtype)
    x[..., 0] = 0
    model = one_node("NonZero", {"x": x}, output_dtype=np.int64, opset=13)
    # ONNX Runtime has it for these only.
    known = dtype in (np.float32, np.int32, np.int64, np.uint8, np.bool_)
    check(Case(name_of(dtype, shape), model, {"x": x}, {"y": np.array(np.nonzero(x), np.int64)}, onnxruntime=known))


@pytest.mark.parametrize("x", [np.zeros((2, 3)), np.ones((2, 3)), np.ones((2, 0))], ids=["none", "all", "empty"])
def test_extremes(x: np.ndarray) -> None:
    x = x.astype(np.float32)
    model = one_node("NonZero", {"x": x}, output_dtype=np.int64, opset=13)
    check(Case("extreme", model, {"x": x}, {"y": np.array(np.nonzero(x), np.int64)}))


def test_what_follows_has_shapes_that_depend_on_data() -> None:
    """Two cuts, work between and after them, and values from before the first that are read after the second."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("NonZero", ["a"], ["where"]),
        helper.make_node("Transpose", ["where"], ["rows"], perm=[1, 0]),
        helper.make_node("Cast", ["rows"], ["b"], to=1),
        helper.make_node("NonZero", ["b"], ["again"]),
        helper.make_node("Shape", ["again"], ["shape"]),
        helper.make_node("Mul", ["a", "a"], ["c"]),
        helper.make_node("Reshape", ["again", "shape"], ["d"]),
    ]
    model = model_of(
        nodes, {"x": (np.float32, ("N", 5))}, {"c": np.float32, "d": np.int64, "b": np.float32, "shape": np.int64}
    )
    for seed, batch in ((0, 3), (1, 3), (2, 8), (3, 1)):
        x = values(np.random.default_rng(seed), (batch, 5))
        a = np.maximum(x, 0)
        b = np.array(np.nonzero(a)).T.astype(np.float32)
        d = np.array(np.nonzero(b), np.int64)
        expected = {"c": a * a, "d": d, "b": b, "shape": np.array(d.shape, np.int64)}
        check(Case(f"seed{seed}", model, {"x": x}, expected))
