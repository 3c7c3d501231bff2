import numpy as np
import pytest

from code_node_cases import BYTES, centred, code_conv, codes
from onnx_models import one_node
from runner import Case, check, check_refused
from sanderling.errors import ModelError


@pytest.mark.parametrize("w_type", BYTES)
@pytest.mark.parametrize("x_type", BYTES)
def test_conv_integer(x_type, w_type):
    rng = np.random.default_rng(0)
    for x_shape, w_shape, settings in [
        ((1, 3, 7, 9), (5, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((3, 4, 6, 5), (6, 2, 3, 2), {"group": 2, "strides": [2, 1]}),
        ((2, 5, 6, 5), (5, 1, 3, 3), {"group": 5, "pads": [1, 0, 1, 2], "dilations": [1, 2]}),
        ((2, 3, 21, 17), (300, 3, 1, 1), {}),
        ((2, 3, 11), (4, 3, 3), {"pads": [1, 1]}),
        ((1, 2, 4, 3, 5), (3, 2, 2, 2, 2), {}),
        ((0, 3, 4, 4), (2, 3, 1, 1), {}),
    ]:
        x, w = codes(rng, x_shape, x_type), codes(rng, w_shape, w_type)
        zeros = {"xz": codes(rng, (), x_type), "wz": codes(rng, (), w_type)}
        # ONNX Runtime has uint8 inputs only, in two dimensions and more.
        theirs = x_type == np.uint8 and w_type == np.uint8 and x.ndim > 3 and x.size > 0
        for each in (False, True):
            if each:
                zeros["wz"] = codes(rng, w_shape[:1], w_type)
            w_zero = zeros["wz"].reshape(-1, *(1,) * (w.ndim - 1)) if each else zeros["wz"]
            expected = code_conv(centred(x, zeros["xz"]), centred(w, w_zero), **settings)
            result = {"y": expected.astype(np.int32)}
            for inputs in ({"x": x}, {"x": x, "w": w, **zeros}):
                constants = {"w": w, **zeros} if len(inputs) == 1 else None
                model = one_node("ConvInteger", inputs, constants=constants, output_dtype=np.int32, **settings)
                name = f"{x_shape}-{w_shape}-{each}-{len(inputs)}"
                check(Case(name, model, inputs, result, onnxruntime=theirs and not each, optimized="always"))
        sums = code_conv(x, w, **settings)
        model = one_node("ConvInteger", {"x": x}, constants={"w": w}, output_dtype=np.int32, **settings)
        check(Case("no zero points", model, {"x": x}, {"y": sums.astype(np.int32)}, onnxruntime=False))


def test_what_is_refused():
    x, w = np.zeros((1, 3, 4, 4), np.uint8), np.zeros((5, 2, 1, 1), np.uint8)
    model = one_node("ConvInteger", {"x": x, "w": w}, output_dtype=np.int32)
    check_refused(model, {"x": x, "w": w}, ModelError, "has 2 input channels", "ConvInteger")
    inputs = {"x": x, "w": np.zeros((5, 3, 1, 1), np.uint8), "xz": np.zeros(2, np.uint8)}
    model = one_node("ConvInteger", inputs, output_dtype=np.int32)
    check_refused(model, inputs, ModelError, r"has shape \[2\], expected a single value", "ConvInteger")
