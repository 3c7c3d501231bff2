import numpy as np
import pytest

from ml_cases import BATCHES, FEATURE_DTYPES, features, ml_model
from runner import Case, check, check_refused
from sanderling.errors import ModelError


def case(
    name: str, x: np.ndarray, onnxruntime: bool = True, symbolic_batch: bool = False, **given: list[float]
) -> Case:
    model = ml_model("Scaler", {"x": x}, {"y": np.float32}, opset=1, symbolic_batch=symbolic_batch, **given)
    offset, scale = (np.array(given.get(k, [d]), np.float32) for k, d in (("offset", 0.0), ("scale", 1.0)))
    wanted = (x.astype(np.float64) - offset) * scale.astype(np.float64)
    return Case(name, model, {"x": x}, {"y": wanted.reshape(x.shape)}, length=2, onnxruntime=onnxruntime)


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("batch", BATCHES)
def test_scaler(dtype: type, batch: int) -> None:
    rng = np.random.default_rng(batch)
    x = features(rng, (batch, 7), dtype)
    per_feature = {"offset": list(rng.normal(size=7)), "scale": list(rng.normal(size=7))}
    check(case("features", x, symbolic_batch=True, **per_feature))
    check(case("one", x, offset=[0.25], scale=[3.0]))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    check(case("vector", features(rng, (3,)), offset=[1.0, 2.0, 3.0], scale=[0.5, 1.0, 2.0]))
    # ONNX Runtime scales the axis 1 of more than two.
    check(case("rank 3", features(rng, (2, 5, 3)), False, offset=[1.0, 2.0, 3.0], scale=[0.5, 1.0, 2.0]))
    check(case("rank 3, one", features(rng, (2, 5, 3)), offset=[1.0], scale=[0.5]))
    # ONNX Runtime demands both attributes, and rows.
    check(case("defaults", features(rng, (2, 3)), False))
    check(case("offset", features(rng, (2, 3)), False, offset=[1.0, 2.0, 3.0]))
    check(case("scalar", features(rng, ()), False, scale=[2.0]))
    check(case("empty", features(rng, (0, 3)), False, scale=[2.0]))
    check(case("no features", features(rng, (3, 0)), False, scale=[2.0]))
    check(case("large", features(rng, (40000, 3)), offset=[1.0, 2.0, 3.0], scale=[0.5, 1.0, 2.0]))


def test_refused() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    bad = ml_model("Scaler", x, {"y": np.float32}, scale=[1.0, 2.0], offset=[1.0])
    check_refused(bad, x, ModelError, "scale has 2 values, the input 3 features", "ai.onnx.ml.Scaler")
