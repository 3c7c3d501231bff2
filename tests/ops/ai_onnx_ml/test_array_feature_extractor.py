import numpy as np
import pytest

from ml_cases import features, ml_model
from onnx import helper
from onnx_models import model_of
from runner import Case, check, check_refused
from samples import DTYPES, values
from sanderling.errors import ModelError


def case(name: str, x: np.ndarray, indices: np.ndarray, onnxruntime: bool = True) -> Case:
    picked = x[..., indices.ravel()]
    wanted = picked[None] if x.ndim == 1 else picked
    inputs = {"x": x, "i": indices}
    model = ml_model("ArrayFeatureExtractor", inputs, {"y": x.dtype}, opset=1)
    return Case(name, model, inputs, {"y": wanted}, exact=True, onnxruntime=onnxruntime)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
def test_array_feature_extractor(dtype: type) -> None:
    rng = np.random.default_rng(0)
    known = dtype in (np.float32, np.float64, np.int64, np.int32)  # of ONNX Runtime
    for shape in ((5,), (3, 5), (2, 3, 5)):
        x = values(rng, shape, dtype)
        check(case(f"{shape}", x, np.array([4, 0, 0], np.int64), known))
        check(case(f"{shape}, one", x, np.array(2, np.int64), known))
        check(case(f"{shape}, matrix", x, np.array([[1, 2], [3, 4]], np.int64), known))
    check(case("empty", values(rng, (0, 5), dtype), np.array([1], np.int64), False))
    check(case("nothing", values(rng, (2, 5), dtype), np.array([], np.int64), False))


def test_constant_indices() -> None:
    """Those are planned; a large input is shared among threads."""
    x = features(np.random.default_rng(0), (30001, 5))
    node = helper.make_node("ArrayFeatureExtractor", ["x", "i"], ["y"], name="node", domain="ai.onnx.ml")
    model = model_of([node], {"x": (np.float32, ("N", 5))}, {"y": np.float32}, {"i": np.array([3, 1], np.int64)})
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    check(Case("constant", model, {"x": x}, {"y": x[:, [3, 1]]}, exact=True))


@pytest.mark.parametrize("index", [-1, 3, 2**62])
def test_indices_outside(index: int) -> None:
    inputs = {"x": np.zeros((2, 3), np.float32), "i": np.array([0, index], np.int64)}
    model = ml_model("ArrayFeatureExtractor", inputs, {"y": np.float32})
    check_refused(model, inputs, ModelError, f"index {index} is outside", "ai.onnx.ml.ArrayFeatureExtractor")
