import numpy as np
import pytest

from ml_cases import BATCHES, FEATURE_DTYPES, features, ml_model
from runner import Case, check, check_refused
from sanderling.errors import ModelError


def normalized(x: np.ndarray, norm: str) -> np.ndarray:
    wide = x.astype(np.float64)
    if x.size == 0:
        return wide
    by = {"MAX": wide.max, "L1": np.abs(wide).sum, "L2": lambda **k: np.sqrt((wide**2).sum(**k))}[norm](
        axis=-1, keepdims=True
    )
    return wide / np.where(by == 0, 1, by)


def case(name: str, x: np.ndarray, norm: str | None, **more: bool) -> Case:
    attributes = {} if norm is None else {"norm": norm}
    model = ml_model("Normalizer", {"x": x}, {"y": np.float32}, opset=1, **attributes, **more)
    # ONNX Runtime divides rows whose largest element is 0 or below otherwise than ONNX says where there are several.
    return Case(name, model, {"x": x}, {"y": normalized(x, norm or "MAX")}, onnxruntime=x.size > 0)


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("norm", [None, "MAX", "L1", "L2"])
def test_normalizer(dtype: type, batch: int, norm: str | None) -> None:
    x = features(np.random.default_rng(batch), (batch, 5), dtype)
    x[0] = 0
    check(case("rows", x, norm, symbolic_batch=True))


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_shapes(norm: str) -> None:
    x = features(np.random.default_rng(0), (7,))
    for each in (x, -np.abs(x), x[:1], x[:0], np.zeros((0, 3), np.float32), np.zeros((3, 0), np.float32)):
        check(case(f"{each.shape}", each, norm))


def test_refused() -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    op = "ai.onnx.ml.Normalizer"
    check_refused(ml_model("Normalizer", x, {"y": np.float32}, norm="L3"), x, ModelError, "'L3', ONNX has MAX, L1", op)
    x = {"x": np.zeros((2, 3, 4), np.float32)}
    check_refused(ml_model("Normalizer", x, {"y": np.float32}), x, ModelError, r"shape \[2, 3, 4\]", op)
