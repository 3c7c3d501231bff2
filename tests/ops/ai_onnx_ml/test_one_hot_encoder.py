import numpy as np
import pytest

from ml_cases import FEATURE_DTYPES, features, ml_model
from runner import Case, check, check_refused
from sanderling.errors import ModelError, UnsupportedError

CATEGORIES = [3, -2, 0, 1, 4]
OP = "ai.onnx.ml.OneHotEncoder"


def case(name: str, x: np.ndarray, categories: list[int], onnxruntime: bool = True, **more: int) -> Case:
    model = ml_model("OneHotEncoder", {"x": x}, {"y": np.float32}, opset=1, cats_int64s=categories, **more)
    whole = np.trunc(x) if x.dtype.kind == "f" else x
    wanted = (whole[..., None] == np.array(categories)).astype(np.float64)
    return Case(name, model, {"x": x}, {"y": wanted}, exact=True, onnxruntime=onnxruntime and x.size > 0)


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4), (0, 2)], ids=str)
def test_one_hot_encoder(dtype: type, shape: tuple[int, ...]) -> None:
    x = features(np.random.default_rng(0), shape, dtype)
    # ONNX Runtime has no int32, and its scalars are vectors.
    check(case(f"{shape}", x, CATEGORIES, dtype != np.int32))
    check(case(f"{shape}, all", np.full_like(x, 3), CATEGORIES, dtype != np.int32, zeros=0))


def test_symbolic_batch() -> None:
    for batch in (1, 3, 8):
        x = features(np.random.default_rng(batch), (batch, 3), np.int64)
        check(case(f"batch {batch}", x, CATEGORIES, symbolic_batch=True))


def test_what_is_no_number() -> None:
    x = np.array([np.inf, -np.inf, 1e30, 0], np.float32)
    check(case("no integers", x, [0, -(2**62)], False))


def test_refused() -> None:
    x = {"x": np.array([3, 7], np.int64)}
    unknown = ml_model("OneHotEncoder", x, {"y": np.float32}, cats_int64s=[3], zeros=0)
    check_refused(unknown, x, ModelError, "element 1 of the input is 7, which is no category", OP)
    check_refused(ml_model("OneHotEncoder", x, {"y": np.float32}), x, ModelError, "no attribute 'cats_int64s'", OP)
    strings = ml_model("OneHotEncoder", x, {"y": np.float32}, cats_strings=["a"])
    check_refused(strings, x, UnsupportedError, "categories are strings", OP)
