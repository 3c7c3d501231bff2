import math

import numpy as np
import pytest

from elementwise_cases import FLOATS, in_microsoft, map_cases
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError


def reference(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def biased(shape: tuple[int, ...], dtype: type, symbolic: bool = False) -> Case:
    rng = np.random.default_rng(len(shape))
    inputs = {"x": values(rng, shape, dtype), "bias": values(rng, shape[-1:], dtype)}
    wanted = reference(inputs["x"].astype(np.float64) + inputs["bias"].astype(np.float64))
    model = in_microsoft(one_node("FastGelu", inputs, output_dtype=dtype, opset=17))
    if symbolic:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    label = f"{np.dtype(dtype).name}-{'x'.join(map(str, shape))}{'-batch' if symbolic else ''}"
    return Case(label, model, inputs, {"y": wanted}, length=4, onnxruntime=dtype is np.float32, optimized="never")


@pytest.mark.parametrize(
    "case",
    [
        # ONNX Runtime takes no scalars here.
        *(
            case
            for case in map_cases(
                "FastGelu",
                reference,
                17,
                lacking=(np.float64,),
                microsoft=True,
                edges=(np.nan, np.inf, 0.0, 1e-45, -5.0, -9.0, -20.0, 3.4e38),
            )
            if "scalar" not in case.name
        ),
        *(biased(s, d) for s in ((7,), (3, 5, 7), (0, 4), (3, 32771)) for d in FLOATS),  # ONNX Runtime: float32
        *(biased((batch, 13), np.float32, True) for batch in (1, 3)),
    ],
    ids=str,
)
def test_fast_gelu(case: Case) -> None:
    check(case)


def test_refused() -> None:
    inputs = {"x": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    model = in_microsoft(one_node("FastGelu", inputs))
    check_refused(model, inputs, ModelError, r"bias has shape \[2\].*\[2, 3\]", "com.microsoft.FastGelu")
