import numpy as np
import pytest

from ml_cases import BATCHES, FEATURE_DTYPES, features, ml_model
from runner import Case, check, check_refused
from sanderling.errors import ModelError

OP = "ai.onnx.ml.FeatureVectorizer"


def case(name: str, inputs: dict[str, np.ndarray], widths: list[int], **more: bool) -> Case:
    model = ml_model("FeatureVectorizer", inputs, {"y": np.float32}, opset=1, inputdimensions=widths, **more)
    parts = []
    for x, width in zip(inputs.values(), widths, strict=True):
        rows = (x if x.ndim > 1 else x[None]).reshape(
            1 if x.ndim == 1 else x.shape[0], int(np.prod(x.shape[1:])) if x.ndim > 1 else -1
        )
        parts.append(np.pad(rows[:, :width], ((0, 0), (0, max(0, width - rows.shape[1])))))
    wanted = np.concatenate(parts, axis=1).astype(np.float64)
    same = len({x.dtype for x in inputs.values()}) == 1
    return Case(name, model, inputs, {"y": wanted}, onnxruntime=same and wanted.size > 0)


@pytest.mark.parametrize("dtype", FEATURE_DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("batch", BATCHES)
def test_feature_vectorizer(dtype: type, batch: int) -> None:
    rng = np.random.default_rng(batch)
    inputs = {"a": features(rng, (batch, 3), dtype), "b": features(rng, (batch, 2), dtype)}
    check(case("whole", inputs, [3, 2], symbolic_batch=True))
    check(case("cut and padded", inputs, [2, 5]))


def test_shapes() -> None:
    rng = np.random.default_rng(0)
    check(case("vectors", {"a": features(rng, (3,)), "b": features(rng, (4,))}, [3, 4]))
    check(case("rank 3", {"a": features(rng, (2, 3, 4))}, [12]))
    check(case("mixed", {"a": features(rng, (2, 3)), "b": features(rng, (2, 1), np.int64)}, [3, 1]))
    check(case("empty", {"a": features(rng, (0, 3))}, [3]))
    check(case("nothing", {"a": features(rng, (2, 3)), "b": features(rng, (2, 3))}, [0, 3]))


def test_refused() -> None:
    x = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((3, 3), np.float32)}
    check_refused(
        ml_model("FeatureVectorizer", x, {"y": np.float32}, inputdimensions=[3, 3]),
        x,
        ModelError,
        "input 1 has 3 rows, input 0 2",
        OP,
    )
    x = {"a": np.zeros((2, 3), np.float32)}
    for widths, message in (([3, 3], "2 values for 1 inputs"), ([-1], "the value -1"), ([2**62], "the value")):
        bad = ml_model("FeatureVectorizer", x, {"y": np.float32}, inputdimensions=widths)
        check_refused(bad, x, ModelError, message, OP)
