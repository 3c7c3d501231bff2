import numpy as np
import pytest

from elementwise_cases import FLOATS, in_microsoft
from onnx_models import one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(2, 5, 7), (0, 5, 7), (1, 3, 32771)])
def test_bias_add(shape: tuple[int, ...], dtype: type) -> None:
    rng = np.random.default_rng(0)
    inputs = {"x": values(rng, shape, dtype), "bias": values(rng, shape[-1:], dtype), "skip": values(rng, shape, dtype)}
    wanted = sum(x.astype(np.float64) for x in inputs.values())
    model = in_microsoft(one_node("BiasAdd", inputs, output_dtype=dtype))
    largest = sum(float(np.abs(x).max(initial=0)) for x in inputs.values())
    # ONNX Runtime has it on GPUs only.
    check(Case("sum", model, inputs, {"y": np.asarray(wanted)}, length=3, magnitude=largest, onnxruntime=False))


def test_refused() -> None:
    x = np.zeros((2, 3), np.float32)
    inputs = {"x": x, "bias": np.zeros(2, np.float32), "skip": x}
    model = in_microsoft(one_node("BiasAdd", inputs))
    check_refused(model, inputs, ModelError, r"bias has shape \[2\]", "com.microsoft.BiasAdd")
    inputs = {"x": x, "bias": np.zeros(3, np.float32), "skip": np.zeros((1, 3), np.float32)}
    model = in_microsoft(one_node("BiasAdd", inputs))
    check_refused(model, inputs, ModelError, r"skip has shape \[1, 3\]", "com.microsoft.BiasAdd")
