import numpy as np
import pytest

from code_node_cases import BYTES, centred, check_codes, code_conv, codes, requantized, scale
from onnx_models import one_node
from runner import check_refused
from sanderling.errors import ModelError

ORDER = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]


@pytest.mark.parametrize("y_type", BYTES)
@pytest.mark.parametrize("w_type", BYTES)
@pytest.mark.parametrize("x_type", BYTES)
def test_qlinear_conv(x_type, w_type, y_type):
    rng = np.random.default_rng(0)
    for x_shape, w_shape, settings in [
        ((1, 3, 7, 9), (5, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((2, 4, 6, 5), (6, 2, 3, 2), {"group": 2, "strides": [2, 1]}),
        ((2, 5, 6, 5), (5, 1, 3, 3), {"group": 5, "pads": [1, 0, 1, 2], "dilations": [1, 2]}),
        ((2, 3, 4, 4), (7, 3, 1, 1), {}),
        ((2, 3, 11), (4, 3, 3), {"pads": [1, 1]}),
    ]:
        for each, biased in ((False, False), (True, True)):
            channels = w_shape[0]
            x, w = codes(rng, x_shape, x_type), codes(rng, w_shape, w_type)
            p = {"xs": scale(rng), "xz": codes(rng, (), x_type), "w": w}
            p |= {"ws": scale(rng, (channels,) if each else ()), "wz": codes(rng, (channels,) if each else (), w_type)}
            depth = int(np.prod(w_shape[1:]))
            p["ys"] = np.asarray(p["xs"] * p["ws"].mean() * 60 * depth**0.5, np.float32)
            p["yz"] = codes(rng, (), y_type)
            along = (channels, *(1,) * (len(w_shape) - 1))
            w_zero = p["wz"].reshape(along) if each else p["wz"]
            sums = code_conv(centred(x, p["xz"]), centred(w, w_zero), **settings)
            if biased:
                p["b"] = rng.integers(-30000, 30000, channels).astype(np.int32)
                sums = sums + p["b"].reshape(along[:-1])
            w_scale = p["ws"].reshape(along[:-1]) if each else p["ws"]
            expected = requantized(sums, p["xs"], w_scale, p["ys"], p["yz"], y_type)
            # ONNX Runtime's uint8 by int8 saturates without VNNI; it wants equal zero points in all channels.
            theirs = x_type == w_type == y_type == np.uint8 and not each
            order = [*ORDER, "b"] if biased else ORDER
            check_codes(
                "QLinearConv",
                {"x": x},
                p,
                expected,
                order,
                domain="",
                onnxruntime=theirs,
                **settings,
                lowered=["QConv"],
            )


def test_what_is_refused():
    def refused(message, **changed):
        values = {"x": np.zeros((1, 3, 4, 4), np.uint8), "xs": np.float32(1), "xz": np.uint8(0)}
        values |= {"w": np.zeros((5, 3, 1, 1), np.int8), "ws": np.float32(1), "wz": np.int8(0)}
        values |= {"ys": np.float32(1), "yz": np.uint8(0)} | changed
        values = {name: np.asarray(value) for name, value in values.items()}
        order = [*ORDER, "b"] if "b" in values else ORDER
        model = one_node("QLinearConv", values, order=order, output_dtype=np.uint8)
        check_refused(model, values, ModelError, message, "QLinearConv")

    refused("has 2 input channels", w=np.zeros((5, 2, 1, 1), np.int8))
    refused(r"the bias has shape \[4\], expected \[5\]", b=np.zeros(4, np.int32))
    refused("the zero point .input 2. is int8, its codes are uint8", xz=np.int8(0))
    refused(r"the scale .input 4. has shape \[4\], expected one value or \[5\]", ws=np.ones(4, np.float32))
