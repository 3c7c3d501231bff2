"""Ten seconds that prove an install: a model is quantized, run, batched and watched."""

import numpy as np
import pytest

import sanderling
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w"], ["h"], transB=1),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "v"], ["y"], transB=1),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3])],
        [
            numpy_helper.from_array(rng.standard_normal((16, 8)).astype(np.float32), "w"),
            numpy_helper.from_array(rng.standard_normal((3, 16)).astype(np.float32), "v"),
        ],
    )
    return sanderling.load(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    )


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(1).standard_normal((500, 8)).astype(np.float32)


def test_float_matches_numpy(model, rows):
    from onnx import load_from_string

    weights = {t.name: numpy_helper.to_array(t) for t in load_from_string(model.bytes).graph.initializer}
    expected = np.maximum(rows.astype(np.float64) @ weights["w"].T, 0) @ weights["v"].T
    np.testing.assert_allclose(sanderling.Session(model).run(rows), expected, rtol=1e-5, atol=1e-5)


def test_quantized_batched_and_watched(model, rows):
    quantized = sanderling.quantize(model, rows[:200])
    reference = sanderling.drift.Reference.fit(rows)
    with sanderling.Session(quantized, watch=reference) as session:
        scores = session.run(rows)
        assert (scores.argmax(1) == sanderling.Session(model).run(rows).argmax(1)).mean() > 0.95
        with sanderling.Batcher(session) as batcher:
            futures = [batcher.submit(row[None]) for row in rows[:8]]
            np.testing.assert_array_equal(np.concatenate([f.result() for f in futures]), scores[:8])
        assert session.sketches().rows == 508
